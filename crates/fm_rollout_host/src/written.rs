//! What a guest has written since: variables that differ, but for those that firmware writes at every boot by itself.

use fm_formats::Guid;
use fm_varstore::{VarStore, Variable};

/// `gMtcVendorGuid`, `gEfiMemoryTypeInformationGuid`, `gEdkiiVarErrorFlagGuid` (edk2 `MdeModulePkg/MdeModulePkg.dec`).
const OF_FIRMWARE: [(&str, Guid); 3] = [
    ("MTC", Guid::literal("eb704011-1402-11d3-8e77-00a0c969723b")),
    (
        "MemoryTypeInformation",
        Guid::literal("4c19049f-4137-4dd3-9c10-8b97a83ffdfa"),
    ),
    (
        "VarErrorFlag",
        Guid::literal("04b37fe8-f6ae-480b-bdd5-37d98c5e89aa"),
    ),
];
/// So many are named.
const MAX_COUNT: usize = 16;

/// Names of variables that differ between two stores; nothing if one of them cannot be read.
pub(super) fn written(before: &[u8], now: &[u8]) -> Option<Vec<String>> {
    let before = VarStore::parse(before).ok()?.to_variables();
    let now = VarStore::parse(now).ok()?.to_variables();
    let is_own = |variable: &Variable| {
        OF_FIRMWARE
            .iter()
            .any(|(name, guid)| variable.guid == *guid && variable.name.to_string() == *name)
    };
    let lacks = |all: &[Variable], one: &Variable| {
        !all.iter().any(|other| {
            other.guid == one.guid
                && other.name == one.name
                && other.data == one.data
                && other.attributes == one.attributes
        })
    };
    let mut names: Vec<String> = now
        .iter()
        .filter(|variable| lacks(&before, variable))
        .chain(before.iter().filter(|variable| lacks(&now, variable)))
        .filter(|variable| !is_own(variable))
        .map(|variable| format!("{}-{}", variable.guid, variable.name))
        .collect();
    names.sort();
    names.dedup();
    names.truncate(MAX_COUNT);
    Some(names)
}
