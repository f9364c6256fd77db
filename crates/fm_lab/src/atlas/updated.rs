//! A guest that is given another build of its size while it runs: does its next reset boot it, with its variables?

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use fm_formats::Sha256;
use fm_store::Store;
use fm_transfer::migrate::{self, Options, Request};

use super::bench::Bench;
use super::boot::{GUID, NAME, contains_variable};
use super::migrate::command;
use super::reached::reached;
use super::step::Step;
use super::{Reached, Seen, Side, UpdateSeen, UpdateWay};
use crate::{Error, Guest, Result};

/// What the guest sets between the update and its reset; [`NAME`] is what it sets before.
const BETWEEN: &str = "FlashmoorAtlasBetween";

pub(super) fn observe(
    bench: &Bench,
    step: &Step,
    destination: &Side,
    way: UpdateWay,
    folder: &Path,
) -> Result<Seen> {
    let from = bench.machine(&step.source, step.qemu[0], &folder.join("a"))?;
    let new = folder.join("new");
    bench.machine(destination, step.qemu[1], &new)?;
    let path = new.join("code.fd");
    let code = std::fs::read(&path).map_err(|source| Error::file("read", &path, source))?;
    let mut guest = Guest::start(&from, &folder.join("a/guest"))?;
    guest.boot_to_shell()?;
    set(&mut guest, NAME)?;
    if way == UpdateWay::InPlace {
        command(&mut guest, "stop", None)?;
        write(guest.pid(), &code)?;
        command(&mut guest, "cont", None)?;
        set(&mut guest, BETWEEN)?;
    }
    if way == UpdateWay::Migration || !step.source.kvm {
        // Its own file is of the old build: what it boots is what came to it.
        let to = bench
            .machine(&step.source, step.qemu[1], &folder.join("b"))?
            .incoming();
        let target = Guest::start(&to, &folder.join("b/guest"))?;
        let request = Request {
            source: guest.qmp_socket(),
            destination: target.qmp_socket(),
            uri: None,
            expected_code: None,
            update: (way == UpdateWay::Migration).then(|| code.clone()),
            options: Options::default(),
        };
        let store = Store::open(folder.join("store"))?;
        migrate::migrate(&store, &request, &AtomicBool::new(false), &mut |_| {})?;
        guest = target;
    }
    if way == UpdateWay::Migration {
        set(&mut guest, BETWEEN)?;
    }
    let arrived = flash(&guest, 0)? == Sha256::of(&code).to_string();
    let first = reset(&mut guest)?;
    let vars = fm_host::find(&guest.pid().to_string())?.read_flash(1)?;
    Ok(Seen::Updated(UpdateSeen {
        way,
        arrived,
        reached_after_reset: first,
        keeps_before: contains_variable(&vars, NAME),
        keeps_between: contains_variable(&vars, BETWEEN),
        reached_again: reset(&mut guest)?,
    }))
}

fn reset(guest: &mut Guest) -> Result<Reached> {
    let before = guest.serial.transcript().len();
    command(guest, "system_reset", None)?;
    Ok(reached(guest, before))
}

fn set(guest: &mut Guest, name: &str) -> Result<()> {
    guest.shell(&format!("setvar {name} -guid {GUID} -bs -rt -nv =464d"))?;
    Ok(())
}

/// The digest of what the guest's flash holds.
fn flash(guest: &Guest, unit: u32) -> Result<String> {
    let bytes = fm_host::find(&guest.pid().to_string())?.read_flash(unit)?;
    Ok(Sha256::of(&bytes).to_string())
}

/// Writes CODE into the memory of a guest that stands still.
fn write(pid: u32, code: &[u8]) -> Result<()> {
    let guest = fm_host::find(&pid.to_string())?;
    let region = guest.flash_region(&guest.memory()?, 0)?;
    let path = guest.process().dir().join("mem");
    let memory = OpenOptions::new()
        .write(true)
        .open(&path)
        .map_err(|source| Error::file("open", &path, source))?;
    memory
        .write_all_at(code, region.address)
        .map_err(|source| Error::file("write", &path, source))
}
