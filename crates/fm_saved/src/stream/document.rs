//! What a stream holds, as a document.

use fm_api::v1::inspect::InspectKind;
use fm_api::v1::stream::{
    ChannelCompression, SavedDomainDocument, StreamBlock, StreamBlockKind, StreamChannel, StreamDevice,
    StreamDocument, StreamNote, StreamSnapshot, StreamStop, Streamed,
};
use fm_stream::multifd::PageCompression;
use fm_stream::{BlockKind, qcow2};

use super::gather::Gathered;
use super::input::Container;

/// What holds the stream.
#[must_use]
pub fn kind(gathered: &Gathered) -> InspectKind {
    match gathered.container {
        Container::Stream | Container::Compressed(_) => InspectKind::MigrationStream,
        Container::SaveImage { .. } => InspectKind::LibvirtSaveImage,
        Container::Snapshot { .. } => InspectKind::Qcow2Snapshot,
    }
}

/// What was gathered, and what it was in.
#[must_use]
pub fn streamed(gathered: &Gathered) -> Streamed {
    let mut streamed = Streamed {
        compression: None,
        domain_xml: None,
        domain: None,
        was_running: None,
        snapshots: Vec::new(),
        stream: document(gathered),
    };
    match &gathered.container {
        Container::Stream => {}
        Container::Compressed(program) => streamed.compression = Some((*program).into()),
        Container::SaveImage { header, xml, .. } => {
            streamed.compression = Some(header.compression.name().into());
            streamed.domain_xml = Some(xml.clone());
            streamed.domain = fm_libvirt::saved_domain(xml).ok().map(saved_domain);
            streamed.was_running = Some(header.was_running);
        }
        Container::Snapshot { chosen, all, .. } => {
            streamed.snapshots = all.iter().map(|snapshot| snapshot_in(snapshot, chosen)).collect();
        }
    }
    streamed
}

/// The stream alone.
#[must_use]
pub fn document(gathered: &Gathered) -> StreamDocument {
    let facts = &gathered.facts;
    let any = |of: fn(&fm_stream::Block) -> bool| facts.blocks.iter().any(of);
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
    StreamDocument {
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
                compression: match channel.compression {
                    PageCompression::None => ChannelCompression::None,
                    PageCompression::Zlib => ChannelCompression::Zlib,
                    PageCompression::Zstd => ChannelCompression::Zstd,
                },
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

fn saved_domain(domain: fm_libvirt::SavedDomain) -> SavedDomainDocument {
    SavedDomainDocument {
        name: domain.name,
        uuid: domain.uuid,
        machine: domain.machine,
        loader: domain.loader,
        nvram: domain.nvram,
        nvram_template: domain.nvram_template,
    }
}

fn snapshot_in(snapshot: &qcow2::Snapshot, chosen: &qcow2::Snapshot) -> StreamSnapshot {
    StreamSnapshot {
        id: snapshot.id.clone(),
        name: snapshot.name.clone(),
        vm_state_bytes: snapshot.vm_state_bytes,
        chosen: snapshot == chosen,
        stream: None,
        unreadable: None,
    }
}

fn block(gathered: &Gathered, index: usize) -> Option<StreamBlock> {
    let block = gathered.facts.blocks.get(index)?;
    Some(StreamBlock {
        name: block.name.clone(),
        kind: match block.kind {
            BlockKind::Code => StreamBlockKind::Code,
            BlockKind::Vars => StreamBlockKind::Vars,
            BlockKind::Bios => StreamBlockKind::Bios,
            BlockKind::OptionRom => StreamBlockKind::OptionRom,
            BlockKind::Table => StreamBlockKind::Table,
            BlockKind::Memory => StreamBlockKind::Memory,
        },
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
