//! `flashmoor store unpin`.

use clap::Args;
use fm_store::verbs as store;

use crate::cli::dry_run::DryRun;
use crate::cli::{Context, Result, Status};
use fm_render::store as render;

/// Let go of a build that was pinned
#[derive(Debug, Args)]
pub(crate) struct Unpin {
    /// The build: its id, the first digits of it, or its name
    build: String,
    /// Drop this reason only, and not all
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Unpin {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let done = store::unpin(
            &context.store_for(self.dry_run)?,
            &self.build,
            self.reason.as_deref(),
        )?;
        context.output.document(&done, render::pinned);
        Ok(Status::Done)
    }
}
