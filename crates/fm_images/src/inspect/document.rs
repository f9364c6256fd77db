//! The document `flashmoor/inspect/1`.

use std::error::Error as _;
use std::path::Path;

pub use fm_api::v1::build::Build;
use fm_saved::stream::Streamed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What a file is. Offsets and sizes are in bytes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct InspectDocument {
    /// `flashmoor/inspect/1`.
    pub schema: String,
    /// The file.
    pub path: String,
    /// `code`, `vars`, `combined`, `not-firmware`, `unreadable`, or what holds a stream:
    /// `migration_stream`, `libvirt_save_image`, `qcow2_snapshot`.
    pub kind: String,
    /// Size of the flash image (of a qcow2 file: of the disk in it), or of the file.
    pub size_bytes: u64,
    /// Digest of the flash image; absent where nothing was read in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// `raw`, `qcow2` or `json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Why it is no firmware, cannot be read, or is firmware of which no code can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The firmware in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageDocument>,
    /// The variable store in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreDocument>,
    /// Damage in what is no firmware; of an image, `image.damage` has it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub damage: Vec<DamageDocument>,
    /// Every volume, file and section of what is no firmware, if asked for; of an image, `image.tree`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<Vec<NodeDocument>>,
    /// Why the snapshot in it cannot be read, although its variables can.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stream_unreadable: Option<String>,
    /// The stream in it, and what there is around the stream.
    #[serde(flatten)]
    pub streamed: Option<Streamed>,
}

impl InspectDocument {
    pub(super) fn new(path: &Path, kind: &str, size_bytes: u64) -> Self {
        Self {
            schema: "flashmoor/inspect/1".into(),
            path: path.display().to_string(),
            kind: kind.into(),
            size_bytes,
            sha256: None,
            format: None,
            reason: None,
            image: None,
            store: None,
            damage: Vec::new(),
            tree: None,
            stream_unreadable: None,
            streamed: None,
        }
    }

    /// The document of a file that could not be looked at.
    #[must_use]
    pub fn unreadable(path: &Path, error: &Error) -> Self {
        let mut document = Self::new(path, "unreadable", 0);
        let causes = std::iter::successors(error.source(), |cause| (*cause).source());
        let words: Vec<String> = std::iter::once(error.to_string())
            .chain(causes.map(ToString::to_string))
            .collect();
        document.reason = Some(words.join(": "));
        document
    }
}

/// A flash image.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ImageDocument {
    /// `x86-64`, `ia32`, `aarch64`, `arm`, `riscv64` or `loongarch64`.
    pub arch: Option<String>,
    /// `IA32`, `IA32X64` or `X64`: modes of the phases before DXE and of DXE.
    pub cpu_mode: Option<String>,
    /// The edk2 platform, such as `OvmfPkg` or `ArmVirtQemu`.
    pub platform: Option<String>,
    /// `1M`, `2M`, `4M`, `armvirt`, `riscv` or `loongarch`.
    pub layout: Option<String>,
    /// What it can do, such as `secure-boot`, `smm` or `tdx`.
    pub features: Vec<String>,
    /// Which build it is.
    pub build: Build,
    /// What lies where in the flash, from its start to its end.
    pub map: Vec<RegionDocument>,
    /// Its volumes, those in compressed sections included.
    pub volumes: Vec<VolumeDocument>,
    /// Its files, except padding.
    pub modules: Vec<ModuleDocument>,
    /// The table below the reset vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_vector: Option<ResetVectorDocument>,
    /// What is not as it should be.
    pub damage: Vec<DamageDocument>,
    /// Every volume, file and section, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<Vec<NodeDocument>>,
}

/// A run of bytes in the flash.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RegionDocument {
    /// From the start of the image.
    pub offset: u64,
    /// How long.
    pub size: u64,
    /// `volume`, `variables` or `padding`.
    pub kind: String,
    /// A name, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes of it in use; of variables, up to the last of them.
    pub used_bytes: u64,
    /// Where the code in it runs from: `flash`, `ram-after-decompression`, or `mixed` if its parts
    /// differ; absent if it holds none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_from: Option<String>,
    /// The runs of code in it, in order.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub parts: Vec<PartDocument>,
}

/// A run of code in a region.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PartDocument {
    /// From the start of the image.
    pub offset: u64,
    /// How long; compressed, where it runs from RAM.
    pub size: u64,
    /// `flash` or `ram-after-decompression`.
    pub runs_from: String,
}

/// A firmware volume.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VolumeDocument {
    /// In the image; of a compressed volume where the section that holds it starts.
    pub offset: u64,
    /// In the decoded bytes, of a compressed volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoded_offset: Option<u64>,
    /// How long it is, decoded.
    pub size: u64,
    /// Its name as a GUID; its format's where it has no name.
    pub guid: String,
    /// What edk2 calls that GUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of all its bytes.
    pub sha256: String,
    /// Without the free space at its end.
    pub used_bytes: u64,
    /// Whether it must be decompressed first.
    pub compressed: bool,
    /// Whether the firmware measures it into PCR 0. Known of OVMF and of Arm; false elsewhere.
    pub measured: bool,
    /// Where the code in it runs from; absent if it holds none itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_from: Option<String>,
}

/// What people call the volume of variables.
const VARIABLES: &str = "variables";

impl VolumeDocument {
    /// Whether it holds variables: how full it is says nothing of the room for them.
    #[must_use]
    pub fn is_variables(&self) -> bool {
        self.label() == VARIABLES
    }

    /// What people call it. A volume without a name of its own carries its format's, which says nothing.
    #[must_use]
    pub fn label(&self) -> &str {
        match self.name.as_deref() {
            Some("gEfiSystemNvDataFvGuid") => VARIABLES,
            Some(name) if name.starts_with("gEfi") => "nameless volume",
            Some(name) => name,
            None => &self.guid,
        }
    }
}

/// A file in a volume.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ModuleDocument {
    /// Its name.
    pub guid: String,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Such as `driver`, `peim` or `raw`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Of its body: the file without its header.
    pub sha256: String,
    /// Length of its body.
    pub size_bytes: u64,
    /// Index in `volumes` of the volume that it lies in.
    pub volume: usize,
    /// Where it lies in that volume.
    pub volume_offset: u64,
}

/// The GUIDed table below the reset vector.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ResetVectorDocument {
    /// Its entries.
    pub entries: Vec<TableEntryDocument>,
    /// Guest memory that a VMM prepares or fills.
    pub ranges: Vec<RangeDocument>,
}

/// One entry of the table.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TableEntryDocument {
    /// What it is.
    pub guid: String,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its data, in hexadecimal.
    pub data: String,
}

/// A range of guest memory.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RangeDocument {
    /// `sev`, `sev-snp`, `tdx` or `igvm`.
    pub technology: String,
    /// What it is for.
    pub purpose: String,
    /// The purpose's number in the metadata.
    #[serde(rename = "type")]
    pub kind: u32,
    /// Guest-physical address.
    pub base: u64,
    /// How long.
    pub size: u64,
    /// Where in VARS and CODE together its content comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flash_offset: Option<u32>,
    /// Whether the launch measurement covers its content, whatever options the guest has. SEV-SNP's covers place and
    /// type of each of its ranges and the content of none; of the kernel hashes it does with `kernel-hashes=on`.
    pub measured: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DamageDocument {
    /// What, with its offset.
    pub message: String,
    /// Where the compressed section starts in the image, if the offset counts in what came out of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoded_from: Option<u64>,
}

/// A piece of the tree.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NodeDocument {
    /// Levels above it.
    pub depth: u16,
    /// `volume`, `file`, `section`, `padding` or `free-space`.
    pub kind: String,
    /// The type of file or section, or how a section is encoded.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub subtype: Option<String>,
    /// The GUID that names or types it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    /// A name for people, or a text it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In the image, or in the decoded bytes it lies in.
    pub offset: u64,
    /// Header included.
    pub size_bytes: u64,
    /// Length of its header.
    pub header_bytes: u64,
    /// Whether the offset counts in decoded bytes.
    pub compressed: bool,
    /// What else its content says: a dependency expression, an executable's machine and entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A variable store.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StoreDocument {
    /// `authenticated`, `plain`, `blank` or `json`, which has no fixed room.
    pub format: String,
    /// The layout of VARS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// How much room there is for variables.
    pub size_bytes: u64,
    /// How much of it variables take, and what is left of deleted ones.
    pub used_bytes: u64,
    /// How many variables are valid.
    pub variables: usize,
    /// Whether they hold a platform key, so that Secure Boot is enforced.
    pub secure_boot_keys: bool,
    /// Damage found in it, but for what the image's tells of its volume.
    pub damage: Vec<String>,
}
