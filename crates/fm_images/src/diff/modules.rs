//! Pairs the modules of two builds: the same, moved, changed, added or removed.

use std::collections::{BTreeMap, VecDeque};

use fm_api::v1::diff::{BootPhase, DiffDocument, DiffModule};
use fm_api::v1::inspect::FileType;
use fm_formats::Guid;

use crate::inspect::{Image, Module};
use crate::words;

/// A GUID may name several files, so each group is matched up: equal in place, equal elsewhere, then the rest
/// in order.
pub(super) fn pair_up(document: &mut DiffDocument, old: &Image, new: &Image) {
    let mut groups: BTreeMap<Guid, (Vec<Placed<'_>>, Vec<Placed<'_>>)> = BTreeMap::new();
    for module in &old.modules {
        groups
            .entry(module.guid)
            .or_default()
            .0
            .push(Placed::of(old, module));
    }
    for module in &new.modules {
        groups
            .entry(module.guid)
            .or_default()
            .1
            .push(Placed::of(new, module));
    }
    for (mut before, mut after) in groups.into_values() {
        let in_place = pairs(&mut before, &mut after, |placed| {
            (placed.module.sha256, placed.volume)
        });
        document.unchanged += in_place.len();
        let moved = pairs(&mut before, &mut after, |placed| placed.module.sha256);
        document
            .moved
            .extend(moved.iter().map(|(a, b)| entry(b, Some(a), Some(b))));
        let changed = pairs(&mut before, &mut after, |_| ());
        document
            .changed
            .extend(changed.iter().map(|(a, b)| entry(b, Some(a), Some(b))));
        document
            .removed
            .extend(before.iter().map(|a| entry(a, Some(a), None)));
        document
            .added
            .extend(after.iter().map(|b| entry(b, None, Some(b))));
    }
    for list in [
        &mut document.added,
        &mut document.removed,
        &mut document.changed,
        &mut document.moved,
    ] {
        list.sort_by(|a, b| (&a.name, &a.guid).cmp(&(&b.name, &b.guid)));
    }
}

/// A module and the name of the volume that it lies in.
#[derive(Debug, Clone, Copy)]
struct Placed<'a> {
    module: &'a Module,
    volume: Option<Guid>,
}

impl<'a> Placed<'a> {
    fn of(image: &Image, module: &'a Module) -> Self {
        Self {
            module,
            volume: image.volumes.get(module.volume).map(|volume| volume.guid),
        }
    }
}

/// Takes out what has the same key on both sides, in order. An image may name one GUID a hundred thousand times.
fn pairs<'a, K: Ord>(
    before: &mut Vec<Placed<'a>>,
    after: &mut Vec<Placed<'a>>,
    key: impl Fn(&Placed<'a>) -> K,
) -> Vec<(Placed<'a>, Placed<'a>)> {
    let mut waiting: BTreeMap<K, VecDeque<usize>> = BTreeMap::new();
    for (at, placed) in after.iter().enumerate() {
        waiting.entry(key(placed)).or_default().push_back(at);
    }
    let mut found = Vec::new();
    let mut taken = vec![false; after.len()];
    before.retain(|a| {
        let at = waiting.get_mut(&key(a)).and_then(VecDeque::pop_front);
        if let Some(at) = at {
            taken[at] = true;
            found.push((*a, after[at]));
        }
        at.is_none()
    });
    let mut taken = taken.into_iter();
    after.retain(|_| taken.next() != Some(true));
    found
}

/// A module as the one or the other build has it, or as both do.
fn entry(either: &Placed<'_>, before: Option<&Placed<'_>>, after: Option<&Placed<'_>>) -> DiffModule {
    let module = either.module;
    let kind = words::file_type(module.kind);
    let digest = |placed: &Placed<'_>| placed.module.sha256.to_string();
    DiffModule {
        guid: module.guid.to_string(),
        name: module.name.clone(),
        kind,
        phase: phase(kind),
        from_sha256: before.map(digest),
        to_sha256: after.map(digest),
        from_bytes: before.map(|placed| placed.module.size_bytes),
        to_bytes: after.map(|placed| placed.module.size_bytes),
    }
}

/// The phase of the boot that a type of file belongs to.
const fn phase(kind: FileType) -> BootPhase {
    match kind {
        FileType::SecCore => BootPhase::Sec,
        FileType::PeiCore | FileType::Peim => BootPhase::Pei,
        FileType::DxeCore | FileType::Driver | FileType::CombinedPeimDriver => BootPhase::Dxe,
        FileType::MmCore
        | FileType::Mm
        | FileType::CombinedMmDxe
        | FileType::MmCoreStandalone
        | FileType::MmStandalone => BootPhase::Mm,
        FileType::Application => BootPhase::Application,
        FileType::VolumeImage => BootPhase::Container,
        FileType::Raw | FileType::Freeform | FileType::Pad | FileType::Unknown => BootPhase::Data,
    }
}
