//! `flashmoor find`.

use std::path::PathBuf;

use clap::Args;
use fm_jobs::pieces;

use super::{Context, Result, Status};

/// Find a GUID or a text in a firmware image: as a name, and in what is compressed
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// The flash image, raw or qcow2
    file: PathBuf,
    /// A GUID, or a text (looked for as a name, in ASCII and in UTF-16)
    query: String,
}

impl Find {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let document = pieces::find(&self.file, &self.query)?;
        if context.output.wants_json() {
            context.output.json(&document);
            return Ok(Status::Done);
        }
        for found in &document.matches {
            let inside = if found.compressed { " (decoded)" } else { "" };
            let encoding = found.encoding.as_deref().unwrap_or("name");
            context.output.line(format_args!(
                "{:#010x}{inside} {encoding:<6} {}",
                found.offset,
                found.place.join(" / ")
            ));
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
