//! What a stream holds, as a document.

use std::path::PathBuf;

use fm_api::v1::build::Build;
use fm_formats::stream::qcow2;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gather::Gathered;
use super::input::Container;

/// Something that holds a stream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Streamed {
    /// `migration_stream`, `libvirt_save_image` or `qcow2_snapshot`: the `kind` of the document around it.
    #[serde(skip)]
    pub kind: String,
    /// How the stream is compressed in it: `gzip`, `bzip2`, `xz`, `lzop` or `zstd`.
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
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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

impl From<fm_libvirt::SavedDomain> for SavedDomainDocument {
    fn from(domain: fm_libvirt::SavedDomain) -> Self {
        Self {
            name: domain.name,
            uuid: domain.uuid,
            machine: domain.machine,
            loader: domain.loader,
            nvram: domain.nvram,
            nvram_template: domain.nvram_template,
        }
    }
}

/// Where reading stopped.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StreamStop {
    /// Offset in the file, or in the decompressed stream.
    pub offset: u64,
    /// The reason.
    pub why: String,
}

/// A RAM block.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StreamBlock {
    /// QEMU's name of it.
    pub name: String,
    /// `code`, `vars`, `bios`, `option_rom`, `table` or `memory`.
    pub kind: String,
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
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StreamChannel {
    /// Its number.
    pub id: u8,
    /// `none`, `zlib` or `zstd`.
    pub compression: String,
    /// Pages sent whole.
    pub pages_data: u64,
    /// Pages sent as zero.
    pub pages_zero: u64,
    /// Where and why reading stopped, of a channel that is not whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stopped: Option<StreamStop>,
}

/// Something unknown.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StreamNote {
    /// Where.
    pub offset: u64,
    /// What.
    pub text: String,
}

impl Streamed {
    /// Describes what was gathered.
    #[must_use]
    pub fn new(gathered: &Gathered) -> Self {
        let mut streamed = Self {
            kind: "migration_stream".into(),
            compression: None,
            domain_xml: None,
            domain: None,
            was_running: None,
            snapshots: Vec::new(),
            stream: StreamDocument::new(gathered),
        };
        match &gathered.container {
            Container::Stream => {}
            Container::Compressed(program) => streamed.compression = Some((*program).into()),
            Container::SaveImage { header, xml, .. } => {
                streamed.kind = "libvirt_save_image".into();
                streamed.compression = Some(header.compression.name().into());
                streamed.domain_xml = Some(xml.clone());
                streamed.domain = fm_libvirt::saved_domain(xml).ok().map(Into::into);
                streamed.was_running = Some(header.was_running);
            }
            Container::Snapshot { chosen, all, .. } => {
                streamed.kind = "qcow2_snapshot".into();
                streamed.snapshots = all
                    .iter()
                    .map(|snapshot| StreamSnapshot::new(snapshot, chosen))
                    .collect();
            }
        }
        streamed
    }
}

impl StreamSnapshot {
    fn new(snapshot: &qcow2::Snapshot, chosen: &qcow2::Snapshot) -> Self {
        Self {
            id: snapshot.id.clone(),
            name: snapshot.name.clone(),
            vm_state_bytes: snapshot.vm_state_bytes,
            chosen: snapshot == chosen,
            stream: None,
            unreadable: None,
        }
    }
}

impl StreamDocument {
    fn new(gathered: &Gathered) -> Self {
        let facts = &gathered.facts;
        let any = |of: fn(&fm_formats::stream::Block) -> bool| facts.blocks.iter().any(of);
        let features = [
            ("postcopy", facts.postcopy),
            ("xbzrle", any(|block| block.pages.xbzrle > 0)),
            ("compress", any(|block| block.pages.compressed > 0)),
            (
                "multifd",
                facts.multifd_flushes > 0 || !gathered.channels.is_empty(),
            ),
            ("mapped-ram", any(|block| block.pages_offset.is_some())),
        ];
        Self {
            version: facts.version,
            machine: facts.machine.clone(),
            complete: gathered.stopped.is_none(),
            stopped: gathered.stopped.as_ref().map(|stopped| StreamStop {
                offset: stopped.offset(),
                why: stopped.why(),
            }),
            page_size_bytes: facts.page_size_bytes,
            capabilities: facts.capabilities.clone(),
            features: features
                .into_iter()
                .filter(|(_, seen)| *seen)
                .map(|(name, _)| name.to_owned())
                .collect(),
            uuid: facts.uuid.map(uuid_text),
            blocks: (0..facts.blocks.len())
                .filter_map(|index| block(gathered, index))
                .collect(),
            devices: facts
                .devices
                .iter()
                .map(|device| StreamDevice {
                    name: device.name.clone(),
                    instance: device.instance,
                    version: device.version,
                    size_bytes: device.size_bytes,
                    offset: device.offset,
                })
                .collect(),
            channels: gathered
                .channels
                .iter()
                .map(|channel| StreamChannel {
                    id: channel.id.unwrap_or(0),
                    compression: channel.compression.into(),
                    pages_data: channel.pages.data,
                    pages_zero: channel.pages.zero,
                    stopped: channel.stopped.as_ref().map(|stopped| StreamStop {
                        offset: stopped.offset(),
                        why: stopped.why(),
                    }),
                })
                .collect(),
            notes: facts
                .notes
                .iter()
                .map(|note| StreamNote {
                    offset: note.offset,
                    text: note.text.clone(),
                })
                .collect(),
        }
    }
}

fn block(gathered: &Gathered, index: usize) -> Option<StreamBlock> {
    use fm_formats::stream::BlockKind;
    let block = gathered.facts.blocks.get(index)?;
    Some(StreamBlock {
        name: block.name.clone(),
        kind: match block.kind {
            BlockKind::Code => "code",
            BlockKind::Vars => "vars",
            BlockKind::Bios => "bios",
            BlockKind::OptionRom => "option_rom",
            BlockKind::Table => "table",
            BlockKind::Memory => "memory",
        }
        .into(),
        size_bytes: block.size_bytes,
        pages_data: block.pages.data,
        pages_zero: block.pages.zero,
        pages_xbzrle: block.pages.xbzrle,
        pages_compressed: block.pages.compressed,
        stream_bytes: block.pages.stream_bytes,
        sha256: gathered.sha256(index).map(|digest| digest.to_string()),
        build: None,
    })
}

/// A UUID as `qemu -uuid` writes it: bytes in order.
fn uuid_text(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
