//! Why a stream could not be read to its end, and where.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use fm_remedy::{Input, Remedy};

/// Why reading stopped, or what is missing although it did not.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Stopped {
    /// The bytes are not, or no longer, those of a stream.
    #[error(transparent)]
    Stream(#[from] fm_formats::Error),
    /// No more bytes could be had, of a compressed stream for instance.
    #[error("what holds the stream cannot be read beyond {offset:#x}")]
    Source {
        /// How many bytes of the stream came, from where it starts.
        offset: u64,
        /// What the system or the program said.
        source: Arc<io::Error>,
    },
    /// A channel could not be read to its end.
    #[error("the multifd channel {}", path.display())]
    Channel {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: Box<Stopped>,
    },
    /// Channels of the same capture were not named.
    #[error("of the capture's multifd channels number {id} is not here")]
    NoChannel {
        /// Its number.
        id: u8,
    },
    /// Packets are missing, in a channel or with one.
    #[error("{have} multifd packets are here, of {wanted} or more")]
    Packets {
        /// How many there are.
        have: u64,
        /// How many their numbers say there were.
        wanted: u64,
    },
    /// The channels do not end together.
    #[error("multifd channel {id} ends before others do")]
    Uneven {
        /// Which one.
        id: u8,
    },
    /// Flash or ROM did not come whole.
    #[error("{missing} pages of {block}, announced at {offset:#x}, are not in it")]
    Pages {
        /// The block.
        block: String,
        /// Where the block table announces it.
        offset: u64,
        /// How many of its pages never came.
        missing: u64,
        /// Whether channels were named.
        has_channels: bool,
    },
    /// Pages were written, but not which ones: QEMU takes all of them for zero.
    #[error(
        "QEMU wrote no bitmap of the pages of this background snapshot in mapped-ram form, and would restore zeros"
    )]
    NoBitmaps,
    /// libvirt began to write the image and never marked it as finished.
    #[error("libvirt never finished writing this image")]
    Unfinished,
}

impl Stopped {
    /// Where it was met: in the file, in what it decompresses to, or in the channel that is named.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self {
            Self::Stream(error) => offset_of(error),
            Self::Source { offset, .. } | Self::Pages { offset, .. } => *offset,
            Self::Channel { source, .. } => source.offset(),
            Self::NoChannel { .. }
            | Self::Packets { .. }
            | Self::Uneven { .. }
            | Self::NoBitmaps
            | Self::Unfinished => 0,
        }
    }

    /// The reason in one line, causes included.
    #[must_use]
    pub fn why(&self) -> String {
        let mut text = self.to_string();
        // A transparent error's cause is the next one's, and says nothing twice.
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// What may help.
    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::NoChannel { .. } | Self::Packets { .. } => {
                Remedy::give("name every channel of the capture, once each", [Input::Channels])
            }
            Self::Pages {
                has_channels: false, ..
            } => Remedy::give(
                "if this is the main channel of a multifd capture, name the others",
                [Input::Channels],
            ),
            Self::NoBitmaps => "save the guest again, with one of the two capabilities alone".into(),
            _ => "use a whole copy of the file".into(),
        }
    }
}

fn offset_of(error: &fm_formats::Error) -> u64 {
    use fm_formats::Error;
    match error {
        Error::Truncated { offset, .. }
        | Error::Unexpected { offset, .. }
        | Error::Limit { offset, .. }
        | Error::Decode { offset, .. } => *offset,
        _ => 0,
    }
}
