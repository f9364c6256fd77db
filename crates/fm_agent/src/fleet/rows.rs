//! What was seen on a host as the rows of its report.

use std::collections::{BTreeMap, BTreeSet};

use fm_api::v1::fleet::{
    Certificates, Digest, GuestFacts, GuestProgress, GuestRow, GuestState, HeldBuild, HostPin, LandingRow,
    OwnerWish, Rest, Use, UseReason, is_id,
};
use fm_api::v1::ps::{PsGuest, SecureBootState};
use fm_store::{Build, Landing};

/// Everything that a scan saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) guests: Vec<(PsGuest, Option<Certificates>)>,
    pub(super) builds: Vec<Build>,
    pub(super) landings: Vec<Landing>,
    /// What judging needs to know of guests, by process.
    pub(super) facts: BTreeMap<u32, GuestFacts>,
    /// Guests whose definitions name builds of this store, and what their owners say of rollouts.
    pub(super) adopted: BTreeMap<String, Option<OwnerWish>>,
    /// How far guests have come with rollouts.
    pub(super) rollouts: Vec<GuestProgress>,
    /// What the host's owner says of it.
    pub(super) labels: BTreeMap<String, String>,
    /// Whether all of every guest could be seen: only then may the scan acknowledge anything.
    pub(super) is_complete: bool,
}

/// A guest that was here and is not any more, and may be on its way to another host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Departing {
    pub(super) guest: String,
    pub(super) build: Digest,
}

/// The rows of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Rows {
    pub(super) guests: Vec<GuestRow>,
    pub(super) builds: Vec<HeldBuild>,
    pub(super) landings: Vec<LandingRow>,
    pub(super) pins: Vec<HostPin>,
    pub(super) uses: Vec<Use>,
    #[serde(default)]
    pub(super) rollouts: Vec<GuestProgress>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
}

impl Rows {
    /// What was seen, and what left.
    pub(super) fn of(seen: &Seen, departing: &[Departing]) -> Self {
        let mut rows = Self::default();
        let mut uses = BTreeSet::new();
        for (guest, certificates) in &seen.guests {
            let mut row = row(guest, certificates.clone(), &seen.landings);
            row.facts = seen.facts.get(&guest.pid).cloned().map(|facts| GuestFacts {
                adopted: Some(seen.adopted.contains_key(&row.uuid)),
                owner: seen.adopted.get(&row.uuid).cloned().flatten(),
                ..facts
            });
            let mut needs = |build: &Option<Digest>, reason| {
                if let Some(build) = build {
                    uses.insert(Use {
                        build: build.clone(),
                        reason,
                        guest: Some(row.uuid.clone()),
                    });
                }
            };
            needs(&row.build, UseReason::Runs);
            needs(&row.next_build, UseReason::NextBoot);
            needs(&row.next_reset, UseReason::NextBoot);
            rows.guests.push(row);
        }
        for landing in &seen.landings {
            let build = Digest::from(landing.code.to_bytes());
            let guest = first_id([&landing.guest_uuid, &landing.guest_name]);
            uses.insert(Use {
                build: build.clone(),
                reason: UseReason::Landing,
                guest: guest.clone(),
            });
            rows.landings.push(LandingRow {
                id: landing.id.clone(),
                build: Some(build),
                guest,
                rest: Rest::new(),
            });
        }
        for build in &seen.builds {
            let id = Digest::from(build.id.to_bytes());
            if !build.pins.is_empty() {
                uses.insert(Use {
                    build: id.clone(),
                    reason: UseReason::Pinned,
                    guest: None,
                });
            }
            rows.pins.extend(build.pins.iter().map(|reason| HostPin {
                build: id.clone(),
                reason: reason.clone(),
            }));
            rows.builds.push(HeldBuild {
                build: id,
                size_bytes: build.code.size_bytes,
                name: build.name.clone(),
                version: build.version.clone(),
                rest: Rest::new(),
            });
        }
        for gone in departing {
            uses.insert(Use {
                build: gone.build.clone(),
                reason: UseReason::Departing,
                guest: Some(gone.guest.clone()),
            });
        }
        // A guest that moves within its host is there twice, and so is one whose uuid somebody else's QEMU has too: both
        // builds are needed, and its row is that of the process that ran first.
        rows.guests
            .sort_by_key(|guest| (guest.uuid.clone(), guest.state == GuestState::Arriving));
        rows.guests.dedup_by(|next, kept| next.uuid == kept.uuid);
        rows.rollouts.clone_from(&seen.rollouts);
        rows.labels.clone_from(&seen.labels);
        rows.uses = uses.into_iter().collect();
        rows
    }

    /// Guests of `self` that are not in `next`, with what they ran.
    pub(super) fn gone(&self, next: &Self) -> Vec<Departing> {
        let stays = |guest: &GuestRow| next.guests.iter().any(|other| other.uuid == guest.uuid);
        self.guests
            .iter()
            .filter(|guest| !stays(guest))
            .filter_map(|guest| {
                Some(Departing {
                    guest: guest.uuid.clone(),
                    build: guest.build.clone()?,
                })
            })
            .collect()
    }
}

fn row(guest: &PsGuest, certificates: Option<Certificates>, landings: &[Landing]) -> GuestRow {
    let code = guest.code.as_ref();
    let vars = guest.vars.as_ref();
    let build = code.and_then(|code| code.running_sha256.clone());
    let next = code.and_then(|code| code.file_sha256.clone());
    let next_reset = code.and_then(|code| code.next_reset_sha256.clone());
    let path = code.and_then(|code| code.path.as_ref());
    let arrives = landings
        .iter()
        .any(|landing| landing.placeholder && Some(&landing.path) == path);
    GuestRow {
        uuid: first_id([&guest.uuid, &guest.name]).unwrap_or_else(|| format!("pid-{}", guest.pid)),
        name: guest.name.clone(),
        next_build: next.filter(|next| build.as_ref() != Some(next)),
        next_reset: next_reset.filter(|next| build.as_ref() != Some(next)),
        build,
        layout: vars.and_then(|vars| Some(vars.layout?.to_string())),
        vars_free_bytes: vars.and_then(|vars| vars.free_bytes),
        secure_boot: vars.and_then(|vars| Some(vars.secure_boot? == SecureBootState::Enabled)),
        certificates,
        machine: guest.machine.clone(),
        qemu: guest.qemu_version.clone(),
        facts: None,
        state: if arrives {
            GuestState::Arriving
        } else {
            GuestState::Running
        },
        rest: Rest::new(),
    }
}

/// The first that can be an id. Anybody may call a process and its guest what he likes: what the fleet would not take must
/// not keep it from hearing of this host.
fn first_id(words: [&Option<String>; 2]) -> Option<String> {
    let mut said = words.into_iter().flatten();
    said.find(|word| is_id(word)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fm_api::v1::ps::PsCode;

    fn guest(uuid: &str, runs: &str, file: &str) -> PsGuest {
        PsGuest {
            pid: 1,
            name: None,
            uuid: Some(uuid.into()),
            qemu_version: None,
            machine: None,
            arch: "x86_64".into(),
            accel: None,
            code: Some(PsCode {
                path: None,
                format: "raw".into(),
                size_bytes: None,
                running_sha256: runs.repeat(64).parse().ok(),
                next_reset_sha256: None,
                file_sha256: file.repeat(64).parse().ok(),
                drift: None,
                build: None,
            }),
            vars: None,
            roms: Vec::new(),
            migration: None,
            remarks: Vec::new(),
        }
    }

    fn seen(guests: Vec<PsGuest>) -> Seen {
        Seen {
            guests: guests.into_iter().map(|guest| (guest, None)).collect(),
            is_complete: true,
            ..Seen::default()
        }
    }

    #[test]
    fn a_guest_that_is_called_what_no_id_may_be_is_told_by_its_process() {
        let long = "x".repeat(65);
        for (uuid, name, expected) in [
            (Some("u"), Some("n"), "u"),
            (None, Some("n"), "n"),
            (Some("a b"), Some("n"), "n"),
            (None, Some("my guest"), "pid-1"),
            (Some("../u"), Some("a\u{7}"), "pid-1"),
            (Some(long.as_str()), None, "pid-1"),
            (Some(""), None, "pid-1"),
            (None, None, "pid-1"),
        ] {
            let mut called = guest("u", "a", "a");
            called.uuid = uuid.map(str::to_owned);
            called.name = name.map(str::to_owned);
            let rows = Rows::of(&seen(vec![called]), &[]);
            assert_eq!(rows.guests[0].uuid, expected, "{uuid:?}, {name:?}");
        }
    }

    #[test]
    fn a_guest_needs_what_it_runs_and_what_it_boots_next() {
        let rows = Rows::of(&seen(vec![guest("u", "a", "b"), guest("v", "a", "a")]), &[]);
        let needs: Vec<(char, UseReason)> = rows
            .uses
            .iter()
            .map(|used| (used.build.as_str().chars().next().unwrap(), used.reason))
            .collect();
        assert_eq!(
            needs,
            [
                ('a', UseReason::Runs),
                ('a', UseReason::Runs),
                ('b', UseReason::NextBoot)
            ]
        );
        assert_eq!(rows.guests[1].next_build, None);
    }

    #[test]
    fn a_guest_that_is_there_twice_is_one_row_and_needs_both_builds() {
        let rows = Rows::of(&seen(vec![guest("u", "a", "a"), guest("u", "b", "b")]), &[]);
        assert_eq!(rows.guests.len(), 1);
        assert!(rows.guests[0].build.as_ref().unwrap().as_str().starts_with('a'));
        let needed: BTreeSet<&str> = rows.uses.iter().map(|used| used.build.as_str()).collect();
        assert_eq!(needed.len(), 2);
    }

    #[test]
    fn a_guest_that_left_is_needed_until_somebody_says_that_it_arrived() {
        let before = Rows::of(&seen(vec![guest("u", "a", "a")]), &[]);
        let now = Rows::of(&seen(Vec::new()), &[]);
        let gone = before.gone(&now);
        assert_eq!(gone.len(), 1);
        let told = Rows::of(&seen(Vec::new()), &gone);
        assert_eq!(told.uses[0].reason, UseReason::Departing);
        assert!(told.gone(&told).is_empty());
    }
}
