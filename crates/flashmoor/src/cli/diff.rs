//! `flashmoor diff`.

use std::path::PathBuf;

use clap::Args;
use fm_images::diff;

use super::{Context, Result, Status};

/// Say what changed between two firmware builds
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The build before
    from: PathBuf,
    /// The build after
    to: PathBuf,
    /// List every module that differs, however many there are
    #[arg(long)]
    all: bool,
    /// Exit with status 10 if the builds differ
    #[arg(long)]
    exit_code: bool,
}

impl Diff {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let document = diff::diff(&self.from, &self.to, super::catalogue::user_file(context))?;
        if context.output.wants_json() {
            context.output.json(&document);
        } else {
            fm_render::diff::text(&context.output, &document, self.all);
        }
        Ok(Status::of_no(self.exit_code, !document.identical))
    }
}
