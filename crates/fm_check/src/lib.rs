//! `check`: what will this firmware change do to this guest, and when?
//!
//! Gathers what is known of both sides, lets `fm_judge` judge, and returns the verdict.

mod bios;
mod checked;
mod command_line;
mod document;
mod error;
pub mod findings;
mod gather;
mod guest;
mod host;
mod image;
mod machine_option;
mod matrix;
pub mod next_boot_code;
mod reach;
mod remedy_target;
mod roms;
mod side;

use std::path::PathBuf;
use std::thread;

use fm_remedy::{Input, Remedy};

use crate::checked::{candidate, chosen, judged};

pub use checked::{Candidate, Checked};
pub use document::{Check, Evidence, FindingDocument, PhaseDocument, Phases, Wording};
pub use error::{Error, Result};
pub use gather::{Options, SideSpec};
pub use guest::Images;
pub use host::template_name;
pub use image::{code_file, vars_file, vars_of};
pub use machine_option::machine as machine_words;
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
