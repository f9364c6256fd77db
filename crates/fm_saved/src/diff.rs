//! `saved diff`: what differs between two saved states of a guest.

use std::collections::BTreeMap;

use fm_api::Schema;
use fm_api::v1::saved::{SavedBlockDiff, SavedChange, SavedDeviceDiff, SavedDiff, SavedPair, VariableFate};
use fm_api::v1::stream::StreamBlock;
use fm_formats::efi::Time;
use fm_stream::BlockKind;
use fm_varstore::VarStore;

use crate::Result;
use crate::stream::{self, Gathered, Request};

/// Compares two saved states.
///
/// # Errors
/// If one of them cannot be read.
pub fn diff(a: &Request, b: &Request) -> Result<SavedDiff> {
    let (a, b) = (stream::gather(a)?, stream::gather(b)?);
    let (left, right) = (stream::document(&a), stream::document(&b));
    let mut unknown = Vec::new();
    let differing = |a: Option<String>, b: Option<String>| (a != b).then_some(SavedPair { a, b });
    let table = |blocks: Vec<StreamBlock>| {
        let blocks = blocks.into_iter();
        blocks.map(|block| (block.name, (block.size_bytes, block.sha256)))
    };
    let is_firmware = |name: &str| BlockKind::of(name).is_firmware();
    let mut blocks = Vec::new();
    if left.blocks.is_empty() || right.blocks.is_empty() {
        unknown.push("blocks".into());
    } else {
        for (name, a, b) in all(table(left.blocks), table(right.blocks)) {
            let is_unread = |side: &Option<(u64, Option<String>)>| matches!(side, Some((_, None)));
            if is_firmware(&name) && (is_unread(&a) || is_unread(&b)) {
                unknown.push(format!("content of {name}"));
                if a.as_ref().map(|(size, _)| size) == b.as_ref().map(|(size, _)| size) {
                    continue;
                }
            }
            if a != b {
                blocks.push(block_diff(name, a, b));
            }
        }
    }
    if left.devices.is_empty() || right.devices.is_empty() {
        unknown.push("device versions".into());
    }
    let devices = paired(
        left.devices
            .into_iter()
            .map(|device| ((device.name, device.instance), device.version)),
        right
            .devices
            .into_iter()
            .map(|device| ((device.name, device.instance), device.version)),
    )
    .map(|((name, instance), a, b)| SavedDeviceDiff {
        name,
        instance,
        version: SavedPair { a, b },
    })
    .filter(|_| !unknown.iter().any(|part| part == "device versions"))
    .collect();
    let (variables_a, variables_b) = (variables(&a), variables(&b));
    if variables_a.is_none() || variables_b.is_none() {
        unknown.push("variables".into());
    }
    let damaged = |side: &Option<Variables>| side.as_ref().is_some_and(|side| side.is_damaged);
    if damaged(&variables_a) || damaged(&variables_b) {
        unknown.push("variables that damage of the store hides".into());
    }
    let variables = variables_a.zip(variables_b).map(|(a, b)| paired(a.live, b.live));
    let variables = variables
        .into_iter()
        .flatten()
        .map(|(name, a, b)| SavedChange {
            name,
            change: match (a.is_some(), b.is_some()) {
                (true, false) => VariableFate::Removed,
                (false, true) => VariableFate::Added,
                _ => VariableFate::Changed,
            },
        })
        .collect();
    let mut diff = SavedDiff {
        schema: Schema::default(),
        same: false,
        complete: SavedPair {
            a: a.stopped.is_none(),
            b: b.stopped.is_none(),
        },
        unknown,
        machine: differing(left.machine, right.machine),
        page_size_bytes: (left.page_size_bytes != right.page_size_bytes).then_some(SavedPair {
            a: left.page_size_bytes,
            b: right.page_size_bytes,
        }),
        blocks,
        variables,
        devices,
    };
    diff.same = diff.unknown.is_empty()
        && diff.machine.is_none()
        && diff.page_size_bytes.is_none()
        && diff.blocks.is_empty()
        && diff.variables.is_empty()
        && diff.devices.is_empty();
    Ok(diff)
}

/// The length of a block and, of flash and ROM, its digest.
type Content = (u64, Option<String>);

/// A block that is not the same: its length and, of flash and ROM, its digest on each side.
fn block_diff(name: String, a: Option<Content>, b: Option<Content>) -> SavedBlockDiff {
    let (size_a, sha256_a) = a.unzip();
    let (size_b, sha256_b) = b.unzip();
    SavedBlockDiff {
        name,
        size_bytes: SavedPair { a: size_a, b: size_b },
        sha256: SavedPair {
            a: sha256_a.flatten(),
            b: sha256_b.flatten(),
        },
    }
}

/// The entries that are not the same on both sides, by key.
fn paired<K: Ord, V: PartialEq>(
    a: impl IntoIterator<Item = (K, V)>,
    b: impl IntoIterator<Item = (K, V)>,
) -> impl Iterator<Item = (K, Option<V>, Option<V>)> {
    all(a, b).filter(|(_, a, b)| a != b)
}

/// The entries of both sides, by key.
fn all<K: Ord, V>(
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
    both.into_iter().map(|(key, (a, b))| (key, a, b))
}

/// What of a variable counts: its attributes, its data and, if it is authenticated, its time, older than which no
/// update is taken.
type Value = (u32, Vec<u8>, Time);

/// The variables of a VARS flash.
#[derive(Default)]
struct Variables {
    /// By name with GUID.
    live: Vec<(String, Value)>,
    /// Whether there may have been more.
    is_damaged: bool,
}

/// The live variables of the VARS flash; `None` if they cannot be read. A guest without VARS flash has none.
fn variables(gathered: &Gathered) -> Option<Variables> {
    if gathered.facts.blocks.is_empty() {
        return None;
    }
    let Some(index) = gathered.first_of(BlockKind::Vars) else {
        return Some(Variables::default());
    };
    let bytes = gathered.bytes(index)?;
    let store = VarStore::parse(&bytes).ok()?;
    let variables = store.to_variables().into_iter().map(|variable| {
        let name = format!("{}-{}", variable.name, variable.guid);
        (name, (variable.attributes, variable.data, variable.timestamp))
    });
    Some(Variables {
        live: variables.collect(),
        is_damaged: store.damage_found().iter().any(|damage| damage.loses_variables()),
    })
}
