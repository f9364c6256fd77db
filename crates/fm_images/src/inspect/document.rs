//! What a file was found to be, and its document `flashmoor/inspect/2`.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use fm_api::Schema;
use fm_api::v1::build::Build;
use fm_api::v1::inspect::{
    DamageDocument, ImageDocument, ImageFormat, InspectDocument, InspectKind, ModuleDocument, NodeDocument,
    StoreDocument, VolumeDocument,
};
use fm_api::v1::stream::Streamed;
use fm_formats::Sha256;

use super::contents::{Image, Module, Volume};
use crate::{Error, words};

/// What a file is, and what is in it.
#[derive(Debug)]
pub struct Inspected {
    /// The file, as it was named.
    pub path: PathBuf,
    /// What it is.
    pub kind: InspectKind,
    /// Its length; of a qcow2 image that of the flash in it.
    pub size_bytes: u64,
    /// Digest of the flash in it.
    pub sha256: Option<Sha256>,
    /// How its flash is encoded.
    pub format: Option<ImageFormat>,
    /// Why it is no firmware, or what cannot be read of it.
    pub reason: Option<String>,
    /// The firmware in it.
    pub image: Option<Image>,
    /// Which build its firmware is.
    pub build: Build,
    /// The variable store in it.
    pub store: Option<StoreDocument>,
    /// What is wrong with what is no firmware.
    pub damage: Vec<DamageDocument>,
    pub(super) tree: Option<Vec<NodeDocument>>,
    pub(super) stream_unreadable: Option<String>,
    pub(super) streamed: Option<Streamed>,
}

impl Inspected {
    /// A file of which nothing more is known.
    pub(super) fn new(path: &Path, kind: InspectKind, size_bytes: u64) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            size_bytes,
            sha256: None,
            format: None,
            reason: None,
            image: None,
            build: Build::unknown(),
            store: None,
            damage: Vec::new(),
            tree: None,
            stream_unreadable: None,
            streamed: None,
        }
    }

    /// Everything that is wrong with its firmware and with the variables beside it.
    pub(crate) fn damages(&self) -> impl Iterator<Item = &str> {
        let of_image = self.image.iter().flat_map(|image| &image.damage);
        let of_store = self.store.iter().flat_map(|store| &store.damage);
        of_image
            .map(|damage| damage.message.as_str())
            .chain(of_store.map(String::as_str))
    }
}

impl From<Inspected> for InspectDocument {
    fn from(found: Inspected) -> Self {
        let build = found.build;
        Self {
            schema: Schema::default(),
            path: found.path.display().to_string(),
            kind: found.kind,
            size_bytes: found.size_bytes,
            sha256: found.sha256.map(|digest| digest.to_string()),
            format: found.format,
            reason: found.reason,
            image: found.image.map(|image| image_document(image, build)),
            store: found.store,
            damage: found.damage,
            tree: found.tree,
            stream_unreadable: found.stream_unreadable,
            streamed: found.streamed,
        }
    }
}

fn image_document(image: Image, build: Build) -> ImageDocument {
    ImageDocument {
        arch: image.arch.map(words::arch),
        cpu_mode: image.cpu_mode.map(words::cpu_mode),
        platform: image.platform,
        layout: image.layout.map(words::layout),
        features: image.features.iter().map(ToString::to_string).collect(),
        build,
        map: image.map,
        volumes: image.volumes.iter().map(volume_document).collect(),
        modules: image.modules.into_iter().map(module_document).collect(),
        reset_vector: image.reset_vector,
        damage: image.damage,
        tree: image.tree,
    }
}

fn volume_document(volume: &Volume) -> VolumeDocument {
    VolumeDocument {
        offset: volume.offset,
        decoded_offset: volume.decoded_offset,
        size_bytes: volume.size_bytes,
        guid: volume.guid.to_string(),
        name: volume.name().map(Into::into),
        sha256: volume.sha256.to_string(),
        used_bytes: volume.used_bytes,
        compressed: volume.compressed,
        measured: volume.measured,
        runs_from: volume.runs_from.map(words::runs_from),
    }
}

fn module_document(module: Module) -> ModuleDocument {
    ModuleDocument {
        guid: module.guid.to_string(),
        name: module.name,
        kind: words::file_type(module.kind),
        sha256: module.sha256.to_string(),
        size_bytes: module.size_bytes,
        volume: module.volume,
        volume_offset: module.volume_offset,
    }
}

/// The document of a file that could not be looked at.
#[must_use]
pub fn unreadable(path: &Path, error: &Error) -> InspectDocument {
    let mut found = Inspected::new(path, InspectKind::Unreadable, 0);
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let words: Vec<String> = std::iter::once(error.to_string())
        .chain(causes.map(ToString::to_string))
        .collect();
    found.reason = Some(words.join(": "));
    found.into()
}
