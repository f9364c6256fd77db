//! The text of one node of a device path, where it is of a known kind and has all its fields.
//!
//! Source: UEFI 2.10, sections 10.3 (nodes) and 10.6.1 (text).

use core::fmt::{self, Write as _};
use core::net::{Ipv4Addr, Ipv6Addr};

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::name::Name;
use crate::{Guid, Reader};

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

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawUsbClass {
    vendor: U16,
    product: U16,
    class: u8,
    subclass: u8,
    protocol: u8,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawIscsi {
    protocol: U16,
    options: U16,
    lun: [u8; 8],
    portal_group: U16,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRamDisk {
    start: U64,
    end: U64,
    kind: Guid,
    instance: U16,
}

/// `gEfiVirtualDiskGuid` and `gEfiVirtualCdGuid`.
const VIRTUAL_DISK: Guid = Guid::literal("77ab535a-45fc-624b-5560-f7b281d1f96e");
const VIRTUAL_CD: Guid = Guid::literal("3d5abd30-4175-87ce-6d64-d2ade523c4bb");

/// Whether the node was written; where a field is missing nothing was.
type Written = Result<bool, fmt::Error>;

/// Takes a fixed part off the body, or says that the node was not written.
macro_rules! field {
    ($body:ident, $raw:ty) => {
        match $body.raw::<$raw>("device path node") {
            Ok(raw) => raw,
            Err(_) => return Ok(false),
        }
    };
}

/// Writes the node if it is a known one with all its fields; says whether it did.
pub(super) fn known(f: &mut fmt::Formatter<'_>, (kind, subtype): (u8, u8), body: Reader<'_>) -> Written {
    match kind {
        1 => hardware(f, subtype, body),
        2 => acpi(f, subtype, body),
        3 => messaging(f, subtype, body),
        4 => media(f, subtype, body),
        5 => bios_boot(f, subtype, body),
        _ => Ok(false),
    }
}

fn hardware(f: &mut fmt::Formatter<'_>, subtype: u8, mut body: Reader<'_>) -> Written {
    match (subtype, body.all()) {
        (1, [function, device]) => write!(f, "Pci({device:#x},{function:#x})")?,
        (4, _) => return vendor(f, "VenHw", body),
        (5, _) => write!(f, "Ctrl({:#x})", field!(body, U32).get())?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn acpi(f: &mut fmt::Formatter<'_>, subtype: u8, mut body: Reader<'_>) -> Written {
    match subtype {
        1 => {
            let (hid, uid) = (field!(body, U32).get(), field!(body, U32).get());
            match hid {
                0x0a03_41d0 => write!(f, "PciRoot({uid:#x})")?,
                0x0a08_41d0 => write!(f, "PcieRoot({uid:#x})")?,
                // Compressed EISA ids of the PNP family carry the product in the high half.
                hid if hid & 0xffff == 0x41d0 => write!(f, "Acpi(PNP{:04X},{uid:#x})", hid >> 16)?,
                hid => write!(f, "Acpi({hid:#x},{uid:#x})")?,
            }
        }
        3 => {
            f.write_str("AcpiAdr(")?;
            let mut comma = "";
            while let Ok(adr) = body.raw::<U32>("ADR") {
                write!(f, "{comma}{:#x}", adr.get())?;
                comma = ",";
            }
            f.write_char(')')?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn messaging(f: &mut fmt::Formatter<'_>, subtype: u8, mut body: Reader<'_>) -> Written {
    match (subtype, body.all()) {
        (2, _) => {
            let (target, lun) = (field!(body, U16), field!(body, U16));
            write!(f, "Scsi({:#x},{:#x})", target.get(), lun.get())?;
        }
        (5, [port, interface]) => write!(f, "USB({port:#x},{interface:#x})")?,
        (10, _) => return vendor(f, "VenMsg", body),
        (11, all) if all.len() == 33 => {
            f.write_str("MAC(")?;
            write_hex(f, field!(body, [u8; 6]))?;
            write!(f, ",{:#x})", all.last().copied().unwrap_or(0))?;
        }
        (12, _) => write!(f, "IPv4({})", Ipv4Addr::from(*field!(body, [u8; 4])))?,
        (13, _) => write!(f, "IPv6({})", Ipv6Addr::from(*field!(body, [u8; 16])))?,
        (14, _) => uart(f, field!(body, RawUart))?,
        (15, _) => usb_class(f, field!(body, RawUsbClass))?,
        (16, _) => {
            let (interface, vendor, product) = (field!(body, U16), field!(body, U16), field!(body, U16));
            let (vendor, product, interface) = (vendor.get(), product.get(), interface.get());
            let serial = Text(body.rest());
            write!(f, "UsbWwid({vendor:#x},{product:#x},{interface:#x},\"{serial}\")")?;
        }
        (17, [lun]) => write!(f, "Unit({lun:#x})")?,
        (18, _) => {
            let (port, multiplier, lun) = (field!(body, U16), field!(body, U16), field!(body, U16));
            let (port, multiplier, lun) = (port.get(), multiplier.get(), lun.get());
            write!(f, "Sata({port:#x},{multiplier:#x},{lun:#x})")?;
        }
        (19, _) => {
            let raw = field!(body, RawIscsi);
            iscsi(f, raw, body.rest())?;
        }
        (20, _) => write!(f, "Vlan({})", field!(body, U16).get())?,
        (23, _) => {
            let (namespace, eui) = (field!(body, U32), field!(body, [u8; 8]));
            write!(f, "NVMe({:#x},", namespace.get())?;
            write_hex(f, eui)?;
            f.write_char(')')?;
        }
        (24, all) => write!(f, "Uri({})", Latin(all))?,
        (26, [slot]) => write!(f, "SD({slot:#x})")?,
        (29, [slot]) => write!(f, "eMMC({slot:#x})")?,
        (31, [is_v6, addresses @ ..]) => {
            let (addresses, []) = addresses.as_chunks::<16>() else {
                return Ok(false);
            };
            f.write_str("Dns(")?;
            for (at, address) in addresses.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                let [a, b, c, d, ..] = *address;
                match is_v6 {
                    0 => write!(f, "{comma}{}", Ipv4Addr::new(a, b, c, d))?,
                    _ => write!(f, "{comma}{}", Ipv6Addr::from(*address))?,
                }
            }
            f.write_char(')')?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn media(f: &mut fmt::Formatter<'_>, subtype: u8, mut body: Reader<'_>) -> Written {
    match subtype {
        1 => {
            let drive = field!(body, RawHardDrive);
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
        2 => write!(f, "CDROM({:#x})", field!(body, U32).get())?,
        3 => return vendor(f, "VenMedia", body),
        4 => write!(f, "{}", Text(body.all()))?,
        6 => write!(f, "FvFile({})", field!(body, Guid))?,
        7 => write!(f, "Fv({})", field!(body, Guid))?,
        9 => {
            let disk = field!(body, RawRamDisk);
            let (start, end, instance) = (disk.start.get(), disk.end.get(), disk.instance.get());
            match disk.kind {
                VIRTUAL_DISK => write!(f, "VirtualDisk({start:#x},{end:#x},{instance})")?,
                VIRTUAL_CD => write!(f, "VirtualCD({start:#x},{end:#x},{instance})")?,
                kind => write!(f, "RamDisk({start:#x},{end:#x},{instance},{kind})")?,
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// BIOS boot specification: what a compatibility support module starts.
fn bios_boot(f: &mut fmt::Formatter<'_>, subtype: u8, mut body: Reader<'_>) -> Written {
    if subtype != 1 {
        return Ok(false);
    }
    let (kind, status) = (field!(body, U16).get(), field!(body, U16).get());
    let word = match kind {
        1 => "Floppy",
        2 => "Harddrive",
        3 => "CDROM",
        4 => "PCMCIA",
        5 => "USB",
        6 => "Network",
        _ => "",
    };
    match word {
        "" => write!(f, "BBS({kind:#x}")?,
        word => write!(f, "BBS({word}")?,
    }
    write!(f, ",{},{status:#x})", Latin(body.rest()))?;
    Ok(true)
}

fn vendor(f: &mut fmt::Formatter<'_>, word: &str, mut body: Reader<'_>) -> Written {
    write!(f, "{word}({}", field!(body, Guid))?;
    if !body.is_empty() {
        f.write_char(',')?;
        write_hex(f, body.rest())?;
    }
    f.write_char(')')?;
    Ok(true)
}

fn uart(f: &mut fmt::Formatter<'_>, uart: &RawUart) -> fmt::Result {
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
    write!(f, "Uart({},{},{parity},{stop})", uart.baud.get(), uart.data_bits)
}

fn usb_class(f: &mut fmt::Formatter<'_>, raw: &RawUsbClass) -> fmt::Result {
    let word = match raw.class {
        1 => "UsbAudio",
        2 => "UsbCDCControl",
        3 => "UsbHID",
        6 => "UsbImage",
        7 => "UsbPrinter",
        8 => "UsbMassStorage",
        9 => "UsbHub",
        10 => "UsbCDCData",
        11 => "UsbSmartCard",
        14 => "UsbVideo",
        220 => "UsbDiagnostic",
        224 => "UsbWireless",
        _ => "UsbClass",
    };
    write!(f, "{word}({:#x},{:#x}", raw.vendor.get(), raw.product.get())?;
    if word == "UsbClass" {
        write!(f, ",{:#x}", raw.class)?;
    }
    write!(f, ",{:#x},{:#x})", raw.subclass, raw.protocol)
}

fn iscsi(f: &mut fmt::Formatter<'_>, raw: &RawIscsi, target: &[u8]) -> fmt::Result {
    let options = raw.options.get();
    let digest = |bit: u16| if options & bit == 0 { "None" } else { "CRC32C" };
    let authentication = match (options & 0x800, options & 0x1000) {
        (0, 0) => "CHAP_BI",
        (0, _) => "CHAP_UNI",
        _ => "None",
    };
    write!(f, "iSCSI({},{:#x},0x", Latin(target), raw.portal_group.get())?;
    write_hex(f, &raw.lun)?;
    let protocol = if raw.protocol.get() == 0 {
        "TCP"
    } else {
        "reserved"
    };
    write!(f, ",{},{},{authentication},{protocol})", digest(2), digest(8))
}

pub(super) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Text of one byte a character, up to its terminator; nothing of it drives a terminal.
struct Latin<'a>(&'a [u8]);

impl fmt::Display for Latin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self
            .0
            .iter()
            .take_while(|byte| **byte != 0)
            .map(|byte| char::from(*byte));
        text.filter(|character| !character.is_control())
            .try_for_each(|character| f.write_char(character))
    }
}

/// UTF-16 text up to its terminator, in which backslashes are plain; what no text can say is escaped.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Name::from_bytes(self.0);
        for unit in char::decode_utf16(name.units().iter().copied()) {
            match unit {
                Ok(character) if !character.is_control() => f.write_char(character)?,
                Ok(character) => write!(f, "\\u{{{:x}}}", u32::from(character))?,
                Err(alone) => write!(f, "\\u{{{:x}}}", alone.unpaired_surrogate())?,
            }
        }
        Ok(())
    }
}
