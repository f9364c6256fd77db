//! `flashmoor fleet events`.

use clap::Args;
use fm_api::v1::fleet::{Digest, Event, HostId};
use fm_api::v1::fleet_lists::FleetEvents;

use super::super::{Context, Result, Status};
use super::access::Access;
use super::pages::{Portion, Words, all};
use fm_render::fleet as render;

/// Show what happened in the fleet, and go on showing it
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Go on as things happen; with --json one event a line
    #[arg(long, short)]
    follow: bool,
    /// Only behind this event, by its number
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// Only of this host
    #[arg(long, value_name = "HOST")]
    host: Option<HostId>,
    /// Only of this guest, by its uuid
    #[arg(long, value_name = "UUID")]
    guest: Option<String>,
    /// Only of this build
    #[arg(long, value_name = "DIGEST")]
    build: Option<Digest>,
    #[command(flatten)]
    portion: Portion,
    #[command(flatten)]
    access: Access,
}

impl Events {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let words = || {
            Words::default()
                .with("after", self.after)
                .with("host", self.host.clone())
                .with("guest", self.guest.clone())
                .with("build", self.build.clone())
        };
        if self.follow {
            for line in client.events(&words().on("/api/v1/events"))? {
                if context.output.wants_json() {
                    context.output.line(line);
                } else if let Ok(event) = serde_json::from_str::<Event>(&line) {
                    render::event(&context.output, &event);
                }
            }
            return Ok(Status::Done);
        }
        let (events, next, revision) = all::<Event>(&client, "/api/v1/events", words, &self.portion)?;
        let document = FleetEvents {
            schema: fm_api::Schema::default(),
            events,
            next,
            revision,
        };
        context.output.document(&document, render::events);
        Ok(Status::Done)
    }
}
