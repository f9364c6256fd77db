//! How far a guest is believed: as far as its user reaches.
//!
//! Anybody can run a process that is called QEMU and says the UUID of another's domain. Which process a domain is, its
//! libvirt says, which nobody else writes for; what others than root and libvirt run is stored within a bound.

use std::collections::{BTreeMap, BTreeSet};

use fm_host::Guest;
use fm_libvirt::Virsh;

use super::records::Process;

/// So many builds of one user's guests are kept that are no libvirt's; who needs more imports them.
pub(super) const MAX_USER_BUILD_COUNT: u64 = 4;
/// And so many bytes: as much as that many of ARM's flash.
pub(super) const MAX_USER_BYTES: u64 = 256 << 20;

/// Which of the guests are libvirt's.
#[derive(Debug, Default)]
pub(super) struct Beliefs {
    domains: BTreeMap<Process, String>,
}

impl Beliefs {
    pub(super) fn retain(&mut self, alive: &BTreeSet<Process>) {
        self.domains.retain(|process, _| alive.contains(process));
    }

    /// The UUID of the domain that this very process is, by libvirt's own word.
    pub(super) fn domain(&mut self, guest: &Guest, process: &Process, virsh: &Virsh) -> Option<String> {
        if let Some(known) = self.domains.get(process) {
            return Some(known.clone());
        }
        let uuid = guest.uuid()?;
        if virsh.pid(uuid) != Some(process.pid) || !guest.is_alive() {
            return None;
        }
        self.domains.insert(process.clone(), uuid.to_owned());
        Some(uuid.to_owned())
    }

    /// The user whose share of the store a guest's build takes; nothing for root's guests and libvirt's.
    pub(super) fn user(
        &mut self,
        guest: &Guest,
        process: &Process,
        virsh: &Virsh,
    ) -> Result<Option<u32>, fm_host::Error> {
        let uid = guest.process().rights()?.uid();
        let is_believed = uid == 0
            || uid == rustix::process::getuid().as_raw()
            || self.domain(guest, process, virsh).is_some();
        Ok((!is_believed).then_some(uid))
    }
}

/// Whether a user whose guests have `count` builds of `size_bytes` may have one of `more_bytes` as well.
pub(super) fn has_room(count: u64, size_bytes: u64, more_bytes: u64) -> bool {
    count < MAX_USER_BUILD_COUNT && size_bytes.saturating_add(more_bytes) <= MAX_USER_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_share_and_no_more() {
        assert!(has_room(MAX_USER_BUILD_COUNT - 1, MAX_USER_BYTES - 1, 1));
        assert!(!has_room(MAX_USER_BUILD_COUNT, 0, 1));
        assert!(!has_room(1, MAX_USER_BYTES, 1));
        assert!(!has_room(1, u64::MAX, u64::MAX));
    }
}
