//! `flashmoor vars backups`.

use std::path::PathBuf;

use clap::Args;
use fm_variables as vars;
use fm_variables::{BackupsRequest, Journal};

use super::located::located;
use super::{Context, DryRun, Result, Status};
use crate::Error;

/// List the backups of a variable store, and writes that were interrupted
///
/// Backups of a file lie beside it, those of a block device in the store, readable by root alone: variables can hold
/// secrets. `flashmoor vars restore` brings one back.
#[derive(Debug, Args)]
pub(super) struct Backups {
    /// The variable store [default: every block device that was changed here]
    file: Option<PathBuf>,
    /// Remove all but the oldest and the N newest
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Backups {
    pub(super) fn run(&self, context: &Context) -> Result {
        let found = vars::backups(&BackupsRequest {
            of: self
                .file
                .as_deref()
                .map(|file| Ok::<_, Error>(located(file)?.0))
                .transpose()?,
            journal: Journal::in_store(context.store()?.path()),
            keep: self.keep,
            dry_run: self.dry_run.dry_run,
        })?;
        if context.output.wants_json() {
            context.output.json(&found);
        } else {
            fm_render::vars_backups::backups(&context.output, &found);
        }
        Ok(Status::Done)
    }
}
