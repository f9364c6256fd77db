//! What states, reasons and events are called on pages, and how text is shown that others chose.

use fm_api::v1::fleet::{
    BuildState, Certificates, Digest, EventKind, GuestState, HostState, ObstacleKind, ProgressState,
    UseReason,
};
use fm_api::v1::rollout::{LeaveReason, PlanAction, RolloutState};
use fm_api::v1::trust::TrustActor;
use fm_remedy::Foreign;

/// How a word is coloured. The word itself says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: &'static str,
    /// A class of the style sheet: `good`, `warn`, `bad` or `plain`.
    pub(super) tone: &'static str,
}

const fn word(text: &'static str, tone: &'static str) -> Word {
    Word { text, tone }
}

/// Text that somebody else chose: nothing in it steers the page; the template escapes its markup.
pub(super) fn shown(text: &str) -> String {
    Foreign(text).line()
}

/// The same where there may be none.
pub(super) fn shown_or(text: Option<&str>, otherwise: &str) -> String {
    text.map_or_else(|| otherwise.to_owned(), shown)
}

/// The first digits of a digest: what people compare.
pub(super) fn short(digest: &Digest) -> String {
    digest.as_str().chars().take(12).collect()
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = bytes.saturating_mul(10) / unit;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match bytes {
        0..=1023 => format!("{bytes} bytes"),
        1024..=1_048_575 => format!("{} KiB", tenths(1024)),
        _ => format!("{} MiB", tenths(1 << 20)),
    }
}

/// `1 host`, `2 hosts`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {many}")
    }
}

pub(super) fn build_state(state: BuildState) -> Word {
    match state {
        BuildState::Missing => word("missing", "warn"),
        BuildState::Live => word("live", "good"),
        BuildState::Condemned => word("condemned", "warn"),
        BuildState::Deleting => word("deleting", "warn"),
        BuildState::Purged => word("purged", "plain"),
        BuildState::Unknown => word("unknown", "plain"),
    }
}

/// A host's state, with its silence.
pub(super) fn host_state(state: HostState, alive: bool) -> Word {
    match (state, alive) {
        (HostState::Active, true) => word("alive", "good"),
        (HostState::Active, false) => word("silent", "bad"),
        (HostState::Retired, _) => word("retired", "plain"),
        (HostState::Unknown, _) => word("unknown", "plain"),
    }
}

pub(super) fn rollout_state(state: RolloutState) -> Word {
    match state {
        RolloutState::Planned => word("planned", "plain"),
        RolloutState::Running => word("running", "good"),
        RolloutState::Paused => word("paused", "warn"),
        RolloutState::Aborted => word("aborted", "plain"),
        RolloutState::RollingBack => word("going back", "warn"),
        RolloutState::RolledBack => word("taken back", "plain"),
        RolloutState::Done => word("done", "good"),
        RolloutState::Unknown => word("unknown", "plain"),
    }
}

/// What a plan means for guests.
pub(super) fn plan_action(action: PlanAction) -> Word {
    match action {
        PlanAction::Move => word("gets the build", "good"),
        PlanAction::Convert => word("gets the build, variables converted", "warn"),
        PlanAction::Enroll => word("gains certificates", "good"),
        PlanAction::LeaveOut => word("left out", "plain"),
    }
}

/// Why guests are left out.
pub(super) fn left_out(reason: Option<LeaveReason>) -> &'static str {
    match reason {
        Some(LeaveReason::SameBuild) => "has the build, or takes it at its next start",
        Some(LeaveReason::Pinned) => "left out by an operator",
        Some(LeaveReason::PinnedByOwner) => "left out by its owner",
        Some(LeaveReason::OtherRollout) => "in another rollout",
        Some(LeaveReason::NotAdopted) => "not adopted: its host cannot change it",
        Some(LeaveReason::UnknownBuild) => "what it runs is not known",
        Some(LeaveReason::Moving) => "between two hosts",
        Some(LeaveReason::NotAtReset) => "its own reset cannot bring the build",
        Some(LeaveReason::SameCertificates) => "has the certificates",
        Some(LeaveReason::SecureBootOff) => "Secure Boot is off, and enrolling would switch it on",
        Some(LeaveReason::OwnKeys) => "its keys are its owner's",
        Some(LeaveReason::UnknownKeys) => "its keys are not known",
        Some(LeaveReason::Incompatible) => "incompatible",
        Some(LeaveReason::Unknown) | None => "too little is known to judge",
    }
}

/// How far a guest has come with a rollout.
pub(super) fn progress(state: ProgressState) -> Word {
    match state {
        ProgressState::Planned => word("not yet", "plain"),
        ProgressState::Waiting => word("waiting", "plain"),
        ProgressState::Armed => word("at its next start", "plain"),
        ProgressState::Booting => word("booting", "warn"),
        ProgressState::Healthy => word("healthy", "good"),
        ProgressState::Failed => word("failed", "bad"),
        ProgressState::Refused => word("refused", "warn"),
        ProgressState::Reverting => word("going back", "warn"),
        ProgressState::Reverted => word("went back", "plain"),
        ProgressState::Undecided => word("waits for a decision", "warn"),
        ProgressState::Unknown => word("unknown", "plain"),
    }
}

pub(super) fn guest_state(state: GuestState) -> Word {
    match state {
        GuestState::Running => word("running", "good"),
        GuestState::Paused => word("paused", "plain"),
        GuestState::Arriving => word("arriving", "warn"),
        GuestState::Departing => word("departing", "warn"),
        GuestState::Saved => word("saved", "plain"),
        GuestState::Off => word("off", "plain"),
        GuestState::Unknown => word("unknown", "plain"),
    }
}

pub(super) fn reason(reason: UseReason) -> &'static str {
    match reason {
        UseReason::Runs => "runs",
        UseReason::NextBoot => "takes it at the next cold boot",
        UseReason::Saved => "saved with it",
        UseReason::Landing => "arriving with it",
        UseReason::Departing => "left with it, not yet seen elsewhere",
        UseReason::Pinned => "pinned on the host",
        UseReason::Installed => "installed for new guests",
        UseReason::Unknown => "another reason",
    }
}

/// The same above a number of guests or hosts.
pub(super) fn usage(reason: UseReason) -> &'static str {
    match reason {
        UseReason::Runs => "Guests that run it",
        UseReason::NextBoot => "Guests that boot it next",
        UseReason::Saved => "Guests saved with it",
        UseReason::Landing => "Guests arriving with it",
        UseReason::Departing => "Guests that left with it",
        UseReason::Pinned => "Hosts that pin it",
        UseReason::Installed => "Hosts that have it installed",
        UseReason::Unknown => "Other needs",
    }
}

pub(super) fn obstacle(kind: ObstacleKind) -> &'static str {
    match kind {
        ObstacleKind::Pinned => "pinned",
        ObstacleKind::NotCondemned => "not condemned yet: the planner has not come to it",
        ObstacleKind::NoPlanner => "no planner is elected",
        ObstacleKind::SilentHost => "silent, so it may need anything",
        ObstacleKind::AwaitedHost => "has not answered yet",
        ObstacleKind::Grace => "the grace period lasts",
        ObstacleKind::NewEpoch => "has not reported since the records were set back",
        ObstacleKind::Unknown => "another obstacle",
    }
}

pub(super) fn event(kind: EventKind) -> &'static str {
    match kind {
        EventKind::HostJoined => "host joined",
        EventKind::HostRebooted => "host rebooted",
        EventKind::HostRetired => "host retired",
        EventKind::GuestAppeared => "guest appeared",
        EventKind::GuestLeft => "guest left",
        EventKind::GuestChangedBuild => "guest changed its build",
        EventKind::BuildStored => "build stored",
        EventKind::BuildLost => "build lost",
        EventKind::BuildCondemned => "build condemned",
        EventKind::BuildRevived => "build revived",
        EventKind::BuildDeleting => "build is being deleted",
        EventKind::BuildPurged => "build purged",
        EventKind::BuildPinned => "build pinned",
        EventKind::BuildUnpinned => "pin removed",
        EventKind::PlannerElected => "planner elected",
        EventKind::RolloutChanged => "rollout changed",
        EventKind::RolloutWave => "wave begins",
        EventKind::RolloutFailed => "guest failed",
        EventKind::GuestPinned => "guest left out",
        EventKind::EpochBegan => "epoch began",
        EventKind::Unknown => "another event",
    }
}

pub(super) fn actor(actor: TrustActor) -> Word {
    match actor {
        TrustActor::Nobody => word("it is there", "good"),
        TrustActor::Guest => word("the guest", "warn"),
        TrustActor::Host => word("the host, while it is off", "bad"),
        TrustActor::Unknown => word("unknown", "plain"),
    }
}

/// `2011, 2023` for each key: PK, KEK, db, dbx.
pub(super) fn generations(keys: Option<&Certificates>) -> [String; 4] {
    let Some(Certificates { pk, kek, db, dbx, .. }) = keys else {
        return std::array::from_fn(|_| "unknown".to_owned());
    };
    [pk, kek, db, dbx].map(|key| {
        if key.is_empty() {
            "none".to_owned()
        } else {
            shown(&key.join(", "))
        }
    })
}

/// `on`, `off` or `unknown`.
pub(super) fn switch(on: Option<bool>) -> &'static str {
    match on {
        Some(true) => "on",
        Some(false) => "off",
        None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_cut_and_never_rounded_up() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (3_653_632, "3.4 MiB"),
            (u64::MAX, "1759218604441.5 MiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
