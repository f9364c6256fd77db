//! Finds volumes in raw bytes and reads their headers.

use alloc::format;

use super::{Span, Walk, scan};
use crate::volume::VolumeHeader;
use crate::volume::header::sum16;
use crate::volume::raw::{RawFileHeader, RawVolumeExtHeader, RawVolumeHeader};
use crate::volume::tree::{NodeId, NodeKind, VolumeFacts};
use crate::{Error, Guid, Reader, Result};

/// A header is its fixed fields and a block map of one or two runs. One that says it is longer than this is
/// text or code with the signature in it, and summing 64 KiB at each such place would take hours.
const MAX_HEADER_BYTES: u16 = 4096;
/// Flash is erased in blocks: of content outside of volumes, shorter runs of one byte are a part.
const BLOCK_BYTES: usize = 4096;
/// On Arm and RISC-V the image starts with a jump to the code in its first volume.
const MAX_JUMP_BYTES: usize = 4096;

impl Walk<'_> {
    /// Bytes that may hold volumes anywhere; what lies between them is padding.
    pub(super) fn raw_area(&mut self, area: Span, parent: Option<NodeId>) {
        let (mut done, mut from) = (0, 0);
        while self.spend(area.skip(from).take(1), parent) {
            let Some(at) = scan::next_volume(self.bytes(area), from) else {
                break;
            };
            self.walked_bytes = self.walked_bytes.saturating_add(at.saturating_sub(from) as u64);
            match self.volume_header(area.skip(at)) {
                Ok((header, len)) => {
                    self.between(area, done, at, parent);
                    self.volume(area.skip(at).take(len), header, parent);
                    done = at.saturating_add(len);
                    from = done;
                }
                // The signature may stand in text or code by chance. Damage is reported only where the
                // rest looks like a header as well.
                Err(Some(error)) => {
                    self.record(parent, area.buffer, error);
                    from = at.saturating_add(1);
                }
                Err(None) => from = at.saturating_add(1),
            }
        }
        // Nothing but padding inside a leaf needs no node of its own.
        if done != 0 {
            self.between(area, done, area.len, parent);
        } else if parent.is_none() {
            self.padding(area, parent);
        }
    }

    /// Bytes between volumes. In flash they are one byte throughout, or a volume's header was there once.
    fn between(&mut self, area: Span, from: usize, to: usize, parent: Option<NodeId>) {
        let span = area.skip(from).take(to.saturating_sub(from));
        let bytes = self.bytes(span);
        if parent.is_some() || scan::fill(bytes).is_some() {
            return self.padding(span, parent);
        }
        let [before, behind] = scan::padding_around(bytes).map(|len| if len < BLOCK_BYTES { 0 } else { len });
        let content = span
            .skip(before)
            .take(span.len.saturating_sub(before).saturating_sub(behind));
        self.padding(span.take(before), None);
        if content.len != 0 && self.spend(content, None) {
            self.leaf(NodeKind::Padding { fill: None }, content, None);
            if from != 0 || content.end() > MAX_JUMP_BYTES {
                self.damage(None, content, |offset| Error::Unexpected {
                    field: "flash outside of volumes",
                    offset,
                    found: format!("{:#x} bytes of content", content.len),
                    expected: "padding: the header of a volume may be damaged".into(),
                });
            }
        }
        self.padding(span.skip(span.len.saturating_sub(behind)), None);
    }

    /// The header of a volume at the start of `area` and the volume's length there.
    fn volume_header(&mut self, area: Span) -> Result<(VolumeHeader, usize), Option<Error>> {
        let len = plausible_header_len(self.bytes(area)).ok_or(None)?;
        if !self.spend(area.take(usize::from(len)), None) {
            return Err(None);
        }
        let mut reader = Reader::at(self.bytes(area), area.start as u64);
        let header = VolumeHeader::parse(&mut reader).map_err(|_| None)?;
        let known = matches!(
            header.file_system,
            VolumeHeader::FFS2 | VolumeHeader::FFS3 | VolumeHeader::NV_DATA
        );
        // One damaged field is enough for a wrong checksum. Without a file system that is known the others
        // must speak for a volume, or the signature stands there by chance.
        if !header.checksum_holds() && !known && !is_of_a_volume(&header, area.len) {
            return Err(None);
        }
        let len = usize::try_from(header.volume_len_bytes).unwrap_or(usize::MAX);
        if len < usize::from(header.header_len_bytes) {
            return Err(Some(Error::Unexpected {
                field: "firmware volume length",
                offset: (area.start as u64).saturating_add(32),
                found: format!("{len:#x}"),
                expected: format!("at least its header's {:#x}", header.header_len_bytes),
            }));
        }
        // A length that is too large would swallow the volumes that follow, one too small leaves files out. The block
        // map tells as well: it counts where nothing can be behind the length, or where the checksum is for it.
        let mapped = usize::try_from(mapped_bytes(&header)).unwrap_or(usize::MAX);
        let fits = mapped <= area.len && mapped >= usize::from(header.header_len_bytes);
        let len = if fits && (len > area.len || only_length_is_wrong(&header)) {
            mapped
        } else {
            len.min(area.len)
        };
        Ok((header, len))
    }

    fn volume(&mut self, span: Span, header: VolumeHeader, parent: Option<NodeId>) {
        let start = span.start as u64;
        let (declared, mapped) = (header.volume_len_bytes, mapped_bytes(&header));
        let (name, content_at) = self.volume_name(span, &header);
        let content_at = content_at.min(span.len);
        let sound = header.checksum_holds();
        let erased = if header.erases_to_ones() { 0xff } else { 0 };
        // A damaged GUID may have been that of a file system: a file with a sound header tells.
        let holds_files = matches!(header.file_system, VolumeHeader::FFS2 | VolumeHeader::FFS3)
            || (!sound
                && header.file_system != VolumeHeader::NV_DATA
                && starts_with_a_file(self.bytes(span.skip(content_at)), erased));
        let large_files = header.file_system != VolumeHeader::FFS2;
        let sum = header.checksum_sum;
        let facts = VolumeFacts {
            header,
            name: name.clone().ok().flatten(),
            used_bytes: span.len,
        };
        let Some(id) = self.open(NodeKind::Volume(facts), span, content_at, parent) else {
            return;
        };
        if span.len as u64 != declared {
            let error = if mapped == span.len as u64 {
                Error::Unexpected {
                    field: "firmware volume length",
                    offset: start.saturating_add(32),
                    found: format!("{declared:#x}"),
                    expected: format!("{mapped:#x}, as its block map says"),
                }
            } else {
                Error::Truncated {
                    field: "firmware volume",
                    offset: start,
                    needed_bytes: declared,
                    available_bytes: span.len as u64,
                }
            };
            self.record(Some(id), span.buffer, error);
        }
        if !sound {
            self.record(
                Some(id),
                span.buffer,
                Error::Unexpected {
                    field: "firmware volume checksum",
                    offset: start.saturating_add(50),
                    found: format!("a header that sums to {sum:#06x}"),
                    expected: "0".into(),
                },
            );
        }
        if let Err(error) = name {
            self.record(Some(id), span.buffer, error);
        }
        // For its digest, and for those of its files: they lie side by side.
        self.spend(span, Some(id));
        let used = if holds_files {
            self.files(span, content_at, large_files, erased, id)
        } else {
            span.len.saturating_sub(scan::trailing(self.bytes(span), erased))
        };
        if let Some(NodeKind::Volume(facts)) = self.tree.nodes.get_mut(id).map(|node| &mut node.kind) {
            facts.used_bytes = used;
        }
        self.close(id);
    }

    /// The volume's name, and where its content starts.
    fn volume_name(&self, span: Span, header: &VolumeHeader) -> (Result<Option<Guid>>, usize) {
        let content_at = usize::from(header.header_len_bytes);
        if header.revision < 2 || header.ext_header_offset == 0 {
            return (Ok(None), content_at);
        }
        let mut reader = Reader::at(self.bytes(span), span.start as u64);
        let at = usize::from(header.ext_header_offset);
        let read = reader
            .seek(at, "extended volume header")
            .and_then(|()| reader.raw::<RawVolumeExtHeader>("extended volume header"));
        match read {
            Ok(ext) => {
                let len = usize::try_from(ext.len_bytes.get()).unwrap_or(usize::MAX);
                let end = at.saturating_add(len);
                // No checksum covers it. edk2 keeps it in a pad file, so that the files may be read from before it.
                if len < size_of::<RawVolumeExtHeader>() || end > span.len {
                    let error = Error::Unexpected {
                        field: "size of an extended volume header",
                        offset: (span.start as u64).saturating_add(at as u64).saturating_add(16),
                        found: format!("{len:#x}"),
                        expected: format!("{:#x} to what the volume holds", size_of::<RawVolumeExtHeader>()),
                    };
                    return (Err(error), content_at);
                }
                let end = end.checked_next_multiple_of(8).unwrap_or(usize::MAX);
                (Ok(Some(ext.name)), end.max(content_at))
            }
            Err(error) => (Err(error), content_at),
        }
    }
}

/// The length that a header at the start of `bytes` gives itself, if a header can be so long.
fn plausible_header_len(bytes: &[u8]) -> Option<u16> {
    let raw: &RawVolumeHeader = Reader::new(bytes).raw("firmware volume header").ok()?;
    let len = raw.header_len_bytes.get();
    (len <= MAX_HEADER_BYTES).then_some(len)
}

/// The length that the block map gives the volume.
fn mapped_bytes(header: &VolumeHeader) -> u64 {
    let blocks = header.blocks.iter();
    blocks
        .map(|block| u64::from(block.count).saturating_mul(u64::from(block.len_bytes)))
        .fold(0, u64::saturating_add)
}

/// Whether the checksum would hold if the length were the block map's.
fn only_length_is_wrong(header: &VolumeHeader) -> bool {
    let declared = sum16(&header.volume_len_bytes.to_le_bytes());
    let mapped = sum16(&mapped_bytes(header).to_le_bytes());
    !header.checksum_holds() && header.checksum_sum.wrapping_sub(declared).wrapping_add(mapped) == 0
}

/// Whether the fields that a damaged GUID or checksum leaves say that this is a volume's header.
fn is_of_a_volume(header: &VolumeHeader, available: usize) -> bool {
    let mapped = mapped_bytes(header);
    matches!(header.revision, 1 | 2)
        && header.reserved == 0
        && (header.volume_len_bytes == mapped || header.volume_len_bytes == available as u64)
}

/// Whether there is a file whose header sums up.
fn starts_with_a_file(content: &[u8], erased: u8) -> bool {
    let Ok(raw) = Reader::new(content).raw::<RawFileHeader>("file header") else {
        return false;
    };
    let sum = scan::sum8(content.get(..size_of::<RawFileHeader>()).unwrap_or(&[]));
    raw.state != erased && sum == raw.state.wrapping_add(raw.file_checksum)
}
