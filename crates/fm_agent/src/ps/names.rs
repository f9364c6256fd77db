//! What builds are called: by the store, by the user's catalogue, by the one that ships.

use std::path::{Path, PathBuf};

use fm_formats::Sha256;
use fm_images::catalogue;
use fm_images::inspect::Catalogue;
use fm_remedy::one_line;

/// The names of builds by the digest of CODE.
#[derive(Debug, Default)]
pub(super) struct Names {
    stored: Vec<(Sha256, String)>,
    catalogue: Catalogue,
}

impl Names {
    /// What `store`, or the default one, and the catalogues know; what cannot be read is remarked.
    pub(super) fn open(store: Option<&Path>, remarks: &mut Vec<String>) -> Self {
        let dir = store.map_or_else(|| fm_store::verbs::default_dir().ok(), |dir| Some(dir.to_owned()));
        let user: Option<PathBuf> = dir.as_deref().map(catalogue::file_in);
        let catalogue = Catalogue::open(user.as_deref()).or_else(|error| {
            remarks.push(one_line(&error));
            Catalogue::open(None)
        });
        let builds = fm_store::verbs::open(store).and_then(|store| store.readable_builds());
        let builds = builds.map(|(builds, _)| builds).unwrap_or_default();
        let named = builds.into_iter().filter_map(|build| {
            let name = build.name?;
            Some((build.id, with_version(name, build.version)))
        });
        Self {
            stored: named.collect(),
            catalogue: catalogue.unwrap_or_default(),
        }
    }

    /// The name of the build with this digest, with its version where that is known.
    pub(super) fn of(&self, digest: &Sha256) -> Option<String> {
        let stored = self.stored.iter().find(|(known, _)| known == digest);
        if let Some((_, name)) = stored {
            return Some(name.clone());
        }
        Some(self.catalogue.build(&digest.to_string())?.to_string())
    }
}

fn with_version(name: String, version: Option<String>) -> String {
    match version {
        Some(version) => format!("{name} {version}"),
        None => name,
    }
}
