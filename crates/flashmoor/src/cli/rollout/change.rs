//! `flashmoor rollout pause`, `resume`, `abort` and `rollback`.

use clap::Args;
use fm_api::v1::fleet::OldVariables;
use fm_api::v1::rollout::{RollbackRequest, RolloutView};
use fm_client::Precondition;
use serde::Serialize;

use super::super::fleet::Access;
use super::super::{Context, Result, Status};
use fm_render::rollout as render;

/// Where the API has a rollout.
pub(super) fn path(id: &str, verb: &str) -> Result<String> {
    if !fm_client::is_name(id) {
        return Err(fm_client::Error::BadName { name: id.into() }.into());
    }
    Ok(format!("/api/v1/rollouts/{id}{verb}"))
}

/// Options of every verb that changes one.
#[derive(Debug, Args)]
struct Which {
    /// The rollout's id
    id: String,
    #[command(flatten)]
    access: Access,
}

impl Which {
    fn change(&self, context: &Context, verb: &str, body: &impl Serialize) -> Result {
        let client = self.access.client(context)?;
        let path = path(&self.id, verb)?;
        let view: RolloutView = client.write("POST", &path, body, Precondition::None)?;
        context.output.document(&view, render::one);
        Ok(Status::Done)
    }
}

/// Begin nothing new; who has not started with the build yet does not
#[derive(Debug, Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    which: Which,
}

/// Go on, whatever has failed so far
#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    which: Which,
}

/// End a rollout where it is: who has the build keeps it, and nobody else gets it
#[derive(Debug, Args)]
pub(crate) struct Abort {
    #[command(flatten)]
    which: Which,
}

/// Take a rollout back: everybody who got the build has the old one at the next start
///
/// Variables go back as well, unless a guest wrote some since: that one waits until this is said again with
/// --keep-variables or --old-variables.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    which: Which,
    /// Guests keep what they wrote since
    #[arg(long, conflicts_with = "old_variables")]
    keep_variables: bool,
    /// Guests get the variables of before back; those of since are kept as a backup
    #[arg(long)]
    old_variables: bool,
}

impl Pause {
    pub(crate) fn run(&self, context: &Context) -> Result {
        self.which.change(context, "/pause", &serde_json::json!({}))
    }
}

impl Resume {
    pub(crate) fn run(&self, context: &Context) -> Result {
        self.which.change(context, "/resume", &serde_json::json!({}))
    }
}

impl Abort {
    pub(crate) fn run(&self, context: &Context) -> Result {
        self.which.change(context, "/abort", &serde_json::json!({}))
    }
}

impl Rollback {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let variables = match (self.keep_variables, self.old_variables) {
            (true, _) => OldVariables::Keep,
            (false, true) => OldVariables::Old,
            (false, false) => OldVariables::Ask,
        };
        self.which
            .change(context, "/rollback", &RollbackRequest { variables })
    }
}
