//! Facts from firmware files: what CODE can do, what VARS holds.

use std::path::Path;

use fm_api::v1::inspect::{ImageFormat, RegionKind};
use fm_formats::image::{Arch, CpuMode, Layout, Role};
use fm_formats::volume::FileKind;
use fm_formats::{Guid, Sha256};
use fm_images::inspect::{self, Cache, Flash, Image, ImageReport, Kind};
use fm_images::{NotFirmwareReason, json_store};
use fm_judge::{CodeUnit, Evidence, Format, Known, Soundness, StoreState, VarsUnit};
use fm_remedy::{Action, Misuse, Remedy};
use fm_varstore::{DamageKind, Format as StoreFormat, State, VarStore};

use crate::{Error, Result};

/// `EFI_GLOBAL_VARIABLE`, the namespace of PK and KEK (UEFI 2.10, section 3.3).
const GLOBAL: Guid = Guid::from_fields(
    0x8be4_df61,
    0x93ca,
    0x11d2,
    [0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c],
);

/// `EFI_IMAGE_SECURITY_DATABASE_GUID`, the namespace of db and dbx (UEFI 2.10, section 32.6.1).
const SECURITY_DATABASE: Guid = Guid::from_fields(
    0xd719_b2cb,
    0x3d3a,
    0x4596,
    [0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f],
);

/// What a file is. A stream holds a flash image, but is none.
fn kind(path: &Path) -> Result<Kind> {
    let (kind, _) = inspect::sniff(path)?;
    if kind == Kind::Stream {
        return Err(Error::Usage(Misuse {
            message: format!("{} is a migration stream and no flash image", path.display()),
            remedy: Remedy::new(
                "have an offer made of the guest in it, and name that",
                Action::OfferSaved {
                    file: path.to_str().map(ToOwned::to_owned),
                },
            ),
        }));
    }
    Ok(kind)
}

/// What is in a file, its length, and how it is encoded. One that was seen before is not read again, nor is one that is
/// known to hold the build `known`.
fn look(path: &Path, known: Option<&Sha256>, cache: Option<&Cache>) -> Result<(ImageReport, u64, Format)> {
    if let Some(known) = known
        && let Ok(file) = path.metadata()
        && let Some(found) = inspect::lookup_by_digest(known, file.len(), cache)
    {
        return Ok((found, file.len(), Format::Raw));
    }
    if kind(path)? == Kind::Raw
        && let Some((found, len_bytes)) = inspect::lookup_by_path(path, cache)
    {
        return Ok((found, len_bytes, Format::Raw));
    }
    let flash = inspect::flash(path)?;
    Ok((
        inspect::parse_cached(&flash, cache),
        flash.len_bytes,
        format_of(&flash),
    ))
}

fn format_of(flash: &Flash) -> Format {
    if flash.format == ImageFormat::Qcow2 {
        Format::Qcow2
    } else {
        Format::Raw
    }
}

/// What a file is for, if it is flash.
pub(super) fn role(path: &Path, cache: Option<&Cache>) -> Option<Role> {
    let (found, ..) = look(path, None, cache).ok()?;
    found.role
}

/// Whether a file holds CODE for a flash chip: Arm's and RISC-V's have one size, and what is shorter is for `-bios`.
pub(super) fn is_flash_code(path: &Path, cache: Option<&Cache>) -> bool {
    let Ok((found, len_bytes, _)) = look(path, None, cache) else {
        return false;
    };
    let layout = found.image.and_then(|image| image.layout);
    let chip = match layout {
        Some(layout @ (Layout::ArmVirt | Layout::Riscv)) => Some(layout.code_size_bytes()),
        _ => None,
    };
    found.role == Some(Role::Code) && chip.is_none_or(|chip| chip == len_bytes)
}

/// What the firmware binary in `path` shows; what was found in the same bytes before is taken from `cache`.
///
/// # Errors
///
/// If it cannot be read, or is no firmware.
pub fn code_file(path: &Path, cache: Option<&Cache>) -> Result<CodeUnit> {
    code_of_build(path, None, cache)
}

/// The same for a file that the store vouches for: it holds the build `known`.
pub(super) fn code_of_build(path: &Path, known: Option<&Sha256>, cache: Option<&Cache>) -> Result<CodeUnit> {
    let (found, len_bytes, format) = look(path, known, cache)?;
    let evidence = Evidence::File(path.display().to_string());
    let mut unit = code_in(found, len_bytes, &evidence)
        .map_err(|why| Error::NotFirmware {
            path: path.to_owned(),
            why,
        })?
        .ok_or_else(|| Error::NoCode {
            path: path.to_owned(),
        })?;
    unit.format = Known::new(format, evidence.part("its first bytes"));
    unit.path = Known::new(path.display().to_string(), "the path that was named");
    unit.present = Known::new(true, evidence);
    Ok(unit)
}

/// What firmware shows, nothing if it is a store; `evidence` says where it came from.
pub(super) fn code_of(
    flash: &Flash,
    evidence: &Evidence,
    cache: Option<&Cache>,
) -> Result<Option<CodeUnit>, NotFirmwareReason> {
    code_in(inspect::parse_cached(flash, cache), flash.len_bytes, evidence)
}

fn code_in(
    found: ImageReport,
    len_bytes: u64,
    evidence: &Evidence,
) -> Result<Option<CodeUnit>, NotFirmwareReason> {
    let Some(image) = &found.image else {
        return Err(found.reason.unwrap_or_default().into());
    };
    if found.role == Some(Role::Vars) {
        return Ok(None);
    }
    let at = |what: &'static str| evidence.part(what);
    let arch = image.arch;
    // Every edk2 build has one, in the volume that holds nearly all of it.
    let has_core = image
        .modules
        .iter()
        .any(|module| module.kind == FileKind::DxeCore);
    let soundness = soundness(found.ends_in_code, image, arch, has_core);
    let mut unit = CodeUnit {
        size_bytes: Known::new(len_bytes, at("its length")),
        soundness: Known::new(soundness, at("its volumes and its end")),
        ..CodeUnit::default()
    };
    unit.sha256 = Known::new(found.sha256, at("its bytes"));
    if let Some(layout) = image.layout {
        unit.layout = Known::new(layout, at("its length and platform"));
    }
    if !has_core {
        // Nearly all modules are in what was not read: what the rest lacks says nothing.
        return Ok(Some(unit));
    }
    let shown = image.features.iter().copied().collect();
    unit.features = Known::new(shown, at("its modules and reset vector"));
    let evidence = ["the machine of its DXE core", "the machine of its PEI core"].map(at);
    arches(&mut unit, arch, image.cpu_mode, evidence);
    let guids = image.modules.iter().map(|module| module.guid);
    let [finishes_reclaim, checks_list, is_recent] = habits(guids, arch, at("its modules"));
    (unit.finishes_reclaim, unit.checks_list, unit.is_recent) = (finishes_reclaim, checks_list, is_recent);
    let measured: Vec<(String, Sha256)> = image
        .volumes
        .iter()
        .filter(|volume| volume.measured)
        .map(|volume| {
            let name = volume.name().map_or_else(|| volume.guid.to_string(), Into::into);
            (name, volume.sha256)
        })
        .collect();
    if !measured.is_empty() {
        unit.measured = Known::new(measured, at("its volumes PEIFV and DXEFV"));
    }
    Ok(Some(unit))
}

/// `FaultTolerantWritePei` (edk2 `MdeModulePkg/Universal/FaultTolerantWritePei/FaultTolerantWritePei.inf`).
const FTW_PEI: Guid = Guid::literal("aac33064-9ed0-4b89-a5ad-3ea767960b22");
/// Modules that are younger than the walk over the variables in edk2 `OvmfPkg/VirtNorFlashDxe/VirtNorFlashFvb.c`,
/// `ValidateFvHeader` (stable202402): `Hash2DxeCrypto` came to the `virt` platforms with stable202405, `CpuMmio2Dxe`
/// with stable202408.
const AFTER_LIST_CHECK: [Guid; 2] = [
    Guid::literal("63e3bdcf-2ac7-4ac0-9b92-03a7541422ff"),
    Guid::literal("fbc36d76-cf22-2584-dbd8-85ff765baef1"),
];

/// Whether a build of these modules reads an interrupted reclaim before its variables, whether its flash driver walks
/// the list of variables at its start, and whether as a 64-bit SMM build it comes up where the machine offers S3. A
/// `virt` build that is old enough to lack the modules that tell may do either with the list. Builds for PCs with them
/// came up with S3, those without hung (`OvmfPkg/PlatformPei`, `S3Verification`).
fn habits(modules: impl Iterator<Item = Guid>, arch: Option<Arch>, evidence: Evidence) -> [Known<bool>; 3] {
    let (mut finishes, mut young) = (false, arch == Some(Arch::Loongarch64));
    for module in modules {
        finishes |= module == FTW_PEI;
        young |= AFTER_LIST_CHECK.contains(&module);
    }
    let checks = match arch {
        Some(arch) if arch.is_x86() => Known::new(false, evidence.clone()),
        Some(_) if young => Known::new(true, evidence.clone()),
        _ => Known::default(),
    };
    [
        Known::new(finishes, evidence.clone()),
        checks,
        Known::new(young, evidence),
    ]
}

/// The processors that DXE, and the phases before it, run on.
pub(super) fn arches(
    unit: &mut CodeUnit,
    arch: Option<Arch>,
    cpu_mode: Option<CpuMode>,
    evidence: [Evidence; 2],
) {
    let Some(arch) = arch else { return };
    let early = match cpu_mode {
        Some(CpuMode::Ia32 | CpuMode::Ia32X64) => Arch::Ia32,
        _ => arch,
    };
    let [of_dxe, of_pei] = evidence;
    unit.arch = Known::new(arch, of_dxe);
    unit.early_arch = Known::new(early, of_pei);
}

/// Whether the image is what a build makes, as far as it shows.
fn soundness(ends_in_code: bool, image: &Image, arch: Option<Arch>, has_core: bool) -> Soundness {
    let x86 = arch.is_some_and(Arch::is_x86);
    // Arm images begin with the vectors that jump into their first volume.
    let foreign = x86
        && image
            .map
            .first()
            .is_some_and(|first| first.kind == RegionKind::Padding && first.used_bytes > 0);
    if x86 && !ends_in_code {
        Soundness::NoResetVector
    } else if !image.damage.is_empty() && !has_core {
        Soundness::Undecodable
    } else if foreign {
        Soundness::Foreign
    } else if image.damage.is_empty() && has_core {
        Soundness::Whole
    } else {
        Soundness::Damaged
    }
}

/// What the variable store in `path` holds.
///
/// # Errors
///
/// If it cannot be read, or is no store and never was one.
pub fn vars_file(path: &Path) -> Result<VarsUnit> {
    if kind(path)? == Kind::Json {
        return json_vars(path);
    }
    let flash = inspect::flash(path)?;
    let evidence = Evidence::File(path.display().to_string());
    let mut unit = vars_in(&flash, &evidence).map_err(|source| Error::NotStore {
        path: path.to_owned(),
        source,
    })?;
    unit.format = Known::new(format_of(&flash), evidence.part("its first bytes"));
    unit.path = Known::new(path.display().to_string(), "the path that was named");
    Ok(unit)
}

/// What JSON of QEMU's `uefi-vars` device holds, which is no flash and has no layout.
fn json_vars(path: &Path) -> Result<VarsUnit> {
    let Some(text) = fm_files::read_bounded(path, json_store::MAX_JSON_BYTES)? else {
        return Err(Error::file("read", path, std::io::ErrorKind::NotFound.into()));
    };
    let found = json_store::parse(&text).map_err(|error| Error::NotFirmware {
        path: path.to_owned(),
        why: error.into(),
    })?;
    let evidence = Evidence::File(path.display().to_string());
    let value = |guid, name: &str| {
        found
            .variables
            .iter()
            .find(|variable| variable.guid == guid && variable.name.to_string() == name)
            .map(|variable| variable.data.as_slice())
    };
    Ok(VarsUnit {
        path: Known::new(path.display().to_string(), "the path that was named"),
        in_device: Known::new(true, evidence.part("its form")),
        present: Known::new(false, evidence.part("its form: it is no flash")),
        sha256: Known::new(Sha256::of(&text), evidence.part("its bytes")),
        keys: Known::new(
            value(GLOBAL, "PK").is_some_and(|data| !data.is_empty()),
            evidence.part("its variable PK"),
        ),
        secure_boot: Known::new(
            measured_keys(value),
            evidence.part("its variables PK, KEK, db and dbx"),
        ),
        ..VarsUnit::default()
    })
}

/// What a store in memory holds; `evidence` says where it came from.
pub fn vars_of(bytes: &[u8], evidence: &Evidence) -> Result<VarsUnit, fm_formats::Error> {
    vars_in(&Flash::from_bytes(bytes, ImageFormat::Raw), evidence)
}

fn vars_in(flash: &Flash, evidence: &Evidence) -> Result<VarsUnit, fm_formats::Error> {
    let at = |what: &'static str| evidence.part(what);
    let mut unit = VarsUnit {
        present: Known::new(true, evidence),
        size_bytes: Known::new(flash.len_bytes, at("its length")),
        sha256: Known::new(flash.digest(), at("its bytes")),
        ..VarsUnit::default()
    };
    let store = VarStore::parse_file(&flash.content, flash.len_bytes)?;
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
        let erased = flash.content.first() == Some(&0xff);
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
    unit.state = Known::new(state, evidence.part(format!("offset {offset:#x}")));
    unit.damage = Known::new(
        store.damage_found().to_vec(),
        evidence.part("its headers and variables"),
    );
    // The store was read from the spare: of its own place it says nothing.
    let main = match store.interrupted() {
        None => Vec::new(),
        Some(_) => VarStore::parse_main(&flash.content, flash.len_bytes)?
            .damage_found()
            .to_vec(),
    };
    unit.main_damage = Known::new(main, at("its main area"));
    unit.interrupted = Known::new(
        store.interrupted(),
        evidence.part("its FTW queue, spare and main area"),
    );
    if let Some(layout) = store.layout() {
        unit.layout = Known::new(layout, at("its volume header at offset 0x0"));
    }
    if state.is_blank() {
        unit.keys = Known::new(false, at("which is blank"));
    }
    if !state.is_formatted() {
        return Ok(unit);
    }
    unit.authenticated = Known::new(
        store.format() == StoreFormat::Authenticated,
        at("its store header at offset 0x48"),
    );
    let behind = store.variables().filter(|entry| entry.state == State::Recovered);
    unit.behind_damage = Known::new(behind.count() as u64, at("its variables"));
    unit.list_bytes = Known::new(store.used_bytes(), at("its variables"));
    let live = || store.variables().map(|entry| entry.len_bytes);
    unit.used_bytes = Known::new(live().sum(), at("its live variables"));
    unit.largest_bytes = Known::new(live().max().unwrap_or(0), at("its live variables"));
    let keys = store
        .variables()
        .any(|entry| entry.guid == GLOBAL && entry.name.to_string() == "PK" && !entry.data.is_empty());
    unit.keys = Known::new(keys, at("its variable PK"));
    unit.secure_boot = Known::new(secure_boot(&store), at("its variables PK, KEK, db and dbx"));
    Ok(unit)
}

/// Digest of what firmware measures of Secure Boot, in the order in which it does.
fn secure_boot(store: &VarStore<'_>) -> Sha256 {
    measured_keys(|guid, name| {
        let mut entries = store.variables();
        entries
            .find(|entry| entry.guid == guid && entry.name.to_string() == name)
            .map(|entry| entry.data)
    })
}

fn measured_keys<'v>(value: impl Fn(Guid, &str) -> Option<&'v [u8]>) -> Sha256 {
    let mut measured = Vec::new();
    for (guid, name) in [
        (GLOBAL, "PK"),
        (GLOBAL, "KEK"),
        (SECURITY_DATABASE, "db"),
        (SECURITY_DATABASE, "dbx"),
    ] {
        let data = value(guid, name).unwrap_or_default();
        measured.extend((data.len() as u64).to_le_bytes());
        measured.extend_from_slice(data);
    }
    Sha256::of(&measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_checked_before_is_not_read_again_until_somebody_writes_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(folder.path())).unwrap();
        let path = folder.path().join("CODE.fd");
        let write = |name| {
            std::fs::write(&path, fm_fixtures::bytes(name)).unwrap();
        };
        write("trixie/OVMF_CODE_4M.fd");
        let fresh = code_file(&path, Some(&cache)).unwrap();
        assert_eq!(fresh, code_file(&path, Some(&cache)).unwrap());
        // Another build of the same length: the same path, inode and size.
        write("bookworm/OVMF_CODE_4M.fd");
        let other = code_file(&path, Some(&cache)).unwrap();
        assert_ne!(fresh.sha256, other.sha256);
        assert_eq!(other, code_file(&path, None).unwrap());

        // A fixture is as old as it takes, and what is known of it is believed.
        let old = fm_fixtures::path("bookworm/OVMF_CODE_4M.secboot.fd");
        let known = code_file(&old, Some(&cache)).unwrap();
        let book = folder.path().join("cache/inspect/files");
        let key = |text: &str| text.split_once(' ').unwrap().1.trim().to_owned();
        let text = std::fs::read_to_string(&book).unwrap();
        let entry = book.with_file_name(key(&text));
        assert!(entry.exists(), "{text}");
        let of_other = std::fs::read_dir(entry.parent().unwrap())
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .find(|name| name.starts_with(&other.sha256.value().unwrap().to_string()))
            .unwrap();
        std::fs::write(&book, text.replace(&key(&text), &of_other)).unwrap();
        let told = code_file(&old, Some(&cache)).unwrap();
        assert_eq!(told.sha256.value(), other.sha256.value());
        assert_ne!(told.sha256.value(), known.sha256.value());
    }
}
