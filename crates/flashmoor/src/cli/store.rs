//! `flashmoor store`: one file a verb.

mod export;
mod forget;
mod gc;
mod import;
mod landings;
mod list;
mod named;
mod pin;
mod show;
mod unpin;
mod verify;

use clap::{Args, Subcommand};

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
