//! Facts of a side from whatever the user named: files, a folder, a guest, an offer, a stored build.

use std::path::{Path, PathBuf};

use fm_judge::{
    CodeUnit, Confidential, Contradiction, Facts, Firmware, Known, MachineType, QemuVersion, VarsUnit,
};
use fm_remedy::{Input, Remedy};

use super::who::Who;
use super::{guest, host, image, roms};
use crate::{Error, Result};
use fm_images::inspect::Cache;

/// What the user said of one side.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// A guest (pid, name, uuid, QMP socket).
    pub guest: Option<String>,
    /// An offer file.
    pub offer: Option<PathBuf>,
    /// CODE: a firmware file, a firmware folder, a descriptor, or a build's id or name.
    pub code: Option<String>,
    /// The variable store.
    pub vars: Option<PathBuf>,
    /// There is no VARS device.
    pub no_vars: bool,
    /// A file given to `-bios`.
    pub bios: Option<PathBuf>,
    /// A folder of firmware or descriptors, or one descriptor.
    pub host_firmware: Option<PathBuf>,
    /// Folders with the option ROMs of the host.
    pub roms: Vec<PathBuf>,
    /// The machine type.
    pub machine: Option<String>,
    /// The QEMU version.
    pub qemu: Option<String>,
    /// Whether the machine has system management mode.
    pub smm: Option<bool>,
    /// Whether only that mode may write flash.
    pub secure_flash: Option<bool>,
}

/// What holds for both sides.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The machine type, unless a side names its own.
    pub machine: Option<String>,
    /// Whether the machine has system management mode.
    pub smm: Option<bool>,
    /// Whether only that mode may write flash.
    pub secure_flash: Option<bool>,
    /// Whether the machine offers suspend to RAM.
    pub s3: Option<bool>,
    /// Whether the guest has a TPM.
    pub tpm: Option<bool>,
    /// How the guest's memory is encrypted.
    pub confidential: Option<Confidential>,
}

/// A side with what to call it.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) name: String,
    pub(super) facts: Facts,
    pub(super) who: Who,
}

/// Facts of the source.
pub(super) fn source(words: &Words, options: &Options, store: Option<&Path>) -> Result<Side> {
    let mut sides = sides(words, store)?;
    if sides.len() > 1 {
        return Err(Error::Usage {
            message: "the source is a folder with several builds, so it does not say which the guest has"
                .into(),
            remedy: Remedy::give("name one of its files", [Input::SourceCode]),
        });
    }
    let mut side = sides.pop().unwrap_or_else(|| Side {
        name: "unknown".into(),
        facts: Facts::default(),
        who: Who::Nobody,
    });
    told(&mut side.facts, words, options, "--from")?;
    Ok(side)
}

/// The sides that a destination can be, as `source`'s guest would meet them.
pub(super) fn adapted(
    mut sides: Vec<Side>,
    words: &Words,
    options: &Options,
    source: &Side,
) -> Result<Vec<Side>> {
    if sides.is_empty() {
        // Whatever the source has may or may not be there: without a word of it nothing can be promised.
        return Err(Error::Usage {
            message: "the destination is not named: nothing says which firmware it has".into(),
            remedy: Remedy::give(
                "name it (by the same file again if it is the same there) in one of these ways",
                [
                    Input::DestinationCode,
                    Input::DestinationFirmwareFolder,
                    Input::DestinationGuest,
                    Input::DestinationOffer,
                    Input::DestinationBios,
                ],
            ),
        });
    }
    let roms = match words.roms.as_slice() {
        [] => Known::default(),
        folders => roms::sizes(folders)?,
    };
    for side in &mut sides {
        side.facts.roms.clone_from(&roms);
        own_store(side, &source.facts);
        told(&mut side.facts, words, options, "--to")?;
        if !side.facts.machine.is_known() && words.machine.is_none() && options.machine.is_none() {
            // A guest keeps its machine type wherever it goes, unless somebody says otherwise.
            if let Some(machine) = source.facts.machine.fact() {
                let evidence = format!("{}; a guest keeps its machine type", machine.evidence);
                side.facts.machine = Known::new(machine.value.clone(), evidence);
            }
        }
        for (to, from) in [
            (&mut side.facts.smm, &source.facts.smm),
            (&mut side.facts.secure_flash, &source.facts.secure_flash),
            (&mut side.facts.s3, &source.facts.s3),
            (&mut side.facts.tpm, &source.facts.tpm),
        ] {
            if !to.is_known() {
                to.clone_from(from);
            }
        }
        if !side.facts.confidential.is_known() {
            side.facts.confidential.clone_from(&source.facts.confidential);
        }
    }
    Ok(sides)
}

/// A guest takes its own variables along: a destination that names no store, or only a blank landing of the
/// right size or a template, boots with the guest's.
fn own_store(side: &mut Side, source: &Facts) {
    let vars = &mut side.facts.vars;
    let unnamed = !vars.present.is_known();
    let fits = vars.size_bytes.is_known() && vars.size_bytes.value() == source.vars.size_bytes.value();
    // What is damaged is no landing: somebody's variables were in it.
    let blank = vars
        .state
        .fact()
        .filter(|state| state.value.is_blank() && fits)
        .cloned();
    if unnamed {
        // A template says how large a new VARS file would be, and no more.
        let template = vars.clone();
        *vars = source.vars.clone();
        if template.size_bytes.is_known() {
            vars.size_bytes = template.size_bytes;
            vars.format = template.format;
            vars.declared_format = template.declared_format;
        }
        if let Some(present) = source.vars.present.fact() {
            let evidence = format!("{}; the guest's own store goes along", present.evidence);
            vars.present = Known::new(present.value, evidence);
        }
    } else if let Some(blank) = blank {
        // Zeros or erased flash of the store's size: what arrives there is the guest's own store.
        let landing = std::mem::take(vars);
        *vars = VarsUnit {
            path: landing.path,
            landing: Known::new(blank.value, blank.evidence),
            size_bytes: landing.size_bytes,
            format: landing.format,
            declared_format: landing.declared_format,
            ..source.vars.clone()
        };
    }
}

/// Every side that the words can mean: one, or one for each build of a folder; none if nothing was named.
pub(super) fn sides(words: &Words, store: Option<&Path>) -> Result<Vec<Side>> {
    let cache = Cache::open(store);
    let cache = cache.as_ref();
    let mut sides = match (
        &words.guest,
        &words.offer,
        &words.host_firmware,
        &words.code,
        &words.bios,
    ) {
        (Some(guest), None, None, None, None) => vec![guest::from_guest(guest)?],
        (None, Some(path), None, None, None) => vec![guest::from_offer_file(path, store, cache)?],
        (None, None, Some(path), None, None) => host::sides(path, cache)?,
        (None, None, None, Some(code), None) => from_code(code, store, cache)?,
        (None, None, None, None, Some(path)) => vec![from_bios(path, cache)?],
        (None, None, None, None, None) => Vec::new(),
        _ => {
            return Err(Error::Usage {
                message: "a side is named in more than one way".into(),
                remedy: "name it once: a guest, an offer, a firmware folder, CODE, or a -bios file".into(),
            });
        }
    };
    if sides.is_empty() && (words.vars.is_some() || words.no_vars) {
        sides.push(Side {
            name: "unknown firmware".into(),
            facts: Facts::default(),
            who: Who::Nobody,
        });
    }
    for side in &mut sides {
        if let Some(path) = &words.vars {
            side.facts.vars = image::vars_file(path)?;
        } else if words.no_vars {
            side.facts.vars = VarsUnit {
                present: Known::new(false, "--no-vars"),
                ..VarsUnit::default()
            };
        }
    }
    Ok(sides)
}

/// What the options say; they must not contradict what was found.
pub(super) fn told(facts: &mut Facts, words: &Words, options: &Options, prefix: &str) -> Result<()> {
    let both = |what: &str| format!("the option --{what}");
    let one = |what: &str| format!("the option {prefix}-{what}");
    if let Some(text) = &words.qemu {
        let version: QemuVersion = text.parse().map_err(|error| Error::Usage {
            message: format!("{error}"),
            remedy: "qemu-system-x86_64 -version prints it".into(),
        })?;
        let option = if prefix == "--from" {
            "qemu-from"
        } else {
            "qemu-to"
        };
        // `7.2` is not another version than the 7.2.22 that runs.
        if !facts.qemu.value().is_some_and(|known| known.is_meant_by(text)) {
            facts.qemu.learn("the QEMU version", version, both(option))?;
        }
    }
    if let Some((text, evidence)) = words
        .machine
        .as_ref()
        .map(|text| (text, one("machine")))
        .or_else(|| options.machine.as_ref().map(|text| (text, both("machine"))))
    {
        machine(facts, text, &evidence)?;
    }
    for (fact, subject, value, evidence) in [
        (&mut facts.smm, "system management mode", words.smm, one("smm")),
        (
            &mut facts.secure_flash,
            "secure flash",
            words.secure_flash,
            one("secure-flash"),
        ),
        (&mut facts.tpm, "a TPM", options.tpm, both("tpm")),
        (&mut facts.s3, "suspend to RAM", options.s3, both("s3")),
    ] {
        if let Some(value) = value {
            fact.learn(subject, value, evidence)?;
        }
    }
    if let (None, Some(smm)) = (words.smm, options.smm) {
        facts.smm.learn("system management mode", smm, both("smm"))?;
    }
    if let (None, Some(secure)) = (words.secure_flash, options.secure_flash) {
        facts
            .secure_flash
            .learn("secure flash", secure, both("secure-flash"))?;
    }
    if let Some(kind) = options.confidential {
        facts
            .confidential
            .learn("memory encryption", kind, both("confidential"))?;
    }
    Ok(())
}

/// Reads what `-machine` says: the type, and of its properties those that firmware depends on.
pub fn machine(facts: &mut Facts, text: &str, evidence: &str) -> Result<(), Contradiction> {
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default();
    let name = name.strip_prefix("type=").unwrap_or(name);
    let machine = MachineType::new(name, facts.qemu.value().copied());
    let meant = match facts.qemu.value() {
        Some(qemu) if machine.name() != name => {
            format!("{evidence}, where {name} means {machine} in QEMU {qemu}")
        }
        _ => evidence.to_owned(),
    };
    facts.machine.learn("the machine type", machine, meant)?;
    for part in parts {
        match part {
            "smm=on" => facts.smm.learn("system management mode", true, evidence)?,
            "smm=off" => facts.smm.learn("system management mode", false, evidence)?,
            _ => {}
        }
    }
    Ok(())
}

/// Firmware in a file given to `-bios`.
pub(super) fn from_bios(path: &Path, cache: Option<&Cache>) -> Result<Side> {
    let mut facts = Facts {
        firmware: Known::new(Firmware::Bios, "the option for a -bios file"),
        code: image::code_file(path, cache)?,
        ..Facts::default()
    };
    facts.vars.present = Known::new(false, "firmware given with -bios has no VARS device");
    Ok(Side {
        name: path.display().to_string(),
        facts,
        who: Who::Nobody,
    })
}

/// Whatever `--from-code` can mean.
fn from_code(text: &str, store: Option<&Path>, cache: Option<&Cache>) -> Result<Vec<Side>> {
    let path = Path::new(text);
    if path.is_dir() {
        return host::sides(path, cache);
    }
    if path.is_file() {
        if text.ends_with(".json") {
            return match host::is_descriptor(path)? {
                true => host::sides(path, cache),
                false => Ok(vec![guest::from_offer_file(path, store, cache)?]),
            };
        }
        return Ok(vec![from_file(path, cache)?]);
    }
    // What is there and is neither says itself why it cannot be read.
    if text.contains('/') || text.ends_with(".fd") || path.exists() {
        return Ok(vec![from_file(path, cache)?]);
    }
    let build = fm_store::verbs::open(store)?.find(text)?;
    Ok(vec![from_build(&build, cache)?])
}

/// CODE in a file.
pub(super) fn from_file(path: &Path, cache: Option<&Cache>) -> Result<Side> {
    Ok(of_code(path, image::code_file(path, cache)?))
}

/// CODE in a file that was read.
pub(super) fn of_code(path: &Path, code: CodeUnit) -> Side {
    Side {
        name: path.display().to_string(),
        facts: Facts {
            firmware: Known::new(Firmware::Flash, "CODE was named as a flash device"),
            code,
            ..Facts::default()
        },
        who: Who::Nobody,
    }
}

/// A stored build, with the template that belongs to it.
fn from_build(build: &fm_store::Build, cache: Option<&Cache>) -> Result<Side> {
    let path = &build.code.path;
    let mut side = of_code(path, image::code_of_build(path, Some(&build.id), cache)?);
    side.name = format!("stored build {}", build.name.as_deref().unwrap_or(&build.tag));
    if let Some(template) = &build.vars_template {
        host::as_template(&mut side, &template.path)?;
    }
    Ok(side)
}
