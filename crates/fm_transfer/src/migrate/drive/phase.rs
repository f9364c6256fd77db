//! The phases of a migration, and which word of the source's leads from one to another.

use fm_host::qmp::MigrationStatus;

/// What the driver is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Memory is sent while the guest runs at the source.
    Precopy,
    /// The guest stands still, and goes on at the destination when it is told so.
    Switchover,
    /// The guest is at the destination, and the rest of its memory is sent.
    Postcopy,
    /// The connection broke after the switch to postcopy.
    Recovery,
    /// The source was told to end it.
    Cancelling,
    /// Everything was sent: the destination takes the guest over.
    Arrival,
    /// It was ended as it was asked for.
    Cancelled,
    /// QEMU gave up.
    Failed,
}

impl Phase {
    /// Where `said`, which is the source's word, leads from here. Words come and go between releases: whatever is not an
    /// end is on the way to one.
    pub(super) fn after(self, said: &MigrationStatus) -> Self {
        match (self, said) {
            (_, MigrationStatus::Completed) => Self::Arrival,
            (_, MigrationStatus::Cancelled) => Self::Cancelled,
            (_, MigrationStatus::Failed) => Self::Failed,
            // From QEMU 9.1 on it connects again in a state of its own.
            (_, MigrationStatus::PostcopyPaused | MigrationStatus::PostcopyRecoverSetup) => Self::Recovery,
            (_, said) if said.is_postcopy() => Self::Postcopy,
            (Self::Recovery, _) => Self::Postcopy,
            (Self::Precopy, MigrationStatus::PreSwitchover) => Self::Switchover,
            (phase, _) => phase,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Phase::*;
    use super::*;

    const UNDER_WAY: [Phase; 5] = [Precopy, Switchover, Postcopy, Recovery, Cancelling];

    #[test]
    fn every_word_leads_where_the_table_says() {
        let table: [(&str, [Phase; 5]); 13] = [
            // The word, and where it leads from each of the phases under way, in that order.
            ("setup", [Precopy, Switchover, Postcopy, Postcopy, Cancelling]),
            ("active", [Precopy, Switchover, Postcopy, Postcopy, Cancelling]),
            (
                "pre-switchover",
                [Switchover, Switchover, Postcopy, Postcopy, Cancelling],
            ),
            ("device", [Precopy, Switchover, Postcopy, Postcopy, Cancelling]),
            (
                "cancelling",
                [Precopy, Switchover, Postcopy, Postcopy, Cancelling],
            ),
            (
                "a-new-word",
                [Precopy, Switchover, Postcopy, Postcopy, Cancelling],
            ),
            ("postcopy-active", [Postcopy; 5]),
            ("postcopy-device", [Postcopy; 5]),
            ("postcopy-recover", [Postcopy; 5]),
            ("postcopy-paused", [Recovery; 5]),
            ("postcopy-recover-setup", [Recovery; 5]),
            ("failed", [Failed; 5]),
            ("completed", [Arrival; 5]),
        ];
        for (word, leads_to) in table {
            for (phase, expected) in UNDER_WAY.into_iter().zip(leads_to) {
                assert_eq!(phase.after(&word.into()), expected, "{phase:?}, {word}");
            }
        }
    }

    #[test]
    fn what_is_cancelled_is_over_in_every_phase() {
        for phase in UNDER_WAY {
            assert_eq!(phase.after(&MigrationStatus::Cancelled), Cancelled, "{phase:?}");
        }
    }
}
