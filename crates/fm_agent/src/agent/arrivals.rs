//! Guests that come by a stream, and without a landing that says which bytes to wait for.
//!
//! Until theirs has arrived, their flash holds what the file here holds, or a mixture of both; QEMU sends the
//! largest block of memory first, and so flash late. Nothing is stored of them before it has settled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fm_formats::Sha256;
use fm_host::Guest;
use fm_libvirt::Virsh;

use super::records::Process;

/// How long a guest's flash has to stay as it is.
pub(super) const SETTLE: Duration = Duration::from_secs(2);
/// A vCPU that stands still takes less than that, in ticks of the kernel's clock.
const STANDS_STILL_TICKS: u64 = 3;

/// What was seen of guests that are still arriving, as far as one can tell.
#[derive(Debug, Default)]
pub(super) struct Arrivals(BTreeMap<Process, Arrival>);

#[derive(Debug, Default)]
struct Arrival {
    /// What its vCPUs had taken when it was first seen.
    vcpu_ticks: Option<u64>,
    /// What its flash held, and since when.
    flash: Option<(Sha256, Instant)>,
}

impl Arrivals {
    pub(super) fn retain(&mut self, alive: &BTreeSet<Process>) {
        self.0.retain(|process, _| alive.contains(process));
    }

    /// Whether it makes sense to look at the guest's flash: not while libvirt says that it is on its way, and if
    /// libvirt does not know it, not before it runs.
    pub(super) fn may_have_settled(
        &mut self,
        guest: &Guest,
        process: &Process,
        domain: Option<&str>,
        virsh: &Virsh,
    ) -> bool {
        let arrival = self.0.entry(process.clone()).or_default();
        let may = match domain.and_then(|uuid| virsh.state(uuid)) {
            Some(state) => !is_on_its_way(&state),
            None => {
                let Some(now) = guest.process().vcpu_ticks() else {
                    return false;
                };
                let first = *arrival.vcpu_ticks.get_or_insert(now);
                now >= first.saturating_add(STANDS_STILL_TICKS)
            }
        };
        if !may {
            arrival.flash = None;
        }
        may
    }

    /// Whether `found`, what its flash holds now, is what it came with: what its domain says, or else what has
    /// been there for a while.
    pub(super) fn has_settled(
        &mut self,
        process: &Process,
        domain: Option<&str>,
        virsh: &Virsh,
        found: Sha256,
    ) -> bool {
        let arrival = self.0.entry(process.clone()).or_default();
        let since = match arrival.flash {
            Some((before, since)) if before == found => since,
            _ => {
                arrival.flash = Some((found, Instant::now()));
                Instant::now()
            }
        };
        since.elapsed() >= SETTLE
            || domain
                .and_then(|uuid| virsh.stamped(uuid).ok()?)
                .is_some_and(|identity| identity.build == found)
    }
}

/// What `virsh domstate --reason` says of a guest that has not all of its memory.
fn is_on_its_way(state: &str) -> bool {
    ["(migrating)", "(starting up)", "(post-copy"]
        .iter()
        .any(|reason| state.contains(reason))
}
