//! How far a guest's firmware comes, by what it prints and by the processor time that it takes.

use std::fs;
use std::time::{Duration, Instant};

use super::Reached;
use crate::Guest;

/// When a guest that says nothing is given up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// After so much CPU time.
    cpu_s: u64,
    /// After so much wall time, in any case.
    wall: Duration,
}

/// A healthy boot needs a third of it.
pub(super) const PLAIN: Limits = Limits {
    cpu_s: 25,
    wall: Duration::from_secs(300),
};
/// The same of a boot that writes the whole store anew, byte by byte.
pub(super) const WITH_RECLAIM: Limits = Limits {
    cpu_s: 120,
    wall: Duration::from_secs(1800),
};

/// Follows the serial line from `from` until it is clear how far the firmware comes.
pub(super) fn reached(guest: &mut Guest, from: usize) -> Reached {
    reached_within(guest, from, PLAIN)
}

/// The same with limits of its own.
pub(super) fn reached_within(guest: &mut Guest, from: usize, limits: Limits) -> Reached {
    let begin = (Instant::now(), cpu_s(guest.pid()));
    loop {
        let transcript = guest.serial.transcript();
        let fresh = transcript.get(from..).unwrap_or_default();
        // Of a processor exception, on x86 and on ARM.
        if fresh.contains("!!!! ") || fresh.contains("Exception at 0x") {
            return Reached::Exception;
        }
        if fresh.contains("Shell> ") || fresh.contains("Press ESC in") {
            return Reached::Shell;
        }
        // Without a shell the boot manager ends here, when nothing it tried could be started.
        if fresh.contains("No bootable option") || fresh.contains("BdsDxe: No boot") {
            return Reached::BootManager;
        }
        if !guest.is_alive() {
            return Reached::Reset;
        }
        let used = cpu_s(guest.pid()).saturating_sub(begin.1);
        if used >= limits.cpu_s || begin.0.elapsed() > limits.wall {
            return if fresh.contains("BdsDxe: ") {
                Reached::BootManager
            } else {
                Reached::Silence
            };
        }
        // On a busy host guests of QEMU 7.2 were seen to sleep through their timer for minutes (aarch64, waiting for an
        // interrupt), until their monitor was asked something.
        let _ = guest.status();
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// CPU seconds that a process has used, from `/proc/PID/stat` (proc(5), fields 14 and 15).
fn cpu_s(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks / rustix::param::clock_ticks_per_second().max(1)
}
