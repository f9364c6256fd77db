//! Records what a build writes to its flash: it boots on a nearly full store, which it must reclaim, and its shell
//! replaces a variable.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use fm_formats::Sha256;

use super::bench::Bench;
use super::reached::{WITH_RECLAIM, reached_within};
use super::{FlashRecording, Reached, Side, stores};
use crate::{Error, FlashWrites, FlashWritesError, Guest, Result};

/// What the shell puts into the place of a variable: its digits make 32 bytes.
const NEW_VALUE: &str = "464d";
const NEW_VALUE_TIMES: usize = 16;

/// Records the guest that `side` describes, without its power cut.
pub(super) fn record(bench: &Bench, side: &Side, qemu: usize) -> Result<FlashRecording> {
    let folder = bench.new_folder()?;
    let source = Side {
        power_cut: None,
        ..side.clone()
    };
    let trace = folder.join("trace");
    let vars = folder.join("vars.fd");
    let machine = bench
        .machine(&source, qemu, &folder)?
        .with(&["-no-reboot"])
        .tracing_flash(&trace);
    let before = read(&vars)?;
    let mut guest = Guest::start(&machine, &folder.join("guest"))?;
    if reached_within(&mut guest, 0, WITH_RECLAIM) == Reached::Shell {
        guest.boot_to_shell()?;
        let (name, value) = (stores::name(stores::COUNT - 1), NEW_VALUE.repeat(NEW_VALUE_TIMES));
        guest.shell(&format!(
            "setvar {name} -guid {} -bs -rt -nv ={value}",
            stores::GUID
        ))?;
    }
    guest.quit()?;
    let left = read(&vars)?;
    let file = File::open(&trace).map_err(|source| Error::file("read", &trace, source))?;
    let writes = FlashWrites::from_trace(&mut BufReader::new(file), bench.arch(qemu).vars_device())?;
    let mut replayed = before.clone();
    writes.replay(&mut replayed, writes.count())?;
    if replayed != left {
        return Err(FlashWritesError::NotAll.into());
    }
    let _ = fs::remove_dir_all(&folder);
    Ok(FlashRecording {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        source,
        before_sha256: Sha256::of(&before).to_string(),
        after_sha256: Sha256::of(&left).to_string(),
        runs: writes.to_document(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::file("read", path, source))
}
