//! A list of known builds as a file has it, one a line.

use std::path::Path;

use fm_api::v1::catalogue::CatalogueEntry;

use crate::{Error, Result};
use fm_remedy::Misuse;

/// Reads entries, one a line: digest, name, version, file, separated by tabs; `#` starts a remark.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Vec<CatalogueEntry>> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            let fields: Vec<&str> = line.split('\t').collect();
            match fields[..] {
                [sha256, name, version, file] if sha256.len() == 64 => Ok(CatalogueEntry {
                    sha256: sha256.into(),
                    name: name.into(),
                    version: version.into(),
                    file: file.into(),
                }),
                _ => Err(Error::Usage(Misuse {
                    message: format!("line {} of {} is no catalogue entry", at + 1, path.display()),
                    remedy: "it is digest, name, version and file, separated by tabs; delete the line".into(),
                })),
            }
        })
        .collect()
}
