//! Documents of rollouts: what is asked for, what would happen to whom, and how far one has come.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

use super::check::Outcome;
use super::fleet::{CertificateSet, Digest, HostId, OldVariables, ProgressState, Rest, RestartWindow};
use super::update::{Finding, Refusal};

/// What is asked for: which guests get which build, and how carefully.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutSpec {
    /// The builds: a guest gets the first one that lays variables out as its own, else the first. None where guests
    /// gain certificates.
    #[serde(default)]
    pub builds: Vec<Digest>,
    /// Certificates that guests' keys gain while they are off, instead of a build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<CertificateSet>,
    /// Only guests that run this build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Digest>,
    /// Which guests, such as `host=a and not name~db`.
    pub select: String,
    /// How many percent of the guests have their turn by the end of each wave; the last is 100. Before the first wave
    /// comes one guest of each class.
    #[serde(default = "default_waves")]
    pub waves: Vec<u32>,
    /// At most so many guests of one host are on their way at once; 0: no limit.
    #[serde(default = "default_per_host")]
    pub max_per_host: u64,
    /// At most so many guests of hosts with the same label `rack` are on their way at once; 0: no limit.
    #[serde(default)]
    pub max_per_rack: u64,
    /// How long nothing else happens after a wave.
    #[serde(default = "default_soak")]
    pub soak_s: u64,
    /// How long a guest may take to boot the build.
    #[serde(default = "default_health_timeout")]
    pub health_timeout_s: u64,
    /// So many guests may fail before the rollout pauses; of those that go first, none.
    #[serde(default)]
    pub error_budget: u64,
    /// The next wave begins when so many percent of those before it have booted the build. Those that go first have to
    /// be all there.
    #[serde(default = "default_advance")]
    pub advance_percent: u32,
    /// When hosts may restart guests; never if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartWindow>,
    /// When a guest takes the build.
    #[serde(default, skip_serializing_if = "TakesAt::is_start")]
    pub at: TakesAt,
    /// Who else has to say that guests are well, before the next wave begins and before it is over.
    #[serde(default, skip_serializing_if = "HealthWords::is_empty")]
    pub health: HealthWords,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

/// When a guest takes a build.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TakesAt {
    /// When its QEMU starts next.
    #[default]
    Start,
    /// At its own next reset, by an update of its memory. A guest for which that cannot be done is left out.
    Reset,
    /// A newer version has a word for it: nothing begins.
    #[serde(other)]
    Unknown,
}

impl TakesAt {
    /// Whether it is what it is unless something else is said.
    #[must_use]
    pub fn is_start(&self) -> bool {
        *self == Self::Start
    }
}

/// Who has to say that guests are well, besides their hosts. The server knows where to ask; no answer is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthWords {
    /// The server's webhook.
    #[serde(default)]
    pub webhook: bool,
    /// A PromQL expression whose value is 1 where guests are well, and 0 where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

impl HealthWords {
    /// Whether nobody is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.webhook && self.query.is_none()
    }
}

/// `flashmoor/rollout-health/1`: what a webhook is asked, by `POST`. Its answer is a [`HealthAnswer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthQuestion {
    /// `flashmoor/rollout-health/1`.
    pub schema: Schema<HealthQuestion>,
    /// The rollout.
    pub rollout: String,
    /// What was asked for.
    pub spec: RolloutSpec,
    /// The wave that is through, counted from 0, which are those that go first.
    pub wave: u32,
    /// How many guests of this wave and those before it have booted.
    pub healthy_count: u64,
    /// How many have failed.
    pub failed_count: u64,
}

document!(HealthQuestion = "flashmoor/rollout-health/1");

/// What a webhook answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthAnswer {
    /// Whether guests are well, as far as it knows.
    pub healthy: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

fn default_waves() -> Vec<u32> {
    vec![1, 10, 50, 100]
}

fn default_per_host() -> u64 {
    10
}

fn default_soak() -> u64 {
    600
}

fn default_health_timeout() -> u64 {
    300
}

fn default_advance() -> u32 {
    100
}

impl RolloutSpec {
    /// The usual care, for these guests.
    #[must_use]
    pub fn new(builds: Vec<Digest>, select: impl Into<String>) -> Self {
        Self {
            builds,
            certificates: None,
            from: None,
            select: select.into(),
            waves: default_waves(),
            max_per_host: default_per_host(),
            max_per_rack: 0,
            soak_s: default_soak(),
            health_timeout_s: default_health_timeout(),
            error_budget: 0,
            advance_percent: default_advance(),
            restart: None,
            at: TakesAt::Start,
            health: HealthWords::default(),
            rest: Rest::new(),
        }
    }

    /// Certificates instead of a build, with the usual care.
    #[must_use]
    pub fn of_certificates(certificates: CertificateSet, select: impl Into<String>) -> Self {
        Self {
            certificates: Some(certificates),
            ..Self::new(Vec::new(), select)
        }
    }
}

/// `flashmoor/rollout-plan/1`: what would happen to whom. Nothing is touched by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutPlan {
    /// `flashmoor/rollout-plan/1`.
    pub schema: Schema<RolloutPlan>,
    /// What was asked for.
    pub spec: RolloutSpec,
    /// How many guests the expression selects.
    pub selected_count: u64,
    /// Guests that get the build as they are.
    pub moved_count: u64,
    /// Guests whose variables are converted on the way.
    pub converted_count: u64,
    /// Guests whose keys gain certificates.
    #[serde(default)]
    pub enrolled_count: u64,
    /// Of the guests that are not left out, those that will be asked for a recovery key where disk encryption is bound to
    /// measured boot.
    #[serde(default)]
    pub asked_for_keys_count: u64,
    /// Of the guests that are not left out, those whose owners have chosen hours of their own for restarts.
    #[serde(default)]
    pub own_window_count: u64,
    /// Guests that are left out.
    pub left_out_count: u64,
    /// On how many hosts they are that get it.
    pub host_count: u64,
    /// The guests in classes that are alike in all that matters, each judged once; those that get it first.
    pub classes: Vec<PlanClass>,
    /// How many guests have their turn in each wave.
    pub waves: Vec<PlannedWave>,
    /// The revision of the records that was read.
    pub revision: u64,
}

document!(RolloutPlan = "flashmoor/rollout-plan/1");

/// Guests that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanClass {
    /// What would happen to them.
    pub action: PlanAction,
    /// Why they are left out, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<LeaveReason>,
    /// The build that they run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Digest>,
    /// The build that they would get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Digest>,
    /// The layout of their variable stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// Their machine type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The version of their QEMU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qemu: Option<String>,
    /// Whether Secure Boot is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<bool>,
    /// Whether they have a TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<bool>,
    /// Whether disk encryption that is bound to measured boot will ask for its recovery key.
    pub asks_for_keys: bool,
    /// What the judge says of a cold boot.
    pub outcome: Outcome,
    /// What it found besides what is compatible.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Why a reset cannot bring the build, where it was to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// How many guests.
    pub guest_count: u64,
    /// Some of them.
    pub guests: Vec<PlanGuest>,
}

/// What a plan means for a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanAction {
    /// It gets the build, with its variables as they are.
    Move,
    /// It gets the build, and its variables are converted while it is off.
    Convert,
    /// Its keys gain certificates while it is off.
    Enroll,
    /// It is left out.
    LeaveOut,
}

/// Why a guest is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It has the build, or takes it at its next start.
    SameBuild,
    /// Its owner, or an operator, has said so.
    Pinned,
    /// Its owner has said so in its definition.
    PinnedByOwner,
    /// Another rollout has it.
    OtherRollout,
    /// Its host cannot give it another build: no libvirt domain that is adopted.
    NotAdopted,
    /// It is not known what it runs, or what that build is.
    UnknownBuild,
    /// It is on its way from one host to another.
    Moving,
    /// Its own reset cannot bring the build.
    NotAtReset,
    /// It has the certificates.
    SameCertificates,
    /// Secure Boot is off, and enrolling would switch it on.
    SecureBootOff,
    /// Its keys are its owner's: none of Microsoft's certificates of before is among them.
    OwnKeys,
    /// It is not known which certificates it has.
    UnknownKeys,
    /// The judge does not know.
    Unknown,
    /// The judge says that it would not go well.
    Incompatible,
}

/// A guest of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanGuest {
    /// Its uuid.
    pub uuid: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is.
    pub host: HostId,
}

/// A wave before it has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedWave {
    /// How many percent have had their turn by its end; nothing for those that go first, one of each class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// How many guests.
    pub guest_count: u64,
}

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// It is being written down.
    Planned,
    /// It goes on by itself.
    Running,
    /// Nothing new begins until a person says so.
    Paused,
    /// It was ended: who has the build keeps it, and nobody else gets it.
    Aborted,
    /// Everybody who got the build goes back.
    RollingBack,
    /// Everybody has gone back, or nothing is left to go back to.
    RolledBack,
    /// Every guest had its turn.
    Done,
    /// A newer version has a word for it.
    #[serde(other)]
    Unknown,
}

/// `flashmoor/rollout/1`: a rollout and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutView {
    /// `flashmoor/rollout/1`.
    pub schema: Schema<RolloutView>,
    /// Its id.
    pub id: String,
    /// How it stands.
    pub state: RolloutState,
    /// Why it stands so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What was asked for.
    pub spec: RolloutSpec,
    /// Who asked for it.
    pub by: String,
    /// When, in RFC 3339: for display.
    pub started: String,
    /// The wave that has its turn, counted from 0, which are those that go first.
    pub wave: u32,
    /// Its waves.
    pub waves: Vec<WaveView>,
    /// Guests that did not boot the build.
    pub failed_count: u64,
    /// Guests that failed, were refused or wait for a decision, each with its evidence; the first of them.
    pub troubles: Vec<MemberView>,
    /// What becomes of variables that guests wrote, on the way back.
    pub variables: OldVariables,
    /// The revision at which its record last changed, for `If-Match`.
    pub revision: u64,
}

document!(RolloutView = "flashmoor/rollout/1");

/// A wave and how its guests stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaveView {
    /// How many percent have had their turn by its end; nothing for those that go first, one of each class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// How many guests.
    pub guest_count: u64,
    /// How many stand in which way.
    pub states: std::collections::BTreeMap<ProgressState, u64>,
}

/// A guest of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberView {
    /// Which guest.
    pub guest: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The host that it was last seen on.
    pub host: HostId,
    /// The build that it had before.
    pub from: Digest,
    /// The build that it gets.
    pub build: Digest,
    /// Its wave, counted from 0.
    pub wave: u32,
    /// How far it has come.
    pub state: ProgressState,
    /// What was seen that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Variables that it wrote since, which going back to the old ones would lose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<String>,
}

/// `flashmoor/rollouts/1`: the rollouts of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rollouts {
    /// `flashmoor/rollouts/1`.
    pub schema: Schema<Rollouts>,
    /// The rollouts, the newest first.
    pub rollouts: Vec<RolloutView>,
    /// The revision of the records.
    pub revision: u64,
}

document!(Rollouts = "flashmoor/rollouts/1");

/// `flashmoor/rollout-guests/1`: the guests of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutGuests {
    /// `flashmoor/rollout-guests/1`.
    pub schema: Schema<RolloutGuests>,
    /// The guests, by the host that they were on when it began, and uuid.
    pub guests: Vec<MemberView>,
    /// The revision of the records that the last page was read at.
    pub revision: u64,
}

document!(RolloutGuests = "flashmoor/rollout-guests/1");

/// `POST /api/v1/rollouts/{id}/rollback`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RollbackRequest {
    /// What becomes of variables that guests wrote meanwhile.
    #[serde(default)]
    pub variables: OldVariables,
}

/// A guest that rollouts leave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestPin {
    /// Which guest.
    pub guest: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who said so.
    #[serde(default)]
    pub by: String,
}

/// `flashmoor/rollout-pins/1`: guests that rollouts leave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestPins {
    /// `flashmoor/rollout-pins/1`.
    pub schema: Schema<GuestPins>,
    /// The guests, by uuid.
    pub pins: Vec<GuestPin>,
}

document!(GuestPins = "flashmoor/rollout-pins/1");
