//! Where a guest's internal snapshot lies.

use crate::stream::{Container, Gathered};

/// Whether the snapshot lies in the guest's own VARS image, into which `savevm` puts it if that comes first.
pub(super) fn holds_vars(gathered: &Gathered, vars: usize) -> bool {
    let size_bytes = gathered.facts.blocks[vars].size_bytes;
    matches!(gathered.container, Container::Snapshot { disk_bytes, .. } if disk_bytes == size_bytes)
}
