//! `flashmoor store show`.

use clap::Args;
use fm_store::verbs as store;

use super::named::named;
use crate::cli::{Context, Result, Status};
use fm_render::store as render;

/// Show one stored build
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The build: its id, the first digits of it, or its name
    build: String,
}

impl Show {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let mut show = store::show(&context.store()?, &self.build)?;
        if !context.output.wants_json() {
            named(context, std::slice::from_mut(&mut show.build))?;
        }
        context.output.document(&show, render::show);
        Ok(Status::Done)
    }
}
