//! `saved restore-plan`: everything that a restore needs is put in place, and the step itself is said.

use std::path::{Path, PathBuf};

use fm_api::Schema;
use fm_api::v1::saved::{PlannedDevice, PlannedMemory, PlannedRom, RestorePlan};
use fm_formats::Sha256;
use fm_store::{Import, Store};
use fm_stream::BlockKind;

use crate::extract::{holds_variables, whole, write};
use crate::file::failed;
use crate::snapshot::holds_vars;
use crate::steps::steps;
use crate::stream::{self, Container, Gathered, Request};
use crate::{Error, Result};

/// What to plan for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The saved guest.
    pub input: Request,
    /// Where the guest's variables go; a file that exists must hold the same ones.
    pub vars: Option<PathBuf>,
}

/// Stores the saved guest's build, puts its variables in place and says how to restore it.
///
/// # Errors
/// If the stream is not whole or cannot be read a second time, or the store or the disk refuses.
pub fn restore_plan(store: &Store, request: &Plan) -> Result<RestorePlan> {
    if request.input.path == Path::new("-") {
        return Err(Error::NoSecondRead);
    }
    let gathered = stream::gather(&request.input)?;
    let code = firmware(&gathered)?;
    let vars = match gathered.first_of(BlockKind::Vars) {
        Some(index) => Some(whole(&gathered, Some(index), "VARS flash")?),
        None => None,
    };
    let bytes = gathered.bytes(code).unwrap_or_default();
    let path = std::path::absolute(&gathered.path).map_err(failed("read", &gathered.path))?;
    let reason = format!("saved guest {}", path.display());
    let vars = match (vars, &request.vars) {
        // libvirt places the variables itself; a snapshot in the VARS image is in the right place already.
        (Some(_), None) if matches!(gathered.container, Container::SaveImage { .. }) => None,
        (Some(index), _) if holds_vars(&gathered, index) => None,
        (Some(index), Some(out)) => Some((index, std::path::absolute(out).map_err(failed("read", out))?)),
        (Some(_), None) => return Err(Error::NoVarsPath),
        (None, _) => None,
    };
    if let Some((index, out)) = &vars
        && out.symlink_metadata().is_ok()
        && !matches_block(&gathered, *index, out)?
    {
        return Err(Error::OtherVars { path: out.clone() });
    }
    let build = store.import(&Import {
        code: &bytes,
        source: Some(&reason),
        pin: Some(&reason),
        ..Import::default()
    })?;
    drop(bytes);
    if let Some((index, out)) = &vars
        && out.symlink_metadata().is_err()
        && !store.is_dry_run()
    {
        write(&gathered, *index, out)?.0.place()?;
    }
    let own = gathered
        .first_of(BlockKind::Vars)
        .filter(|index| holds_vars(&gathered, *index));
    let vars = vars.map(|(_, out)| out);
    Ok(RestorePlan {
        schema: Schema::default(),
        dry_run: store.is_dry_run(),
        machine: gathered.facts.machine.clone(),
        build: build.id.to_string(),
        roms: roms(&gathered),
        steps: steps(&gathered, &path, &build.path, vars.as_deref()),
        code: build.path,
        vars: vars.or(own.map(|_| path)),
        memory: memory(&gathered),
        devices: devices(&gathered),
    })
}

/// Refuses what QEMU would refuse later.
fn readable(gathered: &Gathered) -> Result<()> {
    let path = gathered.path.clone();
    if let Some(source) = gathered.stopped.clone() {
        return Err(Error::Unrestorable { path, source });
    }
    if gathered.facts.commands.contains(&"packaged") {
        return Err(Error::Postcopy { path });
    }
    Ok(())
}

/// The block of firmware: CODE, or what was given with `-bios`.
fn firmware(gathered: &Gathered) -> Result<usize> {
    match (gathered.first_of(BlockKind::Code), bios(gathered)) {
        (None, Some(bios)) => {
            readable(gathered)?;
            whole(gathered, Some(bios), "-bios firmware")
        }
        _ => restorable(gathered),
    }
}

/// The block of CODE, unless QEMU would refuse the stream later, or would not find the firmware where it was.
pub(super) fn restorable(gathered: &Gathered) -> Result<usize> {
    let path = gathered.path.clone();
    readable(gathered)?;
    let code = whole(gathered, gathered.first_of(BlockKind::Code), "CODE flash")?;
    if holds_variables(gathered, code) {
        return Err(Error::Combined { path });
    }
    Ok(code)
}

/// The block of firmware that was given with `-bios`; `isa-bios` is a copy of its end.
fn bios(gathered: &Gathered) -> Option<usize> {
    gathered.index_of("pc.bios").or_else(|| {
        gathered
            .facts
            .blocks
            .iter()
            .position(|block| block.kind == BlockKind::Bios && block.name != "isa-bios")
    })
}

/// Whether the file at `path` holds just what the block does.
pub(super) fn matches_block(gathered: &Gathered, index: usize, path: &Path) -> Result<bool> {
    let size_bytes = gathered.facts.blocks[index].size_bytes;
    if !path
        .metadata()
        .is_ok_and(|file| file.is_file() && file.len() == size_bytes)
    {
        return Ok(false);
    }
    let bytes = fm_files::read_bounded(path, size_bytes)?.unwrap_or_default();
    Ok(gathered.sha256(index) == Some(Sha256::of(&bytes)))
}

fn memory(gathered: &Gathered) -> Vec<PlannedMemory> {
    // A device's own memory comes with the device, and its name starts with where that is.
    let blocks = gathered.facts.blocks.iter();
    blocks
        .filter(|block| block.kind == BlockKind::Memory && !block.name.contains('/'))
        .map(|block| PlannedMemory {
            name: block.name.clone(),
            size_bytes: block.size_bytes,
        })
        .collect()
}

fn roms(gathered: &Gathered) -> Vec<PlannedRom> {
    let blocks = gathered.facts.blocks.iter();
    blocks
        .filter(|block| block.kind == BlockKind::OptionRom && block.name != "pc.rom")
        .map(|block| PlannedRom {
            block: block.name.clone(),
            size_bytes: block.size_bytes,
        })
        .collect()
}

fn devices(gathered: &Gathered) -> Vec<PlannedDevice> {
    let devices = gathered.facts.devices.iter();
    devices
        .map(|device| PlannedDevice {
            name: device.name.clone(),
            instance: device.instance,
            version: device.version,
        })
        .collect()
}
