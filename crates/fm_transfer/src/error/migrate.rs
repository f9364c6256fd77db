//! Why a migration was not begun, or did not end well; always with where the guest is now.

use std::fmt;
use std::path::PathBuf;

use fm_host::qmp::{self, MigrationStatus, RunState};
use fm_remedy::{Action, Class, Failure, Input, Remedy};

use super::refusal::Refusal;
use super::relay;
use super::unfit::Unfit;

/// A migration's failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Preflight found that QEMU would refuse.
    #[error("this migration cannot work; nothing was sent and the guest runs on at the source")]
    Incompatible(#[source] Refusal),
    /// The source has nothing to send.
    #[error("the source has no guest to migrate: QEMU at {} is in state `{status}`", socket.display())]
    NoGuest {
        /// Its monitor.
        socket: PathBuf,
        /// Its run state.
        status: RunState,
    },
    /// The destination does not wait for a guest.
    #[error("the destination does not wait for a migration: QEMU at {} is in state `{status}`", socket.display())]
    NotIncoming {
        /// Its monitor.
        socket: PathBuf,
        /// Its run state.
        status: RunState,
    },
    /// The destination cannot listen at the address, or listens for somebody else already.
    #[error("the destination cannot listen at {uri}; the guest runs on at the source")]
    NotListening {
        /// The address.
        uri: String,
        /// QEMU's words.
        source: qmp::Error,
    },
    /// No address could be chosen that both ends reach.
    #[error("no address for the stream can be chosen: {why}")]
    NoUri {
        /// Why not.
        why: String,
    },
    /// A monitor failed.
    #[error("the migration stopped because a monitor failed; the guest is at the source")]
    Monitor(#[from] qmp::Error),
    /// QEMU gave up on the migration.
    #[error("the migration failed; the guest is at the source")]
    Failed {
        /// QEMU's own words.
        #[source]
        reason: Option<Reason>,
        /// Whether the destination's QEMU still answers.
        destination_alive: bool,
    },
    /// The source's QEMU ended in the middle.
    #[error(
        "the source's QEMU ended during the migration{}",
        destination_words(destination_status)
    )]
    SourceDied {
        /// The destination's run state, if it still answers.
        destination_status: Option<RunState>,
    },
    /// The source's QEMU ended after the switch to postcopy.
    #[error(
        "the source's QEMU ended after the switch to postcopy: the guest at the destination lacks memory that only the \
         source had"
    )]
    SourceDiedInPostcopy,
    /// The destination's QEMU ended too late for the guest to go on at the source.
    #[error(
        "the destination's QEMU ended when the guest may have run there already, and what the source has of it is too \
         old to go on with"
    )]
    DestinationDied,
    /// A monitor failed after the switch to postcopy.
    #[error(
        "a monitor failed after the switch to postcopy: the guest is at the destination, and its memory may still be \
         on the way"
    )]
    Unfollowed(#[source] qmp::Error),
    /// The connection broke after the switch to postcopy.
    #[error(
        "the connection broke after the switch to postcopy, and was not made again before this was ended: the guest is at \
         the destination and waits for memory that is still at the source"
    )]
    PostcopyBroken {
        /// QEMU's words, if it refused to go on.
        #[source]
        refused: Option<Reason>,
    },
    /// QEMU gave up when the guest ran at the destination already.
    #[error(
        "the migration failed when the guest had begun to run at the destination: it lacks memory there that only the \
         source has, and what the source has of it is too old to go on with"
    )]
    PostcopyFailed {
        /// QEMU's own words.
        #[source]
        reason: Option<Reason>,
    },
    /// The destination has everything and is silent.
    #[error(
        "everything was sent, and the destination's QEMU does not answer: the guest may run there, so it stands still \
         at the source"
    )]
    Unsettled,
    /// What the guest wrote to VARS would have stayed behind.
    #[error(
        "the guest wrote variables while it migrated, which QEMU does not send again; the migration was \
         cancelled and the guest runs on at the source"
    )]
    VariablesWritten,
    /// A processor would have gone on in another build than it began to boot with.
    #[error(
        "the guest has reset while it migrated, and what it ran may not have booted yet; the migration was cancelled, and \
         the guest stays at the source"
    )]
    Booting,
    /// It was to be ended, and the source did not come to an end.
    #[error("the migration was to be cancelled, and the source's QEMU does not end it: {ends}")]
    NotCancelled {
        /// Where both ends were left.
        ends: BothEnds,
        /// Why it was to be ended, if nobody asked for it.
        #[source]
        because: Option<Box<Error>>,
    },
    /// Somebody asked for the end when the guest was at the destination, or might have been, and it was not there whole in
    /// time.
    #[error(
        "this was ended after the switch to postcopy, which cannot be cancelled, and the guest's memory may still be on \
         the way: {ends}"
    )]
    LeftInPostcopy {
        /// Where both ends were left.
        ends: BothEnds,
    },
    /// The guest cannot be given another build on this way.
    #[error(
        "the guest cannot be given another build on this way; nothing was sent and it runs on at the source"
    )]
    Unfit(#[source] Unfit),
    /// The relay that was to exchange CODE broke off.
    #[error("the guest's firmware could not be exchanged on the way; the guest is at the source")]
    NotExchanged(#[source] relay::Error),
    /// Somebody asked for the end.
    #[error("the migration was cancelled; the guest runs on at the source")]
    Cancelled,
}

/// What a QEMU says of a failure, and what the other one says.
#[derive(Debug, thiserror::Error)]
#[error("the {end}'s QEMU says: {words}")]
pub struct Reason {
    /// `source` or `destination`.
    pub end: &'static str,
    /// Its own words.
    pub words: String,
    /// The other end's.
    #[source]
    pub other: Option<Box<Reason>>,
}

impl Reason {
    /// What one end says.
    pub(crate) const fn at(end: &'static str, words: String) -> Self {
        Self {
            end,
            words,
            other: None,
        }
    }

    /// What both ends say: the destination knows why it refuses, the source often no more than that it does.
    pub(crate) fn of(source_said: Option<String>, destination_said: Option<String>) -> Option<Self> {
        let destination = destination_said.map(|words| Self::at("destination", words));
        match source_said {
            None => destination,
            Some(words) => Some(Self {
                other: destination.map(Box::new),
                ..Self::at("source", words)
            }),
        }
    }
}

/// Where both ends of a migration were left, as far as they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BothEnds {
    /// The source's run state.
    pub source: Option<RunState>,
    /// The state of its migration.
    pub migration: Option<MigrationStatus>,
    /// The destination's run state.
    pub destination: Option<RunState>,
}

impl fmt::Display for BothEnds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(state) => write!(f, "the source is in state `{state}`")?,
            None => f.write_str("the source does not answer")?,
        }
        if let Some(status) = &self.migration {
            write!(f, ", its migration in state `{status}`")?;
        }
        match &self.destination {
            Some(state) => write!(f, "; the destination is in state `{state}`"),
            None => f.write_str("; the destination does not answer"),
        }
    }
}

fn destination_words(status: &Option<RunState>) -> String {
    match status {
        Some(RunState::InMigrate) => "; the destination has only a part of the guest".into(),
        Some(status) => format!("; the destination is in state `{status}`"),
        None => "; the destination's ended as well".into(),
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Incompatible(_) => Class::Incompatible,
            Self::NoUri { .. } => Class::Usage,
            Self::Unfit(unfit) => match unfit {
                Unfit::Size { .. } => Class::Incompatible,
                Unfit::NoCode => Class::Failed,
                _ => Class::Usage,
            },
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            // The program renders what the refusal carries.
            Self::Incompatible(_) => return None,
            Self::NoGuest { .. } => "name the QEMU that runs the guest as SOURCE".into(),
            Self::NotIncoming { .. } => "start the destination's QEMU with `-incoming defer`".into(),
            Self::NotListening { .. } => Remedy::give(
                "give an address that is free, and a destination that nobody else has told to listen",
                [Input::MigrationUri],
            ),
            Self::NoUri { .. } => Remedy::give("give an address that both ends reach", [Input::MigrationUri]),
            Self::Unfit(Unfit::Size { .. }) => {
                "another size needs a cold boot: give the guest's definition the new files".into()
            }
            Self::Unfit(Unfit::NoCode) => "name a guest whose firmware lies in flash".into(),
            Self::Unfit(_) => "send the guest plainly, in one stream, without postcopy and encryption of QEMU's own".into(),
            Self::NotExchanged(_) => Remedy::new(
                "start the destination's QEMU anew; without the update the guest migrates as it is",
                Action::Migrate,
            ),
            Self::Monitor(error) => return error.remedy(),
            Self::Failed {
                destination_alive: false,
                ..
            } => Remedy::new(
                "the destination's QEMU has ended: its log says why; put that right first, then start it and migrate again",
                Action::Migrate,
            ),
            Self::Failed { reason: Some(_), .. } => Remedy::new(
                "put right what QEMU names, or it fails again; then start the destination's QEMU anew and migrate again",
                Action::Migrate,
            ),
            Self::Failed { reason: None, .. } => Remedy::new(
                "look into the logs of both QEMUs for a reason; then start the destination's QEMU anew and migrate again",
                Action::Migrate,
            ),
            Self::NotCancelled { .. } => {
                "say `migrate_cancel` and `query-migrate` at the source's monitor; end neither QEMU before it says \
                 cancelled, failed or completed: then the guest is at the source, or where it completed at the destination"
                    .into()
            }
            Self::LeftInPostcopy { .. } => Remedy::new(
                "end neither QEMU before `query-migrate` at the source's monitor says completed; then store what the \
                 guest brought along",
                Action::Harvest { guest: None },
            ),
            Self::SourceDied { .. } => {
                "start the guest again from its disks; look into the source's QEMU log".into()
            }
            Self::SourceDiedInPostcopy => {
                "end the destination's QEMU and start the guest again from its disks; look into the source's QEMU log"
                    .into()
            }
            Self::DestinationDied => {
                "end the source's QEMU and start the guest again from its disks; look into the destination's QEMU log"
                    .into()
            }
            Self::PostcopyFailed { .. } => "end both QEMUs and start the guest again from its disks".into(),
            Self::Unfollowed(_) => {
                "end neither QEMU before `query-migrate` at the source's monitor says completed".into()
            }
            Self::PostcopyBroken { .. } => {
                "end neither QEMU: if the destination's monitor still answers, say `migrate-recover` with an address there, \
                 then `migrate` with the same and `\"resume\": true` at the source's; if not, the guest is lost: start it \
                 again from its disks"
                    .into()
            }
            Self::Unsettled => {
                "ask the destination's monitor (`query-status`); if the guest does not run there, end that QEMU and say \
                 `cont` at the source's monitor"
                    .into()
            }
            Self::VariablesWritten => Remedy::give(
                "start the destination's QEMU again and repeat the migration when the guest has booted, or with the \
                 guest standing still meanwhile, when it can write nothing",
                [Input::StopFirst],
            ),
            Self::Booting => Remedy::new(
                "start the destination's QEMU anew, and migrate the guest when it has booted",
                Action::Migrate,
            ),
            Self::Cancelled => return None,
        })
    }
}
