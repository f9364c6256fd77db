//! Short names for the namespaces of variables that people meet, for both printing and telling.

use fm_formats::{Guid, ParseGuidError};
use fm_varstore::CertRecord;

use crate::names::{CUSTOM_MODE, GLOBAL, SECURE_BOOT_ENABLE, SECURITY, SHIM, VENDOR_KEYS};

/// UEFI 2.10 and edk2's `*.dec` files; `loader` by systemd's boot loader interface, `microsoft` by Microsoft's keys.
const ALIASES: [(&str, Guid); 21] = [
    ("global", GLOBAL),
    ("security", SECURITY),
    ("shim", SHIM),
    ("sb-enable", SECURE_BOOT_ENABLE),
    ("custom-mode", CUSTOM_MODE),
    ("vendor-keys", VENDOR_KEYS),
    ("certdb", CertRecord::NAMESPACE),
    ("mtc", Guid::literal("eb704011-1402-11d3-8e77-00a0c969723b")),
    (
        "memory-type",
        Guid::literal("4c19049f-4137-4dd3-9c10-8b97a83ffdfa"),
    ),
    ("var-error", Guid::literal("04b37fe8-f6ae-480b-bdd5-37d98c5e89aa")),
    ("rtc", Guid::literal("378d7b65-8da9-4773-b6e4-a47826a833e1")),
    ("ovmf", Guid::literal("7235c51c-0c80-4cab-87ac-3b084a6304b1")),
    ("hd-boot", Guid::literal("fab7e9e1-39dd-4f2b-8408-e20e906cb6de")),
    ("ip4", Guid::literal("5b446ed1-e30b-4faa-871a-3654eca36080")),
    ("ip6", Guid::literal("937fe521-95ae-4d1a-8929-48bcd90ad31a")),
    ("iscsi", Guid::literal("4b47d616-a8d6-4552-9d44-ccad2e0f4cf9")),
    (
        "iscsi-name",
        Guid::literal("59324945-ec44-4c0d-b1cd-9db139df070c"),
    ),
    ("tcg2", Guid::literal("6339d487-26ba-424b-9a5d-687e25d740bc")),
    ("tls-ca", Guid::literal("fd2340d0-3dab-4349-a6c7-3b4f12b48eae")),
    ("loader", Guid::literal("4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")),
    ("microsoft", Guid::literal("77fa9abd-0359-4d32-bd60-28f4e78f784b")),
];

/// The short name of the namespace that is written `guid`, if it has one.
#[must_use]
pub fn namespace_alias(guid: &str) -> Option<&'static str> {
    let guid: Guid = guid.parse().ok()?;
    ALIASES
        .iter()
        .find_map(|(alias, known)| (*known == guid).then_some(*alias))
}

/// The namespace called so: a GUID or a short name.
///
/// # Errors
/// If it is neither.
pub fn namespace(text: &str) -> Result<Guid, ParseGuidError> {
    match ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(text)) {
        Some((_, guid)) => Ok(*guid),
        None => text.parse(),
    }
}

/// All short names.
pub fn namespace_aliases() -> impl Iterator<Item = &'static str> {
    ALIASES.iter().map(|(alias, _)| *alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_name_means_one_namespace_and_is_printed_for_it() {
        let mut seen = Vec::new();
        for (alias, guid) in ALIASES {
            assert_eq!(namespace(alias).unwrap(), guid);
            assert_eq!(namespace_alias(&guid.to_string()), Some(alias));
            assert!(!seen.contains(&guid), "{alias}");
            seen.push(guid);
        }
        assert_eq!(namespace("GLOBAL").unwrap(), GLOBAL);
        assert!(namespace("nothing").is_err());
    }
}
