//! The flash map as a picture, to scale.

use std::fmt::Write as _;

use fm_api::v1::inspect::{
    ImageDocument, InspectDocument, RegionDocument, RegionKind, RegionRunsFrom, RunsFrom, StoreDocument,
    VolumeDocument,
};
use fm_images::words;
use fm_remedy::Foreign;
use fm_varstore::Geometry;

const WIDTH: u32 = 940;
/// Of the flash.
const HEIGHT: f64 = 640.0;
const LINE: f64 = 18.0;
/// As many characters as fit into the picture's width.
const LINE_CHARACTERS: usize = 120;
/// Where the flash stands.
const LEFT: f64 = 120.0;
const FLASH_WIDTH: f64 = 260.0;
/// Where labels stand.
const LABELS: f64 = LEFT + FLASH_WIDTH + 28.0;
/// Between a section and the volumes drawn in it.
const INSET: f64 = 12.0;
/// A volume in a section is never flatter: its name stands in it.
const MIN_VOLUME_HEIGHT: f64 = 16.0;

/// What a colour stands for. Each but the lightest has a contrast of 4.5 to 1 or more with white, so that white text can
/// be read on it and it can be told from what is free (WCAG 2.2, 1.4.3).
const LEGEND: [(&str, &str); 7] = [
    (RUNS_FROM_RAM, "its code runs from RAM after decompression"),
    (
        IN_SECTION,
        "a volume in a compressed section; what is drawn is its share of the section",
    ),
    (RUNS_FROM_FLASH, "its code runs from flash"),
    (VARIABLES, "variables"),
    (
        UPKEEP,
        "event log, and what a fault-tolerant write works with: its queue and its copy",
    ),
    (DATA, "other bytes"),
    (FREE, "free, or padding"),
];
const RUNS_FROM_RAM: &str = "#3a70ad";
const IN_SECTION: &str = "#1d4470";
const RUNS_FROM_FLASH: &str = "#b03a2e";
const VARIABLES: &str = "#8a5a00";
const UPKEEP: &str = "#6b4f8f";
const DATA: &str = "#666666";
const FREE: &str = "#f6f6f6";

/// What is written beside the flash: where it is about, and what it says.
struct Label {
    y: f64,
    offset: u64,
    text: String,
}

/// The picture of an image.
pub fn flash_map(document: &InspectDocument, image: &ImageDocument) -> String {
    let mut head = vec![format!("{}, {} bytes", image.build, document.size_bytes)];
    let mut facts = super::inspect::image_words(image);
    facts.extend(image.layout.map(|layout| layout.to_string()));
    head.push(facts.join(", "));
    wrap(&image.features, &mut head);

    let mut body = String::new();
    text(
        &mut body,
        20.0,
        26.0,
        r#" font-size="17" font-weight="bold""#,
        &document.path,
    );
    let mut top = 48.0;
    for line in &head {
        text(&mut body, 20.0, top, r##" fill="#444444""##, line);
        top += LINE;
    }
    let scale = HEIGHT / as_f64(document.size_bytes.max(1));
    let mut labels = Vec::new();
    for region in &image.map {
        let y = top + as_f64(region.offset) * scale;
        labels.push(Label {
            y,
            offset: region.offset,
            text: label(region, document.store.as_ref()),
        });
        rectangle(&mut body, 0.0, y, as_f64(region.size_bytes) * scale, FREE);
        let used = as_f64(region.used_bytes) * scale;
        rectangle(&mut body, 0.0, y, used, colour(region.kind, None));
        for part in &region.parts {
            let (y, height) = (top + as_f64(part.offset) * scale, as_f64(part.size_bytes) * scale);
            rectangle(
                &mut body,
                0.0,
                y,
                height,
                colour(region.kind, Some(part.runs_from)),
            );
            let inside = |volume: &&VolumeDocument| {
                volume.compressed && (part.offset..part.offset + part.size_bytes).contains(&volume.offset)
            };
            volumes(
                &mut body,
                &image.volumes.iter().filter(inside).collect::<Vec<_>>(),
                y,
                height,
            );
        }
        if region.kind == RegionKind::Variables && region.offset == 0 {
            areas(&mut body, &mut labels, document.store.as_ref(), top, scale);
        }
    }
    let below = place(&mut body, &mut labels, top);
    // Labels of regions that are too flat for one each may reach below the flash.
    let mut legend_at = (top + HEIGHT).max(below) + LINE;
    let used: Vec<_> = LEGEND
        .iter()
        .filter(|(colour, _)| body.contains(colour))
        .collect();
    for (colour, meaning) in used {
        let _ = writeln!(
            body,
            concat!(
                r##"<rect x="120" y="{y:.2}" width="12" height="12" fill="{colour}" stroke="#444444"/>"##,
                r#"<text x="140" y="{text:.2}">{meaning}</text>"#
            ),
            y = legend_at,
            colour = colour,
            text = legend_at + 11.0,
            meaning = meaning,
        );
        legend_at += LINE;
    }
    let height = legend_at + LINE;
    format!(
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" "#,
            r##"viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13" fill="#1b1b1b">"##,
            "\n<title>Flash map of {path}</title>\n",
            r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##,
            "\n{body}</svg>\n",
        ),
        width = WIDTH,
        height = height,
        path = Foreign(&document.path).markup(),
        body = body,
    )
}

/// The volumes that a compressed section holds, in the section: each as much of it as it has of what is decoded.
fn volumes(body: &mut String, volumes: &[&VolumeDocument], y: f64, height: f64) {
    let decoded: u64 = volumes.iter().map(|volume| volume.size_bytes).sum();
    let gaps = INSET * as_f64(volumes.len() as u64 + 1);
    let spare = height - gaps - MIN_VOLUME_HEIGHT * as_f64(volumes.len() as u64);
    if decoded == 0 || spare < 0.0 {
        return;
    }
    let mut at = y + INSET;
    for volume in volumes {
        let height = MIN_VOLUME_HEIGHT + spare * as_f64(volume.size_bytes) / as_f64(decoded);
        rectangle(body, INSET, at, height, IN_SECTION);
        let words = format!("{}, {} KiB decoded", volume.label(), volume.size_bytes / 1024);
        text(
            body,
            LEFT + INSET + 8.0,
            at + 12.5,
            r##" fill="#ffffff""##,
            &words,
        );
        at += height + INSET;
    }
}

/// The areas of a variable store behind the variables (edk2 `VarStore.fdf.inc` of each platform).
fn areas(body: &mut String, labels: &mut Vec<Label>, store: Option<&StoreDocument>, top: f64, scale: f64) {
    let layout = store.and_then(|store| store.layout).map(words::layout_of);
    let Some(geometry) = layout.map(Geometry::of) else {
        return;
    };
    for (name, area) in [
        ("event log", geometry.event_log),
        ("queue of writes (FTW working)", Some(geometry.working)),
        ("copy for writes (FTW spare)", Some(geometry.spare)),
    ] {
        let Some(area) = area else { continue };
        let y = top + f64::from(area.offset) * scale;
        rectangle(body, 0.0, y, f64::from(area.len_bytes) * scale, UPKEEP);
        labels.push(Label {
            y,
            offset: area.offset.into(),
            text: format!("{name}, {} KiB", area.len_bytes / 1024),
        });
    }
}

/// Writes the labels, each beside what it is about or as near as the one before lets it; returns where they end.
fn place(body: &mut String, labels: &mut [Label], top: f64) -> f64 {
    labels.sort_by_key(|label| label.offset);
    let mut free = top;
    for label in labels {
        let at = (label.y + 13.0).max(free);
        let edge = LEFT + FLASH_WIDTH;
        let _ = writeln!(
            body,
            r##"<path d="M{edge} {:.2} L{} {:.2} L{} {:.2}" fill="none" stroke="#444444"/>"##,
            label.y + 1.0,
            edge + 10.0,
            at - 4.0,
            LABELS - 6.0,
            at - 4.0
        );
        text(
            body,
            LEFT - 8.0,
            at,
            r#" text-anchor="end""#,
            &format!("{:#x}", label.offset),
        );
        text(body, LABELS, at, "", &label.text);
        free = at + LINE;
    }
    free
}

fn text(body: &mut String, x: f64, y: f64, rest: &str, text: &str) {
    let _ = writeln!(
        body,
        r#"<text x="{x}" y="{y:.2}"{rest}>{}</text>"#,
        Foreign(text).markup()
    );
}

/// Adds the words to `lines`, as many to a line as fit.
fn wrap(words: &[String], lines: &mut Vec<String>) {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() && line.len() + word.len() > LINE_CHARACTERS {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push_str(", ");
        }
        line.push_str(word);
    }
    lines.push(line);
}

/// A stretch of the flash, narrower by `inset` on each side.
fn rectangle(body: &mut String, inset: f64, y: f64, height: f64, fill: &str) {
    let _ = writeln!(
        body,
        r##"<rect x="{}" y="{y:.2}" width="{}" height="{height:.2}" fill="{fill}" stroke="#444444" stroke-width="0.6"/>"##,
        LEFT + inset,
        FLASH_WIDTH - 2.0 * inset
    );
}

const fn colour(kind: RegionKind, runs_from: Option<RunsFrom>) -> &'static str {
    match (kind, runs_from) {
        (RegionKind::Padding, _) => DATA,
        (RegionKind::Variables, _) => VARIABLES,
        (RegionKind::Volume, Some(RunsFrom::Flash)) => RUNS_FROM_FLASH,
        (RegionKind::Volume, Some(RunsFrom::RamAfterDecompression)) => RUNS_FROM_RAM,
        (RegionKind::Volume, None) => DATA,
    }
}

fn label(region: &RegionDocument, store: Option<&StoreDocument>) -> String {
    let name = super::inspect::region_name(region);
    let mut label = format!("{name}, {} KiB", region.size_bytes.div_ceil(1024));
    if let Some(full) = super::inspect::fullness(region, store) {
        let _ = write!(label, ", {full}");
    }
    match region.runs_from {
        Some(RegionRunsFrom::Flash) => label.push_str(", runs from flash"),
        Some(RegionRunsFrom::Mixed) => label.push_str(", runs from flash and, decompressed, from RAM"),
        Some(RegionRunsFrom::RamAfterDecompression) => label.push_str(", runs from RAM after decompression"),
        None => {}
    }
    label
}

#[allow(clippy::cast_precision_loss)] // a picture
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2.2, "relative luminance").
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    #[test]
    fn every_colour_but_that_of_free_bytes_carries_white_text() {
        for (colour, meaning) in LEGEND.iter().filter(|(colour, _)| *colour != FREE) {
            let contrast = 1.05 / (luminance(colour) + 0.05);
            assert!(contrast >= 4.5, "{meaning}: {contrast}");
        }
    }

    #[test]
    fn long_lists_are_broken_between_words_and_nothing_is_lost() {
        let words: Vec<String> = (0..60).map(|at| format!("feature-{at}")).collect();
        let mut lines = Vec::new();
        wrap(&words, &mut lines);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= LINE_CHARACTERS + 2));
        let again: Vec<&str> = lines.iter().flat_map(|line| line.split(", ")).collect();
        assert_eq!(again, words);
    }
}
