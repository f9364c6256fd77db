//! `flashmoor store forget`.

use clap::Args;
use fm_store::verbs as store;

use crate::cli::dry_run::DryRun;
use crate::cli::{Context, Result, Status};
use fm_render::store as render;

/// Remove a landing that no guest needs any more
#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// The landing, as `flashmoor store landings` lists it
    landing: String,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Forget {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let done = store::forget(&context.store_for(self.dry_run)?, &self.landing)?;
        context.output.document(&done, render::forgotten);
        Ok(Status::Done)
    }
}
