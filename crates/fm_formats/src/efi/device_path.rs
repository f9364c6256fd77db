//! Device paths, as text in the form of the UEFI specification where a node is known.
//!
//! Source: UEFI 2.10, sections 10.3 (nodes) and 10.6 (text). Unknown nodes print as `Path(type,subtype,hex)`.

use core::fmt::{self, Write as _};
use core::net::Ipv4Addr;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::varstore::Name;
use crate::{Guid, Reader, Result};

/// A device path, or several; borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DevicePath<'a>(&'a [u8]);

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawNode {
    kind: u8,
    subtype: u8,
    len_bytes: U16,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHardDrive {
    partition: U32,
    start: U64,
    blocks: U64,
    signature: Guid,
    format: u8,
    signature_kind: u8,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawUart {
    reserved: U32,
    baud: U64,
    data_bits: u8,
    parity: u8,
    stop_bits: u8,
}

impl<'a> DevicePath<'a> {
    /// The path in `bytes`; its text shows where it is malformed.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for DevicePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reader = Reader::new(self.0);
        let mut separator = "";
        while !reader.is_empty() {
            let Ok((node, body)) = next(&mut reader) else {
                return write!(f, "{separator}Malformed({} bytes)", reader.remaining());
            };
            match (node.kind, node.subtype) {
                (0x7f, 0xff) => break,
                (0x7f, _) => separator = ",",
                _ => {
                    f.write_str(separator)?;
                    write_node(f, node, &body)?;
                    separator = "/";
                }
            }
        }
        Ok(())
    }
}

/// One node and its body; the reader does not move if it is cut or its length is short of its header.
fn next<'a>(reader: &mut Reader<'a>) -> Result<(&'a RawNode, Reader<'a>)> {
    let mut ahead = reader.clone();
    let node: &RawNode = ahead.raw("device path node")?;
    // A length below 4 would not move: take it as a node without a body only if it says 4 or more.
    let len = usize::from(node.len_bytes.get());
    let body_len = len.checked_sub(size_of::<RawNode>()).unwrap_or(usize::MAX);
    let body = ahead.sub(body_len, "device path node's body")?;
    *reader = ahead;
    Ok((node, body))
}

fn write_node(f: &mut fmt::Formatter<'_>, node: &RawNode, body: &Reader<'_>) -> fmt::Result {
    match known(f, node, body.clone())? {
        true => Ok(()),
        false => {
            write!(f, "Path({:#x},{:#x},", node.kind, node.subtype)?;
            write_hex(f, body.all())?;
            f.write_char(')')
        }
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Writes the node if it is a known one with all its fields; says whether it did.
fn known(f: &mut fmt::Formatter<'_>, node: &RawNode, mut body: Reader<'_>) -> Result<bool, fmt::Error> {
    let all = body.all();
    match (node.kind, node.subtype, all) {
        (1, 1, [function, device]) => write!(f, "Pci({device:#x},{function:#x})")?,
        (1 | 3 | 4, 4 | 10 | 3, _) if is_vendor(node) => {
            let Ok(guid) = body.raw::<Guid>("vendor") else {
                return Ok(false);
            };
            let name = match node.kind {
                1 => "VenHw",
                3 => "VenMsg",
                _ => "VenMedia",
            };
            write!(f, "{name}({guid}")?;
            if !body.is_empty() {
                f.write_char(',')?;
                write_hex(f, body.rest())?;
            }
            f.write_char(')')?;
        }
        (2, 1, _) => {
            let (Ok(hid), Ok(uid)) = (body.raw::<U32>("HID"), body.raw::<U32>("UID")) else {
                return Ok(false);
            };
            match hid.get() {
                0x0a03_41d0 => write!(f, "PciRoot({:#x})", uid.get())?,
                0x0a08_41d0 => write!(f, "PcieRoot({:#x})", uid.get())?,
                // Compressed EISA ids of the PNP family carry the product in the high half.
                hid if hid & 0xffff == 0x41d0 => write!(f, "Acpi(PNP{:04X},{:#x})", hid >> 16, uid.get())?,
                hid => write!(f, "Acpi({hid:#x},{:#x})", uid.get())?,
            }
        }
        (2, 3, _) => {
            f.write_str("AcpiAdr(")?;
            let mut comma = "";
            while let Ok(adr) = body.raw::<U32>("ADR") {
                write!(f, "{comma}{:#x}", adr.get())?;
                comma = ",";
            }
            f.write_char(')')?;
        }
        (3, 2, _) => {
            let (Ok(target), Ok(lun)) = (body.raw::<U16>("target"), body.raw::<U16>("LUN")) else {
                return Ok(false);
            };
            write!(f, "Scsi({:#x},{:#x})", target.get(), lun.get())?;
        }
        (3, 5, [port, interface]) => write!(f, "USB({port:#x},{interface:#x})")?,
        (3, 11, _) if all.len() == 33 => {
            let Ok(mac) = body.bytes(6, "MAC") else {
                return Ok(false);
            };
            f.write_str("MAC(")?;
            write_hex(f, mac)?;
            write!(f, ",{:#x})", all.last().copied().unwrap_or(0))?;
        }
        (3, 12, _) => {
            let Ok(local) = body.raw::<[u8; 4]>("local address") else {
                return Ok(false);
            };
            write!(f, "IPv4({})", Ipv4Addr::from(*local))?;
        }
        (3, 13, _) => {
            let Ok(local) = body.raw::<[u8; 16]>("local address") else {
                return Ok(false);
            };
            write!(f, "IPv6({})", core::net::Ipv6Addr::from(*local))?;
        }
        (3, 14, _) => {
            let Ok(uart) = body.raw::<RawUart>("UART") else {
                return Ok(false);
            };
            let parity = match uart.parity {
                0 => 'D',
                1 => 'N',
                2 => 'E',
                3 => 'O',
                _ => '?',
            };
            let stop = match uart.stop_bits {
                1 => "1",
                2 => "1.5",
                3 => "2",
                _ => "D",
            };
            write!(f, "Uart({},{},{parity},{stop})", uart.baud.get(), uart.data_bits)?;
        }
        (3, 18, _) => {
            let (Ok(port), Ok(multiplier), Ok(lun)) = (
                body.raw::<U16>("port"),
                body.raw::<U16>("multiplier"),
                body.raw::<U16>("LUN"),
            ) else {
                return Ok(false);
            };
            write!(
                f,
                "Sata({:#x},{:#x},{:#x})",
                port.get(),
                multiplier.get(),
                lun.get()
            )?;
        }
        (3, 23, _) => {
            let (Ok(namespace), Ok(eui)) = (body.raw::<U32>("namespace"), body.raw::<[u8; 8]>("EUI")) else {
                return Ok(false);
            };
            write!(f, "NVMe({:#x},", namespace.get())?;
            write_hex(f, eui)?;
            f.write_char(')')?;
        }
        (3, 24, _) => {
            let text = all.iter().map(|byte| char::from(*byte));
            f.write_str("Uri(")?;
            text.filter(|character| !character.is_control())
                .try_for_each(|character| f.write_char(character))?;
            f.write_char(')')?;
        }
        (4, 1, _) => {
            let Ok(drive) = body.raw::<RawHardDrive>("hard drive") else {
                return Ok(false);
            };
            let kind = if drive.signature_kind == 2 { "GPT" } else { "MBR" };
            write!(
                f,
                "HD({},{kind},{},{:#x},{:#x})",
                drive.partition.get(),
                drive.signature,
                drive.start.get(),
                drive.blocks.get()
            )?;
        }
        (4, 2, _) => {
            let Ok(entry) = body.raw::<U32>("boot entry") else {
                return Ok(false);
            };
            write!(f, "CDROM({:#x})", entry.get())?;
        }
        (4, 4, _) => write!(f, "{}", PathText(all))?,
        (4, 6 | 7, _) => {
            let Ok(guid) = body.raw::<Guid>("firmware GUID") else {
                return Ok(false);
            };
            write!(f, "{}({guid})", if node.subtype == 6 { "FvFile" } else { "Fv" })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

const fn is_vendor(node: &RawNode) -> bool {
    matches!((node.kind, node.subtype), (1, 4) | (3, 10) | (4, 3))
}

/// A file path: UCS-2 with backslashes, which are plain here.
struct PathText<'a>(&'a [u8]);

impl fmt::Display for PathText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for unit in Name::from_bytes(self.0).units() {
            match char::from_u32(u32::from(*unit)) {
                Some(character) if !character.is_control() => f.write_char(character)?,
                _ => write!(f, "\\u{{{unit:x}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn node(kind: u8, subtype: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = alloc::vec![kind, subtype];
        bytes.extend_from_slice(&(4 + body.len() as u16).to_le_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn a_boot_path_reads_as_the_shell_prints_it() {
        let mut bytes = node(2, 1, &[0xd0, 0x41, 0x03, 0x0a, 0, 0, 0, 0]);
        bytes.extend(node(1, 1, &[2, 0x1f]));
        bytes.extend(node(3, 18, &[0, 0, 0xff, 0xff, 0, 0]));
        let file: Vec<u8> = "\\EFI\\a.efi\0"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        bytes.extend(node(4, 4, &file));
        bytes.extend(node(0x7f, 0xff, &[]));
        assert_eq!(
            DevicePath::new(&bytes).to_string(),
            "PciRoot(0x0)/Pci(0x1f,0x2)/Sata(0x0,0xffff,0x0)/\\EFI\\a.efi"
        );
    }

    #[test]
    fn a_node_that_says_less_than_its_header_does_not_loop() {
        assert_eq!(
            DevicePath::new(&[1, 1, 0, 0, 9]).to_string(),
            "Malformed(5 bytes)"
        );
        assert_eq!(
            DevicePath::new(&node(9, 9, &[1, 2])).to_string(),
            "Path(0x9,0x9,0102)"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_text_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = DevicePath::new(&bytes).to_string();
            let _ = super::super::LoadOption::parse(&bytes);
        }
    }
}
