//! Why a migration was not begun, or did not end well; always with where the guest is now.

use std::path::PathBuf;

use fm_host::qmp;

use crate::Class;
use crate::migrate::preflight::Refusal;

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
        status: String,
    },
    /// The destination does not wait for a guest.
    #[error("the destination does not wait for a migration: QEMU at {} is in state `{status}`", socket.display())]
    NotIncoming {
        /// Its monitor.
        socket: PathBuf,
        /// Its run state.
        status: String,
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
        /// The source's reason.
        source_said: Option<String>,
        /// The destination's reason.
        destination_said: Option<String>,
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
        destination_status: Option<String>,
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
         the destination and waits for memory that is still at the source{}",
        in_its_words(refused)
    )]
    PostcopyBroken {
        /// QEMU's words, if it refused to go on.
        refused: Option<String>,
    },
    /// QEMU gave up when the guest ran at the destination already.
    #[error(
        "the migration failed when the guest had begun to run at the destination: it lacks memory there that only the \
         source has, and what the source has of it is too old to go on with{}",
        in_its_words(source_said)
    )]
    PostcopyFailed {
        /// The source's reason.
        source_said: Option<String>,
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
    /// Somebody asked for the end.
    #[error("the migration was cancelled; the guest runs on at the source")]
    Cancelled,
}

fn destination_words(status: &Option<String>) -> String {
    match status.as_deref() {
        Some("inmigrate") => "; the destination has only a part of the guest".into(),
        Some(status) => format!("; the destination is in state `{status}`"),
        None => "; the destination's ended as well".into(),
    }
}

fn in_its_words(refused: &Option<String>) -> String {
    refused
        .as_ref()
        .map(|said| format!(" ({said})"))
        .unwrap_or_default()
}

impl Error {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Incompatible(_) => Class::Incompatible,
            Self::NoUri { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }

    pub(crate) fn remedy(&self) -> Option<String> {
        Some(match self {
            // The program renders what the refusal carries.
            Self::Incompatible(_) => return None,
            Self::NoGuest { .. } => "name the QEMU that runs the guest as SOURCE".into(),
            Self::NotIncoming { .. } => "start the destination's QEMU with `-incoming defer`".into(),
            Self::NotListening { .. } => {
                "give an address that is free (`--uri`), and a destination that nobody else has told to listen".into()
            }
            Self::NoUri { .. } => {
                "give an address that both ends reach, such as `--uri tcp:HOST:PORT` or `--uri unix:/PATH`"
                    .into()
            }
            Self::Monitor(error) => return monitor_remedy(error),
            Self::Failed {
                destination_alive: false,
                ..
            } => {
                "the destination's QEMU has ended: its log says why; start it again and repeat the migration"
                    .into()
            }
            Self::Failed { .. } => "restart the destination's QEMU and repeat the migration".into(),
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
            Self::VariablesWritten => "start the destination's QEMU again and repeat the migration when the guest has booted, or with \
                 `--stop-first`: it then stands still meanwhile and can write nothing"
                .into(),
            Self::Cancelled => return None,
        })
    }
}

/// What to do when a monitor does not do as it should.
pub(crate) fn monitor_remedy(error: &qmp::Error) -> Option<String> {
    Some(match error {
        qmp::Error::Connect { .. } => "check the path, and that you may open the socket".into(),
        qmp::Error::Busy { .. } => {
            "a QMP socket serves one client at a time: disconnect the other one, or give QEMU a second `-qmp` socket".into()
        }
        qmp::Error::Timeout { .. } => "look whether that QEMU is stopped or overloaded, then try again".into(),
        qmp::Error::Closed { .. } | qmp::Error::Io { .. } => "look into that QEMU's log".into(),
        qmp::Error::Protocol { .. } => "check that the socket is a QMP monitor (`-qmp`), not a human one or a serial line".into(),
        _ => return None,
    })
}
