//! `flashmoor fleet`: one file a group of verbs.

mod access;
mod admit;
mod builds;
mod certificates;
mod events;
mod guests;
mod hosts;
mod init;
mod pages;
mod status;
mod watch;

use clap::{Args, Subcommand};

pub(super) use access::Access;
pub(super) use builds::find as find_build;
pub(super) use pages::{Portion, Words, all};

use super::{Context, Result};

/// See who runs which firmware cluster-wide, why each build is kept, and who may join
///
/// Asks a server of the fleet: `flashmoor serve`. Whoever asks shows a certificate: the administrator's that was made
/// with the server, this host's own if it has joined, or the one that --identity names.
#[derive(Debug, Args)]
pub(crate) struct Fleet {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::Init),
    Token(admit::Token),
    Join(admit::Join),
    Keys(admit::Keys),
    Status(status::Status),
    Hosts(hosts::Hosts),
    Retire(hosts::Retire),
    Guests(guests::Guests),
    Certificates(certificates::Certificates),
    Builds(builds::Builds),
    Why(builds::Why),
    Pin(builds::Pin),
    Unpin(builds::Unpin),
    Events(events::Events),
}

impl Fleet {
    pub(crate) fn run(&self, context: &Context) -> Result {
        match &self.verb {
            Verb::Init(verb) => verb.run(context),
            Verb::Token(verb) => verb.run(context),
            Verb::Join(verb) => verb.run(context),
            Verb::Keys(verb) => verb.run(context),
            Verb::Status(verb) => verb.run(context),
            Verb::Hosts(verb) => verb.run(context),
            Verb::Retire(verb) => verb.run(context),
            Verb::Guests(verb) => verb.run(context),
            Verb::Certificates(verb) => verb.run(context),
            Verb::Builds(verb) => verb.run(context),
            Verb::Why(verb) => verb.run(context),
            Verb::Pin(verb) => verb.run(context),
            Verb::Unpin(verb) => verb.run(context),
            Verb::Events(verb) => verb.run(context),
        }
    }
}
