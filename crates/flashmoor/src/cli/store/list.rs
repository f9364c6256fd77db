//! `flashmoor store list`.

use clap::Args;
use fm_images::inspect::Catalogue;
use fm_store::verbs as store;

use crate::cli::{Context, Result, Status};
use crate::render::store as render;

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
        // People know a build by its package, whoever stored it without a name.
        let catalogue = Catalogue::open(crate::cli::catalogue::user_file(context).as_deref())?;
        for build in list.builds.iter_mut().filter(|build| build.name.is_none()) {
            if let Some(known) = catalogue.build(&build.id) {
                build.name = Some(known.name);
                build.version = build.version.take().or(known.version);
            }
        }
        context.output.page();
        render::list(&context.output, &list);
        Ok(Status::Done)
    }
}
