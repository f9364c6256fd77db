//! `flashmoor fleet guests`.

use clap::Args;
use fm_api::v1::fleet::{Digest, GuestView, HostId};
use fm_api::v1::fleet_lists::FleetGuests;

use super::super::{Context, Result};
use super::access::Access;
use super::pages::{Portion, Words, all};
use super::watch::Watch;
use fm_render::fleet as render;

/// List the fleet's guests and the firmware that each runs
#[derive(Debug, Args)]
pub(crate) struct Guests {
    #[command(flatten)]
    filter: GuestFilter,
    #[command(flatten)]
    portion: Portion,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    access: Access,
}

/// Which guests.
#[derive(Debug, Args)]
pub(super) struct GuestFilter {
    /// Only those that run this build, or boot it next
    #[arg(long, value_name = "DIGEST")]
    build: Option<Digest>,
    /// Only those on this host
    #[arg(long, value_name = "HOST")]
    host: Option<HostId>,
    /// Only those whose name holds this
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only the one with this uuid
    #[arg(long, value_name = "UUID")]
    uuid: Option<String>,
    /// Only those whose variable store has this layout
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<String>,
    /// Only those with Secure Boot on, or off
    #[arg(long, value_name = "BOOL")]
    secure_boot: Option<bool>,
    /// Only those with this generation of certificates in any of their keys
    #[arg(long, value_name = "GENERATION")]
    certificate: Option<String>,
}

impl GuestFilter {
    pub(super) fn words(&self) -> Words {
        Words::default()
            .with("build", self.build.clone())
            .with("host", self.host.clone())
            .with("name", self.name.clone())
            .with("uuid", self.uuid.clone())
            .with("layout", self.layout.clone())
            .with("secure_boot", self.secure_boot)
            .with("certificate", self.certificate.clone())
    }
}

impl Guests {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let words = || self.filter.words();
        self.watch.show(context, &client, || {
            let (guests, next, revision) = all::<GuestView>(&client, "/api/v1/guests", words, &self.portion)?;
            let document = FleetGuests {
                schema: fm_api::Schema::default(),
                guests,
                next,
                revision,
            };
            context.output.document(&document, render::guests);
            Ok(())
        })
    }
}
