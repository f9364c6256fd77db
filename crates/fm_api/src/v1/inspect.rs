//! `flashmoor/inspect/2`: what a file is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::build::Build;
use super::firmware::{Arch, CpuMode, Layout, StoreFormat};
use super::stream::Streamed;
use crate::{Schema, document, words};

/// What a file is. Offsets and sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InspectDocument {
    /// `flashmoor/inspect/2`.
    pub schema: Schema<InspectDocument>,
    /// The file.
    pub path: String,
    /// What it is.
    pub kind: InspectKind,
    /// Size of the flash image (of a qcow2 file: of the disk in it), or of the file.
    pub size_bytes: u64,
    /// Digest of the flash image; absent where nothing was read in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// How the image is encoded in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
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

document!(InspectDocument = "flashmoor/inspect/2");

/// A flash image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageDocument {
    /// The architecture that it is for.
    pub arch: Option<Arch>,
    /// Modes of the phases before DXE, and of DXE.
    pub cpu_mode: Option<CpuMode>,
    /// The edk2 platform, such as `OvmfPkg` or `ArmVirtQemu`.
    pub platform: Option<String>,
    /// Its layout.
    pub layout: Option<Layout>,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegionDocument {
    /// From the start of the image.
    pub offset: u64,
    /// How long.
    pub size_bytes: u64,
    /// What is in it.
    pub kind: RegionKind,
    /// A name, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes of it in use; of variables, up to the last of them.
    pub used_bytes: u64,
    /// Where the code in it runs from; absent if it holds none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_from: Option<RegionRunsFrom>,
    /// The runs of code in it, in order.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub parts: Vec<PartDocument>,
}

/// A run of code in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartDocument {
    /// From the start of the image.
    pub offset: u64,
    /// How long; compressed, where it runs from RAM.
    pub size_bytes: u64,
    /// Where it runs from.
    pub runs_from: RunsFrom,
}

/// A firmware volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeDocument {
    /// In the image; of a compressed volume where the section that holds it starts.
    pub offset: u64,
    /// In the decoded bytes, of a compressed volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoded_offset: Option<u64>,
    /// How long it is, decoded.
    pub size_bytes: u64,
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
    pub runs_from: Option<RunsFrom>,
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
        volume_label(self.name.as_deref(), &self.guid)
    }
}

/// What people call the volume with this GUID, which edk2 calls `name`.
#[must_use]
pub fn volume_label<'a>(name: Option<&'a str>, guid: &'a str) -> &'a str {
    match name {
        Some("gEfiSystemNvDataFvGuid") => VARIABLES,
        Some(name) if name.starts_with("gEfi") => "nameless volume",
        Some(name) => name,
        None => guid,
    }
}

/// A file in a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModuleDocument {
    /// Its name.
    pub guid: String,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: FileType,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResetVectorDocument {
    /// Its entries.
    pub entries: Vec<TableEntryDocument>,
    /// Guest memory that a VMM prepares or fills.
    pub ranges: Vec<RangeDocument>,
}

/// One entry of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RangeDocument {
    /// Whose it is.
    pub technology: RangeTechnology,
    /// What it is for.
    pub purpose: String,
    /// The purpose's number in the metadata.
    #[serde(rename = "type")]
    pub kind: u32,
    /// Guest-physical address.
    pub base: u64,
    /// How long.
    pub size_bytes: u64,
    /// Where in VARS and CODE together its content comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flash_offset: Option<u32>,
    /// Whether the launch measurement covers its content, whatever options the guest has. SEV-SNP's covers place and
    /// type of each of its ranges and the content of none; of the kernel hashes it does with `kernel-hashes=on`.
    pub measured: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DamageDocument {
    /// What, with its offset.
    pub message: String,
    /// Where the compressed section starts in the image, if the offset counts in what came out of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoded_from: Option<u64>,
}

/// A piece of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeDocument {
    /// Levels above it.
    pub depth: u16,
    /// What it is.
    pub kind: NodeType,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreDocument {
    /// Its form.
    pub format: StoreFormat,
    /// The layout of VARS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
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

words! {
    /// What a file is.
    InspectKind {
        /// Firmware.
        Code = "code",
        /// A variable store.
        Vars = "vars",
        /// Both in one image.
        Combined = "combined",
        /// Nothing of that.
        NotFirmware = "not-firmware",
        /// It could not be looked at.
        Unreadable = "unreadable",
        /// A migration stream.
        MigrationStream = "migration_stream",
        /// A guest that libvirt saved.
        LibvirtSaveImage = "libvirt_save_image",
        /// A disk image with a snapshot that holds memory.
        Qcow2Snapshot = "qcow2_snapshot",
    }
}

words! {
    /// How an image is encoded in its file.
    ImageFormat {
        /// Byte for byte.
        Raw = "raw",
        /// QEMU's qcow2.
        Qcow2 = "qcow2",
        /// JSON that holds variables.
        Json = "json",
    }
}

words! {
    /// What is in a region of the flash.
    RegionKind {
        /// A firmware volume.
        Volume = "volume",
        /// The volume of variables.
        Variables = "variables",
        /// Nothing that is known.
        Padding = "padding",
    }
}

words! {
    /// Where code runs from.
    RunsFrom {
        /// The flash itself.
        Flash = "flash",
        /// Memory, decompressed.
        RamAfterDecompression = "ram-after-decompression",
    }
}

words! {
    /// Where the code of a region runs from.
    RegionRunsFrom {
        /// The flash itself.
        Flash = "flash",
        /// Memory, decompressed.
        RamAfterDecompression = "ram-after-decompression",
        /// Its parts differ.
        Mixed = "mixed",
    }
}

words! {
    /// The type of a file in a volume (`EFI_FV_FILETYPE`).
    FileType {
        /// Bytes without sections.
        Raw = "raw",
        /// Sections of any content.
        Freeform = "freeform",
        /// The code at the reset vector.
        SecCore = "sec-core",
        /// The PEI dispatcher.
        PeiCore = "pei-core",
        /// The DXE dispatcher.
        DxeCore = "dxe-core",
        /// A PEI module.
        Peim = "peim",
        /// A DXE driver.
        Driver = "driver",
        /// A PEIM and DXE driver in one.
        CombinedPeimDriver = "peim-driver",
        /// A UEFI application.
        Application = "application",
        /// A traditional MM driver.
        Mm = "mm-driver",
        /// A volume inside a file.
        VolumeImage = "volume-image",
        /// An MM and DXE driver in one.
        CombinedMmDxe = "mm-dxe-driver",
        /// The traditional MM core.
        MmCore = "mm-core",
        /// A standalone MM driver.
        MmStandalone = "mm-standalone-driver",
        /// The standalone MM core.
        MmCoreStandalone = "mm-standalone-core",
        /// Fills space.
        Pad = "pad",
        /// One that the specification does not name.
        Unknown = "unknown",
    }
}

words! {
    /// Who prepares or fills a range of guest memory.
    RangeTechnology {
        /// AMD SEV.
        Sev = "sev",
        /// AMD SEV-SNP.
        SevSnp = "sev-snp",
        /// Intel TDX.
        Tdx = "tdx",
        /// Whoever loads an IGVM file.
        Igvm = "igvm",
    }
}

words! {
    /// What a piece of the tree is.
    NodeType {
        /// A firmware volume.
        Volume = "volume",
        /// A file in a volume.
        File = "file",
        /// A section of a file.
        Section = "section",
        /// Bytes between volumes.
        Padding = "padding",
        /// Room in a volume.
        FreeSpace = "free-space",
    }
}
