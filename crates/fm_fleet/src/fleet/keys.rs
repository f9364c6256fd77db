//! The keys of the records. Uses, guests and acknowledgements each lie together, so that a scan reads nothing else.
//!
//! ```text
//! /fm/v1/meta                  fleet id, epoch, min_reader, min_writer
//! /fm/v1/planner               the election: lives by a lease, fenced by the revision that made it
//! /fm/v1/collection            what hosts are to acknowledge
//! /fm/v1/host/<id>             how the host stands, and digests of what it reported
//! /fm/v1/use/<id>              builds that it needs: all that collection reads
//! /fm/v1/ack/<id>              what it has acknowledged
//! /fm/v1/guests/<id>/<shard>   its guests, spread by a hash of the uuid
//! /fm/v1/detail/<id>/<shard>   its uses one by one, builds held, landings, pins
//! /fm/v1/alive/<id>            lives by a lease: a hint for people
//! /fm/v1/build/<digest>        how the build stands
//! /fm/v1/target/<id>           what is wanted there
//! /fm/v1/progress/<id>         how far its guests have come with what rollouts want of them
//! /fm/v1/rollouts              how many there were, so that two do not begin at once
//! /fm/v1/rollout/<id>          a rollout and how it stands
//! /fm/v1/member/<id>/<host>    its guests, by the host that they were on when it began
//! /fm/v1/guest-pin/<uuid>      a guest that rollouts leave out
//! /fm/v1/event/<number>        history, a batch in each
//! ```

use fm_api::v1::fleet::{Digest, HostId};

pub(super) const META: &str = "/fm/v1/meta";
pub(super) const PLANNER: &str = "/fm/v1/planner";
pub(super) const COLLECTION: &str = "/fm/v1/collection";
pub(super) const HOSTS: &str = "/fm/v1/host/";
pub(super) const USES: &str = "/fm/v1/use/";
pub(super) const ACKS: &str = "/fm/v1/ack/";
pub(super) const GUESTS: &str = "/fm/v1/guests/";
pub(super) const ALIVE: &str = "/fm/v1/alive/";
pub(super) const BUILDS: &str = "/fm/v1/build/";
pub(super) const EVENTS: &str = "/fm/v1/event/";
pub(super) const TARGETS: &str = "/fm/v1/target/";
pub(super) const PROGRESS: &str = "/fm/v1/progress/";
pub(super) const ROLLOUT_HEAD: &str = "/fm/v1/rollouts";
pub(super) const ROLLOUTS: &str = "/fm/v1/rollout/";
pub(super) const GUEST_PINS: &str = "/fm/v1/guest-pin/";

pub(super) fn host(host: &HostId) -> String {
    format!("{HOSTS}{host}")
}

pub(super) fn uses(host: &HostId) -> String {
    format!("{USES}{host}")
}

pub(super) fn ack(host: &HostId) -> String {
    format!("{ACKS}{host}")
}

pub(super) fn alive(host: &HostId) -> String {
    format!("{ALIVE}{host}")
}

pub(super) fn guests(host: &HostId) -> String {
    format!("{GUESTS}{host}/")
}

pub(super) fn detail(host: &HostId) -> String {
    format!("/fm/v1/detail/{host}/")
}

/// A shard below `guests` or `detail`.
pub(super) fn shard(folder: &str, number: usize) -> String {
    format!("{folder}{number:02}")
}

pub(super) fn build(build: &Digest) -> String {
    format!("{BUILDS}{build}")
}

pub(super) fn target(host: &HostId) -> String {
    format!("{TARGETS}{host}")
}

pub(super) fn progress(host: &HostId) -> String {
    format!("{PROGRESS}{host}")
}

pub(super) fn rollout(id: &str) -> String {
    format!("{ROLLOUTS}{id}")
}

/// Before the guests of a rollout, host by host.
pub(super) fn members(id: &str) -> String {
    format!("/fm/v1/member/{id}/")
}

pub(super) fn guest_pin(guest: &str) -> String {
    format!("{GUEST_PINS}{guest}")
}

pub(super) fn event(number: u64) -> String {
    format!("{EVENTS}{number:020}")
}

/// What stands behind a prefix in a key, if it can be that.
pub(super) fn behind<T: std::str::FromStr>(key: &str, prefix: &str) -> Option<T> {
    key.strip_prefix(prefix)?.parse().ok()
}
