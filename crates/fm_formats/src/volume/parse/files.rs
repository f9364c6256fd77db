//! Reads the files of a volume.

use alloc::format;

use zerocopy::little_endian::U64;

use super::{Span, Walk, scan};
use crate::volume::FileKind;
use crate::volume::raw::RawFileHeader;
use crate::volume::tree::{FileFacts, NodeId, NodeKind};
use crate::{Error, Reader};

/// `FFS_ATTRIB_LARGE_FILE`.
const LARGE: u8 = 0x01;
/// `FFS_ATTRIB_CHECKSUM`.
const CHECKSUM: u8 = 0x40;
/// The body's checksum where it is not computed.
const FIXED_CHECKSUM: u8 = 0xaa;

impl Walk<'_> {
    /// Files from `content_at` on; gives how many bytes of the volume are in use.
    pub(super) fn files(
        &mut self,
        volume: Span,
        content_at: usize,
        large_files: bool,
        erased: u8,
        id: NodeId,
    ) -> usize {
        let mut at = content_at;
        let mut used = content_at;
        while at < volume.len && !self.stopped {
            let rest = volume.skip(at);
            let header = self.bytes(rest.take(size_of::<RawFileHeader>()));
            if header.len() < size_of::<RawFileHeader>() || scan::trailing(header, erased) == header.len() {
                return self.rest_of_volume(volume, at, erased, id);
            }
            let Some(len) = self.file(rest, large_files, erased, id) else {
                self.padding(rest, Some(id));
                return volume.len;
            };
            used = at.saturating_add(len);
            at = used.checked_next_multiple_of(8).unwrap_or(usize::MAX);
        }
        used.min(volume.len)
    }

    /// What follows the last file: free space, and then perhaps bytes that are no file.
    fn rest_of_volume(&mut self, volume: Span, at: usize, erased: u8, id: NodeId) -> usize {
        let rest = volume.skip(at);
        if !self.spend(rest, Some(id)) {
            return at;
        }
        let bytes = self.bytes(rest);
        let free = bytes.len().saturating_sub(scan::trailing(bytes, erased));
        if free == 0 {
            self.leaf(NodeKind::FreeSpace, rest, Some(id));
            return at;
        }
        let first = bytes.iter().position(|byte| *byte != erased).unwrap_or(0) & !7;
        self.leaf(NodeKind::FreeSpace, rest.take(first), Some(id));
        self.padding(rest.skip(first), Some(id));
        let stray = rest.skip(first);
        self.damage(Some(id), stray, |offset| Error::Unexpected {
            field: "free space of a volume",
            offset,
            found: "bytes that are no file".into(),
            expected: format!("erased bytes ({erased:#04x})"),
        });
        at.saturating_add(free)
    }

    /// The file at the start of `rest`; gives its length, or nothing if there is no telling where it ends.
    fn file(&mut self, rest: Span, large_files: bool, erased: u8, volume: NodeId) -> Option<usize> {
        let mut reader = Reader::at(self.bytes(rest), rest.start as u64);
        let raw: RawFileHeader = *reader.raw("file header").ok()?;
        let [a, b, c] = raw.len_bytes;
        let (mut header_len, mut len) = (reader.position(), u64::from(u32::from_le_bytes([a, b, c, 0])));
        if large_files
            && raw.attributes & LARGE != 0
            && let Ok(extended) = reader.raw::<U64>("extended file size")
        {
            len = extended.get();
            header_len = reader.position();
        }
        if len < header_len as u64 || len > rest.len as u64 {
            self.damage(Some(volume), rest, |offset| Error::Unexpected {
                field: "file size",
                offset: offset.saturating_add(20),
                found: format!("{len:#x} in file {}", raw.name),
                expected: format!("{header_len:#x} to {:#x}", rest.len),
            });
            return None;
        }
        let len = usize::try_from(len).ok()?;
        let span = rest.take(len);
        let kind = FileKind::from_wire(raw.kind);
        let facts = FileFacts {
            name: raw.name,
            kind,
            attributes: raw.attributes,
            state: raw.state ^ erased,
        };
        let Some(id) = self.open(NodeKind::File(facts), span, header_len, Some(volume)) else {
            return Some(len);
        };
        self.check_file(span, header_len, &raw, id);
        let body = span.skip(header_len);
        match kind {
            // Dispatchers pass over it, and so does whoever asks the tree what the image can do.
            _ if !facts.is_live() => {}
            FileKind::Pad => self.pad_file(body, erased, id),
            FileKind::Raw => self.nested_volumes(body, id),
            FileKind::Other(_) => {}
            _ => self.sections(body, Some(id)),
        }
        self.close(id);
        Some(len)
    }

    fn check_file(&mut self, span: Span, header_len: usize, raw: &RawFileHeader, id: NodeId) {
        let header = scan::sum8(self.bytes(span.take(header_len)));
        let header = header.wrapping_sub(raw.state).wrapping_sub(raw.file_checksum);
        if header != 0 {
            self.damage(Some(id), span, |offset| Error::Unexpected {
                field: "file header checksum",
                offset: offset.saturating_add(16),
                found: format!("a header that sums to {header:#04x} in file {}", raw.name),
                expected: "0".into(),
            });
        }
        let expected = if raw.attributes & CHECKSUM == 0 {
            FIXED_CHECKSUM
        } else {
            let body = span.skip(header_len);
            if !self.spend(body, Some(id)) {
                return;
            }
            scan::sum8(self.bytes(body)).wrapping_neg()
        };
        if raw.file_checksum != expected {
            self.damage(Some(id), span, |offset| Error::Unexpected {
                field: "file body checksum",
                offset: offset.saturating_add(17),
                found: format!("{:#04x} in file {}", raw.file_checksum, raw.name),
                expected: format!("{expected:#04x}"),
            });
        }
    }

    /// A pad file is empty, unless the linker put a volume's extended header or data into it.
    fn pad_file(&mut self, body: Span, erased: u8, id: NodeId) {
        if self.spend(body, Some(id)) && scan::trailing(self.bytes(body), erased) != body.len {
            self.padding(body, Some(id));
        }
    }
}
