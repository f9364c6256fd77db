//! Why the store could not do it, with what to do about it.

use std::io;
use std::path::PathBuf;

use fm_formats::Sha256;
use fm_remedy::{Action, Class, Failure, Input, Misuse, Remedy};

/// A failure of the store. Whatever it was, what the store held before is still whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request itself makes no sense.
    #[error(transparent)]
    Usage(#[from] Misuse),
    /// What this host runs cannot be seen.
    #[error(transparent)]
    Host(#[from] fm_host::Error),
    /// The system refused an operation on a file.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The verb: `read`, `write`, `link` …
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The folder holds other things than a store.
    #[error("{} is not a store: it has files in it but no oci-layout", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// What a pipe brings cannot be stored.
    #[error("the stream brings no stored build: {why}")]
    Stream {
        /// What is wrong with it.
        why: String,
    },
    /// The folder to export to holds other things than a layout.
    #[error("{} is not an OCI layout: it has files in it but no oci-layout", path.display())]
    NotALayout {
        /// The folder.
        path: PathBuf,
    },
    /// Anyone may write to the folder, so nothing in it can be trusted.
    #[error("{} may be written by every user of this machine", path.display())]
    OpenToAll {
        /// The folder.
        path: PathBuf,
    },
    /// A dry run came to what has no dry run: a fault of ours, and nothing is changed.
    #[error("this cannot be done in a dry run")]
    DryRun,
    /// Another process kept the store locked for too long.
    #[error("the store {} is in use: waited {waited_ms} ms for {}", path.display(), holder(*.pid))]
    Busy {
        /// The store.
        path: PathBuf,
        /// Who holds it, if that could be told.
        pid: Option<u32>,
        /// How long we waited.
        waited_ms: u64,
    },
    /// A JSON file of the store or of a layout is not what it should be.
    #[error("{} is not a valid {what}", path.display())]
    Json {
        /// What it should be.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// A file is well-formed but says something impossible.
    #[error("{} cannot be used: {why}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file or input is larger than the store accepts.
    #[error("{what} has {size_bytes} bytes, and the limit is {limit_bytes}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// How large it is.
        size_bytes: u64,
        /// How large it may be.
        limit_bytes: u64,
    },
    /// A build with one file more could not be brought to another host.
    #[error("build {id} takes no more: {why}")]
    FullBuild {
        /// Which.
        id: Sha256,
        /// What there is too much of.
        why: String,
    },
    /// A file is in the way of one that was to be written.
    #[error("{} exists and holds something else", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// A part of a build has no bytes.
    #[error("{what} is empty")]
    Empty {
        /// Which part.
        what: &'static str,
    },
    /// A blob does not hold the bytes that its name promises.
    #[error("{} holds {found}, not the bytes its name promises ({expected})", path.display())]
    Corrupt {
        /// The blob's file.
        path: PathBuf,
        /// The digest in its name.
        expected: Sha256,
        /// The digest of what it holds.
        found: Sha256,
    },
    /// No build goes by that name.
    #[error("no stored build is called {text:?}")]
    UnknownBuild {
        /// What was asked for.
        text: String,
    },
    /// Several builds go by that name.
    #[error("{text:?} may be any of {}", list(candidates))]
    AmbiguousBuild {
        /// What was asked for.
        text: String,
        /// The builds that it fits.
        candidates: Vec<Sha256>,
    },
    /// A layout has no build under that tag, or has several and no tag was given.
    #[error("{} {why}", path.display())]
    NoSuchTag {
        /// The layout.
        path: PathBuf,
        /// What is there instead.
        why: String,
    },
    /// Something refers to a landing still.
    #[error("landing {id:?} is in use by {by}")]
    InUse {
        /// Which.
        id: String,
        /// Who uses it.
        by: String,
    },
    /// There is no landing of that id.
    #[error("there is no landing {id:?}")]
    UnknownLanding {
        /// What was asked for.
        id: String,
    },
    /// The bytes that arrived are not those that the landing waits for.
    #[error("landing {id:?} waits for {expected}, and {found} arrived")]
    LandingMismatch {
        /// Which landing.
        id: String,
        /// The digest that the source announced.
        expected: Sha256,
        /// The digest of what arrived.
        found: Sha256,
    },
}

impl Failure for Error {
    /// A word that names nothing stored, or several things, is the request's fault; the rest is the store's.
    fn class(&self) -> Class {
        match self {
            Self::Usage(_)
            | Self::UnknownBuild { .. }
            | Self::AmbiguousBuild { .. }
            | Self::NoSuchTag { .. }
            | Self::InUse { .. }
            | Self::UnknownLanding { .. } => Class::Usage,
            Self::DryRun => Class::Bug,
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::Usage(error) => return error.remedy(),
            Self::Host(error) => return error.remedy(),
            Self::Io { source, path, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Remedy::give(
                    "run it as the store's owner, or name another store",
                    [Input::StoreFolder],
                ),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    Remedy::advice(format!(
                        "make room where {} lives and run it again; the store itself is whole",
                        path.display()
                    ))
                }
                io::ErrorKind::CrossesDevices | io::ErrorKind::Unsupported => {
                    "keep the whole store on one file system that has hard links".into()
                }
                _ => return None,
            },
            Self::NotAStore { .. } => Remedy::give("name an empty or a new folder", [Input::StoreFolder]),
            Self::NotALayout { .. } => "name an OCI layout, or an empty or a new folder".into(),
            Self::Stream { .. } => "see what the program at the other end of the pipe says".into(),
            Self::OpenToAll { path } => Remedy::advice(format!("chmod o-w {}", path.display())),
            Self::DryRun => return None,
            Self::Exists { .. } => "name another folder, or move that file away".into(),
            Self::Busy { .. } => "run it again when the other process is done".into(),
            Self::Json { .. } | Self::Corrupt { .. } | Self::Invalid { .. } => Remedy::new(
                "importing a damaged build again heals it; see everything that is damaged",
                Action::VerifyStore,
            ),
            Self::FullBuild { .. } => "store it without another template; the build itself is there".into(),
            Self::TooLarge { .. } | Self::Empty { .. } => "check that it is the file you meant".into(),
            Self::UnknownBuild { .. } => Remedy::new("name a build that is stored", Action::ListBuilds),
            Self::AmbiguousBuild { .. } => "give more digits".into(),
            Self::NoSuchTag { .. } => {
                Remedy::give("name a build of the layout by its tag", [Input::LayoutTag])
            }
            Self::InUse { .. } => "leave it until that is gone".into(),
            Self::UnknownLanding { .. } => Remedy::new("name a landing that is there", Action::ListLandings),
            Self::LandingMismatch { .. } => {
                "ask the source for a new offer; the guest itself is not affected".into()
            }
        })
    }
}

impl From<fm_files::Error> for Error {
    fn from(error: fm_files::Error) -> Self {
        match error {
            fm_files::Error::NotRegular { path } => Self::Invalid {
                path,
                why: "it is not a regular file".into(),
            },
            fm_files::Error::TooLarge {
                path,
                size_bytes,
                limit_bytes,
            } => Self::TooLarge {
                what: path.display().to_string(),
                size_bytes,
                limit_bytes,
            },
            fm_files::Error::Exists { path } => Self::Exists { path },
            other => {
                let (action, path, source) = other.into_parts();
                Self::Io { action, path, source }
            }
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

fn list(ids: &[Sha256]) -> String {
    let ids: Vec<String> = ids.iter().map(Sha256::to_string).collect();
    ids.join(", ")
}
