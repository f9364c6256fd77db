//! Two cold boots, one after the other, on a store that no running firmware leaves so: what is there after each, and
//! what a repair beforehand makes of it.

use std::fs;
use std::path::Path;

use fm_formats::varstore::{Entry, VarStore};
use fm_variables::StoreTarget;

use super::bench::Bench;
use super::boot::{GUID, NAME};
use super::reached::reached;
use super::step::Step;
use super::{BootSeen, Reached, RepairSeen, Seen, stores};
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
    let last = stores::name(stores::COUNT - 1);
    let first = boot(
        &machine,
        &folder.join("first"),
        NAME,
        &[(&last, &stores::GUID.to_string())],
    )?;
    let first_file = read(&vars)?;
    let second = boot(
        &machine,
        &folder.join("second"),
        NEW_NAME,
        &[(&last, &stores::GUID.to_string()), (NAME, GUID)],
    )?;
    let second_file = read(&vars)?;
    let boots = [
        seen(&first, &before, &first_file, NAME),
        seen(&second, &first_file, &second_file, NEW_NAME),
    ];
    let reads_first = second.1.get(1).copied();
    let whole = boots
        .iter()
        .all(|boot| boot.reached.is_up() && boot.visible >= held && boot.persistent != Some(false))
        && reads_first != Some(false);
    let repaired = if whole || step.source.vars_access.is_some() {
        None
    } else {
        repaired(&machine, &vars, &before, folder)?
    };
    Ok(Seen::TwoBoots {
        held,
        boots,
        reads_first,
        repaired,
    })
}

/// Repairs the store as it was at first, and boots on it.
fn repaired(machine: &Machine, vars: &Path, before: &[u8], folder: &Path) -> Result<Option<RepairSeen>> {
    fs::write(vars, before).map_err(|source| Error::file("write", vars, source))?;
    let write = StoreTarget::file(vars);
    if fm_variables::repair(&write).is_err() {
        return Ok(None);
    }
    let after = read(vars)?;
    if after == before {
        return Ok(None);
    }
    let (reached, ..) = boot(machine, &folder.join("repaired"), NAME, &[])?;
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
fn boot(machine: &Machine, dir: &Path, set: &str, ask: &[(&str, &str)]) -> Result<(Reached, Vec<bool>)> {
    let mut guest = Guest::start(machine, dir)?;
    let reached = reached(&mut guest, 0);
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
