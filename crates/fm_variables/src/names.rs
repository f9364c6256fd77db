//! Namespaces that the specification, edk2 and shim give variables, and finding one by its name.

use fm_formats::Guid;
use fm_formats::efi::Name;
use fm_varstore::Variable;

pub(super) use fm_varstore::GLOBAL_VARIABLE as GLOBAL;

pub(super) const SECURITY: Guid = Guid::literal("d719b2cb-3d3a-4596-a3bc-dad00e67656f");
pub(super) const SECURE_BOOT_ENABLE: Guid = Guid::literal("f0a30bc7-af08-4556-99c4-001009c93a44");
pub(super) const CUSTOM_MODE: Guid = Guid::literal("c076ec0c-7028-4399-a072-71ee5c448b9f");
pub(super) const SHIM: Guid = Guid::literal("605dab50-e046-4300-abb6-3dd810dd8b23");
pub(super) const VENDOR_KEYS: Guid = Guid::literal("9073e4e0-60ec-4b6e-9903-4c223c260f3c");

pub(super) fn find<'v>(variables: &'v [Variable], guid: Guid, name: &str) -> Option<&'v Variable> {
    variables
        .iter()
        .find(|variable| variable.guid == guid && variable.name == plain(name))
}

/// A name of plain letters.
pub(super) fn plain(name: &str) -> Name {
    Name::from_units(name.encode_utf16())
}
