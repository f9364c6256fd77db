//! The real host: libvirt's domains, the store, processes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fm_adopt::libvirt::{self, DefinedFirmware};
use fm_api::v1::fleet::{CertificateSet, Digest};
use fm_check::{Request, SideSpec};
use fm_formats::Sha256;
use fm_formats::image::Layout;
use fm_judge::{Outcome, Phase};
use fm_libvirt::Virsh;
use fm_store::{Build, MAX_FLASH_BYTES, Store};
use fm_variables::{ConvertRequest, ConvertTarget, Enrolment, RestoreRequest, StoreTarget};

use super::ground::{Given, Ground, Judged, Keys, Process, Update};
use super::keys;
use super::record::Journal;
use super::updates::{Updates, WatcherCommand};
use crate::{Error, Result};

/// The certificates that this version knows.
const SET: CertificateSet = CertificateSet::Microsoft2023;
const MINUTE_S: u64 = 60;
const DAY_S: u64 = 24 * 60 * MINUTE_S;

/// This host's libvirt, store and fleet.
pub struct Domains<'a> {
    store: &'a Store,
    /// Whether the store has a build, which comes from the fleet if need be.
    bring: &'a dyn Fn(&Sha256) -> Result<bool>,
    virsh: Virsh,
    updates: Updates<'a>,
    began: Instant,
}

impl<'a> Domains<'a> {
    /// Of the libvirt at `uri`. `began` is what its spans of time are counted from.
    #[must_use]
    pub fn new(
        store: &'a Store,
        bring: &'a dyn Fn(&Sha256) -> Result<bool>,
        uri: Option<&'a str>,
        watcher: Option<WatcherCommand>,
        began: Instant,
    ) -> Self {
        Self {
            store,
            bring,
            virsh: Virsh::new(uri),
            updates: Updates { store, uri, watcher },
            began,
        }
    }

    fn build(&self, build: &Digest) -> Result<Build> {
        let found = self.store.build(&sha256(build)?)?;
        found.ok_or_else(|| {
            fm_store::Error::UnknownBuild {
                text: build.to_string(),
            }
            .into()
        })
    }

    fn layout(&self, build: &Digest) -> Result<Option<Layout>> {
        let unit = fm_check::code_file(&self.build(build)?.code.path, None)?;
        Ok(unit.layout.value().copied())
    }
}

fn sha256(build: &Digest) -> Result<Sha256> {
    build.as_str().parse().map_err(|_| Error::NotABuild {
        why: "its digest is none",
    })
}

fn converted(from: &str, to: &Path, code: &Path, replace: bool) -> Result<()> {
    fm_variables::convert(&ConvertRequest {
        input: PathBuf::from(from),
        into: ConvertTarget::ForCode(code.to_owned()),
        format: None,
        output: to.to_owned(),
        replace,
        even_if_in_use: false,
        journal: None,
        cache: None,
        dry_run: false,
    })?;
    Ok(())
}

impl Ground for Domains<'_> {
    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    fn minute_of_day(&self) -> u32 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u32::try_from(now.as_secs() % DAY_S / MINUTE_S).unwrap_or_default()
    }

    fn defined(&self, guest: &str) -> Result<Option<DefinedFirmware>> {
        Ok(libvirt::defined_firmware(&self.virsh, guest)?)
    }

    fn process(&self, guest: &str) -> Result<Option<Process>> {
        let found = match fm_host::find(guest) {
            Ok(found) => found,
            Err(fm_host::Error::NoGuest { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let memory = found.memory()?;
        let code = found
            .read_flash(0)
            .ok()
            .map(|bytes| Sha256::of(&bytes).to_bytes().into());
        Ok(Some(Process {
            id: (found.pid(), found.process().start_ticks()),
            code,
            boots: fm_update::boots::of_guest(&found, &memory),
            vars: found
                .flash_unit(1)
                .ok()
                .and_then(|vars| found.shown_path(vars).ok()),
        }))
    }

    fn has(&self, build: &Digest) -> Result<bool> {
        (self.bring)(&sha256(build)?)
    }

    fn judge(&self, guest: &DefinedFirmware, build: &Digest) -> Result<Judged> {
        if !guest.is_running {
            return Ok(Judged::Later("it is off, and is judged when it runs".into()));
        }
        let Some(from) = guest.build else {
            return Ok(Judged::Not("its libvirt domain is not adopted".into()));
        };
        let from = Digest::from(from.to_bytes());
        let (old, new) = (self.layout(&from)?, self.layout(build)?);
        let differ = |old: Layout, new: Layout| old.vars_size_bytes() != new.vars_size_bytes();
        let converts =
            guest.vars.is_some() && matches!((old, new), (Some(old), Some(new)) if differ(old, new));
        let code = self.build(build)?.code.path;
        let pid = fm_host::find(&guest.uuid)?.pid().to_string();
        // Converted for the judge alone: what cannot be converted is known before anything is.
        let vars = match converts {
            false => None,
            true => {
                let path = Journal::open(self.store.path())?.judged(&guest.uuid);
                if let Err(error) = converted(&pid, &path, &code, path.exists()) {
                    return Ok(Judged::Not(fm_remedy::one_line(&error)));
                }
                Some(path)
            }
        };
        let checked = fm_check::check(&Request {
            source: SideSpec {
                guest: Some(pid),
                ..SideSpec::default()
            },
            destination: SideSpec {
                code: Some(code.display().to_string()),
                vars: vars.clone(),
                ..SideSpec::default()
            },
            store: Some(self.store.path().to_owned()),
            ..Request::default()
        })?;
        if let Some(path) = vars {
            self.remove(&path)?;
        }
        let phase = checked.verdict.phase(Phase::ColdBoot);
        Ok(match phase.outcome() {
            Outcome::Compatible | Outcome::Caution => Judged::Well { converts },
            outcome => Judged::Not(match phase.findings().first() {
                Some(finding) => format!(
                    "{outcome}: {} ({}): {}",
                    finding.subject, finding.code, finding.why
                ),
                None => format!("{outcome}: nothing is known of a cold boot"),
            }),
        })
    }

    fn keep(&self, build: &Digest, why: &str) -> Result<()> {
        self.store.pin(&sha256(build)?, why)?;
        Ok(())
    }

    fn let_go(&self, guest: &str, build: &Digest, why: &str) -> Result<()> {
        let id = sha256(build)?;
        if self.store.build(&id)?.is_some() {
            self.store.unpin(&id, Some(why))?;
        }
        if self.defined(guest)?.is_some() {
            libvirt::let_go_of(self.store, &self.virsh, guest, &id)?;
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        Ok(fm_files::read_bounded(path, MAX_FLASH_BYTES)?)
    }

    fn copy_of(&self, guest: &str) -> PathBuf {
        super::record::copy_path(self.store.path(), guest)
    }

    fn convert(&self, from: &Path, to: &Path, build: &Digest) -> Result<()> {
        let code = self.build(build)?.code.path;
        converted(&from.display().to_string(), to, &code, to.exists())
    }

    fn keys(&self, guest: &DefinedFirmware, certificates: CertificateSet) -> Result<Keys> {
        let Some(path) = guest.vars.as_ref().filter(|_| certificates == SET) else {
            return Ok(Keys::Not("its variables are in no file of this host".into()));
        };
        let source = match guest.is_running {
            true => PathBuf::from(fm_host::find(&guest.uuid)?.pid().to_string()),
            false => path.clone(),
        };
        Ok(keys::judged(&fm_variables::status(&source)?))
    }

    fn enroll(&self, from: &Path, to: &Path, certificates: CertificateSet) -> Result<Option<String>> {
        if certificates != SET {
            return Ok(Some("this version does not know the certificates".into()));
        }
        let enrolment = Enrolment {
            microsoft: Some(fm_variables::Keys::Microsoft2023),
            ..Enrolment::default()
        };
        let done = fm_variables::enroll_to(&StoreTarget::file(from), to, to.exists(), &enrolment);
        match done {
            Ok(_) => Ok(None),
            // What is in the store will be in it the next time as well.
            Err(
                error @ (fm_variables::Error::Emit { .. }
                | fm_variables::Error::Parse { .. }
                | fm_variables::Error::Damaged { .. }
                | fm_variables::Error::Signature { .. }
                | fm_variables::Error::ReadOnlyKind { .. }
                | fm_variables::Error::UnknownLayout { .. }),
            ) => Ok(Some(fm_remedy::one_line(&error))),
            Err(error) => Err(error.into()),
        }
    }

    fn give(&self, guest: &str, build: &Digest) -> Result<Given> {
        self.updates.give(guest, build)
    }

    fn given(&self, guest: &str, build: &Digest) -> Result<Option<Update>> {
        self.updates.given(guest, build)
    }

    fn take_back(&self, guest: &str) -> Result<()> {
        self.updates.take_back(guest)
    }

    fn restore(&self, path: &Path, copy: &Path) -> Result<()> {
        fm_variables::restore(&RestoreRequest {
            write: StoreTarget::file(path),
            backup: Some(copy.to_owned()),
        })?;
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", path, error))
            }
            _ => Ok(()),
        }
    }

    fn switch(&self, guest: &str, build: &Digest, vars: Option<&Path>) -> Result<()> {
        Ok(libvirt::switch(
            self.store,
            &self.virsh,
            guest,
            &sha256(build)?,
            vars,
        )?)
    }

    fn shut_down(&self, guest: &str) -> Result<()> {
        Ok(self.virsh.shut_down(guest)?)
    }

    fn start(&self, guest: &str) -> Result<()> {
        Ok(self.virsh.start(guest)?)
    }
}
