//! Names of known builds: the list that ships with the product, and the one that the user adds to.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use fm_api::v1::build::{Build, BuildSource};
use fm_api::v1::catalogue::CatalogueEntry;
use fm_formats::Sha256;

use crate::build_list;
use crate::{Error, Result};

/// Digest, package, version and file of Debian's and Ubuntu's builds, from the packages themselves.
const SHIPPED: &str = include_str!("../catalogue/builds.tsv");

/// Known builds by digest.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    shipped: HashMap<String, Vec<CatalogueEntry>>,
    /// In the order in which the user added them.
    own: HashMap<String, Vec<CatalogueEntry>>,
}

impl Catalogue {
    /// The shipped list and the user's `catalogue.tsv`, if there is one.
    ///
    /// # Errors
    /// If the user's list cannot be read or holds a line that is no entry.
    pub fn open(user: Option<&Path>) -> Result<Self> {
        let mut catalogue = Self::default();
        for entry in build_list::parse(SHIPPED, Path::new("the shipped catalogue"))? {
            add(&mut catalogue.shipped, entry);
        }
        if let Some(path) = user {
            match std::fs::read_to_string(path) {
                Ok(text) => build_list::parse(&text, path)?
                    .into_iter()
                    .for_each(|entry| add(&mut catalogue.own, entry)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(Error::file("read", path, source));
                }
            }
        }
        Ok(catalogue)
    }

    /// All entries, by name and version.
    #[must_use]
    pub fn entries(&self) -> Vec<&CatalogueEntry> {
        let mut all: Vec<&CatalogueEntry> =
            self.shipped.values().chain(self.own.values()).flatten().collect();
        let key = |entry: &CatalogueEntry| {
            let CatalogueEntry {
                name,
                version,
                file,
                sha256,
            } = entry.clone();
            (name, version, file, sha256)
        };
        all.sort_by_cached_key(|entry| key(entry));
        all.dedup();
        all
    }

    /// What the user named this digest last.
    pub(crate) fn own_name(&self, sha256: &str) -> Option<&CatalogueEntry> {
        self.own.get(sha256)?.last()
    }

    /// Whether the entry is in the list that ships.
    pub(crate) fn is_shipped(&self, entry: &CatalogueEntry) -> bool {
        let known = self.shipped.get(&entry.sha256);
        known.is_some_and(|known| known.contains(entry))
    }

    /// Which build has this digest. What the user named last counts before what ships. Where several packages
    /// ship the bytes, all are named; where several versions do, no version is.
    #[must_use]
    pub fn build(&self, sha256: &str) -> Option<Build> {
        let known = match self.own_name(sha256) {
            Some(own) => std::slice::from_ref(own),
            None => self.shipped.get(sha256)?,
        };
        let first = known.first()?;
        let names: BTreeSet<&str> = known.iter().map(|entry| entry.name.as_str()).collect();
        let same_version = known.iter().all(|entry| entry.version == first.version);
        Some(Build {
            name: names.into_iter().collect::<Vec<_>>().join(" or "),
            version: same_version.then(|| first.version.clone()),
            source: BuildSource::Catalogue,
        })
    }
}

fn add(entries: &mut HashMap<String, Vec<CatalogueEntry>>, entry: CatalogueEntry) {
    entries.entry(entry.sha256.clone()).or_default().push(entry);
}

/// The build's name: from the catalogue, else from the version string in the image, else none.
pub(super) fn name(catalogue: &Catalogue, sha256: &Sha256, version: Option<String>) -> Build {
    catalogue
        .build(&sha256.to_string())
        .or_else(|| {
            Some(Build {
                name: "edk2".into(),
                version: Some(version?),
                source: BuildSource::Image,
            })
        })
        .unwrap_or_else(Build::unknown)
}
