//! Reads sections, and what is encoded in them.

use alloc::format;

use zerocopy::little_endian::U32;

use super::{Span, Walk};
use crate::volume::pe::PeFacts;
use crate::volume::raw::{RawCompressionSection, RawGuidedSection, RawSectionHeader};
use crate::volume::tree::{NodeId, NodeKind, SectionFacts};
use crate::volume::{Encoding, SectionKind, decode, depex};
use crate::{Error, Guid, Reader, Result};

/// A section's header, read.
struct Header {
    facts: SectionFacts,
    len: usize,
    header_len: usize,
    /// The CRC-32 that a CRC-32 section's header gives.
    crc32: Option<u32>,
    /// The decoded size that a compression section's header gives.
    decoded_len: Option<u32>,
    /// Whether what a GUID-defined section holds may be read as it stands.
    readable: bool,
}

/// A bit of a GUID-defined section's attributes. Source: PI 1.8, volume 3, `EFI_GUIDED_SECTION_PROCESSING_REQUIRED`.
const PROCESSING_REQUIRED: u16 = 1;
/// What is signed is read without its signature. Source: edk2 `MdePkg/Include/Guid/WinCertificate.h` and
/// `MdePkg/Include/Guid/FirmwareContentsSigned.h`.
const SIGNED: [Guid; 2] = [
    Guid::literal("a7717414-c616-4977-9420-844712a735bf"),
    Guid::literal("0f9d89e8-9259-4f76-a5af-0c89e34023df"),
];

impl Walk<'_> {
    pub(super) fn sections(&mut self, area: Span, parent: Option<NodeId>) {
        let mut at = 0usize;
        while at < area.len && !self.stopped {
            let rest = area.skip(at);
            match self.section_header(rest) {
                Ok(header) => {
                    let len = header.len;
                    self.section(rest.take(len), header, parent);
                    at = at
                        .saturating_add(len)
                        .checked_next_multiple_of(4)
                        .unwrap_or(usize::MAX);
                }
                Err(error) => {
                    self.record(parent, area.buffer, error);
                    self.padding(rest, parent);
                    return;
                }
            }
        }
    }

    fn section_header(&self, rest: Span) -> Result<Header> {
        let mut reader = Reader::at(self.bytes(rest), rest.start as u64);
        let raw: RawSectionHeader = *reader.raw("section header")?;
        let [a, b, c] = raw.len_bytes;
        let mut len = u32::from_le_bytes([a, b, c, 0]);
        if len == 0x00ff_ffff {
            len = reader.raw::<U32>("extended section size")?.get();
        }
        let kind = SectionKind::from_wire(raw.kind);
        let mut facts = SectionFacts {
            kind,
            encoding: None,
            guid: None,
            decoded: None,
        };
        let (mut crc32, mut decoded_len, mut readable) = (None, None, false);
        let mut header_len = reader.position();
        match kind {
            SectionKind::GuidDefined => {
                let guided: RawGuidedSection = *reader.raw("GUID-defined section")?;
                let encoding = Encoding::of_guid(guided.guid);
                facts.guid = Some(guided.guid);
                facts.encoding = Some(encoding);
                readable =
                    guided.attributes.get() & PROCESSING_REQUIRED == 0 || SIGNED.contains(&guided.guid);
                if encoding == Encoding::Crc32 {
                    crc32 = Some(reader.raw::<U32>("CRC-32 of a section")?.get());
                }
                header_len = usize::from(guided.data_offset.get()).max(reader.position());
            }
            SectionKind::Compression => {
                let compression: RawCompressionSection = *reader.raw("compression section")?;
                facts.encoding = Some(if compression.kind == 0 {
                    Encoding::Stored
                } else {
                    Encoding::Efi11
                });
                decoded_len = Some(compression.decoded_len_bytes.get());
                header_len = reader.position();
            }
            SectionKind::FreeformGuid => {
                facts.guid = Some(*reader.raw::<Guid>("freeform section's GUID")?);
                header_len = reader.position();
            }
            SectionKind::Version => {
                reader.bytes(2, "build number")?;
                header_len = reader.position();
            }
            _ => {}
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len < header_len || len > rest.len {
            return Err(Error::Unexpected {
                field: "section size",
                offset: rest.start as u64,
                found: format!("{len:#x} in a section of type {kind}"),
                expected: format!("{header_len:#x} to {:#x}", rest.len),
            });
        }
        Ok(Header {
            facts,
            len,
            header_len,
            crc32,
            decoded_len,
            readable,
        })
    }

    fn section(&mut self, span: Span, header: Header, parent: Option<NodeId>) {
        let kind = header.facts.kind;
        let Some(id) = self.open(NodeKind::Section(header.facts), span, header.header_len, parent) else {
            return;
        };
        let body = span.skip(header.header_len);
        match kind {
            SectionKind::GuidDefined | SectionKind::Compression => self.encapsulated(body, &header, id),
            SectionKind::Disposable => self.sections(body, Some(id)),
            SectionKind::VolumeImage | SectionKind::Raw => self.nested_volumes(body, id),
            _ => {
                if let Err(error) = self.readable(body, kind) {
                    self.record(Some(id), body.buffer, error);
                }
            }
        }
        self.close(id);
    }

    /// Whether an executable or a dependency expression can be read. An empty one is none and no damage: Debian's AmdSev
    /// build of 2026.08 holds a boot loader of no bytes.
    fn readable(&self, body: Span, kind: SectionKind) -> Result<()> {
        let (bytes, offset) = (self.bytes(body), body.start as u64);
        match kind {
            _ if bytes.is_empty() => Ok(()),
            SectionKind::Pe32 | SectionKind::Te => PeFacts::parse(bytes, offset).map(drop),
            SectionKind::DxeDepex | SectionKind::PeiDepex | SectionKind::MmDepex => {
                depex::parse(bytes, offset).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn encapsulated(&mut self, body: Span, header: &Header, id: NodeId) {
        let encoding = header.facts.encoding.unwrap_or(Encoding::Stored);
        match encoding {
            Encoding::Unknown(_) if header.readable => self.sections(body, Some(id)),
            Encoding::Unknown(_) => {}
            Encoding::Stored => self.sections(body, Some(id)),
            Encoding::Crc32 => {
                if !self.spend(body, Some(id)) {
                    return;
                }
                let found = decode::crc32(self.bytes(body));
                if let Some(expected) = header.crc32.filter(|expected| *expected != found) {
                    self.damage(Some(id), body, |offset| Error::Unexpected {
                        field: "CRC-32 of a section",
                        offset,
                        found: format!("{found:#010x}"),
                        expected: format!("{expected:#010x}"),
                    });
                }
                self.sections(body, Some(id));
            }
            _ => match self.decoded(body, encoding, header.decoded_len) {
                Ok((encoding, bytes)) => {
                    self.decoded_bytes = self.decoded_bytes.saturating_add(bytes.len());
                    self.walked_bytes = self.walked_bytes.saturating_add(bytes.len() as u64);
                    let len = bytes.len();
                    self.tree.decoded.push(bytes);
                    self.tree.origins.push(id);
                    let buffer = self.tree.decoded.len();
                    if let Some(NodeKind::Section(facts)) =
                        self.tree.nodes.get_mut(id).map(|node| &mut node.kind)
                    {
                        facts.decoded = Some(buffer);
                        facts.encoding = Some(encoding);
                    }
                    self.sections(
                        Span {
                            buffer,
                            start: 0,
                            len,
                        },
                        Some(id),
                    );
                }
                Err(error) => {
                    // What came out before it failed took as long as if it had not; what was refused took nothing.
                    if matches!(error, Error::Decode { .. }) {
                        // Which of EFI 1.1 and Tiano it is, only trying both tells.
                        let tries = if encoding == Encoding::Efi11 { 2 } else { 1 };
                        let most = decode::declared_bytes(encoding, self.bytes(body)).saturating_mul(tries);
                        self.walked_bytes = self.walked_bytes.saturating_add(most);
                    }
                    self.record(Some(id), body.buffer, error);
                    self.spend(body, Some(id));
                }
            },
        }
    }

    fn decoded(
        &self,
        body: Span,
        encoding: Encoding,
        declared: Option<u32>,
    ) -> Result<(Encoding, alloc::vec::Vec<u8>)> {
        let limit = self.limits.decoded_bytes.saturating_sub(self.decoded_bytes);
        let (data, offset) = (self.bytes(body), body.start as u64);
        if encoding != Encoding::Efi11 {
            let bytes = decode::decode(encoding, data, offset, limit)?.unwrap_or_default();
            return Ok((encoding, bytes));
        }
        // Held against each other before anything is decoded: a decoder gives what its own header declares.
        let own = decode::declared_bytes(encoding, data);
        if let Some(declared) = declared.map(u64::from).filter(|declared| *declared != own) {
            return Err(Error::Unexpected {
                field: "decoded size of a compression section",
                offset,
                found: format!("{own:#x}"),
                expected: format!("{declared:#x}"),
            });
        }
        decode::decode_standard(data, offset, limit)
    }
}
