//! The atlas: real QEMU runs, recorded as data that the judge is held to.
//!
//! [`run`] performs what `plan` lists on the firmware files that it is given and appends one
//! observation after the other to a file, so that an interrupted run loses nothing and the next one
//! goes on where it ended. An observation says what was done and what happened, never what should.

mod act;
mod bench;
mod boot;
mod changes;
mod claims;
mod convert;
mod cut;
mod files;
mod hold;
mod late;
mod migrate;
mod overwrite;
mod plan;
mod programs;
mod reached;
mod record;
mod step;
mod stores;
mod twice;
mod updated;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fm_remedy::{Action, Input, Misuse, Remedy};

use self::bench::Bench;
use self::step::Act;
use crate::{Error, Result};

pub use claims::{claims, unproven};
pub use fm_api::v1::atlas::{
    Atlas, BootSeen, Change, FlashRecording, Group, Image, Observation, PowerCut, Reached, RepairSeen, Seen,
    Side, StoreFate, UpdateSeen, UpdateWay, VarsAccess,
};
pub use hold::{Held, hold};

/// What to run.
#[derive(Debug, Clone)]
pub struct Request {
    /// Folder with firmware files, under whatever names.
    pub firmware: PathBuf,
    /// QEMU programs for x86-64, aarch64, riscv64 and loongarch64; those of the system if there are none here.
    pub qemu: Vec<PathBuf>,
    /// Run guests under KVM; only what that adds to a record is planned then.
    pub kvm: bool,
    /// The folder of the observations.
    pub output: PathBuf,
    /// Which groups.
    pub groups: Vec<Group>,
    /// Start no observation after this many seconds.
    pub budget_s: Option<u64>,
    /// Start none at all: only say what is planned.
    pub plan_only: bool,
}

/// Runs what is in the plan and not yet recorded; tells `progress` of each group what is planned and what cannot
/// be, then each observation's name and outcome. Returns how many were made, or would be.
///
/// # Errors
///
/// If files or QEMU cannot be used, or nothing at all can be tried. What was observed until then is recorded.
pub fn run(request: &Request, progress: &mut dyn FnMut(&str)) -> Result<usize> {
    let begin = Instant::now();
    let bench = Bench::new(request)?;
    for passed_over in &bench.files.passed_over {
        progress(&format!("left out: {passed_over}"));
    }
    let (mut done, mut planned) = (0usize, 0usize);
    for &group in &request.groups {
        let path = request.output.join(format!("{}.json", group.name()));
        let mut atlas = if path.exists() {
            read(&path)?
        } else {
            Atlas {
                schema: fm_api::Schema::default(),
                group,
                recordings: Vec::new(),
                observations: Vec::new(),
            }
        };
        let mut plan = plan::plan(group, &bench);
        let all = plan.steps.len();
        planned += all;
        plan.steps
            .retain(|step| atlas.observations.iter().all(|known| known.id != step.id));
        progress(&format!(
            "{}: {all} planned, {} of them recorded already",
            group.name(),
            all - plan.steps.len()
        ));
        for lack in &plan.lacks {
            progress(&format!("{}: {lack}", group.name()));
        }
        for step in &plan.steps {
            if request.plan_only {
                progress(&step.id);
                done += 1;
                continue;
            }
            if request
                .budget_s
                .is_some_and(|budget| begin.elapsed().as_secs() >= budget)
            {
                return Ok(done);
            }
            if matches!(step.act, Act::BootAfterPowerCut(_))
                && cut::recorded(&atlas.recordings, &step.source).is_none()
            {
                let recording = record::record(&bench, &step.source, step.qemu[0])?;
                progress(&format!("{}: its writes are recorded", step.id));
                atlas.recordings.push(recording);
                write(&path, &atlas)?;
            }
            let observation = act::observe(&bench, step, &atlas.recordings)?;
            progress(&format!(
                "{}: {}",
                observation.id,
                words::in_words(&observation.seen)
            ));
            atlas.observations.push(observation);
            write(&path, &atlas)?;
            done += 1;
        }
    }
    if planned == 0 {
        return Err(Error::Usage(Misuse {
            message: format!(
                "nothing can be tried with the firmware in {}: the lines above say why",
                request.firmware.display()
            ),
            remedy: Remedy::give(
                "name a folder that holds CODE and VARS files, such as /usr/share/OVMF",
                [Input::FirmwareFolder],
            ),
        }));
    }
    Ok(done)
}

/// Reads all files of observations in a folder.
///
/// # Errors
///
/// If one cannot be read or is none, and if there is no observation at all: nothing proves nothing.
pub fn read_all(folder: &Path) -> Result<Vec<Atlas>> {
    let files = Group::ALL.map(|group| folder.join(format!("{}.json", group.name())));
    let all: Vec<Atlas> = files
        .iter()
        .filter(|path| path.exists())
        .map(|path| read(path))
        .collect::<Result<_>>()?;
    if all.iter().all(|atlas| atlas.observations.is_empty()) {
        return Err(Error::Usage(Misuse {
            message: format!("{} holds no observations", folder.display()),
            remedy: Remedy::new(
                "name a folder of observations that were recorded, or the folder `atlas` of Flashmoor's sources",
                Action::RecordAtlas,
            ),
        }));
    }
    Ok(all)
}

/// Reads a file of observations.
///
/// # Errors
///
/// If it cannot be read or is none.
pub fn read(path: &Path) -> Result<Atlas> {
    let text = fs::read_to_string(path).map_err(|source| Error::file("read", path, source))?;
    serde_json::from_str(&text).map_err(|error| Error::file("read", path, error.into()))
}

fn write(path: &Path, atlas: &Atlas) -> Result<()> {
    let text =
        serde_json::to_string_pretty(atlas).map_err(|error| Error::file("write", path, error.into()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fm_files::create_folders(folder.unwrap_or(Path::new(".")))?;
    Ok(fm_files::Place::at(path)?.write((text + "\n").as_bytes(), 0o644)?)
}
