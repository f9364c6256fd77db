//! Style, script and picture of the pages, from the program itself.

use axum::extract::Path;
use axum::response::Response;

use super::reply::{Refused, file as reply};
use fm_access::Problem;

/// One of them.
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Refused> {
    Ok(match name.as_str() {
        "style.css" => reply("text/css; charset=utf-8", include_bytes!("static/style.css")),
        "live.js" => reply("text/javascript; charset=utf-8", include_bytes!("static/live.js")),
        "icon.svg" => reply("image/svg+xml", include_bytes!("static/icon.svg")),
        _ => return Err(Problem::not_found("there is no such file").into()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    const STYLE: &str = include_str!("static/style.css");

    /// The palettes of light and of dark, by name.
    fn palettes() -> Vec<BTreeMap<&'static str, [f64; 3]>> {
        let colour = |text: &str| {
            let part = |at: usize| f64::from(u8::from_str_radix(&text[at..at + 2], 16).unwrap()) / 255.0;
            [part(0), part(2), part(4)]
        };
        let blocks = STYLE.split(":root {").skip(1);
        let blocks = blocks.map(|block| block.split('}').next().unwrap());
        let lines = |block: &'static str| {
            let pairs = block
                .lines()
                .filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
            pairs
                .map(|(name, value)| (name, colour(value.trim_end_matches(';'))))
                .collect()
        };
        blocks.map(lines).collect()
    }

    /// The contrast of two colours (WCAG 2.2).
    fn contrast(left: [f64; 3], right: [f64; 3]) -> f64 {
        let luminance = |colour: [f64; 3]| {
            let linear = colour.map(|part| {
                if part <= 0.04045 {
                    part / 12.92
                } else {
                    ((part + 0.055) / 1.055).powf(2.4)
                }
            });
            0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        };
        let (left, right) = (luminance(left) + 0.05, luminance(right) + 0.05);
        left.max(right) / left.min(right)
    }

    #[test]
    fn every_text_stands_out_in_light_and_in_dark() {
        let palettes = palettes();
        assert_eq!(palettes.len(), 2);
        for (number, palette) in palettes.iter().enumerate() {
            let check = |name: &str, on: &str, least: f64| {
                let found = contrast(palette[name], palette[on]);
                assert!(found >= least, "palette {number}: {name} on {on} has {found:.2}");
            };
            for on in ["page", "panel"] {
                for name in ["text", "muted", "link", "good", "warn", "bad"] {
                    check(name, on, 4.5);
                }
                check("focus", on, 3.0);
            }
            // The border of what can be filled in.
            check("line", "page", 3.0);
            check("on-band", "band", 4.5);
        }
        // Nothing is coloured beside the palettes.
        let rest = STYLE.split('}').filter(|block| !block.contains("--page: #"));
        assert!(rest.into_iter().all(|block| !block.contains(": #")));
    }
}
