//! `flashmoor fleet hosts` and `retire`.

use clap::Args;
use fm_api::v1::fleet::{Digest, HostId, HostView};
use fm_api::v1::fleet_lists::FleetHosts;
use fm_client::Precondition;

use super::super::{Context, Result, Status};
use super::access::Access;
use super::pages::{Portion, Words, all};
use super::watch::Watch;
use fm_render::fleet as render;

/// List the fleet's hosts
#[derive(Debug, Args)]
pub(crate) struct Hosts {
    /// Only those that need this build
    #[arg(long, value_name = "DIGEST")]
    build: Option<Digest>,
    /// Only those that gave no sign of life lately
    #[arg(long)]
    silent: bool,
    #[command(flatten)]
    portion: Portion,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    access: Access,
}

impl Hosts {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let words = || {
            Words::default()
                .with("build", self.build.clone())
                .with("alive", self.silent.then_some(false))
        };
        self.watch.show(context, &client, || {
            let (hosts, next, revision) = all::<HostView>(&client, "/api/v1/hosts", words, &self.portion)?;
            let document = FleetHosts {
                schema: fm_api::Schema::default(),
                hosts,
                next,
                revision,
            };
            context.output.document(&document, render::hosts);
            Ok(())
        })
    }
}

/// Say that a host will not come back: it needs no build any more
///
/// Only say so of a host whose guests are gone or have moved: what it alone needed can be removed then. Its
/// certificates are revoked.
#[derive(Debug, Args)]
pub(crate) struct Retire {
    /// The host
    host: HostId,
    #[command(flatten)]
    access: Access,
}

impl Retire {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let path = format!("/api/v1/hosts/{}", self.host);
        // What is retired is the host as it stands now, and not one that reports in this moment.
        let (_, tag) = client.get_tagged::<HostView>(&path)?;
        let precondition = tag.as_deref().map_or(Precondition::None, Precondition::Matches);
        let host: HostView = client.write(
            "POST",
            &format!("{path}/retire"),
            &serde_json::json!({}),
            precondition,
        )?;
        let document = FleetHosts {
            schema: fm_api::Schema::default(),
            revision: host.revision,
            hosts: vec![host],
            next: None,
        };
        context.output.document(&document, render::hosts);
        Ok(Status::Done)
    }
}
