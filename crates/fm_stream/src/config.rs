//! The stream's header and its configuration section.

use alloc::format;

use zerocopy::big_endian::U32;

use super::field::{text, unexpected};
use super::progress::{MAGIC, Progress, State};
use fm_formats::{Error, Reader, Result};

const VERSION: u32 = 3;
pub(super) const SUBSECTION: u8 = 5;
/// Machine names are short; a longer one is no name.
const MAX_MACHINE_BYTES: u32 = 255;
/// QEMU has about 25 capabilities.
const MAX_CAPABILITIES: u32 = 256;
/// The largest target page that QEMU knows is 64 KiB.
const MAX_PAGE_BITS: u32 = 16;
const MIN_PAGE_BITS: u32 = 10;

impl Progress {
    pub(super) fn header(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let mut ahead = reader.clone();
        let offset = ahead.offset();
        let magic = ahead.raw::<[u8; 4]>("migration stream magic")?;
        if *magic != MAGIC {
            return Err(unexpected(
                "migration stream magic",
                offset,
                format_args!("{magic:02x?}"),
                "51 45 56 4d (`QEVM`)",
            ));
        }
        let offset = ahead.offset();
        let version = ahead.raw::<U32>("migration stream version")?.get();
        if version != VERSION {
            return Err(unexpected("migration stream version", offset, version, "3"));
        }
        self.facts.version = version;
        self.state = State::Section;
        *reader = ahead;
        Ok(())
    }

    /// The configuration section after its type byte. Source: QEMU `migration/savevm.c:vmstate_configuration`.
    pub(super) fn configuration(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let offset = reader.offset();
        let len_bytes = reader.raw::<U32>("machine name length")?.get();
        if len_bytes > MAX_MACHINE_BYTES {
            return Err(Error::Limit {
                what: "machine name length in bytes",
                offset,
                limit: MAX_MACHINE_BYTES.into(),
            });
        }
        let name = reader.bytes(len_bytes as usize, "machine name")?;
        self.facts.machine = Some(text(name));
        self.state = State::Configuration;
        Ok(())
    }

    /// A subsection of the configuration; anything else is the next section.
    pub(super) fn subsection(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let mut ahead = reader.clone();
        let offset = ahead.offset();
        if *ahead.raw::<u8>("section type")? != SUBSECTION {
            self.state = State::Section;
            return Ok(());
        }
        let len_bytes = *ahead.raw::<u8>("subsection name length")?;
        let name = text(ahead.bytes(len_bytes.into(), "subsection name")?);
        ahead.raw::<U32>("subsection version")?;
        match name.as_str() {
            "configuration/target-page-bits" => {
                let at = ahead.offset();
                let bits = ahead.raw::<U32>("target page bits")?.get();
                if !(MIN_PAGE_BITS..=MAX_PAGE_BITS).contains(&bits) {
                    return Err(unexpected("target page bits", at, bits, "10 to 16"));
                }
                self.facts.page_size_bytes = 1u64.checked_shl(bits).unwrap_or(4096);
            }
            "configuration/capabilities" => self.capabilities(&mut ahead)?,
            "configuration/uuid" => {
                self.facts.uuid = Some(*ahead.raw::<[u8; 16]>("guest uuid")?);
            }
            _ => {
                return Err(unexpected(
                    "configuration subsection",
                    offset,
                    format_args!("{name:?}"),
                    "target-page-bits, capabilities or uuid; the length of others is not in the stream",
                ));
            }
        }
        *reader = ahead;
        Ok(())
    }

    fn capabilities(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let offset = reader.offset();
        let count = reader.raw::<U32>("capability count")?.get();
        if count > MAX_CAPABILITIES {
            return Err(Error::Limit {
                what: "number of capabilities",
                offset,
                limit: MAX_CAPABILITIES.into(),
            });
        }
        let mut names = alloc::vec::Vec::new();
        for _ in 0..count {
            let at = reader.offset();
            let len_bytes = *reader.raw::<u8>("capability name length")?;
            let name = text(reader.bytes(len_bytes.into(), "capability name")?);
            names.push((at, name));
        }
        for (at, name) in names {
            if !KNOWN_CAPABILITIES.contains(&name.as_str()) {
                self.note(
                    at,
                    format!(
                        "unknown capability {name:?}: the rest of the stream may be laid out differently"
                    ),
                );
            }
            if name == IGNORE_SHARED {
                self.note(
                    at,
                    "x-ignore-shared: memory shared with a file is not in the stream, but in that file"
                        .into(),
                );
            }
            self.facts.capabilities.push(name);
        }
        Ok(())
    }

    /// Whether the source declared the capability called `name`.
    pub(super) fn has_capability(&self, name: &str) -> bool {
        self.facts.capabilities.iter().any(|known| known == name)
    }
}

/// Leaves out blocks that others can map as well.
pub(super) const IGNORE_SHARED: &str = "x-ignore-shared";

/// `MigrationCapability` of QEMU 2.4 to 11.1. Source: QEMU `qapi/migration.json`.
const KNOWN_CAPABILITIES: &[&str] = &[
    "xbzrle",
    "rdma-pin-all",
    "auto-converge",
    "zero-blocks",
    "compress",
    "events",
    "postcopy-ram",
    "x-colo",
    "release-ram",
    "block",
    "return-path",
    "pause-before-switchover",
    "multifd",
    "dirty-bitmaps",
    "postcopy-blocktime",
    "late-block-activate",
    IGNORE_SHARED,
    "validate-uuid",
    "background-snapshot",
    "zero-copy-send",
    "postcopy-preempt",
    "switchover-ack",
    "dirty-limit",
    "mapped-ram",
];
