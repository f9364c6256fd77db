//! One step of the plan, done and recorded.

use std::fs;

use super::bench::Bench;
use super::step::{Act, Step};
use super::{FlashRecording, Observation, boot, convert, late, migrate, overwrite, twice, updated};
use crate::Result;

/// Does on the bench what `step` says.
pub(super) fn observe(bench: &Bench, step: &Step, recordings: &[FlashRecording]) -> Result<Observation> {
    let folder = bench.new_folder()?;
    let seen = match (&step.destination, step.act) {
        (None, Act::BootTwice) => twice::observe(bench, step, &folder),
        (None, Act::BootAfterPowerCut(cut)) => {
            twice::observe_power_cut(bench, step, cut, recordings, &folder)
        }
        (None, _) => boot::observe(bench, step, &folder),
        (Some(destination), Act::Boot | Act::BootTwice | Act::BootAfterPowerCut(_) | Act::Migrate { .. }) => {
            let follow = step.act != Act::Migrate { follow: false };
            migrate::observe(bench, step, destination, follow, &folder)
        }
        (Some(destination), Act::Convert) => convert::observe(bench, step, destination, &folder),
        (Some(destination), Act::Overwrite { from_start }) => {
            overwrite::observe(bench, step, destination, from_start, &folder)
        }
        (Some(destination), Act::WriteLate) => late::observe(bench, step, destination, &folder),
        (Some(destination), Act::Update(way)) => updated::observe(bench, step, destination, way, &folder),
    }?;
    let _ = fs::remove_dir_all(&folder);
    Ok(Observation {
        id: step.id.clone(),
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        source: step.source.clone(),
        destination: step.destination.clone(),
        seen,
    })
}
