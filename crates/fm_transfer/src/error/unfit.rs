//! Why a guest cannot be given another build while it migrates.

use std::fmt;

/// Why CODE cannot be exchanged on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// This capability is on at one of the ends.
    Capability(String),
    /// Memory is to be sent over several channels.
    Multifd,
    /// The guest is to run before all of its memory is there.
    Postcopy,
    /// The stream is encrypted from QEMU to QEMU.
    Tls,
    /// The address is none that a relay can connect to.
    Address(String),
    /// The builds have different lengths.
    Size {
        /// The guest's.
        guest_bytes: u64,
        /// The new build's.
        build_bytes: u64,
    },
    /// The source has no CODE flash by which it could be told apart.
    NoCode,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(name) => write!(
                f,
                "the migration capability {name} is on, under which pages are not sent plainly in one stream"
            ),
            Self::Multifd => f.write_str("with several channels, pages do not pass through one stream"),
            Self::Postcopy => {
                f.write_str("in postcopy the destination asks for pages by itself, and may have run old ones")
            }
            Self::Tls => {
                f.write_str("the stream is encrypted from QEMU to QEMU, so that nobody can read along")
            }
            Self::Address(uri) => write!(
                f,
                "a relay can connect to a Unix socket or to a host and port, and {uri} is neither"
            ),
            Self::Size {
                guest_bytes,
                build_bytes,
            } => write!(
                f,
                "the guest's CODE flash has {guest_bytes} bytes and the new build {build_bytes}: a flash device keeps \
                 its size as long as its process"
            ),
            Self::NoCode => f.write_str("the source has no CODE flash that its monitor names"),
        }
    }
}

impl std::error::Error for Unfit {}
