//! `flashmoor harvest`.

use clap::Args;
use fm_api::v1::transfer;
use fm_formats::Sha256;
use fm_transfer::harvest;

use super::dry_run::DryRun;
use super::{Context, Result, Status};

/// Store the firmware that a guest brought along, after something else migrated it
///
/// Reads CODE from the running guest without pausing it, compares it with what its landing expects (or
/// with --expect), stores the build, and puts the true bytes in the place of the placeholder.
#[derive(Debug, Args)]
pub(crate) struct Harvest {
    /// The guest: pid, name, uuid or QMP socket
    guest: String,
    /// sha256 that CODE must have [default: what the landing says]
    #[arg(long, value_name = "SHA256")]
    expect: Option<Sha256>,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Harvest {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let store = context.store_for(self.dry_run)?;
        let harvest = transfer::Harvest::from(&harvest::harvest(&store, &self.guest, self.expect)?);
        if context.output.wants_json() {
            context.output.json(&harvest);
        } else {
            fm_render::migration::firmware(context.output, &harvest.code, harvest.dry_run);
        }
        Ok(Status::Done)
    }
}
