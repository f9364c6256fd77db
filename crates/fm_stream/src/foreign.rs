//! Sections of others than RAM among its pages: of disks' dirty bitmaps, of passed-through devices.
//!
//! They do not say how long they are, but each ends with a footer that repeats its id, and then the next
//! section starts. Both together do not occur by chance: an id is four bytes, and what may follow is known.

use zerocopy::big_endian::U32;

use super::progress::{Progress, State};
use super::section::{COMMAND, DESCRIPTION, END, END_OF_STREAM, FOOTER, FULL, PART, START};
use fm_formats::{Reader, Result};

impl Progress {
    /// Steps over the section `id` up to the footer that ends it.
    pub(super) fn foreign(&mut self, reader: &mut Reader<'_>, id: u32) -> Result<()> {
        loop {
            let before = reader.rest().iter().take_while(|byte| **byte != FOOTER).count();
            reader.bytes(before, "section that is not RAM")?;
            let mut ahead = reader.clone();
            ahead.raw::<u8>("footer of a section that is not RAM")?;
            if ahead.raw::<U32>("section id in footer")?.get() == id && self.starts_section(&ahead)? {
                *reader = ahead;
                self.state = State::Section;
                return Ok(());
            }
            reader.raw::<u8>("section that is not RAM")?;
        }
    }

    /// Whether what comes next is the start of a section that may come here.
    fn starts_section(&self, next: &Reader<'_>) -> Result<bool> {
        let mut next = next.clone();
        Ok(match *next.raw::<u8>("section type")? {
            START | FULL => {
                next.raw::<U32>("section id")?;
                let len_bytes = *next.raw::<u8>("section name length")?;
                let name = next.bytes(len_bytes.into(), "section name")?;
                !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
            }
            PART | END => {
                let id = next.raw::<U32>("section id")?.get();
                self.ram.is_some_and(|ram| ram.id == id) || self.foreign.contains(&id)
            }
            COMMAND => true,
            END_OF_STREAM => *next.raw::<u8>("section type")? == DESCRIPTION,
            _ => false,
        })
    }
}
