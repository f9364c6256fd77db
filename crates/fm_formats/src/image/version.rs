//! The version that a build's maker put into it (`PcdFirmwareVersionString`), where one shows.

use alloc::string::String;

use crate::Guid;
use crate::volume::{NodeKind, Tree};

/// Drivers that show the version to the guest: `SmbiosPlatformDxe` of OVMF and of ArmVirt builds.
const SHOWS_VERSION: &[Guid] = &[
    Guid::literal("4110465d-5ff3-4f4b-b580-24ed0d06747a"),
    Guid::literal("d9dcc5df-4007-435e-9098-8970935504b2"),
];

/// The version string in the drivers that show it: UTF-16 text that starts like edk2's releases do
/// (`2025.02-8`, `edk2-stable202505`). Nothing if there is none; edk2's default is an empty one.
#[must_use]
pub fn version_string(tree: &Tree<'_>) -> Option<String> {
    tree.nodes().iter().find_map(|node| match node.kind {
        NodeKind::File(facts) if SHOWS_VERSION.contains(&facts.name) => find(tree.body(node)),
        _ => None,
    })
}

fn find(bytes: &[u8]) -> Option<String> {
    let mut at = 0usize;
    while let Some(pair) = bytes.get(at..at.checked_add(2)?) {
        if !matches!(pair, [b'0'..=b'9' | b'e' | b'E', 0]) {
            at = at.checked_add(1)?;
            continue;
        }
        let units = bytes.get(at..)?.chunks_exact(2).take(128);
        let text: String = units
            .map_while(|pair| match pair {
                [byte @ 0x21..=0x7e, 0] => Some(char::from(*byte)),
                _ => None,
            })
            .collect();
        if is_version(&text) {
            return Some(text);
        }
        at = at.checked_add(text.len().max(1).checked_mul(2)?)?;
    }
    None
}

fn is_version(text: &str) -> bool {
    let date = text
        .strip_prefix("edk2-stable")
        .or_else(|| text.strip_prefix("edk2-"))
        .unwrap_or(text);
    let mut parts = date.splitn(2, ['.', '-', '~', '+']);
    let digits = |part: Option<&str>, len: usize| {
        part.and_then(|part| part.get(..len))
            .is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match date.as_bytes().get(4) {
        Some(b'.') => digits(parts.next(), 4) && digits(parts.next(), 2),
        Some(_) => date.len() != text.len() && digits(Some(date), 6),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn versions_are_told_from_other_text() {
        for text in [
            "2025.02-8+deb13u1",
            "edk2-stable202505",
            "edk2-20250221-8.fc42",
            "2022.11-6ubuntu1",
        ] {
            assert!(is_version(text), "{text}");
        }
        for text in [
            "",
            "2025",
            "20250202",
            "EFI",
            "2.70",
            "edk2",
            "e",
            "1234.x",
            "192.168.0.1",
        ] {
            assert!(!is_version(text), "{text}");
        }
    }

    #[test]
    fn a_version_is_found_among_other_utf16_text() {
        let mut bytes = Vec::from(*b"\x01code");
        for text in ["0", "e", "2.70\0", "2025.02-8+deb13u1"] {
            bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
            bytes.extend([0, 0]);
        }
        assert_eq!(find(&bytes).as_deref(), Some("2025.02-8+deb13u1"));
    }
}
