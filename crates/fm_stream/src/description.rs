//! The JSON description at the end of a stream: what of it tells how long each device's state is.
//!
//! It is read from front to back without a tree in between, so that a hostile one costs no more than it is
//! long. Source: QEMU `migration/vmstate.c:vmsd_desc_field_end`, `qobject/json-writer.c`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use fm_formats::{Error, Reader, Result};

/// Real guests have tens of devices, a large one some hundreds.
const MAX_DEVICES: usize = 16 << 10;
/// QEMU nests structures and subsections about ten deep.
const MAX_DEPTH: u32 = 64;
/// Section type, name length and version: what a subsection takes beside its name and fields.
const SUBSECTION_HEADER_BYTES: u64 = 1 + 1 + 4;

/// What the description says of lengths.
#[derive(Debug, Default)]
pub(super) struct Description {
    pub(super) page_size_bytes: Option<u64>,
    pub(super) devices: Vec<Described>,
}

/// One device, and how long its state is.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) instance: u32,
    pub(super) size_bytes: u64,
}

impl Description {
    /// Reads the text, which lies `offset` bytes into the stream.
    pub(super) fn parse(text: &[u8], offset: u64) -> Result<Self> {
        let mut json = Json {
            reader: Reader::at(text, offset),
            depth: 0,
        };
        let mut all = Self::default();
        json.object(|json, key| match key {
            b"page_size" => json.number().map(|value| all.page_size_bytes = Some(value)),
            b"devices" => json.array(|json| {
                if all.devices.len() >= MAX_DEVICES {
                    return Err(json.wrong("more devices than any guest has"));
                }
                let device = json.device()?;
                all.devices.push(device);
                Ok(())
            }),
            _ => json.skip(),
        })?;
        match json.reader.is_empty() {
            true => Ok(all),
            false => Err(json.wrong("more after its end")),
        }
    }
}

struct Json<'a> {
    reader: Reader<'a>,
    depth: u32,
}

impl<'a> Json<'a> {
    fn device(&mut self) -> Result<Described> {
        let mut device = Described::default();
        let mut size_bytes = 0u64;
        self.object(|json, key| {
            match key {
                b"name" => device.name = json.name()?,
                b"instance_id" => device.instance = u32::try_from(json.number()?).unwrap_or(u32::MAX),
                _ => size_bytes = size_bytes.saturating_add(json.state(key)?),
            }
            Ok(())
        })?;
        Ok(Described { size_bytes, ..device })
    }

    /// The length of what a member of a device or subsection describes.
    fn state(&mut self, key: &[u8]) -> Result<u64> {
        let mut size_bytes = 0u64;
        match key {
            b"fields" => self.array(|json| {
                let (mut size, mut count) = (0u64, 1u64);
                json.object(|json, key| {
                    match key {
                        b"size" => size = json.number()?,
                        b"array_len" => count = json.number()?,
                        _ => json.skip()?,
                    }
                    Ok(())
                })?;
                size_bytes = size_bytes.saturating_add(size.saturating_mul(count));
                Ok(())
            })?,
            b"subsections" => self.array(|json| {
                json.object(|json, key| {
                    let size = match key {
                        b"vmsd_name" => (json.string()?.len() as u64).saturating_add(SUBSECTION_HEADER_BYTES),
                        _ => json.state(key)?,
                    };
                    size_bytes = size_bytes.saturating_add(size);
                    Ok(())
                })
            })?,
            _ => self.skip()?,
        }
        Ok(size_bytes)
    }

    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Result<()>) -> Result<()> {
        self.items(b'{', b'}', &mut |json| {
            let key = json.string()?;
            json.expect(b':')?;
            member(json, key)
        })
    }

    fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.items(b'[', b']', &mut element)
    }

    fn items(&mut self, open: u8, close: u8, item: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect(open)?;
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err(self.wrong("nested deeper than QEMU nests"));
        }
        if self.peek() == Some(close) {
            self.expect(close)?;
        } else {
            loop {
                item(self)?;
                if self.peek() == Some(b',') {
                    self.expect(b',')?;
                } else {
                    self.expect(close)?;
                    break;
                }
            }
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    /// Steps over any value.
    fn skip(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'{') => self.object(|json, _| json.skip()),
            Some(b'[') => self.array(Self::skip),
            Some(b'"') => self.string().map(drop),
            _ => self.word().map(drop),
        }
    }

    fn number(&mut self) -> Result<u64> {
        let text = core::str::from_utf8(self.word()?).ok();
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| self.wrong("no number where one belongs"))
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<&'a [u8]> {
        self.peek();
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let len = self.reader.rest().iter().take_while(|byte| is_part(byte)).count();
        match len {
            0 => Err(self.wrong("no value where one belongs")),
            _ => self.reader.bytes(len, "JSON value"),
        }
    }

    /// A device's name; those of sections are no longer than 255 bytes.
    fn name(&mut self) -> Result<String> {
        let raw = self.string()?;
        let mut is_escaped = false;
        // QEMU escapes quotes and backslashes like this; nothing else occurs in a name.
        let plain = raw.iter().copied().filter(|byte| {
            is_escaped = *byte == b'\\' && !is_escaped;
            !is_escaped
        });
        let bytes: Vec<u8> = plain.take(256).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What is between the quotes, as it stands there. Control characters, zero among them, are none of it.
    fn string(&mut self) -> Result<&'a [u8]> {
        self.expect(b'"')?;
        let mut is_escaped = false;
        let mut len = 0usize;
        for byte in self.reader.rest() {
            match byte {
                b'"' if !is_escaped => {
                    let text = self.reader.bytes(len, "JSON string")?;
                    self.reader.bytes(1, "JSON string")?;
                    return Ok(text);
                }
                0..0x20 => break,
                _ => is_escaped = *byte == b'\\' && !is_escaped,
            }
            len = len.saturating_add(1);
        }
        Err(self.wrong("a string without an end"))
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.reader.rest().first().copied() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => {
                    self.reader.bytes(1, "white space").ok()?;
                }
                other => return other,
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        match self.peek() {
            Some(found) if found == byte => self.reader.bytes(1, "JSON").map(drop),
            Some(found) => Err(self.wrong(&format!(
                "{:?} instead of {:?}",
                char::from(found),
                char::from(byte)
            ))),
            None => Err(self.wrong(&format!("the end instead of {:?}", char::from(byte)))),
        }
    }

    fn wrong(&self, why: &str) -> Error {
        Error::Decode {
            algorithm: "JSON description",
            offset: self.reader.offset(),
            why: why.into(),
        }
    }
}
