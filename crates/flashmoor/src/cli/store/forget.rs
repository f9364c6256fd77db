//! `flashmoor store forget`.

use clap::Args;
use fm_store::verbs as store;

use crate::cli::{Context, Result, Status};
use crate::render::store as render;

/// Remove a landing that no guest needs any more
#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// The landing, as `flashmoor store landings` lists it
    landing: String,
}

impl Forget {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let done = store::forget(&context.store()?, &self.landing)?;
        context.output.document(&done, render::forgotten);
        Ok(Status::Done)
    }
}
