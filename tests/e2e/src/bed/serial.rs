//! A serial line on which nothing is lost, however late its reader is.
//!
//! libvirt gives QEMU a socket for it, whose 278 characters are too few (`fm_lab::Serial` says why). A pipe would have to be
//! there on every host that a guest may go to; so QEMU's own end of the socket is given more room, from here.

use std::fs;
use std::os::fd::OwnedFd;

use fm_fixtures::Patience;
use fm_lab::PATIENCE;
use rustix::net::{SocketAddrAny, SocketAddrUnix, getpeername, getsockname, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// A character takes 766 bytes of it: more than 80,000 characters.
const ROOM_BYTES: usize = 64 << 20;

/// Gives the socket at `path`, to which somebody has just connected, its room, in the process of the mount namespace `host`
/// that holds its other end.
///
/// # Panics
/// If nobody takes the connection.
pub(super) fn give_room(host: &str, path: &str) {
    let mut patience = Patience::new(PATIENCE);
    let address = SocketAddrUnix::new(path).unwrap();
    while !sockets_of(host).any(|socket| widened(&socket, &address)) {
        // QEMU accepts it in its main loop, of which it gives no word.
        patience.rest(|| format!("nobody takes a connection to {path}"));
    }
}

fn widened(socket: &OwnedFd, address: &SocketAddrUnix) -> bool {
    let is_it = getsockname(socket).is_ok_and(|own| own == SocketAddrAny::from(address.clone()));
    // The socket that listens there has no peer.
    is_it && getpeername(socket).is_ok() && {
        sockopt::set_socket_send_buffer_size_force(socket, ROOM_BYTES).unwrap();
        true
    }
}

/// The sockets of every QEMU in a mount namespace.
fn sockets_of(host: &str) -> impl Iterator<Item = OwnedFd> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let guests = processes.filter_map(move |process| {
        let folder = process.path();
        let is_here = fs::read_link(folder.join("ns/mnt")).ok()?.as_os_str() == host;
        let name = fs::read_to_string(folder.join("comm")).ok()?;
        let pid = Pid::from_raw(process.file_name().to_str()?.parse().ok()?)?;
        (is_here && name.starts_with("qemu-system")).then_some((folder, pid))
    });
    guests.flat_map(|(folder, pid)| {
        let handle = pidfd_open(pid, PidfdFlags::empty());
        let files = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        let sockets = files.filter_map(move |file| {
            let is_socket = fs::read_link(file.path()).ok()?.to_str()?.starts_with("socket:");
            let number = file.file_name().to_str()?.parse().ok()?;
            let handle = is_socket.then_some(handle.as_ref().ok()?)?;
            pidfd_getfd(handle, number, PidfdGetfdFlags::empty()).ok()
        });
        sockets.collect::<Vec<_>>()
    })
}
