//! When an update is done: at once, or when the guest is idle, a window is open or the guest's agent answers.

use std::time::{Duration, Instant};

use fm_host::Guest;
use fm_libvirt::Virsh;

use crate::decide::Refusal;
use crate::gather::is_libvirts;
use crate::window::Window;
use crate::{Error, Result};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// A guest that uses less of one processor than this between two looks is idle. A system at rest still answers its timers.
const IDLE_PERCENT: u64 = 20;
const MINUTES_A_DAY: u32 = 24 * 60;

/// What is waited for; nothing, unless it is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment {
    /// That the guest is idle.
    pub idle: bool,
    /// That the time is in there.
    pub window: Option<Window>,
    /// That the guest's agent answers, as libvirt asks it.
    pub agent: bool,
    /// How long it is waited for.
    pub patience: Duration,
}

/// Waits until everything that was asked for holds at one moment; what does not in the end.
///
/// # Errors
/// If the guest ends meanwhile.
pub(crate) fn wait(guest: &Guest, moment: &Moment, libvirt_uri: Option<&str>) -> Result<Vec<Refusal>> {
    let begun = Instant::now();
    loop {
        let mut lacks = Vec::new();
        if let Some(window) = moment.window.filter(|window| !window.contains(minute_of_day())) {
            lacks.push(Refusal::OutsideWindow { window });
        }
        if moment.agent && !agent_answers(guest, libvirt_uri) {
            lacks.push(Refusal::AgentSilent);
        }
        // The look itself takes time: it comes last, when everything else holds.
        if moment.idle && lacks.is_empty() {
            let percent = used_percent(guest)?;
            if percent >= IDLE_PERCENT {
                lacks.push(Refusal::NotIdle { percent });
            }
        }
        let left = moment.patience.saturating_sub(begun.elapsed());
        if lacks.is_empty() || left.is_zero() {
            return Ok(lacks);
        }
        // Nothing tells when a guest comes to rest, its agent answers or a window opens: it is looked again.
        if !matches!(lacks.as_slice(), [Refusal::NotIdle { .. }]) {
            std::thread::sleep(LOOK.min(left));
        }
    }
}

/// How much of one processor it uses from now to the next look.
fn used_percent(guest: &Guest) -> Result<u64> {
    let used = || guest.process().used_ticks().map_err(Error::from);
    let (before, begun) = (used()?, Instant::now());
    // What is used in a time is known when the time is over.
    std::thread::sleep(LOOK);
    let ticks = used()?.saturating_sub(before);
    let a_second = rustix::param::clock_ticks_per_second().max(1);
    let took_ms = u64::try_from(begun.elapsed().as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    Ok(ticks.saturating_mul(100_000) / a_second / took_ms)
}

/// Whether the guest's agent answers; without libvirt nobody here asks it.
fn agent_answers(guest: &Guest, libvirt_uri: Option<&str>) -> bool {
    let Some(uuid) = guest.uuid().filter(|_| is_libvirts(guest)) else {
        return false;
    };
    Virsh::new(libvirt_uri).agent_answers(uuid)
}

fn minute_of_day() -> u32 {
    let seconds = jiff::Timestamp::now().as_second();
    u32::try_from(seconds.div_euclid(60).rem_euclid(MINUTES_A_DAY.into())).unwrap_or(0)
}
