//! What the fleet's clients show: lists of hosts, guests, builds and events as documents of their own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

use super::fleet::{BuildView, Event, GuestView, HostView};

/// `flashmoor/fleet-hosts/1`: hosts of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetHosts {
    /// `flashmoor/fleet-hosts/1`.
    pub schema: Schema<FleetHosts>,
    /// The hosts, by id.
    pub hosts: Vec<HostView>,
    /// Where the rest begins, if not all were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The revision of the records that the last page was read at.
    pub revision: u64,
}

document!(FleetHosts = "flashmoor/fleet-hosts/1");

/// `flashmoor/fleet-guests/1`: guests of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetGuests {
    /// `flashmoor/fleet-guests/1`.
    pub schema: Schema<FleetGuests>,
    /// The guests, by host and uuid.
    pub guests: Vec<GuestView>,
    /// Where the rest begins, if not all were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The revision of the records that the last page was read at.
    pub revision: u64,
}

document!(FleetGuests = "flashmoor/fleet-guests/1");

/// `flashmoor/fleet-builds/1`: builds of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetBuilds {
    /// `flashmoor/fleet-builds/1`.
    pub schema: Schema<FleetBuilds>,
    /// The builds, by digest.
    pub builds: Vec<BuildView>,
    /// Where the rest begins, if not all were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The revision of the records that the last page was read at.
    pub revision: u64,
}

document!(FleetBuilds = "flashmoor/fleet-builds/1");

/// `flashmoor/fleet-events/1`: what happened in a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetEvents {
    /// `flashmoor/fleet-events/1`.
    pub schema: Schema<FleetEvents>,
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Where the rest begins, if not all were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The revision of the records that the last page was read at.
    pub revision: u64,
}

document!(FleetEvents = "flashmoor/fleet-events/1");

/// `flashmoor/fleet-status/1`: a fleet in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetStatus {
    /// `flashmoor/fleet-status/1`.
    pub schema: Schema<FleetStatus>,
    /// The fleet's id.
    pub fleet: String,
    /// The epoch of its records.
    pub epoch: String,
    /// The revision of its records.
    pub revision: u64,
    /// The version of the server that answered.
    pub version: String,
    /// The servers that this client knows.
    pub urls: Vec<String>,
    /// Hosts that belong to it.
    pub host_count: u64,
    /// Hosts that gave no sign of life lately: until they do, they need everything.
    pub silent_hosts: Vec<String>,
    /// Guests on its hosts.
    pub guest_count: u64,
    /// Builds that are stored.
    pub live_build_count: u64,
    /// Builds that hosts hold or run and that are not stored yet.
    pub missing_build_count: u64,
    /// Builds that nobody needs, as far as the records say.
    pub condemned_build_count: u64,
}

document!(FleetStatus = "flashmoor/fleet-status/1");

/// `flashmoor/fleet-init/1`: a fleet that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetInit {
    /// `flashmoor/fleet-init/1`.
    pub schema: Schema<FleetInit>,
    /// The server's folder.
    pub folder: String,
    /// The administrator's certificate and key.
    pub administrator: String,
    /// The digest by which tokens pin the CA.
    pub ca: String,
    /// The names in the server's certificate.
    pub names: Vec<String>,
}

document!(FleetInit = "flashmoor/fleet-init/1");
