//! How far a migration is, and what it took.

use fm_host::processors::Processors;
use fm_host::qmp::commands::MigrationInfo;
use fm_host::qmp::{MigrationStatus, RunState};

/// How far a migration is, from the source's `query-migrate`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// The state.
    pub status: MigrationStatus,
    /// Bytes sent so far.
    pub transferred_bytes: u64,
    /// Bytes of guest memory still to send.
    pub remaining_bytes: u64,
    /// Bytes of guest memory altogether.
    pub total_bytes: u64,
    /// Bytes a second on the wire.
    pub rate_bytes_per_second: u64,
    /// Bytes a second that the guest writes anew.
    pub dirty_bytes_per_second: u64,
    /// Which pass over memory this is, from 1.
    pub pass: u64,
    /// Milliseconds since the start.
    pub elapsed_ms: u64,
    /// Milliseconds left at the present rate, if there is one.
    pub eta_ms: Option<u64>,
}

/// What a completed migration took, by QEMU's own account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::migrate) struct Statistics {
    pub(in crate::migrate) total_time_ms: u64,
    pub(in crate::migrate) downtime_ms: u64,
    pub(in crate::migrate) bytes: u64,
    /// The run state at the destination.
    pub(in crate::migrate) destination_status: RunState,
    /// Where its processors were when it left, if that was looked at.
    pub(in crate::migrate) processors: Processors,
}

impl From<&MigrationInfo> for Progress {
    fn from(info: &MigrationInfo) -> Self {
        let ram = &info.ram;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // `as` saturates, and a rate needs no more
        let rate = (ram.megabits_per_second * 1e6 / 8.0) as u64;
        Self {
            status: info.status.clone(),
            transferred_bytes: ram.transferred_bytes,
            remaining_bytes: ram.remaining_bytes,
            total_bytes: ram.total_bytes,
            rate_bytes_per_second: rate,
            dirty_bytes_per_second: ram.dirty_pages_per_second.saturating_mul(ram.page_bytes),
            pass: ram.pass,
            elapsed_ms: info.total_time_ms,
            eta_ms: ram.remaining_bytes.saturating_mul(1000).checked_div(rate),
        }
    }
}
