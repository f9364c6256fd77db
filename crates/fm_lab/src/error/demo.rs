//! Why the demo ended early.

use fm_remedy::{Failure, Remedy};

use crate::GuestError;

/// Why the demo ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// Something that the product promises did not happen.
    #[error("step {step}: this should hold and does not: {what}")]
    Broken {
        /// The step's number.
        step: usize,
        /// What should hold.
        what: String,
    },
    /// A guest of the lab failed.
    #[error("step {step}: a guest failed")]
    Lab {
        /// The step's number.
        step: usize,
        /// Why.
        source: GuestError,
    },
}

impl Failure for DemoError {
    fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Broken { .. } => Some("report it with the output above".into()),
            Self::Lab {
                source: GuestError::Start { .. },
                ..
            } => Some("install QEMU and OVMF: `apt-get install qemu-system-x86 ovmf`".into()),
            Self::Lab { .. } => None,
        }
    }
}
