//! QEMU's words for the states of a machine and of a migration; a word that is not known is kept as it was said.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An enum of QEMU's words with one more variant for those of other releases.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$word_about:meta])* $word:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$word_about])* $word,)+
            /// A word that this release of ours does not know.
            Other(String),
        }

        impl $name {
            /// Every word that is known.
            pub const KNOWN: &[Self] = &[$(Self::$word,)+];

            /// The word as QEMU says it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$word => $text,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($text => Self::$word,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        /// A reply without the word says nothing.
        impl Default for $name {
            fn default() -> Self {
                Self::Other(String::new())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::from(String::deserialize(deserializer)?.as_str()))
            }
        }
    };
}

words! {
    /// The run state of a machine. Source: QEMU `qapi/run-state.json`, `RunState`.
    RunState {
        /// Stopped by a debugger.
        Debug = "debug",
        /// Waits for an incoming migration, or takes one in.
        InMigrate = "inmigrate",
        /// An internal error keeps it from going on.
        InternalError = "internal-error",
        /// The last input or output failed.
        IoError = "io-error",
        /// Stopped by its user.
        Paused = "paused",
        /// Stopped after a migration that sent everything.
        PostMigrate = "postmigrate",
        /// Not started yet.
        Prelaunch = "prelaunch",
        /// Stopped to send the rest.
        FinishMigrate = "finish-migrate",
        /// Stopped to restore a snapshot.
        RestoreVm = "restore-vm",
        /// Runs.
        Running = "running",
        /// Stopped to save a snapshot.
        SaveVm = "save-vm",
        /// Shut down, where QEMU stays afterwards.
        Shutdown = "shutdown",
        /// Suspended to RAM.
        Suspended = "suspended",
        /// Stopped by its watchdog.
        Watchdog = "watchdog",
        /// Its system panicked.
        GuestPanicked = "guest-panicked",
        /// Stopped by COLO.
        Colo = "colo",
    }
}

words! {
    /// The state of a migration. Source: QEMU `qapi/migration.json`, `MigrationStatus`.
    MigrationStatus {
        /// There was none.
        None = "none",
        /// It is set up.
        Setup = "setup",
        /// It was cancelled, and its threads end.
        Cancelling = "cancelling",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// Memory is sent while the guest runs.
        Active = "active",
        /// The guest is at the destination, and the rest of its memory is sent.
        PostcopyActive = "postcopy-active",
        /// The connection broke after the switch to postcopy.
        PostcopyPaused = "postcopy-paused",
        /// It is to be made again (QEMU 9.1).
        PostcopyRecoverSetup = "postcopy-recover-setup",
        /// It is there again, and both ends compare what they have.
        PostcopyRecover = "postcopy-recover",
        /// It came to its end.
        Completed = "completed",
        /// It failed.
        Failed = "failed",
        /// COLO goes on.
        Colo = "colo",
        /// The guest stands still, and goes on when `migrate-continue` says so.
        PreSwitchover = "pre-switchover",
        /// The state of the devices is sent.
        Device = "device",
        /// A device is awaited that the guest has to let go.
        WaitUnplug = "wait-unplug",
    }
}

impl RunState {
    /// Whether this QEMU has no guest that could be sent: it waits for one, or sent it, or it is shut down.
    #[must_use]
    pub const fn has_no_guest_to_send(&self) -> bool {
        matches!(
            self,
            Self::InMigrate | Self::PostMigrate | Self::FinishMigrate | Self::Shutdown
        )
    }

    /// Whether the guest stands still on account of a migration, or of whoever stopped it for one.
    #[must_use]
    pub const fn stands_for_migration(&self) -> bool {
        matches!(self, Self::PostMigrate | Self::Paused | Self::FinishMigrate)
    }
}

impl MigrationStatus {
    /// Whether the guest is, or may be, at the destination with a part of its memory only; of the words of other
    /// releases those that QEMU names so.
    #[must_use]
    pub fn is_postcopy(&self) -> bool {
        self.as_str().starts_with("postcopy")
    }

    /// Whether nothing is sent any more, or was yet.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self {
            Self::None | Self::Completed | Self::Failed | Self::Cancelled => true,
            Self::Other(word) => word.is_empty(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_said_as_it_is_read() {
        for state in RunState::KNOWN {
            assert_eq!(RunState::from(state.as_str()), *state);
        }
        for status in MigrationStatus::KNOWN {
            assert_eq!(MigrationStatus::from(status.as_str()), *status);
        }
    }

    #[test]
    fn a_word_of_another_release_is_kept() {
        let status: MigrationStatus = serde_json::from_str(r#""postcopy-device""#).unwrap();
        assert_eq!(status, MigrationStatus::Other("postcopy-device".into()));
        assert_eq!(status.to_string(), "postcopy-device");
        assert!(status.is_postcopy() && !status.is_over());
        assert!(serde_json::from_str::<MigrationStatus>("7").is_err());
    }

    #[test]
    fn what_was_not_said_is_no_migration_under_way() {
        assert!(MigrationStatus::default().is_over());
        for (status, over) in [
            ("none", true),
            ("active", false),
            ("cancelling", false),
            ("failed", true),
        ] {
            assert_eq!(MigrationStatus::from(status).is_over(), over, "{status}");
        }
    }
}
