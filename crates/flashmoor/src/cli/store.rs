//! `flashmoor store`: one file a verb.

mod export;
mod forget;
mod gc;
mod import;
mod landings;
mod list;
mod pin;
mod show;
mod unpin;
mod verify;

use clap::{Args, Subcommand};
use fm_api::v1::store::StoredBuild;
use fm_images::inspect::Catalogue;

use super::{Context, Result};

/// Keep firmware builds by digest, at paths that hold these bytes or nothing
#[derive(Debug, Args)]
pub(crate) struct Store {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::List),
    Show(show::Show),
    Import(import::Import),
    Export(export::Export),
    Verify(verify::Verify),
    Gc(gc::Gc),
    Pin(pin::Pin),
    Unpin(unpin::Unpin),
    Landings(landings::Landings),
    Forget(forget::Forget),
}

/// People know a build by its package, whoever stored it without a name.
fn named(context: &Context, builds: &mut [StoredBuild]) -> Result<()> {
    let catalogue = Catalogue::open(super::catalogue::user_file(context).as_deref())?;
    for build in builds.iter_mut().filter(|build| build.name.is_none()) {
        if let Some(known) = catalogue.build(&build.id) {
            build.name = Some(known.name);
            build.version = build.version.take().or(known.version);
        }
    }
    Ok(())
}

impl Store {
    pub(crate) fn run(&self, context: &Context) -> Result {
        match &self.verb {
            Verb::List(verb) => verb.run(context),
            Verb::Show(verb) => verb.run(context),
            Verb::Import(verb) => verb.run(context),
            Verb::Export(verb) => verb.run(context),
            Verb::Verify(verb) => verb.run(context),
            Verb::Gc(verb) => verb.run(context),
            Verb::Pin(verb) => verb.run(context),
            Verb::Unpin(verb) => verb.run(context),
            Verb::Landings(verb) => verb.run(context),
            Verb::Forget(verb) => verb.run(context),
        }
    }
}
