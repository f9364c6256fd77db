//! What is stored: all builds, one build, all landings.

use fm_api::Schema;
use fm_api::v1::store::{
    self as document, StoreBuild, StoreLandings, StoreList, StoredBuild, StoredLanding, UnreadableRecord,
};
use fm_remedy::one_line;

use crate::{Build, Landing, Result, Store, StoredFile, Unreadable};

/// Lists the stored builds.
///
/// # Errors
/// If the store cannot be read.
pub fn list(store: &Store) -> Result<StoreList> {
    let (builds, unreadable) = store.readable_builds()?;
    Ok(StoreList {
        schema: Schema::default(),
        store: store.path().to_owned(),
        builds: builds.into_iter().map(StoredBuild::from).collect(),
        unreadable: unreadable.into_iter().map(UnreadableRecord::from).collect(),
    })
}

/// Shows the one build that `text` means: an id, its first digits, or a name.
///
/// # Errors
/// If none or several fit, or the store cannot be read.
pub fn show(store: &Store, text: &str) -> Result<StoreBuild> {
    let build = store.find(text)?;
    let landings = store
        .landings()?
        .into_iter()
        .filter(|landing| landing.code == build.id);
    Ok(StoreBuild {
        schema: Schema::default(),
        store: store.path().to_owned(),
        landings: landings.map(|landing| landing.id).collect(),
        build: build.into(),
    })
}

/// Lists the landings.
///
/// # Errors
/// If the store cannot be read.
pub fn landings(store: &Store) -> Result<StoreLandings> {
    let (landings, unreadable) = store.all_landings()?;
    Ok(StoreLandings {
        schema: Schema::default(),
        store: store.path().to_owned(),
        landings: landings.into_iter().map(StoredLanding::from).collect(),
        unreadable: unreadable.into_iter().map(UnreadableRecord::from).collect(),
    })
}

impl From<Unreadable> for UnreadableRecord {
    fn from(record: Unreadable) -> Self {
        Self {
            name: record.name,
            why: one_line(&record.error),
        }
    }
}

impl From<Build> for StoredBuild {
    fn from(build: Build) -> Self {
        Self {
            id: build.id.to_string(),
            name: build.name,
            size_bytes: build.code.size_bytes,
            path: build.code.path,
            version: build.version,
            source: build.source,
            created: build.created,
            vars_template: build.vars_template.map(document::StoredFile::from),
            templates: build
                .templates
                .into_iter()
                .map(document::StoredFile::from)
                .collect(),
            descriptor: build.descriptor.map(document::StoredFile::from),
            tag: build.tag,
            manifest: build.manifest.to_string(),
            pins: build.pins,
        }
    }
}

impl From<StoredFile> for document::StoredFile {
    fn from(file: StoredFile) -> Self {
        Self {
            path: file.path,
            size_bytes: file.size_bytes,
            sha256: file.sha256.to_string(),
        }
    }
}

impl From<Landing> for StoredLanding {
    fn from(landing: Landing) -> Self {
        Self {
            id: landing.id,
            guest_name: landing.guest_name,
            guest_uuid: landing.guest_uuid,
            code_sha256: landing.code.to_string(),
            size_bytes: landing.size_bytes,
            path: landing.path,
            placeholder: landing.placeholder,
            created: landing.created,
        }
    }
}
