//! Device paths, as text in the form of the UEFI specification where a node is known.
//!
//! Source: UEFI 2.10, sections 10.3 (nodes) and 10.6 (text). Unknown nodes print as `Path(type,subtype,hex)`.

use core::fmt::{self, Write as _};

use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::node;
use crate::{Reader, Result};

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
    match node::known(f, (node.kind, node.subtype), body.clone())? {
        true => Ok(()),
        false => {
            write!(f, "Path({:#x},{:#x},", node.kind, node.subtype)?;
            node::write_hex(f, body.all())?;
            f.write_char(')')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Guid;
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

    #[test]
    fn nodes_of_consoles_disks_and_networks_read_as_the_specification_has_them() {
        let iscsi = [&[0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0][..], &b"iqn.a:b\0"[..]].concat();
        let mut ram_disk = [0x1000u64.to_le_bytes(), 0x1fffu64.to_le_bytes()].concat();
        ram_disk.extend(Guid::literal("77ab535a-45fc-624b-5560-f7b281d1f96e").to_bytes());
        ram_disk.extend([3, 0]);
        let cases: [(u8, u8, &[u8], &str); 17] = [
            (1, 5, &[7, 0, 0, 0], "Ctrl(0x7)"),
            (
                3,
                15,
                &[0xff, 0xff, 0xff, 0xff, 3, 1, 1],
                "UsbHID(0xffff,0xffff,0x1,0x1)",
            ),
            (3, 15, &[1, 0, 2, 0, 0xfe, 1, 1], "UsbClass(0x1,0x2,0xfe,0x1,0x1)"),
            (
                3,
                16,
                &[1, 0, 2, 0, 3, 0, 65, 0, 66, 0],
                "UsbWwid(0x2,0x3,0x1,\"AB\")",
            ),
            (3, 17, &[4], "Unit(0x4)"),
            (
                3,
                19,
                &iscsi,
                "iSCSI(iqn.a:b,0x1,0x0001000000000000,None,None,None,TCP)",
            ),
            (3, 20, &[5, 0], "Vlan(5)"),
            (3, 26, &[1], "SD(0x1)"),
            (3, 29, &[2], "eMMC(0x2)"),
            (
                3,
                31,
                &[0, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                "Dns(9.9.9.9)",
            ),
            (4, 9, &ram_disk, "VirtualDisk(0x1000,0x1fff,3)"),
            (
                5,
                1,
                &[2, 0, 0, 1, b'S', b'S', b'D', 0],
                "BBS(Harddrive,SSD,0x100)",
            ),
            (5, 1, &[0x80, 0, 0, 0, b'x'], "BBS(0x80,x,0x0)"),
            // One character of two units, and half of one.
            (4, 4, &[0x3d, 0xd8, 0xe2, 0xde, 0, 0], "🛢"),
            (4, 4, &[0x3d, 0xd8, 0x41, 0, 0, 0], "\\u{d83d}A"),
            // A field short of whole.
            (3, 15, &[1, 0], "Path(0x3,0xf,0100)"),
            (3, 31, &[0, 9, 9], "Path(0x3,0x1f,000909)"),
        ];
        for (kind, subtype, body, text) in cases {
            assert_eq!(DevicePath::new(&node(kind, subtype, body)).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_text_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = DevicePath::new(&bytes).to_string();
            let _ = super::super::LoadOption::parse(&bytes);
        }
    }
}
