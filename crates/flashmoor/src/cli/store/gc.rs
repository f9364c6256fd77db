//! `flashmoor store gc`.

use std::time::Duration;

use clap::Args;
use fm_store::verbs::{self as store, GcRequest};

use crate::cli::dry_run::DryRun;
use crate::cli::{Context, Result, Status};
use fm_render::store as render;

/// Remove builds that no guest, landing or pin refers to, and say why the rest stays
///
/// A build stays while a process has it open or names it, while a guest's configuration or a saved guest of
/// libvirt or Proxmox VE names it, and while a landing or a pin refers to it.
#[derive(Debug, Args)]
pub(crate) struct Gc {
    #[command(flatten)]
    dry_run: DryRun,
    /// Keep placeholders of guests that never came for this many hours
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    placeholder_hours: u64,
}

impl Gc {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let request = GcRequest {
            dry_run: self.dry_run.dry_run,
            placeholder_age: Duration::from_secs(self.placeholder_hours.saturating_mul(3600)),
        };
        let done = store::gc(&context.store()?, &request)?;
        context.output.document(&done, render::collected);
        if done.unseen_processes > 0 {
            let count = done.unseen_processes;
            context.output.remark(format_args!(
                "{count} processes of other users could be judged by their command lines only"
            ));
        }
        Ok(Status::Done)
    }
}
