//! `flashmoor vars repair|compact|restore`.

use std::path::PathBuf;

use clap::Args;
use fm_variables as vars;
use fm_variables::RestoreRequest;

use super::{Context, Result, Store, changed};

/// What earlier versions asked for before they wrote anything; it changes nothing.
#[derive(Debug, Args)]
struct Yes {
    #[arg(long, hide = true)]
    yes: bool,
}

/// Save whatever a damaged store still holds
///
/// Writes it as a sound store, and keeps the old one as a backup. A store that nothing is wrong with is left alone.
#[derive(Debug, Args)]
pub(super) struct Repair {
    #[command(flatten)]
    store: Store,
    #[command(flatten)]
    _yes: Yes,
}

impl Repair {
    pub(super) fn run(&self, context: &Context) -> Result {
        changed(context, &vars::repair(&self.store.write(context)?)?)
    }
}

/// Drop deleted variables, as the firmware's own reclaim would at a slow boot
#[derive(Debug, Args)]
pub(super) struct Compact {
    #[command(flatten)]
    store: Store,
    #[command(flatten)]
    _yes: Yes,
}

impl Compact {
    pub(super) fn run(&self, context: &Context) -> Result {
        changed(context, &vars::compact(&self.store.write(context)?)?)
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
