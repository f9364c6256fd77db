//! Device sections, cut at the lengths that the stream's own JSON description gives.

use fm_formats::{Error, Reader, Result};
use serde::Deserialize;

/// Device sections and description of real guests take 0.1 to 20 MB.
pub(super) const MAX_BYTES: usize = 32 << 20;

const SUBSECTION_HEADER_BYTES: u64 = 1 + 1 + 4;
const END_OF_STREAM: u8 = 0;
const FULL: u8 = 4;
const DESCRIPTION: u8 = 6;
const FOOTER: u8 = 0x7e;

/// What is behind RAM.
#[derive(Debug, Default)]
pub(super) struct Devices {
    pub(super) devices: Vec<Device>,
    /// The page size that the description states.
    pub(super) page_size_bytes: Option<u64>,
    /// Whether everything to the end is there; the reason if not.
    pub(super) whole: Option<Result<()>>,
}

/// One device section.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) instance: u32,
    pub(super) version: u32,
    pub(super) size_bytes: u64,
    pub(super) offset: u64,
}

/// The description: only what lengths are made of. Source: QEMU `migration/vmstate.c:vmsd_desc_field_end`.
#[derive(Deserialize)]
struct Description {
    page_size: Option<u64>,
    #[serde(default)]
    devices: Vec<Described>,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    instance_id: u32,
    #[serde(flatten)]
    body: Body,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    fields: Vec<Field>,
    #[serde(default)]
    subsections: Vec<Subsection>,
}

#[derive(Deserialize)]
struct Subsection {
    vmsd_name: String,
    #[serde(default)]
    fields: Vec<Field>,
    #[serde(default)]
    subsections: Vec<Subsection>,
}

#[derive(Deserialize)]
struct Field {
    #[serde(default)]
    size: u64,
    array_len: Option<u64>,
}

/// Reads `bytes`, everything from `offset` to the end of the stream.
pub(super) fn read(bytes: &[u8], offset: u64) -> Devices {
    let Some((at, json)) = find_description(bytes) else {
        // No description: postcopy, or `suppress-vmdesc`. The last footer and the end mark still show.
        let whole = match bytes {
            [END_OF_STREAM] | [.., FOOTER, _, _, _, _, END_OF_STREAM] => Ok(()),
            _ => Err(Error::Truncated {
                field: "device sections",
                offset: offset + bytes.len() as u64,
                needed_bytes: 1,
                available_bytes: 0,
            }),
        };
        return Devices {
            whole: Some(whole),
            ..Devices::default()
        };
    };
    let description: Description = match serde_json::from_slice(json) {
        Ok(description) => description,
        Err(error) => {
            return Devices {
                whole: Some(Err(Error::Decode {
                    algorithm: "JSON description",
                    offset: offset + at as u64,
                    why: error.to_string(),
                })),
                ..Devices::default()
            };
        }
    };
    let mut devices = Vec::new();
    let whole = walk(&bytes[..at], offset, &description, &mut devices);
    Devices {
        devices,
        page_size_bytes: description.page_size,
        whole: Some(whole),
    }
}

/// Where the description starts and its text: it ends the stream, and its length says where it begins.
fn find_description(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.len();
    bytes
        .windows(7)
        .enumerate()
        .rev()
        .filter(|(_, window)| matches!(window, [END_OF_STREAM, DESCRIPTION, _, _, _, _, b'{']))
        .find_map(|(at, window)| {
            let len = u32::from_be_bytes([window[2], window[3], window[4], window[5]]) as usize;
            let json = bytes.get(at + 6..)?;
            (json.len() == len && at + 6 + len == end).then_some((at, json))
        })
}

/// Walks the sections before the end mark by the lengths described.
fn walk(bytes: &[u8], offset: u64, description: &Description, devices: &mut Vec<Device>) -> Result<()> {
    let mut reader = Reader::at(bytes, offset);
    let be32 = |reader: &mut Reader<'_>, field| -> Result<u32> {
        Ok(u32::from_be_bytes(*reader.raw::<[u8; 4]>(field)?))
    };
    let mut described = description.devices.iter();
    while !reader.is_empty() {
        let at = reader.offset();
        let wrong = |found: String, expected: &str| Error::Unexpected {
            field: "device section",
            offset: at,
            found,
            expected: expected.into(),
        };
        let kind = *reader.raw::<u8>("section type")?;
        if kind != FULL {
            return Err(wrong(format!("type {kind:#04x}"), "a full device section (0x04)"));
        }
        let id = be32(&mut reader, "section id")?;
        let len = usize::from(*reader.raw::<u8>("section name length")?);
        let name = String::from_utf8_lossy(reader.bytes(len, "section name")?).into_owned();
        let instance = be32(&mut reader, "section instance")?;
        let version = be32(&mut reader, "section version")?;
        // The description lists devices in the order in which they were saved.
        let Some(device) = described.find(|device| device.name == name && device.instance_id == instance)
        else {
            return Err(wrong(
                format!("{name:?} instance {instance}"),
                "a device of the description",
            ));
        };
        let size_bytes = size(&device.body.fields, &device.body.subsections);
        reader.bytes(usize::try_from(size_bytes).unwrap_or(usize::MAX), "device state")?;
        let footer_at = reader.offset();
        let footer = *reader.raw::<u8>("section footer")?;
        let footer_id = be32(&mut reader, "section id in footer")?;
        if footer != FOOTER || footer_id != id {
            return Err(Error::Unexpected {
                field: "section footer",
                offset: footer_at,
                found: format!("{footer:#04x}, section {footer_id}"),
                expected: format!("0x7e, section {id}, the end of {name:?}"),
            });
        }
        devices.push(Device {
            name,
            instance,
            version,
            size_bytes,
            offset: at,
        });
    }
    Ok(())
}

fn size(fields: &[Field], subsections: &[Subsection]) -> u64 {
    let fields = fields
        .iter()
        .map(|field| field.size.saturating_mul(field.array_len.unwrap_or(1)));
    let subsections = subsections.iter().map(|sub| {
        size(&sub.fields, &sub.subsections)
            .saturating_add(sub.vmsd_name.len() as u64)
            .saturating_add(SUBSECTION_HEADER_BYTES)
    });
    fields.chain(subsections).fold(0, u64::saturating_add)
}
