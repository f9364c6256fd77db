//! `check`: what will this firmware change do to this guest, and when?
//!
//! Gathers what is known of both sides, lets `fm_judge` judge, and returns the verdict.

mod bios;
mod document;
mod error;
pub mod findings;
mod gather;
mod guest;
mod host;
mod image;
mod matrix;
pub mod next_boot_code;
mod reach;
mod remedy_target;
mod roms;

use std::path::PathBuf;
use std::thread;

use fm_judge::{Facts, Outcome, Phase, Verdict, judge};
use fm_remedy::{Input, Remedy};

use gather::Side;

pub use document::{Candidate, Check, Evidence, FindingDocument, PhaseDocument, Phases, Wording};
pub use error::{Error, Result};
pub use gather::machine as machine_words;
pub use gather::{Options, SideSpec};
pub use guest::Images;
pub use host::template_name;
pub use image::vars_of;
pub use image::{code_file, vars_file};
pub use matrix::{Cell, Matrix, matrix, pairs};
pub use reach::{Destination, cold_boot};

/// Two sides, as the user named them.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Where the guest is now.
    pub source: SideSpec,
    /// Where it shall go.
    pub destination: SideSpec,
    /// What holds for both sides unless a side says otherwise.
    pub options: Options,
    /// The store in which build ids and names are looked up.
    pub store: Option<PathBuf>,
}

/// A verdict, and what it is on. [`Check::new`] makes its document.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What was taken for the source, in words.
    pub source: String,
    /// What was taken for the destination.
    pub destination: String,
    /// What was found; remedies name the guest where it is known.
    pub verdict: Verdict,
    /// Other firmware that the destination has; empty unless the destination is a folder with a choice.
    pub candidates: Vec<Candidate>,
}

impl Checked {
    fn new(source: &Side, destination: &Side, verdict: &Verdict, candidates: Vec<Candidate>) -> Self {
        Self {
            source: source.name.clone(),
            destination: destination.name.clone(),
            verdict: verdict.clone().with_remedies(|remedy| source.target.aim(remedy)),
            candidates,
        }
    }
}

/// Judges the change that `request` describes.
///
/// # Errors
///
/// If a side cannot be read, or two sources contradict each other. Missing facts are no error: they make
/// the outcome unknown.
pub fn check(request: &Request) -> Result<Checked> {
    // Files of both sides are read at once: hashing them is most of the work.
    let store = request.store.as_deref();
    let (source, sides) = thread::scope(|scope| {
        let sides = scope.spawn(|| gather::sides(&request.destination, store));
        let source = gather::source(&request.source, &request.options, store);
        let sides = sides
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (source, sides)
    });
    let source = source?;
    let sides = gather::adapted(sides?, &request.destination, &request.options, &source)?;
    let judged = judged(&source, sides);
    let candidates = if judged.len() > 1 {
        judged
            .iter()
            .map(|(side, verdict)| candidate(&side.name, verdict))
            .collect()
    } else {
        Vec::new()
    };
    let Some((side, verdict)) = chosen(&source, &judged) else {
        return Err(Error::Usage {
            message: "the destination has no firmware".into(),
            remedy: Remedy::give(
                "name it, or another folder",
                [Input::DestinationCode, Input::DestinationFirmwareFolder],
            ),
        });
    };
    Ok(Checked::new(&source, side, verdict, candidates))
}

fn judged(source: &Side, sides: Vec<Side>) -> Vec<(Side, Verdict)> {
    let judge = |side: Side| {
        let verdict = judge(&source.facts, &side.facts);
        (side, verdict)
    };
    sides.into_iter().map(judge).collect()
}

/// The file that the guest's definition names is what it gets there; else the best there is.
fn chosen<'a>(source: &Side, judged: &'a [(Side, Verdict)]) -> Option<&'a (Side, Verdict)> {
    judged
        .iter()
        .find(|(side, _)| has_path_of(&source.facts, &side.facts))
        .or_else(|| judged.iter().min_by_key(|(_, verdict)| rank(verdict)))
}

/// Whether both sides' CODE has the same file name, so that a definition that moves finds this one.
fn has_path_of(source: &Facts, destination: &Facts) -> bool {
    let path = |facts: &Facts| facts.code.path.value().cloned();
    match (path(source), path(destination)) {
        (Some(from), Some(to)) => from == to,
        _ => false,
    }
}

/// What a user wants first: that the guest arrives, then that it boots again.
fn rank(verdict: &Verdict) -> (Outcome, Outcome) {
    (
        verdict.phase(Phase::LiveMigration).outcome(),
        verdict.phase(Phase::ColdBoot).outcome(),
    )
}

fn candidate(name: &str, verdict: &Verdict) -> Candidate {
    let word = |phase| verdict.phase(phase).outcome().to_string();
    Candidate {
        code: name.to_owned(),
        live_migration: word(Phase::LiveMigration),
        warm_reset: word(Phase::WarmReset),
        cold_boot: word(Phase::ColdBoot),
    }
}
