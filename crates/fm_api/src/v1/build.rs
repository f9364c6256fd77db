//! Which build an image is.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words;

/// Which build an image is. Never a guess: without a name nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// Such as `ovmf`; `unknown build` if nothing says.
    pub name: String,
    /// The package's or the firmware's own version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What says so.
    pub source: BuildSource,
}

impl Build {
    /// Nothing says which build it is.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            name: "unknown build".into(),
            version: None,
            source: BuildSource::None,
        }
    }
}

/// Its name, and its version where that is known.
impl fmt::Display for Build {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(version) = &self.version else {
            return to.write_str(&self.name);
        };
        write!(to, "{} {version}", self.name)
    }
}

words! {
    /// What says which build an image is.
    BuildSource {
        /// The catalogue knows the digest.
        Catalogue = "catalogue",
        /// A version string in the image.
        Image = "image",
        /// Nothing.
        None = "none",
    }
}
