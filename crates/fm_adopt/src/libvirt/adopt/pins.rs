//! What the store notes of a build that a domain was adopted with: where it came from, and whom it is kept for.

use fm_libvirt::DomainInfo;

/// How the origin of a build begins that `adopt` was the first to store.
pub const SOURCE: &str = "libvirt domain ";
/// How the pins of adopted domains begin.
const PIN: &str = "adopted for domain ";

/// The pin of an adopted domain.
pub(in crate::libvirt) fn pin(info: &DomainInfo) -> String {
    format!("{PIN}{} ({})", info.name, info.uuid)
}

/// The UUID of the domain that a pin of ours is for.
pub fn pinned_for(pin: &str) -> Option<&str> {
    let (_, uuid) = pin.strip_prefix(PIN)?.rsplit_once(" (")?;
    uuid.strip_suffix(')')
}
