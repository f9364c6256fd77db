//! `flashmoor store list`.

use clap::Args;
use fm_store::verbs as store;

use crate::cli::{Context, Result, Status};
use crate::render::store as render;

/// List the stored builds
#[derive(Debug, Args)]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let list = store::list(&context.store()?)?;
        context.output.document(&list, render::list);
        Ok(Status::Done)
    }
}
