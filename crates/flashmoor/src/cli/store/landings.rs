//! `flashmoor store landings`.

use clap::Args;
use fm_store::verbs as store;

use crate::cli::{Context, Result, Status};
use fm_render::store as render;

/// List where incoming guests' CODE lands
#[derive(Debug, Args)]
pub(crate) struct Landings {}

impl Landings {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let list = store::landings(&context.store()?)?;
        context.output.document(&list, render::landings);
        Ok(Status::Done)
    }
}
