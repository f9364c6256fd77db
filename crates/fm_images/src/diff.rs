//! What changed between two firmware builds, module by module.

mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fm_api::Schema;
use fm_api::v1::diff::{DiffDamage, DiffDocument, DiffFact, DiffSide, DiffVolume, DiffedBuild, Measured};
use fm_api::v1::inspect::{InspectKind, RangeDocument, RangeTechnology, volume_label};
use fm_formats::Sha256;
use fm_formats::image::Feature;
use fm_formats::volume::VolumeHeader;
use fm_remedy::{Action, Misuse, Remedy};

use crate::inspect::{self, Catalogue, Image, Inspected, Request, Volume};
use crate::{Error, Result, words};

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
    if before.kind == InspectKind::Vars && after.kind == InspectKind::Vars {
        return Err(Error::Usage(Misuse {
            message: "both files are variable stores, which hold no modules to compare".into(),
            remedy: Remedy::new(
                "compare their variables",
                Action::DiffVars {
                    from: from.to_str().map(ToOwned::to_owned),
                    to: to.to_str().map(ToOwned::to_owned),
                },
            ),
        }));
    }
    if (before.kind == InspectKind::Vars) != (after.kind == InspectKind::Vars)
        && before.image.is_some()
        && after.image.is_some()
    {
        let kind = |side: &Inspected| {
            if side.kind == InspectKind::Vars {
                "a variable store"
            } else {
                "firmware"
            }
        };
        return Err(Error::Usage(Misuse {
            message: format!(
                "{} is {} and {} is {}: they have nothing in common to compare",
                from.display(),
                kind(&before),
                to.display(),
                kind(&after)
            ),
            remedy: "name two builds of firmware, or compare two variable stores".into(),
        }));
    }
    let (old, new) = (image_of(&before)?, image_of(&after)?);
    let measured_changed = measured(old, new);
    let is_same = before.sha256 == after.sha256;
    let mut document = DiffDocument {
        schema: Schema::default(),
        from: side(&before),
        to: side(&after),
        identical: is_same,
        facts: facts(&before, old, &after, new),
        features_gained: without(&new.features, &old.features),
        features_lost: without(&old.features, &new.features),
        measured: match &measured_changed {
            _ if measures_nothing(old) && measures_nothing(new) => Measured::None,
            None if !is_same => Measured::Unknown,
            Some(changed) if !changed.is_empty() => Measured::Changed,
            _ => Measured::Same,
        },
        measured_changed: measured_changed.unwrap_or_default(),
        launch_measurement_changed: if is_same {
            Vec::new()
        } else {
            launched(&before, old, &after, new)
        },
        ranges_changed: ranges(old, new),
        volumes: volumes(old, new),
        damage: damage(DiffSide::From, &before)
            .chain(damage(DiffSide::To, &after))
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
fn damage(side: DiffSide, found: &Inspected) -> impl Iterator<Item = DiffDamage> {
    found.damages().map(move |message| DiffDamage {
        side,
        message: message.to_owned(),
    })
}

fn image_of(found: &Inspected) -> Result<&Image> {
    found.image.as_ref().ok_or_else(|| Error::NotFirmware {
        path: found.path.clone(),
        why: found
            .reason
            .clone()
            .unwrap_or_else(|| found.kind.to_string())
            .into(),
    })
}

fn side(found: &Inspected) -> DiffedBuild {
    DiffedBuild {
        path: found.path.display().to_string(),
        sha256: found.sha256.map(|digest| digest.to_string()),
        build: found.build.clone(),
    }
}

fn without(all: &[Feature], other: &[Feature]) -> Vec<String> {
    all.iter()
        .filter(|feature| !other.contains(feature))
        .map(ToString::to_string)
        .collect()
}

fn word(word: Option<impl ToString>) -> Option<String> {
    word.map(|word| word.to_string())
}

fn facts(before: &Inspected, old: &Image, after: &Inspected, new: &Image) -> Vec<DiffFact> {
    let text = |value: u64| Some(value.to_string());
    [
        (
            "kind",
            Some(before.kind.to_string()),
            Some(after.kind.to_string()),
        ),
        ("format", word(before.format), word(after.format)),
        ("size in bytes", text(before.size_bytes), text(after.size_bytes)),
        ("architecture", word(old.arch), word(new.arch)),
        (
            "CPU mode",
            word(old.cpu_mode.map(words::cpu_mode)),
            word(new.cpu_mode.map(words::cpu_mode)),
        ),
        ("platform", old.platform.clone(), new.platform.clone()),
        ("layout", word(old.layout), word(new.layout)),
    ]
    .into_iter()
    .filter(|(_, from, to)| from != to)
    .map(|(fact, from, to)| DiffFact {
        fact: fact.into(),
        from,
        to,
    })
    .collect()
}

/// Whether nothing in it, as far as it can be read, could extend a PCR.
fn measures_nothing(image: &Image) -> bool {
    let for_tpm = image.has(Feature::Tpm1) || image.has(Feature::Tpm2);
    image.damage.is_empty() && !image.modules.is_empty() && !for_tpm
}

/// What people call the volume.
fn label(volume: &Volume) -> String {
    volume_label(volume.name(), &volume.guid.to_string()).to_owned()
}

/// Which of the measured volumes differ; nothing if a side has none that is known to be measured.
fn measured(old: &Image, new: &Image) -> Option<Vec<String>> {
    let digests = |image: &Image| -> BTreeMap<String, Sha256> {
        let measured = image.volumes.iter().filter(|volume| volume.measured);
        measured.map(|volume| (label(volume), volume.sha256)).collect()
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
fn launched(before: &Inspected, old: &Image, after: &Inspected, new: &Image) -> Vec<String> {
    let technologies = [
        (Feature::Sev, Some(RangeTechnology::Sev)),
        (Feature::SevEs, None),
        (Feature::SevSnp, Some(RangeTechnology::SevSnp)),
        (Feature::Tdx, Some(RangeTechnology::Tdx)),
    ];
    // What lies outside of volumes is known to be padding only where nothing is damaged.
    let whole = old.damage.is_empty() && new.damage.is_empty();
    let of_either = |(feature, technology): &(Feature, Option<RangeTechnology>)| {
        let mut ranges = [old, new]
            .into_iter()
            .filter_map(|image| image.reset_vector.as_ref())
            .flat_map(|table| &table.ranges);
        // The driver that shows the feature may be in what cannot be read.
        old.has(*feature)
            || new.has(*feature)
            || (!whole && ranges.any(|range| Some(range.technology) == *technology))
    };
    let of_tdx = || launched_code(before, old) != launched_code(after, new);
    let changes = |(feature, _): &(Feature, _)| *feature != Feature::Tdx || !whole || of_tdx();
    technologies
        .into_iter()
        .filter(of_either)
        .filter(changes)
        .map(|(feature, _)| feature.name().to_owned())
        .collect()
}

/// Flash of x86 ends here.
const FLASH_END: u64 = 4 << 30;

/// What TDX measures of the flash: all but the variables (the metadata's section CFV, whose attributes say so). They
/// are told by their address: offsets of the metadata count from the start of VARS, which the file may not hold.
fn launched_code(found: &Inspected, image: &Image) -> BTreeSet<(u64, Option<u64>, Sha256)> {
    let flash_start = FLASH_END.saturating_sub(found.size_bytes);
    let ranges = image.reset_vector.iter().flat_map(|table| &table.ranges);
    let unmeasured: Vec<_> = ranges
        .filter(|range| {
            range.technology == RangeTechnology::Tdx && !range.measured && range.flash_offset.is_some()
        })
        .map(|range| range.base..range.base.saturating_add(range.size_bytes))
        .collect();
    let is_measured = |offset: u64| {
        let address = flash_start.saturating_add(offset);
        !unmeasured.iter().any(|range| range.contains(&address))
    };
    let volumes = image.volumes.iter();
    volumes
        .filter(|volume| is_measured(volume.offset))
        .map(|volume| (volume.offset, volume.decoded_offset, volume.sha256))
        .collect()
}

fn ranges(old: &Image, new: &Image) -> Vec<String> {
    let all = |image: &Image| -> Vec<RangeDocument> {
        let table = image.reset_vector.as_ref();
        table.map(|table| table.ranges.clone()).unwrap_or_default()
    };
    let (old, new) = (all(old), all(new));
    let technologies: BTreeSet<RangeTechnology> =
        old.iter().chain(&new).map(|range| range.technology).collect();
    let of = |ranges: &[RangeDocument], technology| -> Vec<(u32, u64, u64, Option<u32>, bool)> {
        let ranges = ranges.iter().filter(|range| range.technology == technology);
        ranges
            .map(|range| {
                (
                    range.kind,
                    range.base,
                    range.size_bytes,
                    range.flash_offset,
                    range.measured,
                )
            })
            .collect()
    };
    technologies
        .into_iter()
        .filter(|technology| of(&old, *technology) != of(&new, *technology))
        .map(|technology| technology.to_string())
        .collect()
}

/// How full a volume of variables is says nothing of the room for them.
fn used(volume: &Volume) -> Option<u64> {
    (volume.guid != VolumeHeader::NV_DATA).then_some(volume.used_bytes)
}

/// By name; of several with one name the first of both sides belong together, and so on.
fn volumes(old: &Image, new: &Image) -> Vec<DiffVolume> {
    let mut all: Vec<DiffVolume> = old
        .volumes
        .iter()
        .map(|volume| DiffVolume {
            name: label(volume),
            from_bytes: Some(volume.size_bytes),
            from_used_bytes: used(volume),
            to_bytes: None,
            to_used_bytes: None,
        })
        .collect();
    for volume in &new.volumes {
        let name = label(volume);
        let pair = all
            .iter_mut()
            .find(|known| known.name == name && known.to_bytes.is_none());
        let (size, used) = (Some(volume.size_bytes), used(volume));
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
