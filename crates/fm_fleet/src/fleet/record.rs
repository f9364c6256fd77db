//! What the records hold. Each says its schema, and members that this version does not know are written again.

use std::collections::BTreeMap;

use fm_api::v1::fleet::{
    BuildFacts, BuildState, Digest, Event, GuestProgress, GuestRow, HeldBuild, HostId, HostPin, HostState,
    HostTargets, LandingRow, OldVariables, ProgressState, Rest, StoredPin, Use, UseReason,
};
use fm_api::v1::rollout::{GuestPin, MemberView, RolloutSpec, RolloutState};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of this program as a reader and a writer of records.
pub(super) const PROGRAM: u32 = 1;

/// A record of a known kind.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// The newest schema of its kind that this version writes.
    const SCHEMA: u32 = 1;

    /// The schema that it has.
    fn schema(&self) -> u32;
}

macro_rules! records {
    ($($name:ident),*) => {
        $(impl Record for $name {
            fn schema(&self) -> u32 {
                self.schema
            }
        })*
    };
}

records!(
    MetaRecord,
    PlannerRecord,
    CollectionRecord,
    HostRecord,
    UseRecord,
    AckRecord,
    GuestsRecord,
    DetailRecord,
    BuildRecord,
    TargetRecord,
    EventsRecord,
    HeadRecord,
    ProgressRecord,
    RolloutHeadRecord,
    RolloutRecord,
    MembersRecord,
    GuestPinRecord
);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MetaRecord {
    pub(super) schema: u32,
    pub(super) fleet_id: String,
    pub(super) epoch: String,
    /// Epochs that are over, oldest first: a host that speaks of one of them is late, and of another one has seen
    /// records that are lost.
    #[serde(default)]
    pub(super) past_epochs: Vec<String>,
    pub(super) min_reader: u32,
    pub(super) min_writer: u32,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PlannerRecord {
    pub(super) schema: u32,
    pub(super) name: String,
    pub(super) term: String,
    pub(super) epoch: String,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CollectionRecord {
    pub(super) schema: u32,
    pub(super) term: String,
    /// Every host is to acknowledge this revision or a later one.
    pub(super) revision: u64,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HostRecord {
    pub(super) schema: u32,
    pub(super) state: HostState,
    pub(super) instance: String,
    /// Installations that were retired: they never speak for this host again.
    #[serde(default)]
    pub(super) retired: Vec<String>,
    pub(super) boot_id: String,
    pub(super) sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) agent_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reported: Option<String>,
    pub(super) guest_count: u64,
    pub(super) build_count: u64,
    pub(super) use_count: u64,
    /// Short digests of what the other records of this host hold, to write only what changed.
    pub(super) use_digest: String,
    pub(super) guest_shards: Vec<String>,
    pub(super) detail_shards: Vec<String>,
    /// The same of what it says of rollouts; empty if it says nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) progress_digest: String,
    /// What its owner says of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    /// What a newer agent said besides.
    #[serde(default, skip_serializing_if = "Rest::is_empty")]
    pub(super) said: Rest,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

/// Builds that a host needs, with how many reasons of each kind.
pub(super) type Uses = BTreeMap<Digest, BTreeMap<UseReason, u32>>;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct UseRecord {
    pub(super) schema: u32,
    pub(super) builds: Uses,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AckRecord {
    pub(super) schema: u32,
    pub(super) epoch: String,
    pub(super) term: String,
    pub(super) revision: u64,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct GuestsRecord {
    pub(super) schema: u32,
    pub(super) guests: Vec<GuestRow>,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DetailRecord {
    pub(super) schema: u32,
    pub(super) rows: Vec<DetailRow>,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DetailRow {
    Use(Use),
    Held(HeldBuild),
    Landing(LandingRow),
    Pin(HostPin),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct BuildRecord {
    pub(super) schema: u32,
    pub(super) state: BuildState,
    pub(super) generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) manifest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) facts: Option<BuildFacts>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) pins: Vec<StoredPin>,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

impl BuildRecord {
    /// A build that was heard of.
    pub(super) fn missing() -> Self {
        Self {
            schema: Self::SCHEMA,
            state: BuildState::Missing,
            generation: 0,
            manifest: None,
            size_bytes: None,
            name: None,
            version: None,
            facts: None,
            pins: Vec::new(),
            rest: Rest::new(),
        }
    }

    /// The same once somebody needs it again; nothing if that changes nothing.
    pub(super) fn needed(&self) -> Option<Self> {
        let state = match self.state {
            BuildState::Condemned => BuildState::Live,
            BuildState::Purged => BuildState::Missing,
            // What is being deleted is past rescue; it is asked for again once it is gone.
            BuildState::Missing | BuildState::Live | BuildState::Deleting | BuildState::Unknown => {
                return None;
            }
        };
        Some(Self {
            state,
            ..self.clone()
        })
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TargetRecord {
    pub(super) schema: u32,
    /// Who said so.
    #[serde(default)]
    pub(super) by: String,
    pub(super) targets: HostTargets,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EventsRecord {
    pub(super) schema: u32,
    pub(super) events: Vec<Event>,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

/// The first and the last batch of events.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HeadRecord {
    pub(super) schema: u32,
    pub(super) first: u64,
    pub(super) last: u64,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

/// What a host says of rollouts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ProgressRecord {
    pub(super) schema: u32,
    /// The number of the report that said so.
    pub(super) sequence: u64,
    pub(super) rows: Vec<GuestProgress>,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

/// Changed by every rollout that begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RolloutHeadRecord {
    pub(super) schema: u32,
    pub(super) count: u64,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

/// A rollout.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RolloutRecord {
    pub(super) schema: u32,
    /// Which one of all there were: later ones have a larger number.
    pub(super) number: u64,
    pub(super) state: RolloutState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    pub(super) spec: RolloutSpec,
    pub(super) by: String,
    pub(super) started: String,
    pub(super) wave: u32,
    /// How many guests of each wave stand in which way.
    pub(super) counts: Vec<BTreeMap<ProgressState, u64>>,
    /// Troubles that there are, and those that a person has seen and gone on all the same.
    #[serde(default)]
    pub(super) trouble_count: u64,
    #[serde(default)]
    pub(super) accepted_count: u64,
    /// The first guests that failed, were refused or wait for a decision.
    #[serde(default)]
    pub(super) troubles: Vec<MemberView>,
    #[serde(default)]
    pub(super) variables: OldVariables,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

/// Guests of a rollout that were on one host when it began.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MembersRecord {
    pub(super) schema: u32,
    pub(super) members: Vec<MemberRecord>,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

/// A guest of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MemberRecord {
    pub(super) guest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Where it was last seen, if that is another host than at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<HostId>,
    pub(super) from: Digest,
    pub(super) build: Digest,
    pub(super) wave: u32,
    pub(super) state: ProgressState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) evidence: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) written: Vec<String>,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

/// A guest that rollouts leave out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct GuestPinRecord {
    pub(super) schema: u32,
    pub(super) pin: GuestPin,
    #[serde(flatten)]
    pub(super) rest: Rest,
}
