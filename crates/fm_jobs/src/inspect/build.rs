//! Names of known builds: the list that ships with the product, and the one that the user adds to.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::document::Build;
use crate::catalogue::Entry;
use crate::{Error, Result};

/// Digest, package, version and file of Debian's builds, from the packages themselves.
const SHIPPED: &str = include_str!("../catalogue/builds.tsv");

/// Known builds by digest.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    entries: HashMap<String, Vec<Entry>>,
}

impl Catalogue {
    /// The shipped list and the user's `catalogue.tsv`, if there is one.
    ///
    /// # Errors
    /// If the user's list cannot be read or holds a line that is no entry.
    pub fn open(user: Option<&Path>) -> Result<Self> {
        let mut catalogue = Self::default();
        for entry in crate::catalogue::parse(SHIPPED, Path::new("the shipped catalogue"))? {
            catalogue.add(entry);
        }
        if let Some(path) = user {
            match std::fs::read_to_string(path) {
                Ok(text) => crate::catalogue::parse(&text, path)?
                    .into_iter()
                    .for_each(|entry| catalogue.add(entry)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(Error::File {
                        action: "read",
                        path: PathBuf::from(path),
                        source,
                    });
                }
            }
        }
        Ok(catalogue)
    }

    fn add(&mut self, entry: Entry) {
        let known = self.entries.entry(entry.sha256.clone()).or_default();
        if !known.contains(&entry) {
            known.push(entry);
        }
    }

    /// All entries, by name and version.
    #[must_use]
    pub fn entries(&self) -> Vec<&Entry> {
        let mut all: Vec<&Entry> = self.entries.values().flatten().collect();
        all.sort_by(|a, b| (&a.name, &a.version, &a.file).cmp(&(&b.name, &b.version, &b.file)));
        all
    }

    /// Which build has this digest. Where several versions share the bytes, no version is named.
    #[must_use]
    pub fn build(&self, sha256: &str) -> Option<Build> {
        let known = self.entries.get(sha256)?;
        let first = known.first()?;
        let same = |of: fn(&Entry) -> &str| known.iter().all(|entry| of(entry) == of(first));
        let name = if same(|entry| &entry.name) {
            first.name.clone()
        } else {
            first.file.clone()
        };
        let version = same(|entry| &entry.version).then(|| first.version.clone());
        Some(Build {
            name,
            version,
            source: "catalogue".into(),
        })
    }
}

impl Build {
    /// Nothing says which build it is.
    pub(super) fn unknown() -> Self {
        Self {
            name: "unknown build".into(),
            version: None,
            source: "none".into(),
        }
    }
}

/// The build's name: from the catalogue, else from the version string in the image, else none.
pub(super) fn name(catalogue: &Catalogue, sha256: &str, version: Option<String>) -> Build {
    catalogue
        .build(sha256)
        .or_else(|| {
            Some(Build {
                name: "edk2".into(),
                version: Some(version?),
                source: "image".into(),
            })
        })
        .unwrap_or_else(Build::unknown)
}
