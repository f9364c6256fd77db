//! Who needs something of the store from outside.

use std::path::PathBuf;

use fm_formats::Sha256;

use crate::Result;

/// Something outside the store that needs a build or a landing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcRoot {
    /// Who, in words: `guest web1 (pid 4711)`.
    pub by: String,
    /// The build whose bytes it runs.
    pub build: Option<Sha256>,
    /// A file that it names or has open.
    pub path: Option<PathBuf>,
}

/// Looks at who needs what, now. It is asked while the store is locked, and again when what is to go is out of reach.
pub type GcRoots<'a> = &'a dyn Fn() -> Result<Vec<GcRoot>>;
