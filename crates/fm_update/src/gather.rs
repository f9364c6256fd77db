//! What is known of a guest before it is touched.

use std::path::{Path, PathBuf};

use fm_host::Guest;
use fm_host::processors::Processors;
use fm_judge::Outcome;
use fm_libvirt::Virsh;

use crate::build::Build;
use crate::decide::{Facts, Libvirt, Vouched};
use crate::memory::Code;
use crate::monitor::{Monitor, Place};
use crate::{Error, Result};

/// What libvirt gives each QEMU of its own, and nobody else does (libvirt `src/qemu/qemu_alias.c`,
/// `qemuDomainGetMasterKeyAlias`).
const LIBVIRTS_KEY: &str = "masterKey0";

/// Facts of the guest's process alone, which nothing is asked for.
pub(crate) fn of_process(
    guest: &Guest,
    code: &Code,
    same_build: bool,
    build: &Build,
    outcome: Outcome,
    vouched: Vouched,
) -> Result<Facts> {
    let command = guest.command();
    let is_x86 = matches!(guest.arch(), "x86_64" | "i386");
    Ok(Facts {
        no_flash: None,
        combined: !guest.flash_unit(0)?.read_only,
        code_bytes: code.region.len_bytes,
        build_bytes: build.bytes.len() as u64,
        same_build,
        outcome,
        accelerator: guest.accelerator(),
        encryption: command.encryption.as_ref().map(|kind| format!("{kind:?}")),
        mapped_file: code.mapped_file(guest)?,
        twins: twins(guest)?,
        libvirt: Libvirt::No,
        has_monitor: false,
        run_state: None,
        jobs: Vec::new(),
        processors: Processors::Unseen,
        s3: is_x86 && !command.s3_off,
        vouched,
    })
}

/// Facts of a guest that has no CODE flash.
pub(crate) fn without_flash(firmware: String) -> Facts {
    Facts {
        no_flash: Some(firmware),
        combined: false,
        code_bytes: 0,
        build_bytes: 0,
        same_build: false,
        outcome: Outcome::Unknown,
        accelerator: None,
        encryption: None,
        mapped_file: None,
        twins: Vec::new(),
        libvirt: Libvirt::No,
        has_monitor: false,
        run_state: None,
        jobs: Vec::new(),
        processors: Processors::Unseen,
        s3: false,
        vouched: Vouched::default(),
    }
}

fn twins(guest: &Guest) -> Result<Vec<u32>> {
    let Some(uuid) = guest.uuid() else {
        return Ok(Vec::new());
    };
    let listing = fm_host::guests()?;
    let same = |other: &&Guest| {
        other.pid() != guest.pid() && other.uuid().is_some_and(|other| other.eq_ignore_ascii_case(uuid))
    };
    Ok(listing.guests.iter().filter(same).map(Guest::pid).collect())
}

/// Whether libvirt started this guest.
#[must_use]
pub fn is_libvirts(guest: &Guest) -> bool {
    let arguments = guest.process().arguments().unwrap_or_default();
    arguments.iter().any(|argument| argument.contains(LIBVIRTS_KEY))
}

/// Where the guest's monitor is: `named`, or libvirt's for a guest of libvirt's, or the first socket of its own that
/// greets. Adds to `facts` who manages it.
pub(crate) fn place(
    guest: &Guest,
    named: Option<&Path>,
    selector: &str,
    libvirt_uri: Option<&str>,
    facts: &mut Facts,
) -> Result<Option<Place>> {
    let as_socket = |path: &Path| {
        Some(Place::Qmp {
            socket: path.to_owned(),
        })
    };
    if is_libvirts(guest) {
        let uuid = guest.uuid().unwrap_or_default().to_owned();
        let virsh = Virsh::new(libvirt_uri);
        let info = virsh.info(&uuid)?;
        facts.libvirt = match virsh.stamped(&uuid)? {
            Some(_) => Libvirt::Adopted,
            None => Libvirt::NotAdopted { domain: info.name },
        };
        return Ok(match named {
            Some(socket) => as_socket(socket),
            None => Some(Place::Libvirt {
                uri: libvirt_uri.map(str::to_owned),
                uuid,
            }),
        });
    }
    if let Some(socket) = named {
        return Ok(as_socket(socket));
    }
    let selected = Path::new(selector);
    if guest.qmp_sockets().iter().any(|socket| socket == selected) {
        return Ok(as_socket(selected));
    }
    Ok(guest.qmp_sockets().first().map(|socket: &PathBuf| Place::Qmp {
        socket: socket.clone(),
    }))
}

/// What the monitor says.
pub(crate) fn of_monitor(guest: &Guest, monitor: &mut Monitor, facts: &mut Facts) -> Result<()> {
    facts.has_monitor = true;
    facts.run_state = Some(monitor.run_state()?);
    facts.jobs = monitor.jobs()?;
    facts.processors = monitor.processors(guest.arch());
    Ok(())
}

/// Connects to the guest's monitor, if there is one that is free.
pub(crate) fn connect(place: Option<&Place>, guest: &Guest) -> Result<Option<Monitor>> {
    match place.map(|place| Monitor::open(place, guest)).transpose() {
        // Who it belongs to is connected: it is not ours.
        Err(Error::Monitor(fm_host::qmp::Error::Busy { .. } | fm_host::qmp::Error::Connect { .. })) => {
            Ok(None)
        }
        connected => connected,
    }
}
