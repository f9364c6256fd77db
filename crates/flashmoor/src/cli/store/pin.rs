//! `flashmoor store pin`.

use clap::Args;
use fm_store::verbs as store;

use crate::cli::dry_run::DryRun;
use crate::cli::{Context, Result, Status};
use fm_render::store as render;

/// Keep a build whatever refers to it
#[derive(Debug, Args)]
pub(crate) struct Pin {
    /// The build: its id, the first digits of it, or its name
    build: String,
    /// Why; a build may be kept for several reasons
    #[arg(long, value_name = "TEXT", default_value = "by hand")]
    reason: String,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Pin {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let done = store::pin(&context.store_for(self.dry_run)?, &self.build, &self.reason)?;
        context.output.document(&done, render::pinned);
        Ok(Status::Done)
    }
}
