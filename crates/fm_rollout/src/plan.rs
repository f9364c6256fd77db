//! What would happen to whom: guests in classes of equal facts, each class judged once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fm_api::v1::check as api;
use fm_api::v1::fleet::{BuildFacts, Digest, GuestFacts, GuestRow, GuestState, HostId, Rest};
use fm_api::v1::rollout::{
    LeaveReason, PlanAction, PlanClass, PlanGuest, PlannedWave, RolloutPlan, RolloutSpec, TakesAt,
};
use fm_api::v1::update::Finding;
use fm_judge::{Outcome, Phase};

use crate::facts::{self, Build, Guest};
use crate::selector::{Selector, Subject};
use crate::waves::{position, wave_of};

mod certificates;
mod reset;

/// So many guests of a class are named in a plan.
const MAX_EXAMPLE_COUNT: usize = 5;
/// Sizes of variables that differ by less make no class of their own.
const USED_STEP_BYTES: u64 = 0x1000;
const LARGEST_STEP_BYTES: u64 = 0x400;

/// A build that is known.
#[derive(Debug, Clone)]
pub struct KnownBuild {
    /// The size of its CODE.
    pub size_bytes: Option<u64>,
    /// What it shows.
    pub facts: BuildFacts,
}

/// A guest and where it is, as its host reported it.
#[derive(Debug, Clone, Copy)]
pub struct ReportedGuest<'a> {
    /// Its host.
    pub host: &'a HostId,
    /// That host's labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Its row.
    pub guest: &'a GuestRow,
}

/// A guest that gets a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedMember {
    /// Its uuid.
    pub guest: String,
    /// What people call it.
    pub name: Option<String>,
    /// Where it is.
    pub host: HostId,
    /// What it runs.
    pub from: Digest,
    /// What it gets.
    pub build: Digest,
    /// Its wave; 0 if it goes first.
    pub wave: u32,
}

/// A plan, and the guests in it if they were wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// For people.
    pub plan: RolloutPlan,
    /// By host and uuid.
    pub members: Vec<PlannedMember>,
}

/// Sees every guest of a fleet, one after the other.
#[derive(Debug)]
pub struct Planner<'a> {
    id: &'a str,
    spec: &'a RolloutSpec,
    selector: Selector,
    builds: &'a BTreeMap<Digest, KnownBuild>,
    pinned: &'a BTreeSet<String>,
    taken: &'a BTreeSet<String>,
    keeps_members: bool,
    classes: HashMap<Vec<u8>, usize>,
    found: Vec<Class>,
    hosts: BTreeSet<HostId>,
    members: Vec<(usize, PlannedMember)>,
    own_window_count: u64,
    key: Vec<u8>,
}

#[derive(Debug)]
struct Class {
    shown: PlanClass,
    /// The guest that goes first, by its position.
    first: Option<(u64, String)>,
    /// How many have their turn in each wave, those that go first counted with their own.
    waves: Vec<u64>,
}

impl<'a> Planner<'a> {
    /// For one rollout. `pinned` guests are left out, and so are those that others have `taken`.
    ///
    /// # Errors
    /// As [`crate::check`].
    pub fn new(
        id: &'a str,
        spec: &'a RolloutSpec,
        builds: &'a BTreeMap<Digest, KnownBuild>,
        pinned: &'a BTreeSet<String>,
        taken: &'a BTreeSet<String>,
    ) -> crate::Result<Self> {
        Ok(Self {
            selector: crate::check(spec)?,
            id,
            spec,
            builds,
            pinned,
            taken,
            keeps_members: false,
            classes: HashMap::new(),
            found: Vec::new(),
            hosts: BTreeSet::new(),
            members: Vec::new(),
            own_window_count: 0,
            key: Vec::new(),
        })
    }

    /// The guests are wanted one by one, not only in figures.
    #[must_use]
    pub fn with_members(mut self) -> Self {
        self.keeps_members = true;
        self
    }

    /// Takes one guest into account.
    pub fn add_guest(&mut self, reported: &ReportedGuest<'_>) {
        let guest = reported.guest;
        let subject = Subject {
            host: reported.host.as_str(),
            labels: reported.labels,
            guest,
        };
        if self.spec.from.is_some() && guest.build != self.spec.from || !self.selector.matches(&subject) {
            return;
        }
        let build = self.build_for(guest);
        let leave = self.leave(guest, build);
        let class = self.class_of(guest, build, leave);
        let Some(known) = self.found.get_mut(class) else {
            return;
        };
        known.shown.guest_count += 1;
        if known.shown.guests.len() < MAX_EXAMPLE_COUNT {
            known.shown.guests.push(PlanGuest {
                uuid: guest.uuid.clone(),
                name: guest.name.clone(),
                host: reported.host.clone(),
            });
        }
        if known.shown.action == PlanAction::LeaveOut {
            return;
        }
        let at = position(self.id, &guest.uuid);
        let wave = wave_of(at, &self.spec.waves);
        if let Some(count) = known.waves.get_mut(wave as usize) {
            *count += 1;
        }
        if known
            .first
            .as_ref()
            .is_none_or(|(first, uuid)| (at, &guest.uuid) < (*first, uuid))
        {
            known.first = Some((at, guest.uuid.clone()));
        }
        if !self.hosts.contains(reported.host) {
            self.hosts.insert(reported.host.clone());
        }
        let owner = guest.facts.as_ref().and_then(|facts| facts.owner.as_ref());
        self.own_window_count += u64::from(owner.is_some_and(|owner| owner.window.is_some()));
        if let (true, Some(from), Some(build)) = (self.keeps_members, &guest.build, build) {
            let member = PlannedMember {
                guest: guest.uuid.clone(),
                name: guest.name.clone(),
                host: reported.host.clone(),
                from: from.clone(),
                build: build.clone(),
                wave,
            };
            self.members.push((class, member));
        }
    }

    /// The plan.
    #[must_use]
    pub fn finish(mut self, revision: u64) -> Planned {
        let mut waves = vec![0; self.spec.waves.len() + 1];
        for class in &self.found {
            for (sum, count) in waves.iter_mut().zip(&class.waves) {
                *sum += count;
            }
            if let Some((at, _)) = &class.first {
                let own = wave_of(*at, &self.spec.waves) as usize;
                if let Some(count) = waves.get_mut(own) {
                    *count -= 1;
                }
                if let Some(first) = waves.first_mut() {
                    *first += 1;
                }
            }
        }
        for (class, member) in &mut self.members {
            let first = self.found.get(*class).and_then(|class| class.first.as_ref());
            if first.is_some_and(|(_, uuid)| *uuid == member.guest) {
                member.wave = 0;
            }
        }
        let mut members: Vec<PlannedMember> = self.members.into_iter().map(|(_, member)| member).collect();
        members.sort_by(|left, right| (&left.host, &left.guest).cmp(&(&right.host, &right.guest)));
        let mut classes: Vec<PlanClass> = self.found.into_iter().map(|class| class.shown).collect();
        classes.sort_by(|left, right| {
            (left.action, left.reason, right.guest_count).cmp(&(right.action, right.reason, left.guest_count))
        });
        let count = |action| {
            let of = classes.iter().filter(|class| class.action == action);
            of.map(|class| class.guest_count).sum()
        };
        let asked = classes.iter().filter(|class| class.asks_for_keys);
        let percents = std::iter::once(None).chain(self.spec.waves.iter().copied().map(Some));
        let plan = RolloutPlan {
            schema: fm_api::Schema::default(),
            spec: self.spec.clone(),
            selected_count: classes.iter().map(|class| class.guest_count).sum(),
            moved_count: count(PlanAction::Move),
            converted_count: count(PlanAction::Convert),
            enrolled_count: count(PlanAction::Enroll),
            left_out_count: count(PlanAction::LeaveOut),
            asked_for_keys_count: asked
                .filter(|class| class.action != PlanAction::LeaveOut)
                .map(|class| class.guest_count)
                .sum(),
            own_window_count: self.own_window_count,
            host_count: self.hosts.len() as u64,
            waves: percents
                .zip(waves)
                .map(|(percent, guest_count)| PlannedWave { percent, guest_count })
                .collect(),
            classes,
            revision,
        };
        Planned { plan, members }
    }

    /// The build that a guest would get: the first that lays variables out as its own does. Of one whose keys change it
    /// is what it starts with anyway.
    fn build_for<'g>(&self, guest: &'g GuestRow) -> Option<&'g Digest>
    where
        'a: 'g,
    {
        let spec = self.spec;
        if spec.certificates.is_some() {
            return guest.next_build.as_ref().or(guest.build.as_ref());
        }
        let fits = |build: &&Digest| {
            let known = self
                .builds
                .get(*build)
                .and_then(|known| known.facts.layout.as_ref());
            known.is_some() && known == guest.layout.as_ref()
        };
        spec.builds.iter().find(fits).or(spec.builds.first())
    }

    /// Why a guest is left out before anything is judged.
    fn leave(&self, guest: &GuestRow, build: Option<&Digest>) -> Option<LeaveReason> {
        let of_certificates = self.spec.certificates.is_some();
        let next = guest.next_build.as_ref().or(guest.build.as_ref());
        if of_certificates && certificates::has_all(guest) {
            return Some(LeaveReason::SameCertificates);
        }
        if !of_certificates && next.is_some() && next == build {
            return Some(LeaveReason::SameBuild);
        }
        if self.pinned.contains(&guest.uuid) {
            return Some(LeaveReason::Pinned);
        }
        let owner = guest.facts.as_ref().and_then(|facts| facts.owner.as_ref());
        if owner.is_some_and(|owner| owner.pin.is_some()) {
            return Some(LeaveReason::PinnedByOwner);
        }
        if self.taken.contains(&guest.uuid) {
            return Some(LeaveReason::OtherRollout);
        }
        if matches!(
            guest.state,
            GuestState::Arriving | GuestState::Departing | GuestState::Unknown
        ) {
            return Some(LeaveReason::Moving);
        }
        let is_known = |build: Option<&Digest>| build.is_some_and(|build| self.builds.contains_key(build));
        let knows = match of_certificates {
            true => guest.build.is_some(),
            false => is_known(guest.build.as_ref()) && is_known(build),
        };
        if !knows {
            return Some(LeaveReason::UnknownBuild);
        }
        match guest.facts.as_ref().and_then(|facts| facts.adopted) {
            Some(true) if of_certificates => certificates::leave(guest),
            Some(true) => None,
            _ => Some(LeaveReason::NotAdopted),
        }
    }

    /// The class of a guest, judged when its first guest is seen.
    fn class_of(&mut self, guest: &GuestRow, build: Option<&Digest>, leave: Option<LeaveReason>) -> usize {
        let mut key = std::mem::take(&mut self.key);
        write_key(&mut key, guest, build, leave);
        if self.spec.certificates.is_some() {
            certificates::write_key(&mut key, guest);
        }
        let class = match self.classes.get(key.as_slice()) {
            Some(class) => *class,
            None => {
                let class = self.found.len();
                let shown = self.judge(guest, build, leave);
                self.found.push(Class {
                    shown,
                    first: None,
                    waves: vec![0; self.spec.waves.len() + 1],
                });
                self.classes.insert(key.clone(), class);
                class
            }
        };
        self.key = key;
        class
    }

    fn judge(&self, guest: &GuestRow, build: Option<&Digest>, leave: Option<LeaveReason>) -> PlanClass {
        let mut class = PlanClass {
            action: PlanAction::LeaveOut,
            reason: leave,
            from: guest.build.clone(),
            build: build.cloned(),
            layout: guest.layout.clone(),
            machine: guest.machine.clone(),
            qemu: guest.qemu.clone(),
            secure_boot: guest.secure_boot,
            tpm: guest.facts.as_ref().and_then(|facts| facts.tpm),
            asks_for_keys: false,
            outcome: api::Outcome::Unknown,
            findings: Vec::new(),
            refusals: Vec::new(),
            guest_count: 0,
            guests: Vec::new(),
        };
        if leave.is_some() {
            return class;
        }
        if self.spec.certificates.is_some() {
            certificates::judge(guest, &mut class);
            return class;
        }
        let (Some(from), Some(build)) = (guest.build.as_ref(), build) else {
            return class;
        };
        let (Some(old), Some(new)) = (self.builds.get(from), self.builds.get(build)) else {
            return class;
        };
        fn of<'k>(digest: &'k Digest, known: &'k KnownBuild) -> Build<'k> {
            Build {
                digest,
                size_bytes: known.size_bytes,
                facts: &known.facts,
            }
        }
        let rounded = guest.facts.as_ref().map(rounded);
        let source = facts::source(
            &Guest {
                layout: guest.layout.as_deref(),
                machine: guest.machine.as_deref(),
                qemu: guest.qemu.as_deref(),
                facts: rounded.as_ref(),
            },
            &of(from, old),
        );
        let converts = facts::converts(guest.layout.as_deref(), new.facts.layout.as_deref());
        let destination = facts::destination(&source, &of(build, new), converts);
        let verdict = fm_judge::judge(&source, &destination);
        let phase = verdict.phase(Phase::ColdBoot);
        class.outcome = outcome(phase.outcome());
        class.findings = phase
            .findings()
            .iter()
            .filter(|finding| finding.outcome != Outcome::Compatible)
            .map(|finding| Finding {
                code: finding.code.to_owned(),
                outcome: outcome(finding.outcome),
                subject: finding.subject.clone(),
                why: finding.why.clone(),
                remedy: None,
            })
            .collect();
        class.asks_for_keys = class
            .findings
            .iter()
            .any(|finding| finding.code == "FM-MEASURED-BOOT");
        (class.action, class.reason) = match phase.outcome() {
            Outcome::Compatible | Outcome::Caution if converts => (PlanAction::Convert, None),
            Outcome::Compatible | Outcome::Caution => (PlanAction::Move, None),
            Outcome::Unknown => (PlanAction::LeaveOut, Some(LeaveReason::Unknown)),
            Outcome::Incompatible => (PlanAction::LeaveOut, Some(LeaveReason::Incompatible)),
        };
        if self.spec.at == TakesAt::Reset && class.action != PlanAction::LeaveOut {
            class.refusals = reset::refusals(guest, old.size_bytes, new.size_bytes);
            if !class.refusals.is_empty() {
                (class.action, class.reason) = (PlanAction::LeaveOut, Some(LeaveReason::NotAtReset));
            }
        }
        class
    }
}

/// The facts with sizes rounded up, so that guests that differ in bytes only are one class.
fn rounded(facts: &GuestFacts) -> GuestFacts {
    let up = |bytes: Option<u64>, step: u64| bytes.map(|bytes| bytes.div_ceil(step).saturating_mul(step));
    GuestFacts {
        vars_used_bytes: up(facts.vars_used_bytes, USED_STEP_BYTES),
        vars_largest_bytes: up(facts.vars_largest_bytes, LARGEST_STEP_BYTES),
        // What a newer host says besides is not judged here.
        rest: Rest::new(),
        ..facts.clone()
    }
}

/// Everything that judging looks at, in bytes that are equal where it is.
fn write_key(key: &mut Vec<u8>, guest: &GuestRow, build: Option<&Digest>, leave: Option<LeaveReason>) {
    key.clear();
    let mut text = |text: Option<&str>| {
        match text {
            None => key.push(0),
            Some(text) => {
                key.push(1);
                key.extend_from_slice(text.as_bytes());
            }
        }
        key.push(0xff);
    };
    text(guest.build.as_ref().map(Digest::as_str));
    text(build.map(Digest::as_str));
    text(guest.layout.as_deref());
    text(guest.machine.as_deref());
    text(guest.qemu.as_deref());
    text(
        guest
            .facts
            .as_ref()
            .and_then(|facts| facts.confidential.as_deref()),
    );
    let bit = |flag: Option<bool>| flag.map_or(2, u8::from);
    key.push(leave.map_or(0, |leave| leave as u8 + 1));
    key.push(bit(guest.secure_boot));
    let Some(facts) = &guest.facts else { return };
    for flag in [
        facts.vars_sound,
        facts.vars_authenticated,
        facts.vars_keys,
        facts.vars_kept,
        facts.smm,
        facts.secure_flash,
        facts.s3,
        facts.tpm,
        facts.adopted,
    ] {
        key.push(bit(flag));
    }
    let step = |bytes: Option<u64>, step: u64| bytes.map_or(u64::MAX, |bytes| bytes.div_ceil(step));
    for number in [
        facts.vars_size_bytes.unwrap_or(u64::MAX),
        step(facts.vars_used_bytes, USED_STEP_BYTES),
        step(facts.vars_largest_bytes, LARGEST_STEP_BYTES),
    ] {
        key.extend_from_slice(&number.to_be_bytes());
    }
}

/// The word for an outcome.
const fn outcome(outcome: Outcome) -> api::Outcome {
    match outcome {
        Outcome::Compatible => api::Outcome::Compatible,
        Outcome::Caution => api::Outcome::Caution,
        Outcome::Unknown => api::Outcome::Unknown,
        Outcome::Incompatible => api::Outcome::Incompatible,
    }
}

#[cfg(test)]
mod tests;
