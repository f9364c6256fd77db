//! Whether a guest boots what it took: its process runs, and its firmware counts a boot.

use fm_api::v1::fleet::ProgressState;

use super::ground::{Ground, Process};
use super::record::{Journal, Record};
use super::restart::Restarts;
use crate::Result;

/// Looks at a guest that runs the build.
pub(super) fn look(
    ground: &dyn Ground,
    journal: &Journal,
    restarts: &mut Restarts,
    record: &mut Record,
    timeout_s: u64,
) -> Result<()> {
    let before = record.clone();
    judge(ground, restarts, record, timeout_s)?;
    if *record != before {
        journal.save(record)?;
    }
    Ok(())
}

fn judge(ground: &dyn Ground, restarts: &mut Restarts, record: &mut Record, timeout_s: u64) -> Result<()> {
    let Some(process) = ground.process(&record.guest)? else {
        if record.state == ProgressState::Booting {
            let before = counted(record.boots);
            let why = format!("its QEMU ended before its firmware had counted a boot: {before} before");
            record.set(ProgressState::Failed, why);
        }
        return Ok(());
    };
    if !is_certain(ground, record, &process)? {
        return timed(ground, restarts, record, timeout_s);
    }
    if !record.is_taken_by(&process) {
        // Somebody has given it another build, or other variables.
        record.set(ProgressState::Failed, "it does not run what it took any more");
        return Ok(());
    }
    if record.process != Some(process.id) {
        record.process = Some(process.id);
        record.set(ProgressState::Booting, "it was started again with what it took");
        restarts.began(record, ground.monotonic());
    }
    let has_risen = match (record.boots, process.boots) {
        (Some(before), Some(now)) => now > before,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    if has_risen {
        let now = process.boots.unwrap_or_default();
        let why = format!(
            "its firmware has counted a boot: {}, and is {now}",
            counted(record.boots)
        );
        record.set(ProgressState::Healthy, why);
        return Ok(());
    }
    timed(ground, restarts, record, timeout_s)
}

/// Whether what a process runs is what it will run: QEMU fills its flash only as it starts, and while it does that some
/// other digest may be seen, or none.
pub(super) fn is_certain(ground: &dyn Ground, record: &Record, process: &Process) -> Result<bool> {
    let Some(code) = &process.code else {
        return Ok(false);
    };
    if *code == record.to || record.from.as_ref() == Some(code) {
        return Ok(true);
    }
    let again = ground.process(&record.guest)?;
    Ok(again.is_some_and(|again| again.id == process.id && again.code == process.code))
}

/// A guest of which nothing new is known has failed when its time is over.
fn timed(ground: &dyn Ground, restarts: &mut Restarts, record: &mut Record, timeout_s: u64) -> Result<()> {
    let took = restarts.took(record, ground.monotonic());
    if record.state == ProgressState::Booting && took.as_secs() >= timeout_s {
        let why = format!(
            "its firmware has not counted a boot in {timeout_s} s: {} before, and has not risen",
            counted(record.boots)
        );
        record.set(ProgressState::Failed, why);
    }
    Ok(())
}

fn counted(boots: Option<u32>) -> String {
    match boots {
        Some(boots) => format!("MTC was {boots}"),
        None => "it had no MTC".into(),
    }
}
