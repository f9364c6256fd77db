//! Backups of variable stores as text.

use fm_api::v1::backups::VarsBackups;

use super::{CARE, Output, STRONG};

/// The backups of a store, one a line.
pub fn backups(output: &Output, found: &VarsBackups) {
    for pending in &found.interrupted {
        output.line(format_args!(
            "{CARE}interrupted{CARE:#}: a write of {} to {STRONG}{}{STRONG:#}; the next command that changes it finishes or \
             undoes it",
            pending.since, pending.path
        ));
    }
    let mut of = "";
    for backup in &found.backups {
        if backup.of != of {
            output.line(format_args!("{STRONG}{}{STRONG:#}", backup.of));
            of = &backup.of;
        }
        output.line(format_args!(
            "  {} {} bytes  {}",
            backup.made, backup.size_bytes, backup.path
        ));
    }
    let removed = if found.dry_run { "would remove" } else { "removed" };
    for path in &found.removed {
        output.line(format_args!("{removed} {path}"));
    }
    if found.backups.is_empty() {
        output.line(format_args!("no backups"));
    }
}
