//! How often a guest has booted, as its own variables say.
//!
//! The firmware counts boots in the upper half of its monotonic counter, the variable `MTC` (edk2
//! `MdeModulePkg/Universal/MonotonicCounterRuntimeDxe/MonotonicCounter.c:MonotonicCounterDriverInitialize`, which every
//! OVMF and ArmVirt build has): it rises once a boot, and by a `GetNextHighMonotonicCount` of the system, which hardly
//! any calls.

use fm_formats::Guid;
use fm_formats::efi::Name;
use fm_host::{Guest, GuestMemory};
use fm_varstore::VarStore;

/// `gMtcVendorGuid`, edk2 `MdeModulePkg/MdeModulePkg.dec`.
const MTC_VENDOR: Guid = Guid::literal("eb704011-1402-11d3-8e77-00a0c969723b");

/// The counter in this store, if it has one.
#[must_use]
pub fn in_store(store: &[u8]) -> Option<u32> {
    let store = VarStore::parse(store).ok()?;
    let entry = store.variable(MTC_VENDOR, &Name::from_units("MTC".encode_utf16()))?;
    let data: [u8; 4] = entry.to_variable().data.get(..4)?.try_into().ok()?;
    Some(u32::from_le_bytes(data))
}

/// The most that the counter comes to before the guest boots again: a boot that is not over may count itself yet.
#[must_use]
pub(crate) fn at_most(guest: &Guest, memory: &GuestMemory, is_over: bool) -> Option<u32> {
    of_guest(guest, memory).map(|boots| boots.saturating_add(u32::from(!is_over)))
}

/// The counter in a running guest's variables.
#[must_use]
pub fn of_guest(guest: &Guest, memory: &GuestMemory) -> Option<u32> {
    let region = guest.flash_region(memory, 1).ok()?;
    let bytes = guest.read_region(memory, 1, region, u64::MAX).ok()?;
    in_store(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_no_firmware_has_booted_with_counts_nothing() {
        let fresh = std::fs::read(fm_fixtures::path("bookworm/OVMF_VARS_4M.fd")).unwrap();
        assert_eq!(in_store(&fresh), None);
        assert_eq!(in_store(&[0xff; 4096]), None);
        assert_eq!(in_store(b""), None);
    }
}
