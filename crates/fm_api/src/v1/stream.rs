//! What a migration stream holds, and what holds the stream.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::build::Build;
use crate::words;

/// Something that holds a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Streamed {
    /// How the stream is compressed in it: the program that does it, such as `gzip`, `bzip2`, `xz`, `lzop` or `zstd`;
    /// of a libvirt save image, `raw` or `sparse` as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// The saved domain's XML, of a libvirt save image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_xml: Option<String>,
    /// What of it decides whether the guest can be restored; absent if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<SavedDomainDocument>,
    /// Whether the guest was running when libvirt saved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was_running: Option<bool>,
    /// The snapshots of a qcow2 image that hold memory.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub snapshots: Vec<StreamSnapshot>,
    /// The stream itself; of several snapshots, the chosen one's.
    pub stream: StreamDocument,
}

/// An internal snapshot of a qcow2 image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamSnapshot {
    /// Its number.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How much memory it holds.
    pub vm_state_bytes: u64,
    /// Whether `stream` beside this list is this one's.
    pub chosen: bool,
    /// What another one than the chosen holds, where `inspect` was asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stream: Option<Box<StreamDocument>>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unreadable: Option<String>,
}

/// A QEMU migration stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamDocument {
    /// Version of the stream format.
    pub version: u32,
    /// QEMU's machine type.
    pub machine: Option<String>,
    /// Whether the stream is whole.
    pub complete: bool,
    /// Where and why reading stopped, of a stream that is not whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<StreamStop>,
    /// Size of a target page.
    pub page_size_bytes: u64,
    /// Capabilities that the source declared; QEMU declares only those that change the layout.
    pub capabilities: Vec<String>,
    /// What the records themselves show: `postcopy`, `xbzrle`, `compress`, `multifd`, `mapped-ram`.
    pub features: Vec<String>,
    /// The guest's UUID, if the source declared it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// RAM blocks in the order of the stream.
    pub blocks: Vec<StreamBlock>,
    /// Device sections in the order of the stream; empty without a JSON description.
    pub devices: Vec<StreamDevice>,
    /// The multifd channels that were read with it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub channels: Vec<StreamChannel>,
    /// What is unknown to us in the stream.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<StreamNote>,
}

/// A libvirt domain, as a save image describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedDomainDocument {
    /// Its name.
    pub name: String,
    /// Its UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The machine type that it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The CODE file that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader: Option<PathBuf>,
    /// The VARS file that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvram: Option<PathBuf>,
    /// What a missing VARS file is made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvram_template: Option<PathBuf>,
}

/// Where reading stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamStop {
    /// Offset in the file, or in the decompressed stream.
    pub offset: u64,
    /// The reason.
    pub why: String,
}

/// A RAM block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamBlock {
    /// QEMU's name of it.
    pub name: String,
    /// What it is for.
    pub kind: StreamBlockKind,
    /// Its length.
    pub size_bytes: u64,
    /// Pages sent whole; a page that changed on the way counts once per time it was sent.
    pub pages_data: u64,
    /// Pages sent as zero (in mapped-ram: pages that are not there).
    pub pages_zero: u64,
    /// Pages sent as a difference.
    pub pages_xbzrle: u64,
    /// Pages sent deflated one by one.
    pub pages_compressed: u64,
    /// How much of the stream they take, record headers included.
    pub stream_bytes: u64,
    /// Digest of its content, for flash and ROM that came whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Which build the firmware in it is, where `inspect` was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
}

/// A device section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamDevice {
    /// QEMU's name of it.
    pub name: String,
    /// Which of several.
    pub instance: u32,
    /// Version of its state.
    pub version: u32,
    /// How long its state is.
    pub size_bytes: u64,
    /// Where its section starts.
    pub offset: u64,
}

/// A multifd channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamChannel {
    /// Its number.
    pub id: u8,
    /// How its pages are compressed.
    pub compression: ChannelCompression,
    /// Pages sent whole.
    pub pages_data: u64,
    /// Pages sent as zero.
    pub pages_zero: u64,
    /// Where and why reading stopped, of a channel that is not whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stopped: Option<StreamStop>,
}

/// Something unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamNote {
    /// Where.
    pub offset: u64,
    /// What.
    pub text: String,
}

words! {
    /// What a RAM block is for.
    StreamBlockKind {
        /// Flash unit 0.
        Code = "code",
        /// Flash unit 1.
        Vars = "vars",
        /// Firmware outside of flash.
        Bios = "bios",
        /// A device's option ROM.
        OptionRom = "option_rom",
        /// ACPI and other tables.
        Table = "table",
        /// Guest memory.
        Memory = "memory",
    }
}

words! {
    /// How the pages of a multifd channel are compressed.
    ChannelCompression {
        /// They are not.
        None = "none",
        /// By zlib.
        Zlib = "zlib",
        /// By zstd.
        Zstd = "zstd",
    }
}
