//! `flashmoor capture`.

use clap::Args;
use fm_adopt::capture;
use fm_api::v1::capture as api;

use super::dry_run::DryRun;
use super::{Context, Result, Status};
use fm_render::capture as render;

/// Store the firmware that running guests use, so that they can be started with it again
///
/// The bytes are read from the guests' memory, without pausing them; it also works after a package upgrade
/// has replaced the file. A captured build stays in the store until `flashmoor store unpin`.
#[derive(Debug, Args)]
pub(crate) struct Capture {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Which guests
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The guest: a pid, a name, a UUID, or a QMP socket
    guest: Option<String>,
    /// Every guest of this host
    #[arg(long)]
    all: bool,
}

impl Capture {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let store = context.store_for(self.dry_run)?;
        let done = api::Capture::from(&match &self.which.guest {
            Some(guest) => capture::one(&store, guest)?,
            None => capture::all(&store)?,
        });
        context.output.document(&done, render::capture);
        done.remarks
            .iter()
            .for_each(|remark| context.output.remark(remark));
        Ok(if done.failures.is_empty() {
            Status::Done
        } else {
            Status::Partly
        })
    }
}
