//! `flashmoor vars repair|compact|restore`.

use std::path::PathBuf;

use clap::Args;
use fm_variables as vars;
use fm_variables::RestoreRequest;

use super::{Context, Result, Store, changed};

/// Save whatever a damaged store still holds
///
/// Shows what is wrong and what would be done; with --yes it is done.
#[derive(Debug, Args)]
pub(super) struct Repair {
    #[command(flatten)]
    store: Store,
    /// Do it
    #[arg(long)]
    yes: bool,
}

impl Repair {
    pub(super) fn run(&self, context: &Context) -> Result {
        changed(context, &vars::repair(&self.store.write(context)?, self.yes)?)
    }
}

/// Drop deleted variables, as the firmware's own reclaim would at a slow boot
///
/// Shows what would be won; with --yes it is done.
#[derive(Debug, Args)]
pub(super) struct Compact {
    #[command(flatten)]
    store: Store,
    /// Do it
    #[arg(long)]
    yes: bool,
}

impl Compact {
    pub(super) fn run(&self, context: &Context) -> Result {
        changed(context, &vars::compact(&self.store.write(context)?, self.yes)?)
    }
}

/// Bring a backup back; what is there now becomes a backup itself
#[derive(Debug, Args)]
pub(super) struct Restore {
    #[command(flatten)]
    store: Store,
    /// Which backup [default: the newest]
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
}

impl Restore {
    pub(super) fn run(&self, context: &Context) -> Result {
        let change = vars::restore(&RestoreRequest {
            write: self.store.write(context)?,
            backup: self.backup.clone(),
        })?;
        changed(context, &change)
    }
}
