//! `saved diff`: what differs between two saved states of a guest.

use std::collections::BTreeMap;

use fm_formats::stream::BlockKind;
use fm_formats::varstore::VarStore;
use schemars::JsonSchema;
use serde::Serialize;

use crate::Result;
use crate::stream::{self, Gathered, Request, Streamed};

/// `flashmoor/saved-diff/1`: two saved states, and what is not the same in them. Guest memory and the
/// content of device sections are not compared.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SavedDiff {
    /// `flashmoor/saved-diff/1`.
    pub schema: String,
    /// Whether nothing that is compared differs.
    pub same: bool,
    /// The machine types, if they differ.
    pub machine: Option<Side<Option<String>>>,
    /// Page sizes, if they differ.
    pub page_size_bytes: Option<Side<u64>>,
    /// Blocks that only one has, or that differ in length or, for flash and ROM, in content.
    pub blocks: Vec<BlockDiff>,
    /// Variables that only one has, or whose content or attributes differ: `NAME-GUID`.
    pub variables: Vec<Changed>,
    /// Device sections that only one has, or that differ in version.
    pub devices: Vec<DeviceDiff>,
}

/// One value on each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Side<T> {
    /// In the first file.
    pub a: T,
    /// In the second file.
    pub b: T,
}

/// A block that is not the same.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BlockDiff {
    /// Its name.
    pub name: String,
    /// Its length; null where it is not.
    pub size_bytes: Side<Option<u64>>,
    /// Its digest, for flash and ROM.
    pub sha256: Side<Option<String>>,
}

/// A variable that is not the same.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Changed {
    /// `NAME-GUID`.
    pub name: String,
    /// `added`, `removed` or `changed`, seen from the first file.
    pub change: &'static str,
}

/// A device section that is not the same.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DeviceDiff {
    /// Its name.
    pub name: String,
    /// Which of several.
    pub instance: u32,
    /// Version of its state; null where it is not.
    pub version: Side<Option<u32>>,
}

/// Compares two saved states.
///
/// # Errors
/// If one of them cannot be read.
pub fn diff(a: &Request, b: &Request) -> Result<SavedDiff> {
    let (a, b) = (stream::gather(a)?, stream::gather(b)?);
    let (left, right) = (Streamed::new(&a).stream, Streamed::new(&b).stream);
    let differing = |a: Option<String>, b: Option<String>| (a != b).then_some(Side { a, b });
    let blocks = paired(
        left.blocks
            .into_iter()
            .map(|block| (block.name, (block.size_bytes, block.sha256))),
        right
            .blocks
            .into_iter()
            .map(|block| (block.name, (block.size_bytes, block.sha256))),
    )
    .map(|(name, a, b)| BlockDiff {
        name,
        size_bytes: Side {
            a: a.as_ref().map(|(size, _)| *size),
            b: b.as_ref().map(|(size, _)| *size),
        },
        sha256: Side {
            a: a.and_then(|(_, sha256)| sha256),
            b: b.and_then(|(_, sha256)| sha256),
        },
    })
    .collect();
    let devices = paired(
        left.devices
            .into_iter()
            .map(|device| ((device.name, device.instance), device.version)),
        right
            .devices
            .into_iter()
            .map(|device| ((device.name, device.instance), device.version)),
    )
    .map(|((name, instance), a, b)| DeviceDiff {
        name,
        instance,
        version: Side { a, b },
    })
    .collect();
    let variables = paired(variables(&a), variables(&b))
        .map(|(name, a, b)| Changed {
            name,
            change: match (a.is_some(), b.is_some()) {
                (true, false) => "removed",
                (false, true) => "added",
                _ => "changed",
            },
        })
        .collect();
    let mut diff = SavedDiff {
        schema: "flashmoor/saved-diff/1".into(),
        same: false,
        machine: differing(left.machine, right.machine),
        page_size_bytes: (left.page_size_bytes != right.page_size_bytes).then_some(Side {
            a: left.page_size_bytes,
            b: right.page_size_bytes,
        }),
        blocks,
        variables,
        devices,
    };
    diff.same = diff.machine.is_none()
        && diff.page_size_bytes.is_none()
        && diff.blocks.is_empty()
        && diff.variables.is_empty()
        && diff.devices.is_empty();
    Ok(diff)
}

/// The entries that are not the same on both sides, by key.
fn paired<K: Ord, V: PartialEq>(
    a: impl IntoIterator<Item = (K, V)>,
    b: impl IntoIterator<Item = (K, V)>,
) -> impl Iterator<Item = (K, Option<V>, Option<V>)> {
    let mut both: BTreeMap<K, (Option<V>, Option<V>)> = BTreeMap::new();
    for (key, value) in a {
        both.entry(key).or_insert((None, None)).0 = Some(value);
    }
    for (key, value) in b {
        both.entry(key).or_insert((None, None)).1 = Some(value);
    }
    both.into_iter()
        .filter(|(_, (a, b))| a != b)
        .map(|(key, (a, b))| (key, a, b))
}

/// The live variables of the VARS flash: name with GUID, and all else that counts.
fn variables(gathered: &Gathered) -> Vec<(String, (u32, Vec<u8>))> {
    let Some(bytes) = gathered
        .first_of(BlockKind::Vars)
        .and_then(|index| gathered.bytes(index))
    else {
        return Vec::new();
    };
    let Ok(store) = VarStore::parse(&bytes) else {
        return Vec::new();
    };
    store
        .to_variables()
        .into_iter()
        .map(|variable| {
            let name = format!("{}-{}", variable.name, variable.guid);
            (name, (variable.attributes, variable.data))
        })
        .collect()
}
