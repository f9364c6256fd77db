//! Why CODE could not be exchanged in a migration's stream.

use std::io;

/// A failure of the relay between the two ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The relay cannot listen for the source.
    #[error("the relay cannot listen for the source")]
    Listen(#[source] io::Error),
    /// The relay cannot connect to the destination.
    #[error("the relay cannot connect to the destination")]
    Connect(#[source] io::Error),
    /// A connection broke.
    #[error("the connection through the relay broke")]
    Broken(#[source] io::Error),
    /// The stream is not one in which CODE can be exchanged.
    #[error("CODE cannot be exchanged in this stream")]
    Stream(#[from] fm_formats::Error),
}
