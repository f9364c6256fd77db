//! Why the server could not be set up or started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fm_remedy::{Class, Failure, Remedy};

/// A failure of the server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Others than this machine would be served with certificates that nobody chose.
    #[error("{address} can be reached from other machines, and there is no certificate for it yet")]
    Exposed {
        /// The address.
        address: SocketAddr,
    },
    /// A file of the server's is missing.
    #[error("{} is missing", path.display())]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// A certificate or key cannot be used.
    #[error("{} cannot be used", path.display())]
    BadFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is a fleet already.
    #[error("there is a fleet in {} already", path.display())]
    Exists {
        /// Its folder.
        path: PathBuf,
    },
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// The parts of TLS do not fit together.
    #[error("the certificates do not make a TLS server")]
    Tls {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This names no engine.
    #[error("{text:?} names no place for {what}")]
    Engine {
        /// What was given.
        text: String,
        /// `records` or `builds`.
        what: &'static str,
    },
    /// Records would travel to another machine readable by whoever is in between, and changeable.
    #[error("{member} is on another machine, and {} does not hold ca.crt, client.crt and client.key for it", folder.display())]
    EtcdInTheClear {
        /// The member of etcd.
        member: String,
        /// Where its certificates are looked for.
        folder: PathBuf,
    },
    /// This program was built without a client of etcd.
    #[error("this program was built without etcd")]
    WithoutEtcd,
    /// The runtime could not be started.
    #[error("the server's threads cannot be started")]
    Runtime {
        /// The system's reason.
        source: std::io::Error,
    },
    /// The fleet itself.
    #[error(transparent)]
    Fleet(#[from] fm_fleet::Error),
    /// The fleet's builds.
    #[error(transparent)]
    Blobs(#[from] fm_blobs::Error),
    /// The records.
    #[error(transparent)]
    Records(#[from] fm_records::Error),
    /// An identity, or random bytes.
    #[error(transparent)]
    Client(#[from] fm_client::Error),
    /// Files.
    #[error(transparent)]
    Files(#[from] fm_files::Error),
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Files(fm_files::Error::io(action, path, source))
    }

    pub(crate) fn bad(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::BadFile {
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Fleet(error) => error.class(),
            Self::Blobs(error) => error.class(),
            Self::Records(error) => error.class(),
            Self::Client(error) => error.class(),
            Self::Files(error) => error.class(),
            Self::Exposed { .. } | Self::Engine { .. } | Self::EtcdInTheClear { .. } | Self::WithoutEtcd => {
                Class::Usage
            }
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::Fleet(error) => return error.remedy(),
            Self::Blobs(error) => return error.remedy(),
            Self::Records(error) => return error.remedy(),
            Self::Client(error) => return error.remedy(),
            Self::Files(error) => return error.remedy(),
            Self::Exposed { .. } => {
                "make the fleet's certificates first, with the names under which this server is reached; or listen on \
                 127.0.0.1"
                    .into()
            }
            Self::Missing { .. } => "make the fleet's certificates, or name those that you have".into(),
            Self::Exists { .. } => {
                "use it as it is; a new CA would shut out every host that has joined, so move the folder away by hand if \
                 that is meant"
                    .into()
            }
            Self::Engine { what: "records", .. } => {
                "give the path of a database, or etcd://HOST:PORT,HOST:PORT".into()
            }
            Self::EtcdInTheClear { .. } => {
                "put the CA of its members and a client's certificate and key there; without them only members on this \
                 machine are spoken to"
                    .into()
            }
            Self::WithoutEtcd => "build it with the feature etcd, or keep the records in a database".into(),
            Self::Engine { .. } => "give the path of a folder, or oci://REGISTRY/NAME".into(),
            Self::Listen { .. } => "see who listens there, or take another port".into(),
            Self::BadFile { .. } | Self::Certificate(_) | Self::Tls { .. } | Self::Runtime { .. } => return None,
        })
    }
}
