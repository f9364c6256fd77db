//! libvirt's events, as a reason to look at once: `virsh event` tells them, and needs no library of ours.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// libvirt may be restarted at any time; how long until it is listened to again.
const AGAIN: Duration = Duration::from_secs(5);

/// Calls `wake` for every lifecycle event from now on.
pub(super) fn listen(uri: Option<&str>, wake: impl Fn() + Send + 'static) {
    let uri = uri.unwrap_or("qemu:///system").to_owned();
    thread::spawn(move || {
        loop {
            if let Some(mut child) = start(&uri) {
                let lines = child.stdout.take().map(BufReader::new);
                for line in lines.into_iter().flat_map(BufReader::lines) {
                    if line.is_err() {
                        break;
                    }
                    wake();
                }
                let _ = child.wait();
            }
            thread::sleep(AGAIN);
        }
    });
}

fn start(uri: &str) -> Option<Child> {
    // `setpriv` (util-linux) lets the kernel end it with us, however we end.
    Command::new("setpriv")
        .args([
            "--pdeathsig",
            "TERM",
            "--",
            "virsh",
            "-q",
            "-k",
            "5",
            "-K",
            "3",
            "-c",
            uri,
        ])
        .args(["event", "--event", "lifecycle", "--loop"])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}
