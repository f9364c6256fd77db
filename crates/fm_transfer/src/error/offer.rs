//! Why something is no offer.

use std::path::PathBuf;

use fm_api::Document as _;
use fm_api::v1::offer::{MAX_OFFER_BYTES, Offer};
use fm_remedy::{Action, Failure, Remedy};

/// Why something is no offer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no JSON, or lacks a field.
    #[error("{} is no offer", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// It is another document, or of a version that this program does not know.
    #[error("{} is a {found:?} document, not {:?}", path.display(), Offer::SCHEMA)]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        found: String,
    },
    /// It is longer than any offer.
    #[error("{} is longer than {MAX_OFFER_BYTES} bytes, which no offer is", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The digest of CODE is none.
    #[error("the offer's digest of CODE is {text:?}")]
    Digest {
        /// What stands there.
        text: String,
        /// Why it is none.
        source: fm_formats::ParseSha256Error,
    },
    /// The monitor that was named failed.
    #[error("the guest's monitor does not answer as it should")]
    Monitor(#[from] fm_host::qmp::Error),
}

impl Failure for Error {
    fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Monitor(error) => error.remedy(),
            _ => Some(Remedy::new(
                "make it on the source",
                Action::MakeOffer { guest: None },
            )),
        }
    }
}
