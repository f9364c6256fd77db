//! libvirt save images: a header, the domain's XML, perhaps a cookie, then the stream.

use alloc::format;
use alloc::vec::Vec;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::field::unexpected;
use fm_formats::{Error, Reader, Result};

/// First bytes of a whole image.
pub const MAGIC: [u8; 16] = *b"LibvirtQemudSave";
/// First bytes of an image that is being written, or whose writing was given up.
pub const MAGIC_PARTIAL: [u8; 16] = *b"LibvirtQemudPart";
/// How long the header is.
pub const HEADER_BYTES: u64 = 92;

/// libvirt refuses XML above 10 MiB itself; some room is left.
const MAX_XML_BYTES: u32 = 64 << 20;

/// `virQEMUSaveHeader`, 92 bytes, in the host's byte order; a foreign order shows in `version`.
/// Source: libvirt `src/qemu/qemu_saveimage.h`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 16],
    version: U32,
    data_len: U32,
    was_running: U32,
    format: U32,
    cookie_offset: U32,
    unused: [U32; 14],
}
const _: () = assert!(size_of::<RawHeader>() == 92);

/// How the stream behind the XML is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    Raw,
    /// By the program of that name.
    Program(&'static str),
    /// As it is, in mapped-ram form (libvirt 11.2).
    Sparse,
}

impl Compression {
    /// libvirt's name of the format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Program(name) => name,
            Self::Sparse => "sparse",
        }
    }
}

/// A save image's header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveImage {
    /// Whether writing it was completed.
    pub is_complete: bool,
    /// Whether the guest was running when it was saved.
    pub was_running: bool,
    /// How the stream is stored.
    pub compression: Compression,
    /// How many bytes lie between header and stream: XML, cookie and padding.
    pub data_bytes: u64,
    /// Where in those bytes the cookie starts, if there is one.
    pub cookie_offset: Option<u64>,
    /// Whether the numbers are big-endian.
    pub is_big_endian: bool,
}

impl SaveImage {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`Error`] if it is cut short or is no header of version 1 or 2.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let raw = *Reader::new(bytes).raw::<RawHeader>("save image header")?;
        let is_complete = match raw.magic {
            MAGIC => true,
            MAGIC_PARTIAL => false,
            other => {
                return Err(unexpected(
                    "save image magic",
                    0,
                    format_args!("{other:02x?}"),
                    "`LibvirtQemudSave`",
                ));
            }
        };
        let is_big_endian = raw.version.get() > 0xffff;
        let number = |value: U32| match is_big_endian {
            true => value.get().swap_bytes(),
            false => value.get(),
        };
        let version = number(raw.version);
        if !(1..=2).contains(&version) {
            return Err(unexpected("save image version", 16, version, "1 or 2"));
        }
        let data_bytes = number(raw.data_len);
        if data_bytes > MAX_XML_BYTES {
            return Err(Error::Limit {
                what: "save image XML in bytes",
                offset: 20,
                limit: MAX_XML_BYTES.into(),
            });
        }
        let cookie = number(raw.cookie_offset);
        if cookie > data_bytes {
            return Err(unexpected(
                "save image cookie offset",
                32,
                cookie,
                format!("at most {data_bytes}"),
            ));
        }
        let compression = match number(raw.format) {
            0 => Compression::Raw,
            1 => Compression::Program("gzip"),
            2 => Compression::Program("bzip2"),
            3 => Compression::Program("xz"),
            4 => Compression::Program("lzop"),
            5 => Compression::Program("zstd"),
            6 => Compression::Sparse,
            other => {
                return Err(unexpected(
                    "save image format",
                    28,
                    other,
                    "0 (raw) to 6 (sparse)",
                ));
            }
        };
        Ok(Self {
            is_complete,
            was_running: number(raw.was_running) != 0,
            compression,
            data_bytes: data_bytes.into(),
            cookie_offset: (cookie > 0).then_some(cookie.into()),
            is_big_endian,
        })
    }

    /// Where the stream starts.
    #[must_use]
    pub fn stream_offset(&self) -> u64 {
        HEADER_BYTES.saturating_add(self.data_bytes)
    }

    /// The XML and the cookie in `data`, the bytes between header and stream; each without its
    /// terminating zero and padding.
    #[must_use]
    pub fn split<'d>(&self, data: &'d [u8]) -> (&'d [u8], Option<&'d [u8]>) {
        let end = self.cookie_offset.and_then(|at| usize::try_from(at).ok());
        let (xml, cookie) = match end.and_then(|at| data.split_at_checked(at)) {
            Some((xml, cookie)) => (xml, Some(cookie)),
            None => (data, None),
        };
        (until_zero(xml), cookie.map(until_zero))
    }

    /// Header and data for other XML, and `None` if it does not fit in the room there is; with
    /// `grow`, the room is made as large as it takes.
    #[must_use]
    pub fn rewrite(&self, header: &[u8], xml: &[u8], cookie: Option<&[u8]>, grow: bool) -> Option<Vec<u8>> {
        let mut raw = *Reader::new(header).raw::<RawHeader>("save image header").ok()?;
        let mut data = Vec::with_capacity(xml.len().saturating_add(1));
        data.extend_from_slice(xml);
        data.push(0);
        let number = |value: usize| {
            let value = u32::try_from(value).ok()?;
            Some(U32::new(if self.is_big_endian {
                value.swap_bytes()
            } else {
                value
            }))
        };
        raw.cookie_offset = U32::new(0);
        if let Some(cookie) = cookie {
            raw.cookie_offset = number(data.len())?;
            data.extend_from_slice(cookie);
            data.push(0);
        }
        let room = usize::try_from(self.data_bytes).ok()?;
        if data.len() > room && !grow {
            return None;
        }
        if data.len() < room {
            data.resize(room, 0);
        }
        raw.data_len = number(data.len())?;
        let mut all = raw.as_bytes().to_vec();
        all.append(&mut data);
        Some(all)
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(&[])
}
