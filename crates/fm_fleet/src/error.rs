//! What can go wrong in the fleet, each with its class and what to do.

use fm_api::v1::fleet::{BuildState, Digest, HostId};
use fm_remedy::{Class, Failure, Remedy};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The records cannot be read or changed.
    #[error(transparent)]
    Records(#[from] fm_records::Error),
    /// A blob or a manifest cannot be read, stored or deleted.
    #[error(transparent)]
    Blobs(#[from] fm_blobs::Error),
    /// The server ends while the records are read.
    #[error("the records were not read to the end: the server ends")]
    BrokenOff,
    /// The system gives no random bytes.
    #[error("no name can be made up: the system gives no random bytes")]
    Random(#[source] getrandom::Error),
    /// A document or a blob is larger than may be.
    #[error("{what} has {size}, and at most {limit} are allowed")]
    TooLarge {
        /// What.
        what: String,
        /// How large it is.
        size: u64,
        /// How large it may be.
        limit: u64,
    },
    /// A record that cannot be read.
    #[error("the record {key} cannot be read")]
    Record {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A record whose schema is newer than this version: it may be read, not written.
    #[error("the record {key} has schema {found}, and this version writes {known} at most")]
    NewerSchema {
        /// Its key.
        key: String,
        /// The schema that it has.
        found: u32,
        /// The newest schema that is known.
        known: u32,
    },
    /// The records as a whole want a newer program.
    #[error("the fleet's records want version {wanted} of a {role}, and this is {known}")]
    TooOld {
        /// Reader or writer.
        role: &'static str,
        /// The version that they want.
        wanted: u32,
        /// The version of this program.
        known: u32,
    },
    /// A document from outside that is not what it should be.
    #[error("{what} is not acceptable: {why}")]
    Invalid {
        /// Which document.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// Too many others changed the same record at the same time.
    #[error("{what} kept changing while it was to be changed")]
    Contention {
        /// What.
        what: String,
    },
    /// The record has changed since the revision that was given.
    #[error("{what} has changed: it is at revision {found}, not at {expected}")]
    Changed {
        /// What.
        what: String,
        /// The revision that was given.
        expected: u64,
        /// The revision that it has.
        found: u64,
    },
    /// A host that the fleet does not know.
    #[error("the fleet knows no host {host}")]
    NoHost {
        /// Its id.
        host: HostId,
    },
    /// A host that was retired.
    #[error("host {host} was retired, and this installation of its agent with it")]
    Retired {
        /// Its id.
        host: HostId,
    },
    /// Another installation reports under the id of a host.
    #[error("host {host} is reported by another installation than before")]
    OtherInstance {
        /// Its id.
        host: HostId,
        /// The installation on record.
        recorded: String,
        /// The one that reported.
        reported: String,
    },
    /// A report that is older than what is on record.
    #[error("host {host} has reported number {recorded}, and this is {reported}")]
    Stale {
        /// Its id.
        host: HostId,
        /// The number on record.
        recorded: u64,
        /// The number of the report.
        reported: u64,
    },
    /// A build that the fleet does not know.
    #[error("the fleet knows no build {build}")]
    NoBuild {
        /// Its digest.
        build: Digest,
    },
    /// A build on which the step cannot be done as it stands.
    #[error("build {build} is {state:?}, so that it cannot be {wanted}")]
    WrongState {
        /// Its digest.
        build: Digest,
        /// How it stands.
        state: BuildState,
        /// What was wanted.
        wanted: &'static str,
    },
    /// A rollout cannot be planned or changed.
    #[error(transparent)]
    Rollout(#[from] fm_rollout::Error),
    /// A rollout that the fleet does not know.
    #[error("the fleet knows no rollout {id}")]
    NoRollout {
        /// Its id.
        id: String,
    },
    /// Another rollout has some of the guests.
    #[error("{guest_count} of these guests are in another rollout that has not ended")]
    Overlaps {
        /// How many.
        guest_count: u64,
    },
    /// Another rollout is not written down whole yet.
    #[error("rollout {id} is being written down")]
    BeingWritten {
        /// Its id.
        id: String,
    },
    /// No guest would get the build.
    #[error("no guest would get the build")]
    NobodyMoves,
    /// A rollout wants somebody asked whether guests are well, whom this server does not know.
    #[error("this server knows no {lacks} to ask whether guests are well")]
    NobodyToAsk {
        /// Who is not known.
        lacks: &'static str,
    },
    /// The fleet's store does not hold a build that guests would get.
    #[error("build {build} is not in the fleet's store")]
    NotStored {
        /// Which.
        build: Digest,
    },
    /// This planner is no longer the elected one.
    #[error("another planner was elected")]
    Deposed,
    /// A blob or manifest is not there.
    #[error("{digest} is not in the fleet's store")]
    NoBlob {
        /// Its digest.
        digest: Digest,
    },
}

impl Error {
    /// A document from outside that is not what it should be.
    pub fn invalid(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid {
            what: what.into(),
            why: why.into(),
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Records(error) => error.class(),
            Self::Blobs(error) => error.class(),
            Self::Rollout(error) => error.class(),
            Self::NoRollout { .. } => Class::Usage,
            Self::Invalid { .. } | Self::NoHost { .. } | Self::NoBuild { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        let advice = match self {
            Self::Records(error) => return error.remedy(),
            Self::Blobs(error) => return error.remedy(),
            Self::Rollout(error) => return error.remedy(),
            Self::Overlaps { .. } => "wait until it has ended, or leave these guests out",
            Self::BeingWritten { .. } => "try again in a moment; abort it if whoever began it is gone",
            Self::NobodyToAsk { .. } => {
                "give the server a webhook or a Prometheus that it asks, or begin the rollout without"
            }
            Self::NobodyMoves => "see in the plan who is left out and why",
            Self::NotStored { .. } => {
                "import it into the store of a host whose agent runs, and wait until the fleet has it"
            }
            Self::NewerSchema { .. } | Self::TooOld { .. } => {
                "upgrade this program; until then it only reads"
            }
            Self::Contention { .. } => "try it again",
            Self::Changed { .. } => "look at it again, and repeat the change if it is still wanted",
            Self::Retired { .. } | Self::OtherInstance { .. } => {
                "if the host was installed anew, retire the host of that name and let it join again; \
                 if two hosts have one name, give one of them another"
            }
            _ => return None,
        };
        Some(Remedy::advice(advice))
    }
}
