//! A live migration: does QEMU take the guest, what does it run there, and does a reset boot it?

use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fm_formats::Sha256;
use serde_json::{Value, json};

use super::bench::Bench;
use super::reached::reached;
use super::step::Step;
use super::{Change, Seen, Side};
use crate::{Arch, Error, Guest, PATIENCE, Result};

/// How long the guest runs before it is stopped and sent: seldom long enough to leave SEC under TCG, which
/// unpacks the main volume for most of a second. Where it really was is read from its processor.
const IN_SEC: Duration = Duration::from_millis(30);

/// Migrates the guest; with `follow` it boots at the destination, and once more after a reset.
pub(super) fn observe(
    bench: &Bench,
    step: &Step,
    destination: &Side,
    follow: bool,
    folder: &Path,
) -> Result<Seen> {
    let mut from = bench.machine(&step.source, step.qemu[0], &folder.join("a"))?;
    from.stopped = true;
    let to = bench
        .machine(destination, step.qemu[1], &folder.join("b"))?
        .incoming();
    let mut source = Guest::start(&from, &folder.join("a/guest"))?;
    let mut target = match Guest::start(&to, &folder.join("b/guest")) {
        Ok(guest) => guest,
        // QEMU refuses its own files or machine type: the guest never leaves.
        Err(crate::GuestError::Ended { stderr, .. }) => {
            return Ok(refused(first_words(&stderr), Some(source.is_alive())));
        }
        Err(error) => return Err(error.into()),
    };
    command(&mut source, "cont", None)?;
    thread::sleep(IN_SEC);
    command(&mut source, "stop", None)?;
    let arch = bench.arch(step.qemu[0]);
    let flash = match (arch, &step.source.code) {
        (Arch::X86_64, _) | (_, None) => PC_FLASH,
        (arch, Some(image)) => {
            let start = arch.code_address(image.size_bytes);
            start..start.saturating_add(image.size_bytes)
        }
    };
    let in_sec = executes_in(&flash, &mut source);
    let uri = format!("unix:{}", folder.join("stream").display());
    command(&mut target, "migrate-incoming", Some(json!({ "uri": uri })))?;
    command(&mut source, "migrate", Some(json!({ "uri": uri })))?;
    if !completed(&mut source)? {
        let _ = target.wait_for_end();
        let message = first_words(&target.stderr());
        command(&mut source, "cont", None)?;
        let runs_on = source.status()? == "running";
        return Ok(refused(message, Some(runs_on)));
    }
    let wanted = Code::of(&step.source, arch);
    let Ok(runs) = wanted.compare(&mut target) else {
        // The source has sent everything, and the destination then could not load it.
        let _ = target.wait_for_end();
        let message = first_words(&target.stderr());
        command(&mut source, "cont", None)?;
        let runs_on = source.status()? == "running";
        return Ok(refused(message, Some(runs_on)));
    };
    let (mut first, mut after_reset, mut still) = (None, None, None);
    if follow {
        let from = target.serial.transcript().len();
        command(&mut target, "cont", None)?;
        first = Some(reached(&mut target, from));
    }
    if target.is_alive() {
        let from = target.serial.transcript().len();
        command(&mut target, "system_reset", None)?;
        after_reset = follow.then(|| reached(&mut target, from));
        command(&mut target, "stop", None)?;
        still = wanted.compare(&mut target)?;
    }
    Ok(Seen::Migration {
        completed: true,
        message: None,
        source_runs_on: None,
        runs_source_code: runs,
        in_sec,
        reached: first,
        reached_after_reset: after_reset,
        still_source_code: still,
    })
}

/// Where the flash of a PC is: 8 MiB below 4 GiB at most.
pub(super) const PC_FLASH: Range<u64> = 0xff80_0000..1 << 32;
/// Whether the stopped guest's next instruction lies in `flash`; nothing if the monitor does not show it.
pub(super) fn executes_in(flash: &Range<u64>, guest: &mut Guest) -> Option<bool> {
    let registers = guest.monitor().human("info registers").ok()?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let value = |name: &str| {
        let rest = registers.split_once(name)?.1;
        hex(rest.split_whitespace().next()?)
    };
    // ARM and LoongArch, then RISC-V.
    if let Some(pointer) = value(" PC=").or_else(|| value(" pc ")) {
        return Some(flash.contains(&pointer));
    }
    let pointer = value("RIP=").or_else(|| value("EIP="))?;
    // `CS =f000 ffff0000 0000ffff …`: selector, then base.
    let base = registers
        .split_once("CS =")
        .and_then(|(_, rest)| hex(rest.split_whitespace().nth(1)?))?;
    Some(flash.contains(&base.wrapping_add(pointer)))
}

fn refused(message: Option<String>, source_runs_on: Option<bool>) -> Seen {
    Seen::Migration {
        completed: false,
        message,
        source_runs_on,
        runs_source_code: None,
        in_sec: None,
        reached: None,
        reached_after_reset: None,
        still_source_code: None,
    }
}

/// The firmware bytes that a side was started with.
struct Code<'a> {
    image: Option<&'a super::Image>,
    arch: Arch,
}

impl<'a> Code<'a> {
    fn of(side: &'a Side, arch: Arch) -> Self {
        Self {
            image: side.code.as_ref().or(side.bios.as_ref()),
            arch,
        }
    }

    fn compare(&self, guest: &mut Guest) -> Result<Option<bool>> {
        let Some(image) = self
            .image
            .filter(|image| matches!(image.change, None | Some(Change::Qcow2)))
        else {
            return Ok(None);
        };
        let address = self.arch.code_address(image.size_bytes);
        let bytes = guest.read_physical(address, image.size_bytes)?;
        Ok(Some(Sha256::of(&bytes).to_string() == image.sha256))
    }
}

pub(super) fn command(guest: &mut Guest, name: &str, arguments: Option<Value>) -> Result<Value> {
    guest
        .monitor()
        .execute(name, arguments)
        .map_err(|error| Error::Guest(error.into()))
}

/// Waits until QEMU has decided; whether the guest arrived.
pub(super) fn completed(source: &mut Guest) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = command(source, "query-migrate", None)?;
        match reply.get("status").and_then(Value::as_str) {
            Some("completed") => return Ok(true),
            Some("failed" | "cancelled") => return Ok(false),
            _ if Instant::now() > deadline => {
                return Err(Error::Guest(crate::GuestError::Waited {
                    what: "the migration to end".into(),
                    seen: reply.to_string(),
                }));
            }
            _ => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The first line of QEMU's standard error that is an error of its own, without the program's name.
fn first_words(stderr: &str) -> Option<String> {
    stderr
        .lines()
        .filter_map(|line| {
            let (program, words) = line.split_once(": ")?;
            // Of a drive that it cannot use QEMU repeats the option first: `-drive if=pflash,…: what is wrong`.
            let words = match words.strip_prefix("-drive ") {
                Some(rest) => rest.split_once(": ").map_or(words, |(_, words)| words),
                None => words,
            };
            program.contains("qemu-system").then_some(words)
        })
        .find(|words| !words.starts_with("warning: ") && !words.starts_with("info: "))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::first_words;

    #[test]
    fn the_first_error_is_found_past_warnings() {
        let stderr = "qemu-system-x86_64: warning: TCG doesn't support requested feature\n\
                      qemu-system-x86_64: Size mismatch: a: 0x1 != 0x2: Invalid argument\n\
                      qemu-system-x86_64: load of migration failed: Invalid argument\n";
        let expected = "Size mismatch: a: 0x1 != 0x2: Invalid argument";
        assert_eq!(first_words(stderr).as_deref(), Some(expected));
        assert_eq!(first_words("Killed\n"), None);
        let stderr = "qemu-system-x86_64: -drive if=pflash,format=qcow2,unit=0,readonly=on,file=/x/code.fd: \
                      Image is not in qcow2 format\n";
        assert_eq!(
            first_words(stderr).as_deref(),
            Some("Image is not in qcow2 format")
        );
    }
}
