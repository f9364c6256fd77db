//! A variable that the guest sets while it migrates, when its VARS have been sent already: does it arrive?
//!
//! The stream goes through a relay that reads along. When every page of VARS has gone by, it holds the rest back
//! until QEMU has been told to send it slowly, of which there is enough for a minute; meanwhile the guest sets the
//! variable. (A relay that holds the stream until then would stop the guest as well: QEMU sends with locks held
//! that a write to flash needs.) Nothing depends on how fast anything is: a migration that is over when the
//! variable is set is no observation.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use fm_stream::{BlockKind, Event, Facts, Parser};
use serde_json::{Value, json};

use super::bench::Bench;
use super::boot::{GUID, NAME, contains_variable};
use super::migrate::{command, completed};
use super::step::Step;
use super::{Seen, Side};
use crate::{Error, Guest, Machine, PATIENCE, Result};

/// What the guest sets while it migrates; [`NAME`] is what it sets before.
const LATE_NAME: &str = "FlashmoorAtlasLate";
/// QEMU sends RAM blocks from large to small: these come after the VARS of a 4M build.
const ROM_BYTES: usize = 0x8_0000;
const ROMS: usize = 4;
/// Bytes per second: one page in each of the tenths of a second in which QEMU counts.
const SLOW: u32 = 10_240;
const FAST: u32 = 1 << 30;
/// More would be a page size of no machine that is tried.
const PAGE_BYTES: u64 = 0x1000;

pub(super) fn observe(bench: &Bench, step: &Step, destination: &Side, folder: &Path) -> Result<Seen> {
    let from = with_roms(
        bench.machine(&step.source, step.qemu[0], &folder.join("a"))?,
        folder,
    )?;
    let to = with_roms(
        bench.machine(destination, step.qemu[1], &folder.join("b"))?,
        folder,
    )?
    .incoming();
    let mut source = Guest::start(&from, &folder.join("a/guest"))?;
    let mut target = Guest::start(&to, &folder.join("b/guest"))?;
    let set =
        |guest: &mut Guest, name: &str| guest.shell(&format!("setvar {name} -guid {GUID} -bs -rt -nv =464d"));
    source.boot_to_shell()?;
    set(&mut source, NAME)?;

    let [here, there] = ["stream", "landing"].map(|name| folder.join(name));
    let uri = |path: &PathBuf| Some(json!({ "uri": format!("unix:{}", path.display()) }));
    command(&mut target, "migrate-incoming", uri(&there))?;
    let listener = UnixListener::bind(&here).map_err(|source| Error::file("create", &here, source))?;
    let (sent, was_sent) = channel();
    let (go, may_go) = channel();
    let relay = thread::spawn(move || relay(&listener, &there, &sent, &may_go));
    // What is left to send never counts as little enough to stop the guest for it.
    speed(&mut source, FAST, 1)?;
    command(&mut source, "migrate", uri(&here))?;
    // A relay that fails drops its end, and then says why.
    let all_sent = was_sent.recv_timeout(PATIENCE).is_ok();
    let mut held = false;
    if all_sent {
        speed(&mut source, SLOW, 1)?;
        let _ = go.send(());
        set(&mut source, LATE_NAME)?;
        let status = command(&mut source, "query-migrate", None)?;
        held = status.get("status").and_then(Value::as_str) == Some("active");
        speed(&mut source, FAST, 300)?;
    }
    let arrived = completed(&mut source)?;
    let relayed = relay.join().unwrap_or_else(|_| Err("it broke off".into()));
    if let Err(why) = relayed {
        return Err(failed("the stream to pass through the relay", why));
    }
    if !(held && arrived) {
        return Err(failed(
            "the migration to wait for the relay and to complete then",
            target.stderr(),
        ));
    }
    let here = vars(&mut source, &step.source)?;
    let there = vars(&mut target, destination)?;
    Ok(Seen::WrittenLate {
        early_arrived: contains_variable(&there, NAME),
        written: contains_variable(&here, LATE_NAME),
        late_arrived: contains_variable(&there, LATE_NAME),
    })
}

fn speed(source: &mut Guest, bytes_per_s: u32, downtime_ms: u32) -> Result<()> {
    let limits = json!({ "max-bandwidth": bytes_per_s, "downtime-limit": downtime_ms });
    command(source, "migrate-set-parameters", Some(limits)).map(drop)
}

fn failed(what: &str, seen: String) -> Error {
    Error::Guest(crate::GuestError::Waited {
        what: what.into(),
        seen,
    })
}

/// The same guest with devices whose option ROMs no firmware takes for such.
fn with_roms(machine: Machine, folder: &Path) -> Result<Machine> {
    let rom = folder.join("filler.rom");
    fs::write(&rom, vec![0x5a; ROM_BYTES]).map_err(|source| Error::file("write", &rom, source))?;
    let device = format!("pci-testdev,romfile={}", rom.display());
    Ok((0..ROMS).fold(machine, |machine, _| machine.with(&["-device", &device])))
}

/// The VARS flash of a stopped PC, which ends where CODE begins.
fn vars(guest: &mut Guest, side: &Side) -> Result<Vec<u8>> {
    let size = |image: &Option<super::Image>| image.as_ref().map_or(0, |image| image.size_bytes);
    let end = (1u64 << 32).saturating_sub(size(&side.code));
    let len_bytes = size(&side.vars);
    Ok(guest.read_physical(end.saturating_sub(len_bytes), len_bytes)?)
}

/// Passes the stream on from the socket `from` to the one at `to`; stops once, when all of VARS has gone by, until
/// `may_go` says so.
fn relay(
    from: &UnixListener,
    to: &Path,
    sent: &Sender<()>,
    may_go: &Receiver<()>,
) -> std::result::Result<(), String> {
    let words = |error: std::io::Error| error.to_string();
    let (mut from, _) = from.accept().map_err(words)?;
    let mut to = UnixStream::connect(to).map_err(words)?;
    let mut parser = Parser::new(0, |name| BlockKind::of(name) == BlockKind::Vars);
    let (mut pages, mut held) = (BTreeSet::new(), false);
    let mut chunk = [0; 0x4000];
    loop {
        let len = from.read(&mut chunk).map_err(words)?;
        let Some(bytes) = chunk.get(..len).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        let mut see = |_: &Facts, event: Event<'_>| {
            let (offset, len_bytes) = match event {
                Event::Data { offset, bytes, .. } => (offset, bytes.len() as u64),
                Event::Fill {
                    offset, len_bytes, ..
                } => (offset, len_bytes),
            };
            pages.extend(offset / PAGE_BYTES..(offset + len_bytes).div_ceil(PAGE_BYTES));
            Ok(())
        };
        if !held {
            parser.push(bytes, &mut see).map_err(|error| error.to_string())?;
        }
        to.write_all(bytes).map_err(words)?;
        let mut blocks = parser.facts().blocks.iter();
        let vars = blocks.find(|block| block.kind == BlockKind::Vars);
        if !held && vars.is_some_and(|block| pages.len() as u64 >= block.size_bytes.div_ceil(PAGE_BYTES)) {
            held = true;
            let _ = sent.send(());
            let _ = may_go.recv();
        }
    }
}
