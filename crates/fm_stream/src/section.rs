//! Section headers, footers and commands: the frame around RAM.

use alloc::format;

use zerocopy::big_endian::{U16, U32};

use super::field::{text, unexpected};
use super::progress::{Progress, RamSection, Span, State};
use fm_formats::{Error, Reader, Result};

pub(super) const END_OF_STREAM: u8 = 0;
pub(super) const START: u8 = 1;
pub(super) const PART: u8 = 2;
pub(super) const END: u8 = 3;
pub(super) const FULL: u8 = 4;
pub(super) const DESCRIPTION: u8 = 6;
const CONFIGURATION: u8 = 7;
pub(super) const COMMAND: u8 = 8;
pub(super) const FOOTER: u8 = 0x7e;

/// Real guests have one a disk with bitmaps, one a passed-through device.
const MAX_FOREIGN: usize = 1024;

/// The only version of RAM sections since QEMU 0.14.
const RAM_VERSION: u32 = 4;

/// `enum qemu_vm_cmd`, by number. Source: QEMU `migration/savevm.c`.
const COMMANDS: &[&str] = &[
    "invalid",
    "open-return-path",
    "ping",
    "postcopy-advise",
    "postcopy-listen",
    "postcopy-run",
    "postcopy-ram-discard",
    "packaged",
    "postcopy-resume",
    "enable-colo",
    "recv-bitmap",
    "switchover-start",
];
const POSTCOPY_ADVISE: &str = "postcopy-advise";
const PACKAGED: &str = "packaged";

impl Progress {
    /// A section's header. What is not RAM has no length: after RAM, all that follows is device sections.
    pub(super) fn section(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let mut ahead = reader.clone();
        let offset = ahead.offset();
        let kind = *ahead.raw::<u8>("section type")?;
        match kind {
            CONFIGURATION => {
                if self.facts.machine.is_some() {
                    return Err(unexpected(
                        "section type",
                        offset,
                        "a second configuration",
                        "one",
                    ));
                }
                self.configuration(&mut ahead)?;
            }
            COMMAND => self.command(&mut ahead)?,
            START | FULL => {
                let id = ahead.raw::<U32>("section id")?.get();
                let len_bytes = *ahead.raw::<u8>("section name length")?;
                let name = ahead.bytes(len_bytes.into(), "section name")?;
                ahead.raw::<U32>("section instance")?;
                let at = ahead.offset();
                let version = ahead.raw::<U32>("section version")?.get();
                if kind == FULL {
                    self.begin_background();
                    self.begin_devices(offset);
                    return Ok(());
                }
                if name != b"ram" {
                    let name = text(name);
                    self.note(
                        offset,
                        format!("section {name:?} has no length and is stepped over"),
                    );
                    if self.foreign.len() < MAX_FOREIGN {
                        self.foreign.push(id);
                    }
                    self.state = State::Foreign { id };
                    *reader = ahead;
                    return Ok(());
                }
                if version != RAM_VERSION {
                    return Err(unexpected("version of RAM section", at, version, "4"));
                }
                if self.ram.is_some() || !self.facts.blocks.is_empty() {
                    return Err(unexpected("section type", offset, "a second start of RAM", "one"));
                }
                self.ram = Some(RamSection { id, is_last: false });
                self.state = State::Records;
            }
            PART | END => {
                let id = ahead.raw::<U32>("section id")?.get();
                match &mut self.ram {
                    Some(ram) if ram.id == id => {
                        ram.is_last = kind == END;
                        self.state = State::Records;
                    }
                    _ if self.foreign.contains(&id) => self.state = State::Foreign { id },
                    _ => return Err(unexpected("section id", offset, id, "a section that was started")),
                }
            }
            END_OF_STREAM | DESCRIPTION => {
                self.begin_devices(offset);
                return Ok(());
            }
            _ => {
                return Err(unexpected(
                    "section type",
                    offset,
                    format_args!("{kind:#04x}"),
                    "a section type: 0 to 4, or 6 to 8",
                ));
            }
        }
        *reader = ahead;
        Ok(())
    }

    /// Devices that follow RAM without its final section are a background snapshot's.
    /// Source: QEMU `migration/migration.c:bg_migration_thread`, which never calls `ram_save_complete`.
    fn begin_background(&mut self) {
        let is_open = self.ram.is_some_and(|ram| !ram.is_last);
        if is_open && !self.facts.ram_complete && !self.facts.commands.contains(&PACKAGED) {
            self.facts.background = true;
            self.facts.ram_complete = true;
        }
    }

    fn begin_devices(&mut self, offset: u64) {
        self.facts.devices_offset = Some(offset);
        self.state = State::Devices;
    }

    /// The footer of a RAM section; machine types before 2.4 have none.
    pub(super) fn footer(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let mut ahead = reader.clone();
        if *ahead.raw::<u8>("section footer")? == FOOTER {
            let offset = ahead.offset();
            let id = ahead.raw::<U32>("section id in footer")?.get();
            let expected = self.ram.map_or(0, |ram| ram.id);
            if id != expected {
                return Err(unexpected(
                    "section id in footer",
                    offset,
                    id,
                    format!("{expected}"),
                ));
            }
            *reader = ahead;
        }
        if self.ram.is_some_and(|ram| ram.is_last) {
            self.facts.ram_complete = true;
        }
        self.state = State::Section;
        Ok(())
    }

    fn command(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let offset = reader.offset();
        let number = reader.raw::<U16>("command")?.get();
        let len_bytes = reader.raw::<U16>("command length")?.get();
        let payload_offset = reader.offset();
        let payload = reader.bytes(len_bytes.into(), "command payload")?;
        let Some(name) = COMMANDS.get(usize::from(number)).copied() else {
            self.note(offset, format!("unknown command {number}"));
            return Ok(());
        };
        if name == PACKAGED {
            let size = Reader::at(payload, payload_offset)
                .raw::<U32>("package length")
                .map_err(|error| Error::Unexpected {
                    field: "packaged command",
                    offset: payload_offset,
                    found: format!("{error}"),
                    expected: "a length of 4 bytes".into(),
                })?
                .get();
            self.note(
                offset,
                "the device sections are in a postcopy package and have no description".into(),
            );
            if size > 0 {
                self.spans.push_back(Span::Skip(size.into()));
            }
        }
        if name == POSTCOPY_ADVISE {
            self.facts.postcopy = true;
            self.note(offset, "postcopy was prepared for".into());
        }
        if !self.facts.commands.contains(&name) {
            self.facts.commands.push(name);
        }
        Ok(())
    }
}
