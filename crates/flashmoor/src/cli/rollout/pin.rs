//! `flashmoor rollout pin`, `unpin` and `pins`.

use clap::Args;
use fm_api::v1::enrolment::NewPin;
use fm_api::v1::rollout::GuestPins;
use fm_client::Precondition;

use super::super::fleet::Access;
use super::super::{Context, Result, Status};
use fm_render::rollout as render;

/// Leave a guest out of every rollout that begins from now on
#[derive(Debug, Args)]
pub(crate) struct Pin {
    /// The guest's uuid
    guest: String,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    access: Access,
}

/// Leave a guest out no longer
#[derive(Debug, Args)]
pub(crate) struct Unpin {
    /// The guest's uuid
    guest: String,
    #[command(flatten)]
    access: Access,
}

/// List guests that rollouts leave out
#[derive(Debug, Args)]
pub(crate) struct Pins {
    #[command(flatten)]
    access: Access,
}

fn path(guest: &str) -> Result<String> {
    if !fm_client::is_name(guest) {
        return Err(fm_client::Error::BadName { name: guest.into() }.into());
    }
    Ok(format!("/api/v1/guest-pins/{guest}"))
}

impl Pin {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let pin = NewPin {
            reason: self.reason.clone(),
        };
        let pins: GuestPins = client.write("PUT", &path(&self.guest)?, &pin, Precondition::None)?;
        context.output.document(&pins, render::pins);
        Ok(Status::Done)
    }
}

impl Unpin {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let nothing = serde_json::json!({});
        let pins: GuestPins = client.write("DELETE", &path(&self.guest)?, &nothing, Precondition::None)?;
        context.output.document(&pins, render::pins);
        Ok(Status::Done)
    }
}

impl Pins {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let pins: GuestPins = client.get("/api/v1/guest-pins")?;
        context.output.document(&pins, render::pins);
        Ok(Status::Done)
    }
}
