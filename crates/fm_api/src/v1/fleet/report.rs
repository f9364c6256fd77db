//! `flashmoor/host-report/1`: everything that a host says of itself, and the answer to it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

use super::{Digest, GuestFacts, GuestProgress, HostId, Rest};

/// What a host runs, holds and needs, whole: a later report replaces an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostReport {
    /// `flashmoor/host-report/1`.
    pub schema: Schema<HostReport>,
    /// Which host.
    pub host: HostId,
    /// Which installation of the agent: made up once at random and kept with its state. Another one under the same
    /// id is refused until a person has retired the host.
    pub instance: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// Grows with every report of this installation that differs from the one before; kept over restarts.
    pub sequence: u64,
    /// What the last answer called `recorded`, which tells whether the records were set back since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
    /// The mark of an answer that this host had received before the full scan began that this report is made of.
    /// Only a full scan may say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Mark>,
    /// What people call the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The agent's version.
    #[serde(default)]
    pub agent_version: String,
    /// What its owner says of it, such as `rack`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its guests.
    #[serde(default)]
    pub guests: Vec<GuestRow>,
    /// How far its guests have come with what rollouts want of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollouts: Vec<GuestProgress>,
    /// Builds in its store.
    #[serde(default)]
    pub builds: Vec<HeldBuild>,
    /// Landings of guests that are arriving or have arrived.
    #[serde(default)]
    pub landings: Vec<LandingRow>,
    /// Builds that somebody keeps on this host by hand.
    #[serde(default)]
    pub pins: Vec<HostPin>,
    /// Every build that this host needs, with each reason: all that collection looks at.
    #[serde(default)]
    pub uses: Vec<Use>,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

document!(HostReport = "flashmoor/host-report/1");

/// A point in the planner's work that a host answers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    /// The planner's term, made up at random when it was elected.
    pub term: String,
    /// A revision of the records.
    pub revision: u64,
}

/// Where the records of a host stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recorded {
    /// The epoch of the records.
    pub epoch: String,
    /// Their revision.
    pub revision: u64,
    /// The sequence number of the host's report that is in them.
    pub sequence: u64,
}

/// One guest in a compact row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestRow {
    /// Its uuid, or another id that stays with the guest on its way through the fleet.
    pub uuid: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The build that it runs; nothing if that could not be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Digest>,
    /// The build that its next cold boot takes, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_build: Option<Digest>,
    /// The build that its next reset runs, where an update waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_reset: Option<Digest>,
    /// Layout of its variable store: `2M`, `4M`, `armvirt`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// Free bytes of its variable store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars_free_bytes: Option<u64>,
    /// Whether Secure Boot is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<bool>,
    /// Which generations of Microsoft's certificates its keys hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Certificates>,
    /// Its machine type, such as `pc-q35-9.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The version of its QEMU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qemu: Option<String>,
    /// What judging a change of its firmware needs to know besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<GuestFacts>,
    /// What it is doing.
    pub state: GuestState,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

/// Generations of certificates in a guest's keys, such as `2011`, `2023`, or `broken`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificates {
    /// The platform key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pk: Vec<String>,
    /// Who may change db and dbx.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kek: Vec<String>,
    /// What may boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub db: Vec<String>,
    /// What may not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dbx: Vec<String>,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a guest is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuestState {
    /// It runs.
    Running,
    /// It stands still and is in memory.
    Paused,
    /// It is on its way to this host.
    Arriving,
    /// It is on its way to another host.
    Departing,
    /// It is saved to a file.
    Saved,
    /// It is defined and off.
    Off,
    /// A newer version has a word for it.
    #[serde(other)]
    Unknown,
}

/// A build in a host's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldBuild {
    /// Which.
    pub build: Digest,
    /// The size of its CODE.
    #[serde(default)]
    pub size_bytes: u64,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A landing: where an incoming guest's CODE lands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LandingRow {
    /// Its id on the host.
    pub id: String,
    /// The build that is expected or was found in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Digest>,
    /// The guest that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A build that somebody keeps on a host by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostPin {
    /// Which.
    pub build: Digest,
    /// Why.
    pub reason: String,
}

/// A build that a host needs, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Use {
    /// Which.
    pub build: Digest,
    /// Why.
    pub reason: UseReason,
    /// For which guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
}

/// Why a host needs a build. A reason that is not known is a reason all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UseReason {
    /// A guest runs it.
    Runs,
    /// A guest's next cold boot takes it.
    NextBoot,
    /// A saved guest runs it once restored.
    Saved,
    /// A guest that runs it is arriving.
    Landing,
    /// A guest that runs it left, and no other host has reported it yet. Kept until an answer's `arrived` names the
    /// guest.
    Departing,
    /// Somebody keeps it on the host.
    Pinned,
    /// The host's package of firmware is this build: new guests take it.
    Installed,
    /// A newer version has a word for it.
    #[serde(other)]
    Unknown,
}

/// `flashmoor/host-report-answer/1`: what a host is answered, to a report as to a sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportAnswer {
    /// `flashmoor/host-report-answer/1`.
    pub schema: Schema<ReportAnswer>,
    /// Where the records of this host stand; the next report repeats it. Nothing: the records hold no report of
    /// this host, and a whole one is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
    /// A full scan is wanted, begun after this answer came; the report that follows from it acknowledges the mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Mark>,
    /// Builds that this host holds or runs and that the fleet lacks: to be uploaded.
    #[serde(default)]
    pub upload: Vec<Digest>,
    /// Guests reported as departing that another host has: that use may be dropped.
    #[serde(default)]
    pub arrived: Vec<String>,
    /// The revision of this host's targets; nothing if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets_revision: Option<u64>,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

document!(ReportAnswer = "flashmoor/host-report-answer/1");
