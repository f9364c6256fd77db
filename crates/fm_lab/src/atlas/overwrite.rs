//! CODE flash overwritten under the guest: which of its phases execute from there?
//!
//! The bytes are changed from outside, in the memory of the source's QEMU, and the guest is then migrated: the
//! destination has translated none of its code yet, so whatever it executes from flash is what was written.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::bench::Bench;
use super::migrate::{PC_FLASH, command, completed, executes_in};
use super::reached::reached;
use super::step::Step;
use super::{Seen, Side};
use crate::{Error, Guest, Result};

/// `int3`: an exception wherever it is executed.
const FILL: u8 = 0xcc;
/// The last page is left as it is: beside the reset vector lies the table of segments that SEC loads, which
/// 64-bit builds go on using, as data, until DXE's CPU driver makes its own (edk2 `UefiCpuPkg/ResetVector`).
const SPARED_BYTES: u64 = 0x1000;
/// How long the guest runs between two looks at its processor.
const STEP: Duration = Duration::from_millis(5);
/// So many looks in a row that find neither the processor in flash nor its table of segments there count as
/// having left. PEI reads tables of SEC as data; that one is replaced in DXE.
const LEFT: u32 = 50;
/// Looks before giving up.
const MAX_LOOK_COUNT: u32 = 5000;

pub(super) fn observe(
    bench: &Bench,
    step: &Step,
    destination: &Side,
    from_start: bool,
    folder: &Path,
) -> Result<Seen> {
    let mut from = bench.machine(&step.source, step.qemu[0], &folder.join("a"))?;
    from.stopped = true;
    let to = bench
        .machine(destination, step.qemu[1], &folder.join("b"))?
        .incoming();
    let mut source = Guest::start(&from, &folder.join("a/guest"))?;
    let mut target = Guest::start(&to, &folder.join("b/guest"))?;
    let (mut in_flash, mut in_memory, mut looks) = (0, 0, 0);
    while !from_start && in_memory < LEFT && looks < MAX_LOOK_COUNT {
        looks += 1;
        command(&mut source, "cont", None)?;
        thread::sleep(STEP);
        command(&mut source, "stop", None)?;
        if executes_in(&PC_FLASH, &mut source) != Some(false) {
            in_flash += 1;
            in_memory = 0;
        } else if segments_in_flash(&mut source) {
            in_memory = 0;
        } else {
            in_memory += 1;
        }
    }
    let len_bytes = overwrite(source.pid())?;
    let uri = format!("unix:{}", folder.join("stream").display());
    command(&mut target, "migrate-incoming", Some(json!({ "uri": uri })))?;
    command(&mut source, "migrate", Some(json!({ "uri": uri })))?;
    if !completed(&mut source)? {
        return Err(Error::Guest(crate::GuestError::Waited {
            what: "the guest to arrive".into(),
            seen: target.stderr(),
        }));
    }
    let address = (1u64 << 32).saturating_sub(len_bytes + SPARED_BYTES);
    let arrived = target.read_physical(address, len_bytes)?;
    let from = target.serial.transcript().len();
    command(&mut target, "cont", None)?;
    Ok(Seen::Overwritten {
        from_start,
        in_flash,
        in_memory,
        arrived: arrived.iter().all(|byte| *byte == FILL),
        reached: reached(&mut target, from),
    })
}

/// Whether the processor's table of segments lies in flash; `info registers` prints `GDT= BASE LIMIT`.
fn segments_in_flash(guest: &mut Guest) -> bool {
    let registers = guest.monitor().human("info registers").unwrap_or_default();
    let base = registers
        .split_once("GDT=")
        .and_then(|(_, rest)| u64::from_str_radix(rest.split_whitespace().next()?, 16).ok());
    base.is_none_or(|base| PC_FLASH.contains(&base))
}

/// Fills the CODE flash of a guest of the lab, its last page excepted; how much that is.
fn overwrite(pid: u32) -> Result<u64> {
    let guest = fm_host::find(&pid.to_string())?;
    let region = guest.flash_region(&guest.memory()?, 0)?;
    let path = guest.process().dir().join("mem");
    let memory = OpenOptions::new()
        .write(true)
        .open(&path)
        .map_err(|source| Error::file("open", &path, source))?;
    let len_bytes = region.len_bytes.saturating_sub(SPARED_BYTES);
    let fill = vec![FILL; usize::try_from(len_bytes).unwrap_or_default()];
    memory
        .write_all_at(&fill, region.address)
        .map_err(|source| Error::file("write", &path, source))?;
    Ok(len_bytes)
}
