//! `flashmoor store list`.

use clap::Args;
use fm_store::verbs as store;

use super::named::named;
use crate::cli::{Context, Result, Status};
use fm_render::store as render;

/// List the stored builds
#[derive(Debug, Args)]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let mut list = store::list(&context.store()?)?;
        if context.output.wants_json() {
            context.output.json(&list);
            return Ok(Status::Done);
        }
        named(context, &mut list.builds)?;
        context.output.page();
        render::list(&context.output, &list);
        Ok(Status::Done)
    }
}
