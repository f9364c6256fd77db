//! Facts from firmware files: what CODE can do, what VARS holds.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use fm_formats::image::{Arch, CpuMode, DXEFV, ImageFacts, NotFirmware, PEIFV, Role};
use fm_formats::varstore::{DamageKind, Format as StoreFormat, VarStore};
use fm_formats::volume::{NodeKind, Tree};
use fm_formats::{Guid, Sha256};
use fm_judge::{CodeUnit, Format, Known, StoreState, VarsUnit};

use crate::{Error, Result};

/// `EFI_GLOBAL_VARIABLE`, the namespace of PK and KEK (UEFI 2.10, section 3.3).
const GLOBAL: Guid = Guid::from_fields(
    0x8be4_df61,
    0x93ca,
    0x11d2,
    [0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c],
);

/// No flash device is larger; more than this is no firmware.
const MAX_BYTES: u64 = 256 << 20;

/// The bytes of a flash device, decoded if the file is qcow2, and what the file is.
struct Device {
    bytes: Vec<u8>,
    format: Format,
}

fn open(path: &Path) -> Result<Device> {
    let failed = |source| Error::file("read", path, source);
    let mut bytes = Vec::new();
    let len = File::open(path)
        .map_err(failed)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if len as u64 > MAX_BYTES {
        let source = std::io::Error::other(format!(
            "it is longer than {MAX_BYTES} bytes, which no firmware is"
        ));
        return Err(failed(source));
    }
    if !bytes.starts_with(b"QFI\xfb") {
        return Ok(Device {
            bytes,
            format: Format::Raw,
        });
    }
    Ok(Device {
        bytes: decode_qcow2(path)?,
        format: Format::Qcow2,
    })
}

/// What QEMU's own reader makes of a qcow2 file, by way of a raw copy.
fn decode_qcow2(path: &Path) -> Result<Vec<u8>> {
    let failed = |source| Error::file("decode", path, source);
    let name = format!("flashmoor-{}-{:p}.raw", std::process::id(), path);
    let copy = std::env::temp_dir().join(name);
    let output = std::process::Command::new("qemu-img")
        .args(["convert", "-f", "qcow2", "-O", "raw", "--"])
        .args([path, &copy])
        .output()
        .map_err(failed)?;
    let bytes = std::fs::read(&copy);
    let _ = std::fs::remove_file(&copy);
    if output.status.success() {
        bytes.map_err(failed)
    } else {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(failed(std::io::Error::other(words)))
    }
}

/// What the firmware binary in `path` shows.
///
/// # Errors
///
/// If it cannot be read, or is no firmware.
pub fn code_file(path: &Path) -> Result<CodeUnit> {
    let Device { bytes, format } = open(path)?;
    let evidence = path.display().to_string();
    let mut unit = code_bytes(&bytes, &evidence)
        .map_err(|why| Error::NotFirmware {
            path: path.to_owned(),
            why: why.to_string(),
        })?
        .ok_or_else(|| Error::NoCode {
            path: path.to_owned(),
        })?;
    unit.format = Known::new(format, format!("{evidence}, its first bytes"));
    unit.path = Known::new(evidence.clone(), "the path that was named");
    Ok(unit)
}

/// What firmware in memory shows, nothing if it is a store; `evidence` says where it came from.
pub(super) fn code_bytes(bytes: &[u8], evidence: &str) -> Result<Option<CodeUnit>, NotFirmware> {
    let tree = Tree::parse(bytes);
    let facts = ImageFacts::of(&tree, bytes.len() as u64)?;
    if facts.role == Role::Vars {
        return Ok(None);
    }
    let at = |what: &str| format!("{evidence}, {what}");
    let mut unit = CodeUnit {
        size_bytes: Known::new(bytes.len() as u64, at("its length")),
        sha256: Known::new(Sha256::of(bytes), at("its bytes")),
        features: Known::new(
            facts.features.iter().copied().collect(),
            at("its modules and reset vector"),
        ),
        ..CodeUnit::default()
    };
    if let Some(arch) = facts.arch {
        unit.arch = Known::new(arch, at("the machine of its DXE core"));
        let early = match facts.cpu_mode {
            Some(CpuMode::Ia32 | CpuMode::Ia32X64) => Arch::Ia32,
            _ => arch,
        };
        unit.early_arch = Known::new(early, at("the machine of its PEI core"));
    }
    if let Some(layout) = facts.layout {
        unit.layout = Known::new(layout, at("its length and platform"));
    }
    let measured: Vec<(String, Sha256)> = tree
        .nodes()
        .iter()
        .filter_map(|node| match &node.kind {
            NodeKind::Volume(volume) => match volume.name {
                Some(name) if name == PEIFV => Some(("PEIFV".to_owned(), Sha256::of(tree.bytes(node)))),
                Some(name) if name == DXEFV => Some(("DXEFV".to_owned(), Sha256::of(tree.bytes(node)))),
                _ => None,
            },
            _ => None,
        })
        .collect();
    if !measured.is_empty() {
        unit.measured = Known::new(measured, at("its volumes PEIFV and DXEFV"));
    }
    Ok(Some(unit))
}

/// What the variable store in `path` holds.
///
/// # Errors
///
/// If it cannot be read, or is no store and never was one.
pub fn vars_file(path: &Path) -> Result<VarsUnit> {
    let Device { bytes, format } = open(path)?;
    let evidence = path.display().to_string();
    let mut unit = vars_of(&bytes, &evidence).map_err(|source| Error::NotStore {
        path: path.to_owned(),
        source,
    })?;
    unit.format = Known::new(format, format!("{evidence}, its first bytes"));
    Ok(unit)
}

/// What a store in memory holds; `evidence` says where it came from.
pub(crate) fn vars_of(bytes: &[u8], evidence: &str) -> Result<VarsUnit, fm_formats::Error> {
    let at = |what: &str| format!("{evidence}, {what}");
    let mut unit = VarsUnit {
        present: Known::new(true, evidence),
        size_bytes: Known::new(bytes.len() as u64, at("its length")),
        sha256: Known::new(Sha256::of(bytes), at("its bytes")),
        ..VarsUnit::default()
    };
    let store = VarStore::parse(bytes)?;
    let damaged = |kinds: &[DamageKind]| {
        store
            .damage_found()
            .iter()
            .find(|damage| kinds.contains(&damage.kind))
            .map(|damage| damage.offset)
    };
    let volume = damaged(&[
        DamageKind::Truncated,
        DamageKind::VolumeHeader,
        DamageKind::VolumeChecksum,
        DamageKind::VolumeLength,
    ]);
    let (state, offset) = if store.format() == StoreFormat::Blank {
        let erased = bytes.first() == Some(&0xff);
        (
            if erased {
                StoreState::Erased
            } else {
                StoreState::Zeros
            },
            0,
        )
    } else if let Some(offset) = volume {
        (StoreState::VolumeDamaged, offset)
    } else if let Some(offset) = damaged(&[DamageKind::StoreHeader]) {
        (StoreState::StoreDamaged, offset)
    } else if let Some(offset) = damaged(&[DamageKind::Ftw]) {
        (StoreState::WithoutFtw, offset)
    } else {
        (StoreState::Good, 0)
    };
    unit.state = Known::new(state, at(&format!("offset {offset:#x}")));
    if let Some(layout) = store.layout() {
        unit.layout = Known::new(layout, at("its volume header at offset 0x0"));
    }
    if !state.is_formatted() {
        return Ok(unit);
    }
    unit.authenticated = Known::new(
        store.format() == StoreFormat::Authenticated,
        at("its store header at offset 0x48"),
    );
    let live = || store.variables().map(|entry| entry.len_bytes);
    unit.used_bytes = Known::new(live().sum(), at("its live variables"));
    unit.largest_bytes = Known::new(live().max().unwrap_or(0), at("its live variables"));
    let keys = store
        .variables()
        .any(|entry| entry.guid == GLOBAL && entry.name.to_string() == "PK" && !entry.data.is_empty());
    unit.keys = Known::new(keys, at("its variable PK"));
    Ok(unit)
}
