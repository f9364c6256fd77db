//! What lists of guests are asked for with.

use fm_api::v1::fleet::{Digest, GuestState, HostId};
use fm_fleet::GuestFilter;
use serde::Deserialize;

/// The words behind the question mark.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedGuests {
    pub(crate) cursor: Option<String>,
    pub(crate) limit: Option<usize>,
    build: Option<Digest>,
    host: Option<HostId>,
    uuid: Option<String>,
    name: Option<String>,
    layout: Option<String>,
    secure_boot: Option<bool>,
    state: Option<GuestState>,
    certificate: Option<String>,
}

impl WantedGuests {
    /// As the fleet takes it.
    pub(crate) fn filter(self) -> GuestFilter {
        GuestFilter {
            build: self.build,
            host: self.host,
            uuid: self.uuid,
            name: self.name,
            layout: self.layout,
            secure_boot: self.secure_boot,
            state: self.state,
            certificate: self.certificate,
            drifts: None,
        }
    }
}
