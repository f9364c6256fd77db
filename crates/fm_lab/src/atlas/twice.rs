//! Two cold boots, one after the other, on a store that no running firmware leaves so: what is there after each, and
//! what a repair beforehand makes of it.

use std::fs;
use std::path::Path;

use fm_variables::StoreTarget;
use fm_varstore::{Entry, VarStore};

use super::bench::Bench;
use super::boot::{GUID, NAME};
use super::cut::{leave, recorded};
use super::reached::{Limits, PLAIN, WITH_RECLAIM, reached_within};
use super::step::Step;
use super::{BootSeen, FlashRecording, PowerCut, Reached, RepairSeen, Seen, stores};
use crate::{Error, Guest, Machine, Result};

/// What the guest sets at its second boot.
const NEW_NAME: &str = "FlashmoorAtlasThere";

pub(super) fn observe(bench: &Bench, step: &Step, folder: &Path) -> Result<Seen> {
    let machine = bench
        .machine(&step.source, step.qemu[0], folder)?
        .with(&["-no-reboot"]);
    let vars = folder.join("vars.fd");
    let before = read(&vars)?;
    let held = recoverable(&before);
    let (boots, reads_first) = boot_twice(&machine, &vars, &before, folder, PLAIN)?;
    let whole = boots
        .iter()
        .all(|boot| boot.reached.is_up() && boot.visible >= held && boot.persistent != Some(false))
        && reads_first != Some(false);
    let repaired = if whole || step.source.vars_access.is_some() {
        None
    } else {
        repaired(&machine, &vars, &before, folder, PLAIN)?
    };
    Ok(Seen::TwoBoots {
        held,
        boots,
        reads_first,
        repaired,
    })
}

/// The same on the store that a power cut at `cut` leaves of what the build was recorded writing; repaired beforehand, if
/// there is something to repair, whatever became of the boots.
pub(super) fn observe_power_cut(
    bench: &Bench,
    step: &Step,
    cut: PowerCut,
    recordings: &[FlashRecording],
    folder: &Path,
) -> Result<Seen> {
    let machine = bench
        .machine(&step.source, step.qemu[0], folder)?
        .with(&["-no-reboot"]);
    let recording = recorded(recordings, &step.source).ok_or(Error::OtherRecording)?;
    let vars = folder.join("vars.fd");
    let mut left = read(&vars)?;
    let after_writes = leave(recording, cut, &mut left)?;
    write(&vars, &left)?;
    let (boots, reads_first) = boot_twice(&machine, &vars, &left, folder, WITH_RECLAIM)?;
    Ok(Seen::PowerCut {
        after_writes,
        held: stores::COUNT as u32,
        recoverable: recoverable(&left),
        boots,
        reads_first,
        repaired: repaired(&machine, &vars, &left, folder, WITH_RECLAIM)?,
    })
}

/// What two boots on the store `before` at `vars` come to, and whether the second reads what the first one's shell set.
fn boot_twice(
    machine: &Machine,
    vars: &Path,
    before: &[u8],
    folder: &Path,
    limits: Limits,
) -> Result<([BootSeen; 2], Option<bool>)> {
    let last = stores::name(stores::COUNT - 1);
    let ours = stores::GUID.to_string();
    let first = boot(machine, &folder.join("first"), NAME, &[(&last, &ours)], limits)?;
    let first_file = read(vars)?;
    let ask = [(last.as_str(), ours.as_str()), (NAME, GUID)];
    let second = boot(machine, &folder.join("second"), NEW_NAME, &ask, limits)?;
    let second_file = read(vars)?;
    let boots = [
        seen(&first, before, &first_file, NAME),
        seen(&second, &first_file, &second_file, NEW_NAME),
    ];
    Ok((boots, second.1.get(1).copied()))
}

/// Repairs the store as it was at first, and boots on it.
fn repaired(
    machine: &Machine,
    vars: &Path,
    before: &[u8],
    folder: &Path,
    limits: Limits,
) -> Result<Option<RepairSeen>> {
    write(vars, before)?;
    if fm_variables::repair(&StoreTarget::file(vars)).is_err() {
        return Ok(None);
    }
    let after = read(vars)?;
    if after == before {
        return Ok(None);
    }
    let (reached, ..) = boot(machine, &folder.join("repaired"), NAME, &[], limits)?;
    Ok(Some(RepairSeen {
        reached,
        kept: visible(&read(vars)?),
    }))
}

fn seen(boot: &(Reached, Vec<bool>), before: &[u8], after: &[u8], name: &str) -> BootSeen {
    BootSeen {
        reached: boot.0,
        reads_last: boot.1.first().copied(),
        persistent: (boot.0 == Reached::Shell).then(|| is_visible(after, name)),
        written: before != after,
        visible: visible(after),
        recoverable: recoverable(after),
    }
}

/// Boots, asks the shell for variables, lets it set one, and ends the guest.
fn boot(
    machine: &Machine,
    dir: &Path,
    set: &str,
    ask: &[(&str, &str)],
    limits: Limits,
) -> Result<(Reached, Vec<bool>)> {
    let mut guest = Guest::start(machine, dir)?;
    let reached = reached_within(&mut guest, 0, limits);
    let mut answers = Vec::new();
    if reached == Reached::Shell {
        guest.boot_to_shell()?;
        for (name, guid) in ask {
            let said = guest.shell(&format!("dmpstore {name} -guid {guid}"))?;
            answers.push(said.contains("DataSize") || said.contains("Variable NV"));
        }
        guest.shell(&format!("setvar {set} -guid {GUID} -bs -rt -nv =464d"))?;
    }
    if guest.is_alive() {
        guest.quit()?;
    }
    Ok((reached, answers))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::file("read", path, source))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|source| Error::file("write", path, source))
}

/// How many of the variables that the store was built with are in one of its places.
fn recoverable(bytes: &[u8]) -> u32 {
    VarStore::parse(bytes).map_or(0, |store| count(store.variables()))
}

/// How many of them firmware sees that reads the main area from its start.
fn visible(bytes: &[u8]) -> u32 {
    main(bytes).map_or(0, |store| count(store.found_by_firmware()))
}

/// Whether firmware sees a variable of that name there.
fn is_visible(bytes: &[u8], name: &str) -> bool {
    main(bytes).is_some_and(|store| {
        store
            .found_by_firmware()
            .any(|entry| entry.name.to_string() == name)
    })
}

fn main(bytes: &[u8]) -> Option<VarStore<'_>> {
    VarStore::parse_main(bytes, bytes.len() as u64).ok()
}

fn count<'a>(entries: impl Iterator<Item = &'a Entry<'a>>) -> u32 {
    let ours = entries.filter(|entry| entry.guid == stores::GUID);
    u32::try_from(ours.count()).unwrap_or(u32::MAX)
}
