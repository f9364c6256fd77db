//! `flashmoor store verify`.

use clap::Args;
use fm_store::verbs as store;

use crate::cli::{Context, Result, Status};
use fm_render::store as render;

/// Read every byte of the store and compare it with what it is said to be
///
/// Ends with status 1 if anything is damaged. Leftovers of a process that died are named, and harm nobody.
#[derive(Debug, Args)]
pub(crate) struct Verify {}

impl Verify {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let found = store::verify(&context.store()?)?;
        context.output.document(&found, render::verified);
        Ok(if found.whole {
            Status::Done
        } else {
            Status::Damaged
        })
    }
}
