//! What is found in an image, and kept of it.

use fm_api::v1::inspect::{DamageDocument, NodeDocument, RegionDocument, ResetVectorDocument, StoreDocument};
use fm_formats::image::{Arch, CpuMode, Feature, Layout, Role, RunsFrom};
use fm_formats::volume::FileKind;
use fm_formats::{Guid, Sha256, image};
use serde::{Deserialize, Serialize};

/// What the bytes of an image say, whatever the file is called and whoever built it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ImageReport {
    /// What it is for; nothing if it is no firmware.
    pub role: Option<Role>,
    /// Digest of the whole image.
    pub sha256: Sha256,
    /// Why it is no firmware.
    pub reason: Option<String>,
    /// What it consists of.
    pub image: Option<Image>,
    /// The version string in the image.
    pub(super) version: Option<String>,
    pub(super) store: Option<StoreDocument>,
    /// Of what is no firmware; of an image, the image has them.
    pub(super) damage: Vec<DamageDocument>,
    pub(super) tree: Option<Vec<NodeDocument>>,
    /// Whether there is code where an x86 processor starts: in the last bytes, and no padding behind.
    pub ends_in_code: bool,
}

/// The firmware in an image. What is only shown of it has the form of its document already.
#[derive(Debug, Serialize, Deserialize)]
pub struct Image {
    /// What it brings the guest up in.
    pub arch: Option<Arch>,
    /// Of x86: the modes of its phases.
    pub cpu_mode: Option<CpuMode>,
    /// The edk2 platform that it was built from.
    pub platform: Option<String>,
    /// How it divides its flash.
    pub layout: Option<Layout>,
    /// What it can do, as far as its binary shows.
    pub features: Vec<Feature>,
    /// What lies where, from the start of the flash to its end.
    pub map: Vec<RegionDocument>,
    /// Its volumes, in order.
    pub volumes: Vec<Volume>,
    /// The files in its volumes that are no padding, in order.
    pub modules: Vec<Module>,
    /// Of x86: the table below the reset vector.
    pub reset_vector: Option<ResetVectorDocument>,
    /// What is wrong with it.
    pub damage: Vec<DamageDocument>,
    pub(super) tree: Option<Vec<NodeDocument>>,
}

impl Image {
    /// Whether its binary shows this feature.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }
}

/// A firmware volume.
#[derive(Debug, Serialize, Deserialize)]
pub struct Volume {
    /// In the image; of a compressed volume where the section that holds it starts.
    pub offset: u64,
    /// In the decoded bytes, of a compressed volume.
    pub decoded_offset: Option<u64>,
    /// How long it is, decoded.
    pub size_bytes: u64,
    /// Its name; its format's where it has none.
    pub guid: Guid,
    /// Of all its bytes.
    pub sha256: Sha256,
    /// Without the free space at its end.
    pub used_bytes: u64,
    /// Whether it must be decompressed first.
    pub compressed: bool,
    /// Whether the firmware measures it into PCR 0. Known of OVMF and of Arm; false elsewhere.
    pub measured: bool,
    /// Where the code in it runs from; nothing if it holds none itself.
    pub runs_from: Option<RunsFrom>,
}

impl Volume {
    /// What edk2 calls its GUID.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        image::name_of(self.guid)
    }
}

/// A file in a volume.
#[derive(Debug, Serialize, Deserialize)]
pub struct Module {
    /// Its name.
    pub guid: Guid,
    /// What the build calls it, else edk2.
    pub name: Option<String>,
    /// What type of file it is.
    pub kind: FileKind,
    /// Of its contents, without the header.
    pub sha256: Sha256,
    /// How long its contents are.
    pub size_bytes: u64,
    /// Its volume's place among the volumes.
    pub volume: usize,
    /// Where its header starts in the volume.
    pub volume_offset: u64,
}
