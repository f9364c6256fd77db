//! A list of known builds as a file has it, one a line.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// One known build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Digest of the whole file.
    pub sha256: String,
    /// The package, or what the user calls it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The file's name.
    pub file: String,
}

/// Reads entries, one a line: digest, name, version, file, separated by tabs; `#` starts a remark.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Vec<Entry>> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            let fields: Vec<&str> = line.split('\t').collect();
            match fields[..] {
                [sha256, name, version, file] if sha256.len() == 64 => Ok(Entry {
                    sha256: sha256.into(),
                    name: name.into(),
                    version: version.into(),
                    file: file.into(),
                }),
                _ => Err(Error::Usage {
                    message: format!("line {} of {} is no catalogue entry", at + 1, path.display()),
                    remedy: "it is digest, name, version and file, separated by tabs; delete the line".into(),
                }),
            }
        })
        .collect()
}
