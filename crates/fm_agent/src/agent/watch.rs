//! One look at the guests: what arrived is harvested, what is new is captured, what is adopted is stamped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fm_formats::Sha256;
use fm_host::Guest;
use fm_libvirt::{Identity, Stored, Virsh};
use fm_remedy::one_line;
use fm_store::{Import, Landing, Store, build_of_path};

use super::AgentEvent;
use super::arrivals::Arrivals;
use super::belief::{self, Beliefs};
use super::captured;
use super::records::{Process, Records, Seen, Share};
use fm_adopt::libvirt;

use crate::Result;

/// A landing whose guest has not come by then is forgotten; the hook takes no longer for an arrival.
const NEVER_CAME: Duration = Duration::from_secs(900);
/// As long as only zeros are there, nothing has arrived; every firmware volume starts with something else.
const HEAD_BYTES: u64 = 4096;
/// Of the time in which firmware arrives, one part in so many is spent on reading it.
const READING: u32 = 10;

/// What is still on its way after a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OnItsWay {
    /// Firmware into a landing: it is wanted as soon as it is there.
    pub(super) landing: bool,
    /// Firmware of a guest that came without one: when it has settled, it is stored.
    pub(super) unsettled: bool,
}

/// What is known of the guests between two looks.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    store: &'a Store,
    records: Records,
    virsh: Virsh,
    /// Where other hosts of the fleet get builds from this one; running domains say so.
    peer: Option<String>,
    known: BTreeMap<Process, Sha256>,
    arrivals: Arrivals,
    beliefs: Beliefs,
    /// Those whose user's share of the store is full: they are not read again.
    without_room: BTreeSet<Process>,
    /// When the flash of a guest that arrives is read as a whole again.
    again: BTreeMap<Process, Instant>,
    /// What failed is told once, and not at every look.
    told: BTreeSet<(Option<Process>, String)>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(store: &'a Store, records: Records, uri: Option<&str>, peer: Option<String>) -> Self {
        Self {
            store,
            records,
            virsh: Virsh::new(uri),
            peer,
            known: BTreeMap::new(),
            arrivals: Arrivals::default(),
            beliefs: Beliefs::default(),
            without_room: BTreeSet::new(),
            again: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// Looks at every guest.
    pub(super) fn look(&mut self, report: &mut dyn FnMut(&AgentEvent)) -> OnItsWay {
        let span = tracing::debug_span!("sweep", guests = tracing::field::Empty);
        let _in = span.enter();
        let seen = fm_host::guests()
            .map_err(crate::Error::from)
            .and_then(|listing| Ok((listing.guests, self.store.landings()?)));
        let (guests, landings) = match seen {
            Ok(seen) => seen,
            Err(error) => {
                self.failed(None, &error, report);
                return OnItsWay::default();
            }
        };
        span.record("guests", guests.len());
        let mut on_its_way = OnItsWay::default();
        let mut alive = BTreeSet::new();
        for guest in guests.iter().filter(|guest| guest.flash().is_ok()) {
            let process = Process {
                pid: guest.pid(),
                started: guest.process().start_ticks(),
            };
            match self.one(guest, &process, &landings, report) {
                Ok(found) => {
                    on_its_way.landing |= found.landing;
                    on_its_way.unsettled |= found.unsettled;
                }
                // Who ended meanwhile needs nothing any more.
                Err(_) if !guest.is_alive() => {}
                Err(error) => self.failed(Some(process.clone()), &error, report),
            }
            alive.insert(process);
        }
        self.known.retain(|process, _| alive.contains(process));
        self.arrivals.retain(&alive);
        self.beliefs.retain(&alive);
        self.without_room.retain(|process| alive.contains(process));
        self.again.retain(|process, _| alive.contains(process));
        self.told
            .retain(|(process, _)| process.as_ref().is_none_or(|process| alive.contains(process)));
        on_its_way
    }

    fn failed(
        &mut self,
        process: Option<Process>,
        error: &crate::Error,
        report: &mut dyn FnMut(&AgentEvent),
    ) {
        let why = one_line(error);
        if self.told.insert((process, why.clone())) {
            report(&AgentEvent::Failed { why });
        }
    }

    fn one(
        &mut self,
        guest: &Guest,
        process: &Process,
        landings: &[Landing],
        report: &mut dyn FnMut(&AgentEvent),
    ) -> Result<OnItsWay> {
        if let Some(landing) = landing_of(guest, landings).filter(|landing| landing.placeholder) {
            let landing = self.landing(guest, process, landing, report)?;
            return Ok(OnItsWay {
                landing,
                unsettled: false,
            });
        }
        if self.known.contains_key(process) || self.without_room.contains(process) {
            return Ok(OnItsWay::default());
        }
        if let Some(build) = self.records.build_of(process)? {
            // An agent before this one has looked at this very process.
            self.known.insert(process.clone(), build);
            return Ok(OnItsWay::default());
        }
        let came = guest
            .process()
            .arguments()?
            .iter()
            .any(|word| word == "-incoming");
        let domain = self.beliefs.domain(guest, process, &self.virsh);
        let domain = domain.as_deref();
        if came
            && !self
                .arrivals
                .may_have_settled(guest, process, domain, &self.virsh)
        {
            return Ok(OnItsWay {
                landing: false,
                unsettled: true,
            });
        }
        let code = guest.read_flash(0)?;
        let build = Sha256::of(&code);
        if came && !self.arrivals.has_settled(process, domain, &self.virsh, build) {
            return Ok(OnItsWay {
                landing: false,
                unsettled: true,
            });
        }
        if self.store.build(&build)?.is_none() {
            let share = self.share(guest, process, code.len() as u64)?;
            self.store.import(&Import {
                code: &code,
                source: Some(fm_adopt::capture::SOURCE),
                ..Import::default()
            })?;
            self.records.stored(&build, share, now_s())?;
            report(&AgentEvent::Captured {
                guest: guest.label(),
                build: build.to_string(),
            });
        }
        self.saw(guest, process, build)?;
        if let Some(uuid) = domain.filter(|_| came)
            && let Ok(Some(identity)) = self.virsh.stamped(uuid)
            && let Some(booted) = identity.booted.filter(|booted| booted.build != build)
            && identity.build == build
        {
            // It was given this build before it came, and waits for its reset here.
            let waited = fm_update::Waits {
                runs: booted.build,
                next: build,
                boots: booted.boots,
            };
            fm_update::arrived_waiting(self.store, guest, &waited)?;
        }
        if let Some(uuid) = domain
            && self.stamp(guest, uuid, build, code.len() as u64, came)?
        {
            report(&AgentEvent::Stamped {
                guest: guest.label(),
                build: build.to_string(),
            });
        }
        Ok(OnItsWay::default())
    }

    /// The share of the store that a build takes which a guest runs, if it is somebody's.
    fn share(&mut self, guest: &Guest, process: &Process, size_bytes: u64) -> Result<Option<Share>> {
        let Some(uid) = self.beliefs.user(guest, process, &self.virsh)? else {
            return Ok(None);
        };
        let (count, all_bytes) = self.records.share_of(uid)?;
        if belief::has_room(count, all_bytes, size_bytes) {
            return Ok(Some(Share { uid, size_bytes }));
        }
        self.without_room.insert(process.clone());
        Err(crate::Error::ShareFull {
            guest: guest.label(),
            uid,
            count,
        })
    }

    fn saw(&mut self, guest: &Guest, process: &Process, build: Sha256) -> Result<()> {
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
        Ok(())
    }

    /// Harvests a landing if its bytes are there; tells whether they are still on their way.
    fn landing(
        &mut self,
        guest: &Guest,
        process: &Process,
        landing: &Landing,
        report: &mut dyn FnMut(&AgentEvent),
    ) -> Result<bool> {
        let memory = guest.memory()?;
        let region = guest.flash_region(&memory, 0)?;
        let head = guest.read_region(&memory, 0, region, HEAD_BYTES)?;
        let now = Instant::now();
        let is_early = self.again.get(process).is_some_and(|again| now < *again);
        if is_early || head.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        let build = Sha256::of(&guest.read_region(&memory, 0, region, u64::MAX)?);
        if build != landing.code {
            self.again
                .insert(process.clone(), Instant::now() + now.elapsed() * READING);
            return Ok(true);
        }
        let is_new = self.store.build(&build)?.is_none();
        fm_transfer::harvest::after_migration(self.store, guest.pid(), Some(build), false)?;
        if is_new {
            self.records.stored(&build, None, now_s())?;
        }
        self.saw(guest, process, build)?;
        report(&AgentEvent::Harvested {
            guest: guest.label(),
            build: build.to_string(),
        });
        Ok(false)
    }

    /// An adopted domain that runs another build than it says is told the truth. Who came by a stream brought along
    /// what its source knew of it, unless it was saved before its domain was adopted. A domain that starts from the store
    /// and says nothing was adopted, and whoever manages it wrote its metadata anew (OpenStack does so at a hard reboot).
    /// Who is no domain, or whose libvirt does not answer, is left alone.
    fn stamp(&self, guest: &Guest, uuid: &str, build: Sha256, code_bytes: u64, came: bool) -> Result<bool> {
        let identity = match self.virsh.stamped(uuid) {
            Ok(Some(identity)) if came || (identity.build == build && self.is_told(&identity)) => {
                return Ok(false);
            }
            Ok(Some(identity)) => Some(identity),
            Ok(None) => match self.virsh.defined(uuid) {
                Ok(None) if !self.starts_from_store(guest) => return Ok(false),
                Ok(identity) => identity,
                Err(_) => return Ok(false),
            },
            Err(_) => return Ok(false),
        };
        let booted = identity
            .as_ref()
            .filter(|identity| identity.build == build)
            .and_then(|identity| identity.booted);
        let stored = Stored {
            build,
            code_bytes,
            vars_bytes: guest.flash_unit(1).ok().and_then(|unit| unit.size_bytes),
            vars_template: identity.and_then(|identity| identity.vars_template),
            code: Default::default(),
            template: None,
            peer: self.peer.clone(),
            booted,
            chosen: None,
        };
        self.virsh.stamp(uuid, &fm_libvirt::metadata(&stored))?;
        Ok(true)
    }

    fn starts_from_store(&self, guest: &Guest) -> bool {
        let unit = guest.flash_unit(0).ok();
        let path = unit.as_ref().and_then(|unit| unit.path.as_deref());
        path.and_then(|path| build_of_path(self.store.path(), path))
            .is_some()
    }

    /// Whether a running domain says where its build is to be had; where nobody gives builds away, it need not.
    fn is_told(&self, identity: &Identity) -> bool {
        self.peer.is_none() || self.peer == identity.peer
    }

    /// A build that came from the fleet is the agent's to remove, as if it had come with a guest.
    pub(super) fn fetched(&mut self, build: &str, report: &mut dyn FnMut(&AgentEvent)) {
        let Ok(build) = build.parse() else { return };
        if let Err(error) = self.records.stored(&build, None, now_s()) {
            self.failed(None, &error.into(), report);
        }
    }

    /// Removes what the agent stored and nobody has needed for `keep`.
    pub(super) fn collect(&mut self, keep: Duration, report: &mut dyn FnMut(&AgentEvent)) {
        if let Err(error) = self.try_collect(keep, report) {
            self.failed(None, &error, report);
        }
    }

    fn try_collect(&mut self, keep: Duration, report: &mut dyn FnMut(&AgentEvent)) -> Result<()> {
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
        for landing in libvirt::forget_stale_landings(self.store, NEVER_CAME)? {
            report(&AgentEvent::Forgot { landing });
        }
        // Whose libvirt does not answer may need whatever is pinned for it.
        let domains = self.virsh.uuids().ok();
        if let Some(domains) = &domains {
            self.adopted(domains, now_s)?;
        }
        let running: Vec<Sha256> = self.known.values().copied().collect();
        let domains_known = domains.as_deref();
        captured::let_go(
            self.store,
            &mut self.records,
            &running,
            domains_known,
            now_s,
            before_s,
        )?;
        let mut unneeded = self.records.unneeded(before_s)?;
        unneeded.retain(|build| !self.known.values().any(|needed| needed == build));
        for build in domains.iter().flat_map(|_| &unneeded) {
            self.let_go(build)?;
        }
        for build in fm_store::verbs::collect_unneeded(self.store, &unneeded, keep)? {
            self.records.forget(Some(&build), before_s)?;
            report(&AgentEvent::Collected {
                build: build.to_string(),
            });
        }
        self.records.forget(None, before_s)?;
        Ok(())
    }

    /// What `adopt` stored is the agent's to remove as well, once all the domains that it is pinned for are gone.
    fn adopted(&mut self, domains: &[String], now_s: i64) -> Result<()> {
        for build in self.store.readable_builds()?.0 {
            let mut pinned_for = build
                .pins
                .iter()
                .filter_map(|pin| libvirt::pinned_for(pin))
                .peekable();
            if pinned_for.peek().is_none() {
                continue;
            }
            if build
                .source
                .is_some_and(|source| source.starts_with(libvirt::SOURCE))
            {
                self.records.stored(&build.id, None, now_s)?;
            }
            if pinned_for.any(|uuid| domains.iter().any(|domain| domain == uuid)) {
                self.records.needed(&build.id, now_s)?;
            }
        }
        Ok(())
    }

    /// Takes away the pins of domains that nobody has heard of for so long; those of others stay.
    fn let_go(&self, build: &Sha256) -> Result<()> {
        let pins = self
            .store
            .build(build)?
            .map(|build| build.pins)
            .unwrap_or_default();
        for pin in pins.iter().filter(|pin| libvirt::pinned_for(pin).is_some()) {
            self.store.unpin(build, Some(pin))?;
        }
        Ok(())
    }
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
