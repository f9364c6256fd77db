//! `libvirt adopt` and `unadopt`: a domain's definition names the stored build that the domain runs.

mod back;
mod definition;
mod firmware;
mod pins;

use fm_api::v1::libvirt::AdoptedDomain;
use fm_formats::Sha256;
use fm_libvirt::{Booted, Chosen, Domain, DomainInfo, FileFormat, Stored, Virsh};
use fm_remedy::{Failure as _, Remedy, one_line};
use fm_store::{Import, Store};

pub(super) use self::definition::parse;
use self::firmware::{Firmware, Template};
pub(super) use self::pins::pin;
use super::{Error, packed_template};
use crate::Result;

pub use self::pins::{SOURCE, pinned_for};

/// Which domains are meant.
#[derive(Debug, Clone)]
pub enum Which {
    /// This one, by name or UUID.
    One(String),
    /// All that libvirt knows.
    All,
}

/// What became of domains.
#[derive(Debug, Clone)]
pub struct Adoption {
    /// The domains that are adopted now, or let go.
    pub domains: Vec<AdoptedDomain>,
    /// Those that failed.
    pub failures: Vec<FailedDomain>,
    /// Those that have nothing to adopt: one line each.
    pub remarks: Vec<String>,
}

/// A domain that failed.
#[derive(Debug, Clone)]
pub struct FailedDomain {
    /// Its name.
    pub name: String,
    /// Why, with what lies behind it.
    pub why: String,
    /// What to do about it.
    pub remedy: Option<Remedy>,
}

/// Adopts domains of the libvirt at `uri`, which must be this host's.
///
/// # Errors
/// If libvirt does not answer; for a single domain, whatever fails of it.
pub fn adopt(store: &Store, uri: Option<&str>, which: &Which) -> Result<Adoption> {
    each(uri, which, |virsh, info| adopt_one(store, virsh, info))
}

/// What [`adopt`] would do; nothing is changed.
///
/// # Errors
/// As [`adopt`].
pub fn would_adopt(store: &Store, uri: Option<&str>, which: &Which) -> Result<Adoption> {
    each(uri, which, |virsh, info| would_adopt_one(store, virsh, info))
}

/// Gives definitions back as they were, `forced` also where a domain could not start with that.
///
/// # Errors
/// As [`adopt`].
pub fn unadopt(store: &Store, uri: Option<&str>, which: &Which, forced: bool) -> Result<Adoption> {
    each(uri, which, |virsh, info| back::one(store, virsh, info, forced))
}

/// What [`unadopt`] would do; nothing is changed.
///
/// # Errors
/// As [`adopt`].
pub fn would_unadopt(uri: Option<&str>, which: &Which, forced: bool) -> Result<Adoption> {
    each(uri, which, |virsh, info| back::would_one(virsh, info, forced))
}

/// Lets what runs of an adopted domain say what it has booted with, since it waits for a reset; whether it is one.
///
/// # Errors
/// If libvirt refuses.
pub fn note_booted(uri: Option<&str>, uuid: &str, booted: Booted) -> Result<bool> {
    let virsh = Virsh::new(uri);
    let Some(identity) = virsh.stamped(uuid)? else {
        return Ok(false);
    };
    let stored = Stored {
        build: identity.build,
        code_bytes: identity.code_bytes,
        vars_bytes: identity.vars_bytes,
        vars_template: identity.vars_template,
        peer: identity.peer,
        code: std::path::PathBuf::new(),
        template: None,
        booted: Some(booted),
        chosen: None,
    };
    virsh.stamp(uuid, &fm_libvirt::metadata(&stored))?;
    Ok(true)
}

/// What became of one domain: done, or nothing to do for that reason.
type Done = std::result::Result<AdoptedDomain, String>;

fn each(
    uri: Option<&str>,
    which: &Which,
    mut act: impl FnMut(&Virsh, &DomainInfo) -> Result<Done>,
) -> Result<Adoption> {
    let virsh = Virsh::new(uri);
    let mut all = Adoption {
        domains: Vec::new(),
        failures: Vec::new(),
        remarks: Vec::new(),
    };
    let names = match which {
        Which::One(name) => {
            match act(&virsh, &virsh.info(name)?)? {
                Ok(done) => all.domains.push(done),
                Err(why) => all.remarks.push(why),
            }
            return Ok(all);
        }
        Which::All => virsh.names()?,
    };
    for name in names {
        let done = virsh
            .info(&name)
            .map_err(Into::into)
            .and_then(|info| act(&virsh, &info));
        match done {
            Ok(Ok(done)) => all.domains.push(done),
            Ok(Err(why)) => all.remarks.push(why),
            Err(error @ crate::Error::Libvirt(Error::NoFlash { .. })) => {
                all.remarks.push(one_line(&error));
            }
            Err(error) => all.failures.push(FailedDomain {
                name,
                why: one_line(&error),
                remedy: error.remedy(),
            }),
        }
    }
    Ok(all)
}

/// A domain's definitions, each of which has CODE flash that can be held.
struct Definitions {
    /// Of what runs.
    live: Option<Domain>,
    /// Of its next start, with its text.
    defined: Option<(String, Domain)>,
}

impl Definitions {
    fn of(virsh: &Virsh, info: &DomainInfo) -> Result<Self> {
        let live = match info.is_running {
            true => Some(parse(info, &virsh.live(&info.uuid)?)?),
            false => None,
        };
        let defined = match info.is_persistent {
            true => {
                let xml = virsh.inactive(&info.uuid)?;
                let domain = parse(info, &xml)?;
                Some((xml, domain))
            }
            false => None,
        };
        let found = Self { live, defined };
        for domain in found.each() {
            check(info, domain)?;
        }
        Ok(found)
    }

    /// That of its next start, then that of what runs.
    fn each(&self) -> impl Iterator<Item = &Domain> {
        let defined = self.defined.iter().map(|(_, domain)| domain);
        defined.chain(&self.live)
    }

    /// What runs, or would run next.
    fn now(&self) -> Option<&Domain> {
        self.live
            .as_ref()
            .or(self.defined.as_ref().map(|(_, domain)| domain))
    }
}

fn gone(info: &DomainInfo) -> Done {
    Err(format!("domain {} is gone", info.name))
}

fn would_adopt_one(store: &Store, virsh: &Virsh, info: &DomainInfo) -> Result<Done> {
    let definitions = Definitions::of(virsh, info)?;
    let Some(now) = definitions.now() else {
        return Ok(gone(info));
    };
    let firmware = match &info.managed_save {
        _ if info.is_running => firmware::running(info)?,
        Some(image) => firmware::in_saved(image, now)?,
        None => firmware::from_files(info, now)?,
    };
    let build = Sha256::of(&firmware.code);
    let loader = fm_store::code_path(store.path(), &build);
    let defined = definitions.defined.as_ref().map(|(_, domain)| domain);
    let is_named = |domain: &Domain| domain.identity.is_some() && domain.flash() == Some(&loader);
    Ok(Ok(AdoptedDomain {
        name: info.name.clone(),
        uuid: info.uuid.clone(),
        build: build.to_string(),
        code_bytes: firmware.code.len() as u64,
        vars_bytes: firmware.vars_bytes,
        definition_changed: defined.is_some_and(|domain| !is_named(domain)),
        loader: defined.is_some().then_some(loader),
        running: info.is_running,
    }))
}

fn adopt_one(store: &Store, virsh: &Virsh, info: &DomainInfo) -> Result<Done> {
    let definitions = Definitions::of(virsh, info)?;
    let Some(now) = definitions.now() else {
        return Ok(gone(info));
    };
    let firmware = match &info.managed_save {
        _ if info.is_running => firmware::running(info)?,
        Some(image) => firmware::saved(store, image, now)?,
        None => firmware::from_files(info, now)?,
    };
    let domains: Vec<&Domain> = definitions.each().collect();
    let template = firmware::template(store, &domains, &firmware);
    let imported = store.import(&Import {
        code: &firmware.code,
        vars_template: template.bytes.as_deref(),
        source: Some(&format!("{SOURCE}{}", info.name)),
        pin: Some(&pin(info)),
        ..Import::default()
    })?;
    let stored = stored(store, imported.id, &firmware, &template, now)?;
    let mut definition_changed = false;
    if let Some((xml, _)) = &definitions.defined {
        let edited = fm_libvirt::adopted(xml, &stored).map_err(|source| Error::Definition {
            domain: info.name.clone(),
            source,
        })?;
        definition_changed = edited != *xml;
        if definition_changed {
            virsh.define(&edited)?;
        }
    }
    if info.is_running {
        virsh.stamp(&info.uuid, &fm_libvirt::metadata(&stored))?;
    }
    // A build that the domain was adopted with before is not needed for it any more.
    let before = now.identity.as_ref().map(|ours| ours.build);
    if let Some(before) = before.filter(|before| *before != stored.build)
        && store.build(&before)?.is_some()
    {
        store.unpin(&before, Some(&pin(info)))?;
    }
    Ok(Ok(AdoptedDomain {
        name: info.name.clone(),
        uuid: info.uuid.clone(),
        build: stored.build.to_string(),
        code_bytes: stored.code_bytes,
        vars_bytes: stored.vars_bytes,
        loader: definitions.defined.as_ref().map(|_| stored.code),
        definition_changed,
        running: info.is_running,
    }))
}

/// Whether there is CODE flash that can be held.
fn check(info: &DomainInfo, domain: &Domain) -> Result<(), Error> {
    let no_flash = |firmware: &str| Error::NoFlash {
        domain: info.name.clone(),
        firmware: firmware.to_owned(),
    };
    let not_raw = |what| Error::NotRaw {
        domain: info.name.clone(),
        what,
    };
    match &domain.loader {
        None if domain.firmware_autoselect => {}
        None => return Err(no_flash("QEMU's default, SeaBIOS")),
        Some(loader) if loader.path.is_none() && domain.firmware_autoselect => {}
        Some(loader) if !loader.is_flash => return Err(no_flash("a ROM image, as with -bios")),
        Some(loader) if loader.format == FileFormat::Other => return Err(not_raw("CODE")),
        Some(_) => {}
    }
    match &domain.nvram {
        Some(nvram) if nvram.format == FileFormat::Other => Err(not_raw("VARS")),
        _ => Ok(()),
    }
}

fn stored(
    store: &Store,
    id: Sha256,
    firmware: &Firmware,
    template: &Template,
    now: &Domain,
) -> Result<Stored> {
    let build = store
        .build(&id)?
        .ok_or_else(|| fm_store::Error::UnknownBuild { text: id.to_string() })?;
    let nvram = now.nvram.as_ref();
    let stored = build
        .templates
        .into_iter()
        .find(|part| Some(part.sha256) == template.sha256);
    let is_qcow2 = nvram.is_some_and(|nvram| nvram.format == FileFormat::Qcow2);
    let named = match stored.map(|part| part.path) {
        Some(raw) if is_qcow2 => Some(packed_template::of(store, &raw)?),
        raw => raw,
    };
    Ok(Stored {
        build: id,
        code_bytes: firmware.code.len() as u64,
        vars_bytes: firmware.vars_bytes,
        code: build.code.path,
        vars_template: template.sha256,
        template: named,
        peer: None,
        booted: now
            .identity
            .as_ref()
            .filter(|ours| ours.build == id)
            .and_then(|ours| ours.booted),
        chosen: now.flash().map(|_| Chosen {
            nvram: nvram.and_then(|nvram| nvram.path.clone()),
            nvram_format: nvram.map_or(FileFormat::Raw, |nvram| nvram.format),
            secure: now.loader.as_ref().is_some_and(|loader| loader.secure),
        }),
    })
}
