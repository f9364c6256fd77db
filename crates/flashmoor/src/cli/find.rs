//! `flashmoor find`.

use std::path::PathBuf;

use clap::Args;
use fm_api::v1::extract::TextEncoding;
use fm_images::extract;

use super::{Context, Result, Status};

/// As many damages are told in text; the JSON has all.
const MAX_DAMAGE_COUNT: usize = 4;

/// Find a GUID or a text in a firmware image: as a name, and in what is compressed
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// The flash image, raw or qcow2; `-` is standard input, for a raw one
    file: PathBuf,
    /// A GUID, or a text (looked for as a name, in ASCII and in UTF-16)
    query: String,
}

impl Find {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let document = extract::find(&self.file, &self.query)?;
        if context.output.wants_json() {
            context.output.json(&document);
            return Ok(Status::Done);
        }
        for found in &document.matches {
            let inside = if found.compressed { " (decoded)" } else { "" };
            let encoding = found.encoding.map_or("name", TextEncoding::name);
            context.output.line(format_args!(
                "{:#010x}{inside} {encoding:<6} {}",
                found.offset,
                found.place.join(" / ")
            ));
        }
        for damage in document.damage.iter().take(MAX_DAMAGE_COUNT) {
            context
                .output
                .remark(format_args!("not all could be searched: {damage}"));
        }
        let listed = document.matches.len();
        if document.truncated {
            context.output.remark(format_args!(
                "{} found, the first {listed} are listed",
                document.total
            ));
        } else {
            context.output.remark(format_args!("{listed} found"));
        }
        Ok(Status::Done)
    }
}
