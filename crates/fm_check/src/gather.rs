//! Facts of a side from whatever the user named: files, a folder, a guest, an offer, a stored build.

use std::path::{Path, PathBuf};

use fm_formats::image::Role as FileRole;
use fm_images::inspect::Cache;
use fm_judge::{Confidential, Evidence, Facts, Known, QemuVersion, VarsUnit};
use fm_remedy::{Input, Misuse, Remedy};

use crate::machine_option::machine;
use crate::remedy_target::RemedyTarget;
use crate::side::{Side, from_bios, from_file, of_code};
use crate::{Error, Result, guest, host, image, roms};

/// What the user said of one side.
#[derive(Debug, Clone, Default)]
pub struct SideSpec {
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
}

/// Which side a fact is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Where the guest is.
    Source,
    /// Where it shall go.
    Destination,
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

/// Facts of the source, of which `sides` are what it can be.
pub(super) fn source(mut sides: Vec<Side>, spec: &SideSpec, options: &Options) -> Result<Side> {
    if sides.len() > 1 {
        return Err(Error::Usage(Misuse {
            message: "the source is a folder with several builds, so it does not say which the guest has"
                .into(),
            remedy: Remedy::give("name one of its files", [Input::SourceCode]),
        }));
    }
    let mut side = sides.pop().unwrap_or_else(|| Side {
        name: "unknown".into(),
        facts: Facts::default(),
        target: RemedyTarget::Nobody,
    });
    apply_overrides(&mut side.facts, spec, options, Role::Source)?;
    Ok(side)
}

/// The sides that a destination can be, as `source`'s guest would meet them.
pub(super) fn adapted(
    mut sides: Vec<Side>,
    spec: &SideSpec,
    options: &Options,
    source: &Side,
) -> Result<Vec<Side>> {
    if sides.is_empty() {
        // Whatever the source has may or may not be there: without a word of it nothing can be promised.
        return Err(Error::Usage(Misuse {
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
        }));
    }
    let roms = match spec.roms.as_slice() {
        [] => Known::default(),
        folders => roms::sizes(folders)?,
    };
    for side in &mut sides {
        side.facts.roms.clone_from(&roms);
        own_store(side, &source.facts);
        apply_overrides(&mut side.facts, spec, options, Role::Destination)?;
        if !side.facts.machine.is_known() && spec.machine.is_none() && options.machine.is_none() {
            // A guest keeps its machine type wherever it goes, unless somebody says otherwise.
            if let Some(machine) = source.facts.machine.fact() {
                let evidence = machine.evidence.so("a guest keeps its machine type");
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
            let evidence = present.evidence.so("the guest's own store goes along");
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

/// Every side that the specification can mean: one, or one for each build of a folder; none if nothing was named.
pub(super) fn sides(spec: &SideSpec, store: Option<&Path>) -> Result<Vec<Side>> {
    let cache = Cache::open(store);
    let cache = cache.as_ref();
    refuse_swapped(spec, cache)?;
    let mut sides = match (
        &spec.guest,
        &spec.offer,
        &spec.host_firmware,
        &spec.code,
        &spec.bios,
    ) {
        (Some(guest), None, None, None, None) => vec![guest::from_guest(guest)?],
        (None, Some(path), None, None, None) => vec![guest::from_offer_file(path, store, cache)?],
        (None, None, Some(path), None, None) => host::sides(path, cache)?,
        (None, None, None, Some(code), None) => from_code(code, store, cache)?,
        (None, None, None, None, Some(path)) => vec![from_bios(path, cache)?],
        (None, None, None, None, None) => Vec::new(),
        _ => {
            return Err(Error::Usage(Misuse {
                message: "a side is named in more than one way".into(),
                remedy: "name it once: a guest, an offer, a firmware folder, CODE, or a -bios file".into(),
            }));
        }
    };
    if sides.is_empty() && (spec.vars.is_some() || spec.no_vars) {
        sides.push(Side {
            name: "unknown firmware".into(),
            facts: Facts::default(),
            target: RemedyTarget::Nobody,
        });
    }
    for side in &mut sides {
        if let Some(path) = &spec.vars {
            side.facts.vars = image::vars_file(path)?;
        } else if spec.no_vars {
            side.facts.vars = VarsUnit {
                present: Known::new(false, Evidence::Input(Input::NoVars)),
                ..VarsUnit::default()
            };
        }
    }
    Ok(sides)
}

/// Two files that are there, and each is what the other should be.
fn refuse_swapped(spec: &SideSpec, cache: Option<&Cache>) -> Result<()> {
    let (Some(code), Some(vars)) = (spec.code.as_ref().map(Path::new), &spec.vars) else {
        return Ok(());
    };
    let swapped = code.is_file()
        && image::role(code, cache) == Some(FileRole::Vars)
        && image::role(vars, cache) == Some(FileRole::Code);
    match swapped {
        false => Ok(()),
        true => Err(Error::Usage(Misuse {
            message: format!(
                "CODE and VARS are swapped: {} holds variables, and {} firmware",
                code.display(),
                vars.display()
            ),
            remedy: "name them the other way round".into(),
        })),
    }
}

/// What the request says of a side; it must not contradict what was found.
pub(super) fn apply_overrides(
    facts: &mut Facts,
    spec: &SideSpec,
    options: &Options,
    role: Role,
) -> Result<()> {
    if let Some(text) = &spec.qemu {
        let version: QemuVersion = text.parse().map_err(|error| {
            Error::Usage(Misuse {
                message: format!("{error}"),
                remedy: "qemu-system-x86_64 -version prints it".into(),
            })
        })?;
        // `7.2` is not another version than the 7.2.22 that runs.
        if !facts.qemu.value().is_some_and(|known| known.is_meant_by(text)) {
            let given = Evidence::Input(role.qemu());
            facts.qemu.learn("the QEMU version", version, given)?;
        }
    }
    if let Some(text) = &spec.machine {
        machine(facts, text, &Evidence::Input(role.machine()))?;
    } else if let Some(text) = &options.machine {
        machine(facts, text, &Evidence::Input(Input::MachineType(None)))?;
    }
    let switched =
        |fact: &mut Known<bool>, subject, is_on: Option<bool>, input: fn(&'static str) -> Input| {
            is_on.map_or(Ok(()), |is_on| {
                let word = if is_on { "on" } else { "off" };
                fact.learn(subject, is_on, Evidence::Input(input(word)))
            })
        };
    switched(&mut facts.smm, "system management mode", options.smm, Input::Smm)?;
    switched(
        &mut facts.secure_flash,
        "secure flash",
        options.secure_flash,
        Input::SecureFlash,
    )?;
    switched(&mut facts.tpm, "a TPM", options.tpm, Input::Tpm)?;
    switched(&mut facts.s3, "suspend to RAM", options.s3, Input::S3)?;
    if let Some(kind) = options.confidential {
        let given = Evidence::Input(Input::Confidential);
        facts.confidential.learn("memory encryption", kind, given)?;
    }
    Ok(())
}

impl Role {
    fn qemu(self) -> Input {
        match self {
            Self::Source => Input::SourceQemu,
            Self::Destination => Input::DestinationQemu,
        }
    }

    fn machine(self) -> Input {
        match self {
            Self::Source => Input::SourceMachine,
            Self::Destination => Input::DestinationMachine,
        }
    }
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

#[cfg(test)]
mod tests;
