//! The flash map as a picture, to scale.

use std::fmt::Write as _;

use fm_jobs::inspect::{ImageDocument, InspectDocument};

const HEIGHT: f64 = 640.0;
const TOP: f64 = 70.0;

pub(crate) fn flash_map(document: &InspectDocument, image: &ImageDocument) -> String {
    let mut svg = String::new();
    let total = HEIGHT + TOP + 30.0;
    let _ = write!(
        svg,
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="860" height="{total}" viewBox="0 0 860 {total}" "#,
            r#"font-family="sans-serif" font-size="13">"#,
            "\n<title>Flash map of {path}</title>\n",
            r##"<rect width="860" height="{total}" fill="#ffffff"/>"##,
            "\n",
            r#"<text x="20" y="26" font-size="17" font-weight="bold">{path}</text>"#,
            "\n",
            r##"<text x="20" y="48" fill="#555555">{build}, {size} bytes, {features}</text>"##,
            "\n"
        ),
        total = total,
        path = escape(&document.path),
        build = escape(&format!(
            "{} {}",
            image.build.name,
            image.build.version.as_deref().unwrap_or("")
        )),
        size = document.size_bytes,
        features = escape(&image.features.join(", ")),
    );
    let scale = HEIGHT / as_f64(document.size_bytes.max(1));
    let mut label_at = TOP;
    for region in &image.map {
        let (y, height) = (TOP + as_f64(region.offset) * scale, as_f64(region.size) * scale);
        let used = as_f64(region.used_bytes) * scale;
        let colour = match (region.kind.as_str(), region.runs_from.as_deref()) {
            ("padding", _) => "#eeeeee",
            ("variables", _) => "#e0a030",
            (_, Some("flash")) => "#c0504d",
            _ => "#4f81bd",
        };
        let _ = writeln!(
            svg,
            concat!(
                r##"<rect x="120" y="{y:.2}" width="260" height="{height:.2}" fill="#f6f6f6" stroke="#444444"/>"##,
                r#"<rect x="120" y="{y:.2}" width="260" height="{used:.2}" fill="{colour}"/>"#,
            ),
            y = y,
            height = height,
            used = used,
            colour = colour,
        );
        label_at = (y + 13.0).max(label_at);
        let percent = region.used_bytes.saturating_mul(100) / region.size.max(1);
        let mut label = format!(
            "{}, {} KiB",
            region.name.as_deref().unwrap_or(&region.kind),
            region.size / 1024
        );
        if region.kind != "padding" {
            let _ = write!(label, ", {percent} % full");
        }
        if let Some(runs_from) = &region.runs_from {
            let _ = write!(label, ", runs from {}", runs_from.replace('-', " "));
        }
        let _ = writeln!(
            svg,
            r#"<text x="112" y="{label_at:.2}" text-anchor="end">{:#x}</text><text x="392" y="{label_at:.2}">{}</text>"#,
            region.offset,
            escape(&label)
        );
        label_at += 16.0;
    }
    svg.push_str("</svg>\n");
    svg
}

#[allow(clippy::cast_precision_loss)] // a picture
fn as_f64(value: u64) -> f64 {
    value as f64
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '"' => "&quot;".into(),
            character if character.is_control() => " ".into(),
            character => character.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_picture() {
        assert_eq!(escape("<a href=\"x\">&\n"), "&lt;a href=&quot;x&quot;&gt;&amp; ");
    }
}
