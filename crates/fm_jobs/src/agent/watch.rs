//! One look at the guests: what arrived is harvested, what is new is captured, what is adopted is stamped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fm_formats::Sha256;
use fm_host::{Guest, in_one_line};
use fm_libvirt::Stored;
use fm_store::{Import, Landing, Store};

use super::Did;
use super::records::{Process, Records, Seen};
use crate::Result;
use crate::libvirt::{self, Virsh};

/// After this long a guest that came without a landing is not looked at again: flash is sent early.
const ARRIVED: Duration = Duration::from_secs(600);

/// What is known of the guests between two looks.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    store: &'a Store,
    records: Records,
    virsh: Virsh,
    known: BTreeMap<Process, Sha256>,
    /// Guests that came by a stream, and when they were first seen: until theirs has arrived, their flash holds
    /// what the file here holds, and nobody but QEMU knows when that is.
    arrivals: BTreeMap<Process, Instant>,
    /// What failed is told once, and not at every look.
    told: BTreeSet<(Option<Process>, String)>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(store: &'a Store, records: Records, uri: Option<&str>) -> Self {
        Self {
            store,
            records,
            virsh: Virsh::new(uri),
            known: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// Looks at every guest. Tells whether one's firmware is still on its way.
    pub(super) fn look(&mut self, report: &mut dyn FnMut(&Did)) -> bool {
        let seen = fm_host::guests()
            .map_err(crate::Error::from)
            .and_then(|listing| Ok((listing.guests, self.store.landings()?)));
        let (guests, landings) = match seen {
            Ok(seen) => seen,
            Err(error) => {
                self.failed(None, &error, report);
                return false;
            }
        };
        let mut is_arriving = false;
        let mut alive = BTreeSet::new();
        for guest in guests.iter().filter(|guest| guest.flash().is_ok()) {
            let process = Process {
                pid: guest.pid(),
                started: guest.process().start_ticks(),
            };
            match self.one(guest, &process, &landings, report) {
                Ok(arriving) => is_arriving |= arriving,
                // Who ended meanwhile needs nothing any more.
                Err(_) if !guest.is_alive() => {}
                Err(error) => self.failed(Some(process.clone()), &error, report),
            }
            alive.insert(process);
        }
        self.known.retain(|process, _| alive.contains(process));
        self.arrivals.retain(|process, _| alive.contains(process));
        self.told
            .retain(|(process, _)| process.as_ref().is_none_or(|process| alive.contains(process)));
        is_arriving
    }

    fn failed(&mut self, process: Option<Process>, error: &crate::Error, report: &mut dyn FnMut(&Did)) {
        let why = in_one_line(error);
        if self.told.insert((process, why.clone())) {
            report(&Did::Failed { why });
        }
    }

    /// Tells whether the guest's firmware is still on its way.
    fn one(
        &mut self,
        guest: &Guest,
        process: &Process,
        landings: &[Landing],
        report: &mut dyn FnMut(&Did),
    ) -> Result<bool> {
        let waiting = landing_of(guest, landings).filter(|landing| landing.placeholder);
        if waiting.is_none() && self.known.contains_key(process) {
            return Ok(false);
        }
        if waiting.is_none()
            && let Some(build) = self.records.build_of(process)?
        {
            // An agent before this one has looked at this very process.
            self.known.insert(process.clone(), build);
            return Ok(false);
        }
        let code = guest.read_flash(0)?;
        let build = Sha256::of(&code);
        let name = guest.label();
        match waiting {
            Some(landing) if landing.code != build => return Ok(true),
            Some(landing) => {
                self.harvest(guest, landing)?;
                report(&Did::Harvested {
                    guest: name.clone(),
                    build: build.to_string(),
                });
            }
            None if self.store.build(&build)?.is_none() => {
                self.store.import(&Import {
                    code: &code,
                    source: Some("captured from a running guest"),
                    ..Import::default()
                })?;
                self.records.stored(&build, now_s())?;
                report(&Did::Captured {
                    guest: name.clone(),
                    build: build.to_string(),
                });
            }
            None => {}
        }
        let came = guest
            .process()
            .arguments()?
            .iter()
            .any(|word| word == "-incoming");
        if came && waiting.is_none() {
            let since = self.arrivals.entry(process.clone()).or_insert_with(Instant::now);
            if since.elapsed() < ARRIVED {
                return Ok(false);
            }
        }
        self.records.saw(
            &Seen {
                process,
                uuid: guest.uuid(),
                name: guest.name(),
                build: &build,
            },
            now_s(),
        )?;
        self.known.insert(process.clone(), build);
        // Who came by a stream brought along what its source knew of it.
        if !came && self.stamp(guest, build, code.len() as u64)? {
            report(&Did::Stamped {
                guest: name,
                build: build.to_string(),
            });
        }
        Ok(false)
    }

    fn harvest(&mut self, guest: &Guest, landing: &Landing) -> Result<()> {
        let is_new = self.store.build(&landing.code)?.is_none();
        crate::harvest::after_migration(self.store, guest.pid(), Some(landing.code))?;
        if is_new {
            self.records.stored(&landing.code, now_s())?;
        }
        // A domain adopted elsewhere names the build's template; firmware can start with an empty store
        // should the domain's own file be lost.
        let vars_bytes = guest.flash_unit(1).ok().and_then(|unit| unit.size_bytes);
        let lacks = self
            .store
            .build(&landing.code)?
            .is_some_and(|build| build.vars_template.is_none());
        if let (true, Some(vars_bytes)) = (lacks, vars_bytes)
            && libvirt::layout_of(vars_bytes).is_some()
        {
            let empty = libvirt::template(self.store, vars_bytes)?;
            let read =
                |path: &Path| std::fs::read(path).map_err(|source| crate::Error::file("read", path, source));
            self.store.import(&Import {
                code: &read(&landing_code(self.store, landing)?)?,
                vars_template: Some(&read(&empty)?),
                ..Import::default()
            })?;
        }
        Ok(())
    }

    /// An adopted domain that runs another build than it says is told the truth. Who is no domain, or whose
    /// libvirt does not answer, is left alone.
    fn stamp(&self, guest: &Guest, build: Sha256, code_bytes: u64) -> Result<bool> {
        let Some(uuid) = guest.uuid() else {
            return Ok(false);
        };
        match libvirt::stamped(&self.virsh, uuid) {
            Ok(Some(identity)) if identity.build != build => {}
            _ => return Ok(false),
        }
        let stored = Stored {
            build,
            code_bytes,
            vars_bytes: guest.flash_unit(1).ok().and_then(|unit| unit.size_bytes),
            code: Default::default(),
            template: None,
            chosen: None,
        };
        self.virsh.stamp(uuid, &fm_libvirt::metadata(&stored))?;
        Ok(true)
    }

    /// Removes what the agent stored and nobody has needed for `keep`.
    pub(super) fn collect(&mut self, keep: Duration, report: &mut dyn FnMut(&Did)) {
        if let Err(error) = self.try_collect(keep, report) {
            self.failed(None, &error, report);
        }
    }

    fn try_collect(&mut self, keep: Duration, report: &mut dyn FnMut(&Did)) -> Result<()> {
        let now_s = now_s();
        for (process, build) in &self.known {
            let seen = Seen {
                process,
                uuid: None,
                name: None,
                build,
            };
            self.records.saw(&seen, now_s)?;
        }
        let before_s = now_s.saturating_sub(i64::try_from(keep.as_secs()).unwrap_or(i64::MAX));
        let mut unneeded = self.records.unneeded(before_s)?;
        unneeded.retain(|build| !self.known.values().any(|needed| needed == build));
        for build in crate::store::collect_unneeded(self.store, &unneeded, keep)? {
            self.records.forget(Some(&build), before_s)?;
            report(&Did::Collected {
                build: build.to_string(),
            });
        }
        self.records.forget(None, before_s)?;
        Ok(())
    }
}

/// The stored CODE of a landing that was harvested.
fn landing_code(store: &Store, landing: &Landing) -> Result<std::path::PathBuf> {
    let build = store.build(&landing.code)?;
    let build = build.ok_or_else(|| fm_store::Error::UnknownBuild {
        text: landing.code.to_string(),
    })?;
    Ok(build.code.path)
}

/// The landing that a guest's CODE flash was started from.
fn landing_of<'a>(guest: &Guest, landings: &'a [Landing]) -> Option<&'a Landing> {
    let path = guest.flash_unit(0).ok()?.path.as_ref()?;
    landings
        .iter()
        .find(|landing| landing.path == *path || landing.path.canonicalize().is_ok_and(|real| real == *path))
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
