//! The flash map as a picture, to scale.

use std::fmt::Write as _;

use fm_images::inspect::{ImageDocument, InspectDocument, RegionDocument, StoreDocument};
use fm_remedy::Foreign;

const WIDTH: u32 = 940;
/// Of the flash.
const HEIGHT: f64 = 640.0;
const LINE: f64 = 18.0;
/// As many characters as fit into the picture's width.
const LINE_CHARACTERS: usize = 120;

/// What a colour stands for.
const LEGEND: [(&str, &str); 5] = [
    (RUNS_FROM_RAM, "its code runs from RAM after decompression"),
    (RUNS_FROM_FLASH, "its code runs from flash"),
    (VARIABLES, "variables"),
    (DATA, "other bytes"),
    (FREE, "free, or padding"),
];
const RUNS_FROM_RAM: &str = "#4f81bd";
const RUNS_FROM_FLASH: &str = "#c0504d";
const VARIABLES: &str = "#e0a030";
const DATA: &str = "#8a8a8a";
const FREE: &str = "#f6f6f6";

pub(crate) fn flash_map(document: &InspectDocument, image: &ImageDocument) -> String {
    let mut head = vec![format!("{}, {} bytes", image.build, document.size_bytes)];
    let facts = [&image.arch, &image.cpu_mode, &image.platform, &image.layout];
    let facts: Vec<&str> = facts.into_iter().flatten().map(String::as_str).collect();
    head.push(facts.join(", "));
    wrap(&image.features, &mut head);

    let mut body = String::new();
    let mut text = |x: u32, y: f64, rest: &str, text: &str| {
        let _ = writeln!(
            body,
            r#"<text x="{x}" y="{y:.2}"{rest}>{}</text>"#,
            Foreign(text).markup()
        );
    };
    text(20, 26.0, r#" font-size="17" font-weight="bold""#, &document.path);
    let mut top = 48.0;
    for line in &head {
        text(20, top, r##" fill="#555555""##, line);
        top += LINE;
    }
    let scale = HEIGHT / as_f64(document.size_bytes.max(1));
    let mut label_at = top;
    for region in &image.map {
        let y = top + as_f64(region.offset) * scale;
        rectangle(&mut body, y, as_f64(region.size) * scale, FREE, true);
        let used = as_f64(region.used_bytes) * scale;
        rectangle(&mut body, y, used, colour(&region.kind, None), false);
        for part in &region.parts {
            let (y, height) = (top + as_f64(part.offset) * scale, as_f64(part.size) * scale);
            rectangle(
                &mut body,
                y,
                height,
                colour(&region.kind, Some(&part.runs_from)),
                false,
            );
        }
        label_at = (y + 13.0).max(label_at);
        let _ = writeln!(
            body,
            r#"<text x="112" y="{label_at:.2}" text-anchor="end">{:#x}</text><text x="392" y="{label_at:.2}">{}</text>"#,
            region.offset,
            Foreign(&label(region, document.store.as_ref())).markup()
        );
        label_at += LINE;
    }
    // Labels of regions that are too flat for one each may reach below the flash.
    let mut legend_at = (top + HEIGHT).max(label_at) + LINE;
    for (colour, meaning) in LEGEND {
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
            r#"viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">"#,
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

fn rectangle(body: &mut String, y: f64, height: f64, fill: &str, framed: bool) {
    let stroke = if framed { r##" stroke="#444444""## } else { "" };
    let _ = writeln!(
        body,
        r#"<rect x="120" y="{y:.2}" width="260" height="{height:.2}" fill="{fill}"{stroke}/>"#
    );
}

fn colour(kind: &str, runs_from: Option<&str>) -> &'static str {
    match (kind, runs_from) {
        ("padding", _) => DATA,
        ("variables", _) => VARIABLES,
        (_, Some("flash")) => RUNS_FROM_FLASH,
        (_, Some("ram-after-decompression")) => RUNS_FROM_RAM,
        (_, _) => DATA,
    }
}

fn label(region: &RegionDocument, store: Option<&StoreDocument>) -> String {
    let name = super::inspect::region_name(region);
    let mut label = format!("{name}, {} KiB", region.size.div_ceil(1024));
    if let Some(full) = super::inspect::fullness(region, store) {
        let _ = write!(label, ", {full}");
    }
    match region.runs_from.as_deref() {
        Some("flash") => label.push_str(", runs from flash"),
        Some("mixed") => label.push_str(", runs from flash and, decompressed, from RAM"),
        Some(_) => label.push_str(", runs from RAM after decompression"),
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
