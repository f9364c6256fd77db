//! Guests whose own reset cannot bring a build, as far as their hosts' reports say: in the words of an update.

use fm_api::v1::fleet::GuestRow;
use fm_api::v1::update::{Refusal, RefusalReason};

/// Why its memory cannot be given the build; nothing if nothing that is reported speaks against it.
pub(super) fn refusals(guest: &GuestRow, old_bytes: Option<u64>, new_bytes: Option<u64>) -> Vec<Refusal> {
    let facts = guest.facts.as_ref();
    let encrypted = facts
        .and_then(|facts| facts.confidential.as_deref())
        .is_some_and(|kind| kind != "none");
    let may_suspend = facts.and_then(|facts| facts.s3) == Some(true);
    let reasons = [
        (
            old_bytes != new_bytes,
            RefusalReason::SizeDiffers,
            "a flash device keeps its size as long as its process runs, and the builds have different sizes",
        ),
        (
            encrypted,
            RefusalReason::EncryptedMemory,
            "its memory is encrypted: what was measured at its launch is what was attested",
        ),
        (
            may_suspend,
            RefusalReason::MaySuspend,
            "it may suspend to RAM, and would wake up through a build that it did not boot with",
        ),
    ];
    let found = reasons.into_iter().filter(|(speaks, ..)| *speaks);
    found
        .map(|(_, reason, why)| Refusal {
            reason,
            why: why.into(),
            remedy: None,
            path: None,
        })
        .collect()
}
