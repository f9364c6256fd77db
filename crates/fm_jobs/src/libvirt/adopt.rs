//! `libvirt adopt` and `unadopt`: a domain's definition names the stored build that the domain runs.

use std::fs;
use std::path::{Path, PathBuf};

use fm_formats::Sha256;
use fm_libvirt::{Domain, Stored};
use fm_store::{Import, Store};
use schemars::JsonSchema;
use serde::Serialize;

use super::Error;
use super::virsh::{Info, Virsh};
use crate::Result;

/// Which domains are meant.
#[derive(Debug, Clone)]
pub enum Which {
    /// This one, by name or UUID.
    One(String),
    /// All that libvirt knows.
    All,
}

/// `flashmoor/libvirt-adopt/1`: what became of domains; also of `unadopt`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Adopt {
    /// `flashmoor/libvirt-adopt/1`.
    pub schema: &'static str,
    /// The domains that are adopted now, or with `unadopt`, not any more.
    pub domains: Vec<AdoptedDomain>,
    /// Those that failed.
    pub failures: Vec<DomainFailure>,
    /// Those that have nothing to adopt: one line each.
    pub remarks: Vec<String>,
}

/// A domain that is adopted.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AdoptedDomain {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// The build that it is held to: the sha256 of CODE.
    pub build: String,
    /// The length of CODE.
    pub code_bytes: u64,
    /// The length of VARS, if it has it.
    pub vars_bytes: Option<u64>,
    /// CODE at the next cold boot; nothing if the domain has no definition that outlives it.
    pub loader: Option<PathBuf>,
    /// Whether the definition was changed.
    pub definition_changed: bool,
    /// Whether it runs, so that what runs says its build as well.
    pub running: bool,
}

/// A domain that failed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DomainFailure {
    /// Its name.
    pub name: String,
    /// Why, with what lies behind it.
    pub why: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// Adopts domains of the libvirt at `uri`, which must be this host's.
///
/// # Errors
/// If libvirt does not answer; for a single domain, whatever fails of it.
pub fn adopt(store: &Store, uri: Option<&str>, which: &Which) -> Result<Adopt> {
    each(uri, which, |virsh, info| adopt_one(store, virsh, info))
}

/// Gives definitions back as they were.
///
/// # Errors
/// As [`adopt`].
pub fn unadopt(store: &Store, uri: Option<&str>, which: &Which) -> Result<Adopt> {
    each(uri, which, |virsh, info| unadopt_one(store, virsh, info))
}

/// What became of one domain: done, or nothing to do for that reason.
type Done = std::result::Result<AdoptedDomain, String>;

fn each(
    uri: Option<&str>,
    which: &Which,
    mut act: impl FnMut(&Virsh, &Info) -> Result<Done>,
) -> Result<Adopt> {
    let virsh = Virsh::new(uri);
    let mut all = Adopt {
        schema: "flashmoor/libvirt-adopt/1",
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
                all.remarks.push(crate::guard::in_words(&error));
            }
            Err(error) => all.failures.push(DomainFailure {
                name,
                why: crate::guard::in_words(&error),
                remedy: error.remedy(),
            }),
        }
    }
    Ok(all)
}

fn pin(info: &Info) -> String {
    format!("adopted for domain {} ({})", info.name, info.uuid)
}

fn parse(info: &Info, xml: &str) -> Result<Domain, Error> {
    Domain::parse(xml).map_err(|source| Error::Xml {
        domain: info.name.clone(),
        source,
    })
}

fn adopt_one(store: &Store, virsh: &Virsh, info: &Info) -> Result<Done> {
    let live = if info.is_running {
        Some(parse(info, &virsh.live(&info.uuid)?)?)
    } else {
        None
    };
    let inactive = if info.is_persistent {
        Some(virsh.inactive(&info.uuid)?)
    } else {
        None
    };
    let defined = inactive.as_deref().map(|xml| parse(info, xml)).transpose()?;
    for domain in [&live, &defined].into_iter().flatten() {
        check(info, domain)?;
    }
    let Some(now) = live.as_ref().or(defined.as_ref()) else {
        return Ok(Err(format!("domain {} is gone", info.name)));
    };
    let firmware = if info.is_running {
        running(info)?
    } else {
        from_files(info, now)?
    };
    let template = template(now, firmware.vars_bytes);
    let imported = store.import(&Import {
        code: &firmware.code,
        vars_template: template.as_deref(),
        source: Some(&format!("libvirt domain {}", info.name)),
        pin: Some(&pin(info)),
        ..Import::default()
    })?;
    let stored = stored(store, imported.id, &firmware, now)?;
    let mut definition_changed = false;
    if let Some(xml) = &inactive {
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
        loader: inactive.map(|_| stored.code),
        definition_changed,
        running: info.is_running,
    }))
}

/// Whether there is CODE flash that can be held.
fn check(info: &Info, domain: &Domain) -> Result<(), Error> {
    let no_flash = |firmware: &str| Error::NoFlash {
        domain: info.name.clone(),
        firmware: firmware.to_owned(),
    };
    let not_raw = |what| Error::NotRaw {
        domain: info.name.clone(),
        what,
    };
    match &domain.loader {
        None if domain.chooses => {}
        None => return Err(no_flash("QEMU's default, SeaBIOS")),
        Some(loader) if loader.path.is_none() && domain.chooses => {}
        Some(loader) if !loader.is_flash => return Err(no_flash("a ROM image, as with -bios")),
        Some(loader) if !loader.is_raw => return Err(not_raw("CODE")),
        Some(_) => {}
    }
    match &domain.nvram {
        Some(nvram) if !nvram.is_raw => Err(not_raw("VARS")),
        _ => Ok(()),
    }
}

/// The firmware of a domain.
struct Firmware {
    code: Vec<u8>,
    vars_bytes: Option<u64>,
}

/// Of a domain that runs: its own memory, whatever its files hold by now.
fn running(info: &Info) -> Result<Firmware> {
    let guest = fm_host::find(&info.uuid)?;
    let code = guest.read_flash(0)?;
    let vars_bytes = guest.flash_unit(1).ok().and_then(|unit| unit.size_bytes);
    Ok(Firmware { code, vars_bytes })
}

/// Of a domain that is off: what it would boot from.
fn from_files(info: &Info, domain: &Domain) -> Result<Firmware> {
    let Some(path) = domain.flash() else {
        return Err(Error::Definition {
            domain: info.name.clone(),
            source: fm_libvirt::AdoptError::NotChosen,
        }
        .into());
    };
    if !path.exists() {
        return Err(Error::FirmwareGone {
            domain: info.name.clone(),
            path: path.clone(),
        }
        .into());
    }
    let code = read(path)?;
    let length = |path: &PathBuf| path.metadata().ok().map(|file| file.len());
    let vars_bytes = domain.nvram.as_ref().and_then(|nvram| {
        nvram
            .path
            .as_ref()
            .and_then(length)
            .or_else(|| nvram.template.as_ref().and_then(length))
    });
    Ok(Firmware { code, vars_bytes })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |source| crate::Error::file("read", path, source);
    let len = path.metadata().map_err(failed)?.len();
    if len > fm_store::IMAGE_LIMIT_BYTES {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    fs::read(path).map_err(failed)
}

/// The template that the domain names, if it is of the domain's layout.
fn template(domain: &Domain, vars_bytes: Option<u64>) -> Option<Vec<u8>> {
    let path = domain.nvram.as_ref()?.template.as_ref()?;
    let bytes = read(path).ok()?;
    (Some(bytes.len() as u64) == vars_bytes).then_some(bytes)
}

fn stored(store: &Store, id: Sha256, firmware: &Firmware, now: &Domain) -> Result<Stored> {
    let build = store
        .build(&id)?
        .ok_or_else(|| fm_store::Error::UnknownBuild { text: id.to_string() })?;
    let template = build
        .vars_template
        .filter(|part| Some(part.size_bytes) == firmware.vars_bytes);
    let nvram = now.nvram.as_ref().and_then(|nvram| nvram.path.clone());
    Ok(Stored {
        build: id,
        code_bytes: firmware.code.len() as u64,
        vars_bytes: firmware.vars_bytes,
        code: build.code.path,
        template: template.map(|part| part.path),
        chosen: now
            .flash()
            .map(|_| (nvram, now.loader.as_ref().is_some_and(|loader| loader.secure))),
    })
}

fn unadopt_one(store: &Store, virsh: &Virsh, info: &Info) -> Result<Done> {
    let mut identity = None;
    let mut definition_changed = false;
    let mut loader = None;
    if info.is_persistent {
        let xml = virsh.inactive(&info.uuid)?;
        let domain = parse(info, &xml)?;
        if domain.identity.is_some() {
            let edited = fm_libvirt::unadopted(&xml).map_err(|source| Error::Definition {
                domain: info.name.clone(),
                source,
            })?;
            virsh.define(&edited)?;
            definition_changed = true;
            loader = parse(info, &edited)?.flash().cloned();
            identity = domain.identity;
        }
    }
    if info.is_running
        && let Some(live) = parse(info, &virsh.live(&info.uuid)?)?.identity
    {
        virsh.unstamp(&info.uuid)?;
        identity = identity.or(Some(live));
    }
    let Some(identity) = identity else {
        return Ok(Err(format!("domain {} is not adopted", info.name)));
    };
    if store.build(&identity.build)?.is_some() {
        store.unpin(&identity.build, Some(&pin(info)))?;
    }
    Ok(Ok(AdoptedDomain {
        name: info.name.clone(),
        uuid: info.uuid.clone(),
        build: identity.build.to_string(),
        code_bytes: identity.code_bytes,
        vars_bytes: identity.vars_bytes,
        loader,
        definition_changed,
        running: info.is_running,
    }))
}
