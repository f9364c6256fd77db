//! What a host's firmware folder offers: its descriptors, or its files by the names that packages give them.

use std::fs;
use std::path::{Path, PathBuf};

use fm_formats::image::Feature;
use fm_images::inspect::Cache;
use fm_judge::{Evidence, Facts, Features, Firmware, Format, Known, VarsUnit};
use fm_remedy::{Action, Input, Misuse, Remedy};
use serde_json::Value;

use crate::remedy_target::RemedyTarget;
use crate::side::{Side, from_bios, from_file};
use crate::{Error, Result, code_name, image};

/// A descriptor has a few hundred bytes.
const MAX_DESCRIPTOR_BYTES: u64 = 1 << 20;

/// One side for each firmware that `path`, a folder or a descriptor, offers; sorted by name.
pub(super) fn sides(path: &Path, cache: Option<&Cache>) -> Result<Vec<Side>> {
    if path.is_file() {
        let side = from_descriptor(path, cache)?.ok_or_else(|| Error::Usage(Misuse {
            message: format!(
                "{} describes no firmware for flash or -bios: it is empty, hides another descriptor, or is for something else",
                path.display()
            ),
            remedy: Remedy::new(
                "see what is in it",
                Action::Inspect {
                    path: path.to_str().map(ToOwned::to_owned),
                },
            ),
        }))?;
        return Ok(vec![side]);
    }
    let failed = |source| Error::file("read", path, source);
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    files.sort();
    let mut sides = Vec::new();
    let is_json = |file: &&PathBuf| file.extension().is_some_and(|found| found == "json");
    for file in files.iter().filter(is_json) {
        if is_descriptor(file)? {
            sides.extend(from_descriptor(file, cache)?);
        }
    }
    if sides.is_empty() {
        for file in files.iter().filter(|file| code_name::is_code(file, cache)) {
            let mut side = code_name::with_template(file, image::code_file(file, cache)?)?;
            // A guest brings its own variables: of the template only its size counts.
            side.facts.vars = VarsUnit {
                size_bytes: side.facts.vars.size_bytes,
                format: side.facts.vars.format,
                ..VarsUnit::default()
            };
            sides.push(side);
        }
    }
    if sides.is_empty() {
        return Err(Error::Usage(Misuse {
            message: format!(
                "{} holds neither firmware descriptors nor CODE files",
                path.display()
            ),
            remedy: Remedy::give(
                "name a folder such as /usr/share/qemu/firmware or /usr/share/OVMF, or one file",
                [Input::DestinationCode],
            ),
        }));
    }
    Ok(sides)
}

/// Whether a JSON file is a firmware descriptor (QEMU `docs/interop/firmware.json`).
pub(super) fn is_descriptor(path: &Path) -> Result<bool> {
    Ok(read(path)?.is_some_and(|value| value.get("mapping").is_some() && value.get("targets").is_some()))
}

/// An empty file hides a descriptor of the same name: it is none.
fn read(path: &Path) -> Result<Option<Value>> {
    let text = match fm_files::read_bounded(path, MAX_DESCRIPTOR_BYTES) {
        Ok(Some(text)) if text.is_empty() => return Ok(None),
        Ok(Some(text)) => text,
        Ok(None) => return Err(Error::file("read", path, std::io::ErrorKind::NotFound.into())),
        Err(fm_files::Error::TooLarge { .. } | fm_files::Error::NotRegular { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        Error::Usage(Misuse {
            message: format!("{} is no JSON: {error}", path.display()),
            remedy: "mend or remove it, or name one descriptor or CODE file instead of the folder".into(),
        })
    })
}

/// A descriptor's firmware, whether its file is there or not; nothing if it is for neither flash nor `-bios`.
fn from_descriptor(path: &Path, cache: Option<&Cache>) -> Result<Option<Side>> {
    let Some(value) = read(path)? else {
        return Ok(None);
    };
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let (code, named_at, flash) = match text("/mapping/device") {
        Some("flash") => (
            text("/mapping/executable/filename"),
            "mapping.executable.filename",
            true,
        ),
        Some("memory") => (text("/mapping/filename"), "mapping.filename", false),
        _ => return Ok(None),
    };
    let Some(code) = code else { return Ok(None) };
    let descriptor = Evidence::Descriptor(path.display().to_string());
    let evidence = |field: &'static str| descriptor.part(field);
    let mut side = match found(path, code) {
        Some(file) if flash => from_file(&file, cache)?,
        Some(file) => from_bios(&file, cache)?,
        // A guest that is given this firmware does not start; that is an answer, and not a missing one.
        None => missing(flash, evidence(named_at)),
    };
    side.name = match found(path, code) {
        Some(file) => format!("{} by {}", file.display(), path.display()),
        None => format!("{code}, which is not there, by {}", path.display()),
    };
    // The name in the descriptor is what a guest's definition will hold.
    side.facts.code.path = Known::new(code.to_owned(), evidence(named_at));
    side.facts.code.declared_format = format_of(
        text("/mapping/executable/format"),
        evidence("mapping.executable.format"),
    );
    let words = |pointer: &str| -> Vec<&str> {
        let list = value.pointer(pointer).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let features = words("/features");
    let promised: Features = features.iter().filter_map(|word| feature_of(word)).collect();
    side.facts.code.promised = Known::new(promised, evidence("features"));
    side.facts.code.promised_keys = Known::new(features.contains(&"enrolled-keys"), evidence("features"));
    side.facts.code.promised_machines = Known::new(machines(&value), evidence("targets"));
    if let Some(template) = text("/mapping/nvram-template/filename").and_then(|name| found(path, name)) {
        side.facts.code.template_keys = as_template(&mut side, &template)?.keys;
        side.facts.vars.declared_format = format_of(
            text("/mapping/nvram-template/format"),
            evidence("mapping.nvram-template.format"),
        );
    }
    Ok(Some(side))
}

/// Firmware that a descriptor names and that is not there.
fn missing(flash: bool, evidence: Evidence) -> Side {
    let mut facts = Facts::default();
    let kind = if flash { Firmware::Flash } else { Firmware::Bios };
    facts.firmware = Known::new(kind, &evidence);
    facts.code.present = Known::new(false, evidence);
    Side {
        name: String::new(),
        facts,
        target: RemedyTarget::Nobody,
    }
}

/// The machine types that a descriptor is for, as patterns.
fn machines(descriptor: &Value) -> Vec<String> {
    let targets = descriptor.get("targets").and_then(Value::as_array);
    targets
        .into_iter()
        .flatten()
        .filter_map(|target| target.get("machines")?.as_array())
        .flatten()
        .filter_map(|machine| machine.as_str().map(str::to_owned))
        .collect()
}

/// A template decides how large a new VARS file is; what the guest has in its own is not in there.
pub(super) fn as_template(side: &mut Side, template: &Path) -> Result<VarsUnit> {
    let unit = image::vars_file(template)?;
    let facts = &mut side.facts.vars;
    facts.size_bytes = unit.size_bytes.clone();
    facts.format = unit.format.clone();
    Ok(unit)
}

/// The file as named, or of the same name beside the descriptor or in the folder above: a folder that was
/// copied from another host keeps its descriptors' absolute names.
fn found(descriptor: &Path, name: &str) -> Option<PathBuf> {
    let file = Path::new(name).file_name()?;
    let folder = descriptor.parent()?;
    let beside = [Some(folder), folder.parent()]
        .into_iter()
        .flatten()
        .map(|folder| folder.join(file));
    let on_this_host = folder.starts_with("/usr") || folder.starts_with("/etc");
    if on_this_host {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    beside.chain([PathBuf::from(name)]).find(|path| path.is_file())
}

fn format_of(word: Option<&str>, evidence: Evidence) -> Known<Format> {
    match word {
        None | Some("raw") => Known::new(Format::Raw, evidence),
        Some("qcow2") => Known::new(Format::Qcow2, evidence),
        Some(_) => Known::default(),
    }
}

/// The descriptor's word for a feature that shows in a binary.
fn feature_of(word: &str) -> Option<Feature> {
    Some(match word {
        "amd-sev" => Feature::Sev,
        "amd-sev-es" => Feature::SevEs,
        "amd-sev-snp" => Feature::SevSnp,
        "intel-tdx" => Feature::Tdx,
        "secure-boot" => Feature::SecureBoot,
        "requires-smm" => Feature::Smm,
        _ => return None,
    })
}
