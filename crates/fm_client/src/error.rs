//! Why the fleet's API could not be asked, or what it refused.

use fm_api::v1::enrolment::Problem;
use fm_remedy::{Class, Failure, Remedy};

/// A failure of a client of the fleet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No server of the list answered.
    #[error("no server of the fleet answered ({})", tried.join("; "))]
    NoAnswer {
        /// Each with its reason.
        tried: Vec<String>,
    },
    /// The server said no.
    #[error("the fleet's server refused: {}{}", problem.title, problem.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default())]
    Refused {
        /// In its own words.
        problem: Box<Problem>,
    },
    /// The server said something that is no answer.
    #[error("the answer of {url} cannot be read")]
    BadAnswer {
        /// Which server.
        url: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something is not a token.
    #[error("this is no token to join with: {why}")]
    BadToken {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The server has another CA than the token says.
    #[error(
        "{url} belongs to another fleet than the token: its CA's certificate is not the one that was pinned"
    )]
    WrongFleet {
        /// Which server.
        url: String,
    },
    /// There is no identity to ask with.
    #[error("there is no certificate of the fleet in {}", path.display())]
    NoIdentity {
        /// Where it was looked for.
        path: std::path::PathBuf,
    },
    /// A file of an identity cannot be understood.
    #[error("{} is not what it should be", path.display())]
    BadIdentity {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This is no address of an API.
    #[error("{url:?} is no address of a fleet")]
    BadUrl {
        /// What was given.
        url: String,
    },
    /// This is no address of a service that could be asked.
    #[error("{url:?} is no address of a service that can be asked: {why}")]
    BadService {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A service that is not the fleet's did not answer as it should.
    #[error("{service} does not answer as it should: {why}")]
    Service {
        /// Its address, without the path.
        service: String,
        /// Why.
        why: String,
    },
    /// This cannot be a name in a certificate.
    #[error("{name:?} cannot be a name in a fleet")]
    BadName {
        /// What was given.
        name: String,
    },
    /// No key could be made.
    #[error("no key could be made")]
    Key(#[from] rcgen::Error),
    /// The system has no random bytes.
    #[error("the system has no random bytes")]
    NoRandom,
    /// A file cannot be read or written.
    #[error(transparent)]
    Files(#[from] fm_files::Error),
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::BadToken { .. } | Self::BadUrl { .. } | Self::BadName { .. } | Self::BadService { .. } => {
                Class::Usage
            }
            Self::Files(error) => error.class(),
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::NoAnswer { .. } => {
                "see whether a server runs there and whether its certificate is the fleet's; guests go on meanwhile".into()
            }
            Self::Refused { problem } => match problem.status {
                401 => "ask with a certificate of the fleet, or ask for a new token".into(),
                403 => "ask with a certificate of a role that may".into(),
                409 | 412 => "look again: somebody else was faster".into(),
                503 => "wait until the server reaches its records again".into(),
                _ => return None,
            },
            Self::BadToken { .. } => "give the whole token as it was printed".into(),
            Self::WrongFleet { .. } => {
                "nothing was sent; ask for a token of the fleet that this server belongs to".into()
            }
            Self::NoIdentity { .. } => "let this host join a fleet, or name the folder of a certificate".into(),
            Self::BadUrl { .. } => "give it as https://HOST:PORT".into(),
            Self::BadService { .. } => {
                "give it as https://HOST:PORT/PATH, or as http://localhost:PORT/PATH for a service of this machine".into()
            }
            Self::BadName { .. } => "take letters, digits, dots, hyphens and underscores, at most 64".into(),
            Self::Files(error) => return error.remedy(),
            Self::BadAnswer { .. }
            | Self::BadIdentity { .. }
            | Self::Service { .. }
            | Self::Key(_)
            | Self::NoRandom => return None,
        })
    }
}
