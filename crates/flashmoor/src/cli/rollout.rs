//! `flashmoor rollout`: one file a group of verbs.

mod change;
mod list;
mod pin;
mod plan;

use clap::{Args, Subcommand};

use super::{Context, Result};

/// Bring a build to a part of the fleet's guests, watch them, and go back if need be
///
/// Guests take it when their QEMU starts next: one of each kind first, then more and more. Each host judges again, keeps
/// the way back, and tells whether the guest has booted. See docs/rollout.md.
#[derive(Debug, Args)]
pub(crate) struct Rollout {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Plan(plan::Plan),
    Start(plan::Start),
    List(list::List),
    Status(list::Show),
    Guests(list::Guests),
    Pause(change::Pause),
    Resume(change::Resume),
    Abort(change::Abort),
    Rollback(change::Rollback),
    Pin(pin::Pin),
    Unpin(pin::Unpin),
    Pins(pin::Pins),
}

impl Rollout {
    pub(crate) fn run(&self, context: &Context) -> Result {
        match &self.verb {
            Verb::Plan(verb) => verb.run(context),
            Verb::Start(verb) => verb.run(context),
            Verb::List(verb) => verb.run(context),
            Verb::Status(verb) => verb.run(context),
            Verb::Guests(verb) => verb.run(context),
            Verb::Pause(verb) => verb.run(context),
            Verb::Resume(verb) => verb.run(context),
            Verb::Abort(verb) => verb.run(context),
            Verb::Rollback(verb) => verb.run(context),
            Verb::Pin(verb) => verb.run(context),
            Verb::Unpin(verb) => verb.run(context),
            Verb::Pins(verb) => verb.run(context),
        }
    }
}
