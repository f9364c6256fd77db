//! What changed between two firmware builds, module by module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inspect::{self, Build, Catalogue, ImageDocument, InspectDocument, ModuleDocument, Request};
use crate::{Error, Result};

/// The difference between two builds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DiffDocument {
    /// `flashmoor/diff/1`.
    pub schema: String,
    /// The build before.
    pub from: Side,
    /// The build after.
    pub to: Side,
    /// Whether the two are the same, byte for byte.
    pub identical: bool,
    /// Facts that differ: kind, size, architecture, CPU mode, platform, layout.
    pub facts: Vec<Changed>,
    /// Features that only the build after has.
    pub features_gained: Vec<String>,
    /// Features that only the build before has.
    pub features_lost: Vec<String>,
    /// Volumes that PCR 0 measures and whose content differs: sealed secrets may not open any more.
    pub measured_changed: Vec<String>,
    /// Modules that only the build after has.
    pub added: Vec<DiffModule>,
    /// Modules that only the build before has.
    pub removed: Vec<DiffModule>,
    /// Modules with other content.
    pub changed: Vec<DiffModule>,
    /// Modules with the same content in another volume.
    pub moved: Vec<DiffModule>,
    /// How many modules are the same in the same place.
    pub unchanged: usize,
}

/// One of the two builds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// Its file.
    pub path: String,
    /// Its digest.
    pub sha256: Option<String>,
    /// Its name.
    pub build: Build,
}

/// A fact with two values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// Which.
    pub fact: String,
    /// In the build before; absent if it is unknown there.
    pub from: Option<String>,
    /// In the build after.
    pub to: Option<String>,
}

/// A module that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DiffModule {
    /// Its name as a GUID.
    pub guid: String,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its size before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_bytes: Option<u64>,
    /// Its size after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_bytes: Option<u64>,
}

/// Compares two builds.
///
/// # Errors
/// If one cannot be read or is no firmware.
pub fn diff(from: &Path, to: &Path, catalogue: Option<PathBuf>) -> Result<DiffDocument> {
    let catalogue = Catalogue::open(catalogue.as_deref())?;
    let look = |path: &Path| {
        let request = Request {
            path: path.to_owned(),
            ..Request::default()
        };
        inspect::inspect_with(&request, &catalogue)
    };
    let (before, after) = (look(from)?, look(to)?);
    let (old, new) = (image_of(&before)?, image_of(&after)?);
    let mut document = DiffDocument {
        schema: "flashmoor/diff/1".into(),
        from: side(&before, old),
        to: side(&after, new),
        identical: before.sha256 == after.sha256,
        facts: facts(&before, old, &after, new),
        features_gained: without(&new.features, &old.features),
        features_lost: without(&old.features, &new.features),
        measured_changed: measured(old, new),
        added: Vec::new(),
        removed: Vec::new(),
        changed: Vec::new(),
        moved: Vec::new(),
        unchanged: 0,
    };
    modules(&mut document, old, new);
    Ok(document)
}

fn image_of(document: &InspectDocument) -> Result<&ImageDocument> {
    document.image.as_ref().ok_or_else(|| Error::NotFirmware {
        path: document.path.clone().into(),
        why: document.reason.clone().unwrap_or_else(|| document.kind.clone()),
    })
}

fn side(document: &InspectDocument, image: &ImageDocument) -> Side {
    Side {
        path: document.path.clone(),
        sha256: document.sha256.clone(),
        build: image.build.clone(),
    }
}

fn without(all: &[String], other: &[String]) -> Vec<String> {
    all.iter()
        .filter(|feature| !other.contains(feature))
        .cloned()
        .collect()
}

fn facts(
    before: &InspectDocument,
    old: &ImageDocument,
    after: &InspectDocument,
    new: &ImageDocument,
) -> Vec<Changed> {
    let text = |value: u64| Some(value.to_string());
    [
        ("kind", Some(before.kind.clone()), Some(after.kind.clone())),
        ("size in bytes", text(before.size_bytes), text(after.size_bytes)),
        ("architecture", old.arch.clone(), new.arch.clone()),
        ("CPU mode", old.cpu_mode.clone(), new.cpu_mode.clone()),
        ("platform", old.platform.clone(), new.platform.clone()),
        ("layout", old.layout.clone(), new.layout.clone()),
    ]
    .into_iter()
    .filter(|(_, from, to)| from != to)
    .map(|(fact, from, to)| Changed {
        fact: fact.into(),
        from,
        to,
    })
    .collect()
}

fn measured(old: &ImageDocument, new: &ImageDocument) -> Vec<String> {
    let digests = |image: &ImageDocument| -> BTreeMap<String, String> {
        let measured = image.volumes.iter().filter(|volume| volume.measured);
        measured
            .map(|volume| {
                (
                    volume.name.clone().unwrap_or(volume.guid.clone()),
                    volume.sha256.clone(),
                )
            })
            .collect()
    };
    let (old, new) = (digests(old), digests(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .cloned()
        .collect()
}

/// A GUID may name several files, so each group is matched up: equal in place, equal elsewhere, then the rest
/// in order.
fn modules(document: &mut DiffDocument, old: &ImageDocument, new: &ImageDocument) {
    let mut groups: BTreeMap<&str, (Vec<Placed<'_>>, Vec<Placed<'_>>)> = BTreeMap::new();
    for module in &old.modules {
        groups
            .entry(&module.guid)
            .or_default()
            .0
            .push(Placed::of(old, module));
    }
    for module in &new.modules {
        groups
            .entry(&module.guid)
            .or_default()
            .1
            .push(Placed::of(new, module));
    }
    for (mut before, mut after) in groups.into_values() {
        let in_place = pairs(&mut before, &mut after, |a, b| {
            a.module.sha256 == b.module.sha256 && a.volume == b.volume
        });
        document.unchanged += in_place.len();
        let moved = pairs(&mut before, &mut after, |a, b| a.module.sha256 == b.module.sha256);
        document
            .moved
            .extend(moved.iter().map(|(a, b)| entry(Some(a), Some(b))));
        let changed = pairs(&mut before, &mut after, |_, _| true);
        document
            .changed
            .extend(changed.iter().map(|(a, b)| entry(Some(a), Some(b))));
        document
            .removed
            .extend(before.iter().map(|a| entry(Some(a), None)));
        document.added.extend(after.iter().map(|b| entry(None, Some(b))));
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
    module: &'a ModuleDocument,
    volume: Option<&'a str>,
}

impl<'a> Placed<'a> {
    fn of(image: &'a ImageDocument, module: &'a ModuleDocument) -> Self {
        Self {
            module,
            volume: image
                .volumes
                .get(module.volume)
                .map(|volume| volume.guid.as_str()),
        }
    }
}

fn pairs<'a>(
    before: &mut Vec<Placed<'a>>,
    after: &mut Vec<Placed<'a>>,
    same: impl Fn(&Placed<'_>, &Placed<'_>) -> bool,
) -> Vec<(Placed<'a>, Placed<'a>)> {
    let mut found = Vec::new();
    before.retain(|a| match after.iter().position(|b| same(a, b)) {
        Some(at) => {
            found.push((*a, after.remove(at)));
            false
        }
        None => true,
    });
    found
}

fn entry(before: Option<&Placed<'_>>, after: Option<&Placed<'_>>) -> DiffModule {
    let either = after.or(before).map(|placed| placed.module);
    DiffModule {
        guid: either.map(|module| module.guid.clone()).unwrap_or_default(),
        name: either.and_then(|module| module.name.clone()),
        kind: either.map(|module| module.kind.clone()).unwrap_or_default(),
        from_bytes: before.map(|placed| placed.module.size_bytes),
        to_bytes: after.map(|placed| placed.module.size_bytes),
    }
}
