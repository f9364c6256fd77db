//! `flashmoor offer`.

use clap::Args;
use fm_api::v1::offer::PendingReset;
use fm_transfer::offer;

use super::{Context, Result, Status};

/// Print what a running guest's firmware is, for `flashmoor prepare` on the destination
///
/// The bytes are read from the guest's memory, not from its files, and the guest is not paused. If GUEST
/// is a QMP socket, its monitor is asked for all RAM blocks as well; no other monitor is touched.
#[derive(Debug, Args)]
pub(crate) struct Offer {
    /// The guest: pid, name, uuid or QMP socket
    guest: String,
}

impl Offer {
    pub(crate) fn run(&self, context: &Context) -> Result {
        // An offer is made to be read by the other side, so it is JSON in either mode.
        let mut offered = offer::offer(&self.guest)?;
        let pid = offered.guest.pid.map(|pid| pid.to_string());
        let guest = pid.and_then(|pid| fm_host::find(&pid).ok());
        // A host without a store has updated no guest.
        let pending = guest
            .zip(context.store().ok())
            .map(|(guest, store)| fm_update::next_reset(&store, &guest))
            .transpose()?;
        offered.pending_reset = pending.flatten().map(|waits| PendingReset {
            running_sha256: waits.runs.to_string(),
            next_reset_sha256: waits.next.to_string(),
        });
        context.output.json(&offered);
        Ok(Status::Done)
    }
}
