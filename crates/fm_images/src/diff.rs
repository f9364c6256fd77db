//! What changed between two firmware builds, module by module.

mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fm_remedy::{Action, Remedy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inspect::{
    self, Build, Catalogue, ImageDocument, InspectDocument, RangeDocument, Request, VolumeDocument,
};
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
    /// Facts that differ: kind, format, size, architecture, CPU mode, platform, layout.
    pub facts: Vec<Changed>,
    /// Features that only the build after has.
    pub features_gained: Vec<String>,
    /// Features that only the build before has.
    pub features_lost: Vec<String>,
    /// Whether the volumes that PCR 0 measures are the `same`, `changed`, `none` because neither build measures any, or
    /// `unknown` because nothing tells which ones the firmware measures.
    pub measured: String,
    /// Volumes that PCR 0 measures and whose content differs: sealed secrets may not open any more.
    pub measured_changed: Vec<String>,
    /// Technologies whose launch measurement changes, because it covers the bytes of the firmware.
    pub launch_measurement_changed: Vec<String>,
    /// Technologies whose memory ranges in the reset-vector table differ.
    pub ranges_changed: Vec<String>,
    /// How full the volumes are, before and after.
    pub volumes: Vec<DiffVolume>,
    /// Damage in one of the two. What could not be read of it counts as removed or lost.
    pub damage: Vec<DiffDamage>,
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

/// A volume's size and use in both builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffVolume {
    /// Its name, or its GUID.
    pub name: String,
    /// Its size before; absent if it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_bytes: Option<u64>,
    /// How much of it was in use; absent of variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_used_bytes: Option<u64>,
    /// Its size after; absent if it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_bytes: Option<u64>,
    /// How much of it is in use; absent of variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_used_bytes: Option<u64>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffDamage {
    /// `from` or `to`.
    pub side: String,
    /// What, with its offset.
    pub message: String,
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
    /// When it runs: `SEC`, `PEI`, `DXE`, `MM`, `application`; `container` for a file that holds volumes, and
    /// `data`.
    #[serde(default)]
    pub phase: String,
    /// Its digest before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_sha256: Option<String>,
    /// Its digest after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_sha256: Option<String>,
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
/// If one cannot be read or is no firmware, or if both are variable stores.
pub fn diff(from: &Path, to: &Path, catalogue: Option<PathBuf>) -> Result<DiffDocument> {
    let catalogue = Catalogue::open(catalogue.as_deref())?;
    let look = |path: &Path| {
        // To `inspect` a FIFO is a stream, and waits for whoever writes into it.
        if path != Path::new("-") {
            fm_files::open_regular(path).map_err(|source| Error::file("read", path, source))?;
        }
        let request = Request {
            path: path.to_owned(),
            ..Request::default()
        };
        inspect::inspect_with(&request, &catalogue)
    };
    let (before, after) = (look(from)?, look(to)?);
    if before.kind == "vars" && after.kind == "vars" {
        return Err(Error::Usage {
            message: "both files are variable stores, which hold no modules to compare".into(),
            remedy: Remedy::new(
                "compare their variables",
                Action::DiffVars {
                    from: from.to_str().map(ToOwned::to_owned),
                    to: to.to_str().map(ToOwned::to_owned),
                },
            ),
        });
    }
    if (before.kind == "vars") != (after.kind == "vars") && before.image.is_some() && after.image.is_some() {
        let kind = |document: &InspectDocument| {
            if document.kind == "vars" {
                "a variable store"
            } else {
                "firmware"
            }
        };
        return Err(Error::Usage {
            message: format!(
                "{} is {} and {} is {}: they have nothing in common to compare",
                from.display(),
                kind(&before),
                to.display(),
                kind(&after)
            ),
            remedy: "name two builds of firmware, or compare two variable stores".into(),
        });
    }
    let (old, new) = (image_of(&before)?, image_of(&after)?);
    let measured_changed = measured(old, new);
    let is_same = before.sha256 == after.sha256;
    let mut document = DiffDocument {
        schema: "flashmoor/diff/1".into(),
        from: side(&before, old),
        to: side(&after, new),
        identical: is_same,
        facts: facts(&before, old, &after, new),
        features_gained: without(&new.features, &old.features),
        features_lost: without(&old.features, &new.features),
        measured: match &measured_changed {
            _ if measures_nothing(old) && measures_nothing(new) => "none",
            None if !is_same => "unknown",
            Some(changed) if !changed.is_empty() => "changed",
            _ => "same",
        }
        .into(),
        measured_changed: measured_changed.unwrap_or_default(),
        launch_measurement_changed: if is_same {
            Vec::new()
        } else {
            launched(&before, old, &after, new)
        },
        ranges_changed: ranges(old, new),
        volumes: volumes(old, new),
        damage: damage("from", &before, old)
            .chain(damage("to", &after, new))
            .collect(),
        added: Vec::new(),
        removed: Vec::new(),
        changed: Vec::new(),
        moved: Vec::new(),
        unchanged: 0,
    };
    modules::pair_up(&mut document, old, new);
    Ok(document)
}

/// Of the image, then of the variable store in it.
fn damage<'a>(
    side: &'a str,
    document: &'a InspectDocument,
    image: &'a ImageDocument,
) -> impl Iterator<Item = DiffDamage> + 'a {
    let of_store = document.store.iter().flat_map(|store| &store.damage);
    let messages = image.damage.iter().map(|damage| &damage.message);
    messages.chain(of_store).map(move |message| DiffDamage {
        side: side.into(),
        message: message.clone(),
    })
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
        ("format", before.format.clone(), after.format.clone()),
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

/// Whether nothing in it, as far as it can be read, could extend a PCR.
fn measures_nothing(image: &ImageDocument) -> bool {
    let for_tpm = |feature: &String| feature == "tpm1" || feature == "tpm2";
    image.damage.is_empty() && !image.modules.is_empty() && !image.features.iter().any(for_tpm)
}

/// Which of the measured volumes differ; nothing if a side has none that is known to be measured.
fn measured(old: &ImageDocument, new: &ImageDocument) -> Option<Vec<String>> {
    let digests = |image: &ImageDocument| -> BTreeMap<String, String> {
        let measured = image.volumes.iter().filter(|volume| volume.measured);
        measured
            .map(|volume| (volume.label().to_owned(), volume.sha256.clone()))
            .collect()
    };
    let (old, new) = (digests(old), digests(new));
    if old.is_empty() || new.is_empty() {
        return None;
    }
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = |name: &&&String| old.get(**name) != new.get(**name);
    Some(names.iter().filter(differs).map(|name| (*name).clone()).collect())
}

/// What is launched with SEV or TDX measures the firmware's bytes as they lie in the file (QEMU
/// `target/i386/sev.c`, `sev_encrypt_flash`; the TDX metadata's section BFV).
fn launched(
    before: &InspectDocument,
    old: &ImageDocument,
    after: &InspectDocument,
    new: &ImageDocument,
) -> Vec<String> {
    let technologies = ["sev", "sev-es", "sev-snp", "tdx"].into_iter();
    // What lies outside of volumes is known to be padding only where nothing is damaged.
    let whole = old.damage.is_empty() && new.damage.is_empty();
    let of_either = |technology: &&str| {
        let mut features = old.features.iter().chain(&new.features);
        let mut ranges = [old, new]
            .into_iter()
            .filter_map(|image| image.reset_vector.as_ref())
            .flat_map(|table| &table.ranges);
        // The driver that shows the feature may be in what cannot be read.
        features.any(|feature| feature == technology)
            || (!whole && ranges.any(|range| range.technology == *technology))
    };
    let of_tdx = || launched_code(before, old) != launched_code(after, new);
    let changes = |technology: &&str| *technology != "tdx" || !whole || of_tdx();
    technologies
        .filter(of_either)
        .filter(changes)
        .map(Into::into)
        .collect()
}

/// Flash of x86 ends here.
const FLASH_END: u64 = 4 << 30;

/// What TDX measures of the flash: all but the variables (the metadata's section CFV, whose attributes say so). They
/// are told by their address: offsets of the metadata count from the start of VARS, which the file may not hold.
fn launched_code<'a>(
    document: &InspectDocument,
    image: &'a ImageDocument,
) -> BTreeSet<(u64, Option<u64>, &'a str)> {
    let flash_start = FLASH_END.saturating_sub(document.size_bytes);
    let ranges = image.reset_vector.iter().flat_map(|table| &table.ranges);
    let unmeasured: Vec<_> = ranges
        .filter(|range| range.technology == "tdx" && !range.measured && range.flash_offset.is_some())
        .map(|range| range.base..range.base.saturating_add(range.size))
        .collect();
    let is_measured = |offset: u64| {
        let address = flash_start.saturating_add(offset);
        !unmeasured.iter().any(|range| range.contains(&address))
    };
    let volumes = image.volumes.iter();
    volumes
        .filter(|volume| is_measured(volume.offset))
        .map(|volume| (volume.offset, volume.decoded_offset, volume.sha256.as_str()))
        .collect()
}

fn ranges(old: &ImageDocument, new: &ImageDocument) -> Vec<String> {
    let all = |image: &ImageDocument| -> Vec<RangeDocument> {
        let table = image.reset_vector.as_ref();
        table.map(|table| table.ranges.clone()).unwrap_or_default()
    };
    let (old, new) = (all(old), all(new));
    let names: BTreeSet<&String> = old.iter().chain(&new).map(|range| &range.technology).collect();
    let of = |ranges: &[RangeDocument], name: &str| -> Vec<(u32, u64, u64, Option<u32>, bool)> {
        let ranges = ranges.iter().filter(|range| range.technology == name);
        ranges
            .map(|range| {
                (
                    range.kind,
                    range.base,
                    range.size,
                    range.flash_offset,
                    range.measured,
                )
            })
            .collect()
    };
    names
        .into_iter()
        .filter(|name| of(&old, name) != of(&new, name))
        .cloned()
        .collect()
}

/// How full a volume of variables is says nothing of the room for them.
fn used(volume: &VolumeDocument) -> Option<u64> {
    (!volume.is_variables()).then_some(volume.used_bytes)
}

/// By name; of several with one name the first of both sides belong together, and so on.
fn volumes(old: &ImageDocument, new: &ImageDocument) -> Vec<DiffVolume> {
    let mut all: Vec<DiffVolume> = old
        .volumes
        .iter()
        .map(|volume| DiffVolume {
            name: volume.label().to_owned(),
            from_bytes: Some(volume.size),
            from_used_bytes: used(volume),
            to_bytes: None,
            to_used_bytes: None,
        })
        .collect();
    for volume in &new.volumes {
        let name = volume.label().to_owned();
        let pair = all
            .iter_mut()
            .find(|known| known.name == name && known.to_bytes.is_none());
        let (size, used) = (Some(volume.size), used(volume));
        match pair {
            Some(pair) => (pair.to_bytes, pair.to_used_bytes) = (size, used),
            None => all.push(DiffVolume {
                name,
                from_bytes: None,
                from_used_bytes: None,
                to_bytes: size,
                to_used_bytes: used,
            }),
        }
    }
    all
}
