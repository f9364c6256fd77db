//! `flashmoor offer`.

use clap::Args;
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
        context.output.json(&offer::offer(&self.guest)?);
        Ok(Status::Done)
    }
}
