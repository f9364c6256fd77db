//! The OCI documents of a build: index, manifest, descriptor.
//!
//! Source: OCI image-spec v1.1, `image-index.md`, `manifest.md`, `descriptor.md`, `image-layout.md`.
//! Members that we do not know survive; maps are ordered, so that equal builds give equal manifests.

use std::collections::BTreeMap;

use fm_formats::Sha256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

pub(crate) use fm_api::oci::{
    BUILD, CODE, CREATED, DESCRIPTOR, EMPTY, EMPTY_CONFIG, INDEX, LAYOUT, MANIFEST, REF_NAME, SOURCE, TITLE,
    VARS_TEMPLATE, VERSION,
};

/// JSON list of the reasons for which a build is kept; lives in the index, not in the manifest.
pub(crate) const PINS: &str = "io.github.flashmoor.pins";

pub(crate) type Annotations = BTreeMap<String, String>;

/// `index.json`: what a layout holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// The content of one manifest: a build.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: Annotations,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// A reference to a blob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: Annotations,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// A digest as OCI writes it: `sha256:` and 64 digits. Other algorithms are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) Sha256);

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("sha256:{}", self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix("sha256:").map(str::parse) {
            Some(Ok(digest)) => Ok(Self(digest)),
            _ => Err(serde::de::Error::custom(format_args!(
                "{text:?} is not a sha256 digest"
            ))),
        }
    }
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(INDEX.into()),
            manifests: Vec::new(),
            rest: Map::new(),
        }
    }
}

impl Manifest {
    /// The layer of a media type.
    pub(crate) fn layer(&self, media_type: &str) -> Option<&Descriptor> {
        self.layers.iter().find(|layer| layer.media_type == media_type)
    }

    /// Its VARS templates; the first is the one that the build is known for.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Descriptor> {
        self.layers
            .iter()
            .filter(|layer| layer.media_type == VARS_TEMPLATE)
    }

    /// The CODE layer, if this is the manifest of a build: exactly one layer is CODE.
    pub(crate) fn code(&self) -> Option<&Descriptor> {
        let mut codes = self.layers.iter().filter(|layer| layer.media_type == CODE);
        codes.next().filter(|_| codes.next().is_none())
    }
}

impl Descriptor {
    pub(crate) fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.into(),
            digest: Digest(Sha256::of(bytes)),
            size: bytes.len() as u64,
            annotations: Annotations::new(),
            rest: Map::new(),
        }
    }

    pub(crate) fn titled(mut self, title: &str) -> Self {
        self.annotations.insert(TITLE.into(), title.into());
        self
    }

    pub(crate) fn tag(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }

    /// Whether its tag is that of this build, as it is written today or as it was.
    pub(crate) fn is_tagged_for(&self, id: &Sha256) -> bool {
        self.tagged_id() == Some(*id)
    }

    /// The build that its tag is for.
    pub(crate) fn tagged_id(&self) -> Option<Sha256> {
        let tag = self.tag()?;
        tag.strip_prefix("fm-")
            .or_else(|| tag.strip_prefix("sha256-"))?
            .parse()
            .ok()
    }

    /// Why this build is to be kept.
    pub(crate) fn pins(&self) -> Vec<String> {
        // A foreign tool's idea of the annotation keeps the build as well: unread is not unpinned.
        self.annotations.get(PINS).map_or_else(Vec::new, |text| {
            serde_json::from_str(text).unwrap_or_else(|_| vec![text.clone()])
        })
    }

    pub(crate) fn set_pins(&mut self, pins: &[String]) {
        if pins.is_empty() {
            self.annotations.remove(PINS);
        } else {
            self.annotations
                .insert(PINS.into(), Value::from(pins.to_vec()).to_string());
        }
    }
}

/// The tag of a build in a layout.
pub(crate) fn tag_of(id: &Sha256) -> String {
    format!("fm-{id}")
}

/// The folder of a build in `builds/`, where definitions of guests find it; and its tag in layouts of the first
/// versions: registries take a tag of that form for the list of a manifest's referrers.
///
/// Source: OCI distribution-spec v1.1, "Referrers Tag Schema".
pub(crate) fn folder_of(id: &Sha256) -> String {
    format!("sha256-{id}")
}
