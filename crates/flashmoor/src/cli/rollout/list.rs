//! `flashmoor rollout list`, `status` and `guests`.

use clap::Args;
use fm_api::v1::rollout::{MemberView, RolloutGuests, RolloutView, Rollouts};

use super::super::fleet::{Access, Portion, Words, all};
use super::super::{Context, Result, Status};
use super::change::path;
use fm_render::rollout as render;

/// List rollouts, the newest first
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    access: Access,
}

impl List {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let list: Rollouts = client.get("/api/v1/rollouts")?;
        context.output.document(&list, render::list);
        Ok(Status::Done)
    }
}

/// Show how a rollout stands: its waves, and each failure with its evidence
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The rollout's id
    id: String,
    #[command(flatten)]
    access: Access,
}

impl Show {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let view: RolloutView = client.get(&path(&self.id, "")?)?;
        context.output.document(&view, render::one);
        Ok(Status::Done)
    }
}

/// List the guests of a rollout and how far each has come
#[derive(Debug, Args)]
pub(crate) struct Guests {
    /// The rollout's id
    id: String,
    #[command(flatten)]
    portion: Portion,
    #[command(flatten)]
    access: Access,
}

impl Guests {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let path = path(&self.id, "/guests")?;
        let (guests, _, revision) = all::<MemberView>(&client, &path, Words::default, &self.portion)?;
        let document = RolloutGuests {
            schema: fm_api::Schema::default(),
            guests,
            revision,
        };
        context.output.document(&document, render::guests);
        Ok(Status::Done)
    }
}
