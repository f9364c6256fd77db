//! `flashmoor fleet status`.

use clap::Args;
use fm_api::v1::enrolment::FleetMeta;
use fm_api::v1::fleet::{BuildState, BuildView, HostState, HostView};
use fm_api::v1::fleet_lists::FleetStatus;
use fm_client::Client;

use super::super::{Context, Result};
use super::access::Access;
use super::pages::{Portion, Words, all};
use super::watch::Watch;
use fm_render::fleet as render;

/// Show the fleet in figures: hosts, who is silent, guests, builds
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    access: Access,
}

impl Status {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        self.watch.show(context, &client, || {
            context.output.document(&gather(&client)?, render::status);
            Ok(())
        })
    }
}

fn gather(client: &Client) -> Result<FleetStatus> {
    let meta: FleetMeta = client.get("/api/v1/meta")?;
    let (hosts, ..) = all::<HostView>(client, "/api/v1/hosts", Words::default, &Portion::ALL)?;
    let (builds, ..) = all::<BuildView>(client, "/api/v1/builds", Words::default, &Portion::ALL)?;
    let active = || hosts.iter().filter(|host| host.state != HostState::Retired);
    let count = |state| builds.iter().filter(|build| build.state == state).count() as u64;
    Ok(FleetStatus {
        schema: fm_api::Schema::default(),
        fleet: meta.fleet,
        epoch: meta.epoch,
        revision: meta.revision,
        version: meta.version,
        urls: client.urls().to_vec(),
        host_count: active().count() as u64,
        silent_hosts: active()
            .filter(|host| !host.alive)
            .map(|host| host.host.to_string())
            .collect(),
        guest_count: active().map(|host| host.guest_count).sum(),
        live_build_count: count(BuildState::Live),
        missing_build_count: count(BuildState::Missing),
        condemned_build_count: count(BuildState::Condemned),
    })
}
