//! `check`: what will this firmware change do to this guest, and when?
//!
//! Gathers what is known of both sides, lets `fm_judge` judge, and returns the verdict.

mod actions;
mod assumptions;
mod bios;
mod checked;
mod code_name;
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
mod pairs;
mod reach;
mod remedy_target;
mod roms;
mod side;

use std::path::PathBuf;
use std::thread;

use fm_api::v1::check::AssumedSide;
use fm_remedy::{Input, Misuse, Remedy};

use crate::assumptions::Assumptions;
use crate::checked::{candidate, chosen, judged};
use crate::side::Side;

pub use checked::{Candidate, Checked};
pub use code_name::template_names;
pub use document::{Wording, check_document, phase_document};
pub use error::{Error, Result};
pub use fm_transfer::outcome;
pub use gather::{Options, SideSpec};
pub use guest::Images;
pub use image::{code_file, vars_file, vars_of};
pub use machine_option::machine as machine_words;
pub use matrix::{MatrixRequest, matrix};
pub use pairs::{Cell, Reason, pairs};
pub use reach::{Destination, cold_boot, guest_facts};

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
    /// Whether what is not told is taken from this host: its QEMU on both sides, and that one's newest machine type.
    pub assume: bool,
}

/// Judges the change that `request` describes.
///
/// # Errors
///
/// If a side cannot be read, or two sources contradict each other. Missing facts are no error: they make
/// the outcome unknown.
pub fn check(request: &Request) -> Result<Checked> {
    let _span = tracing::info_span!("check").entered();
    // Files of both sides are read at once: hashing them is most of the work.
    let store = request.store.as_deref();
    let (source, sides) = thread::scope(|scope| {
        let sides = scope.spawn(|| gather::sides(&request.destination, store));
        let source = gather::sides(&request.source, store);
        let sides = sides
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (source, sides)
    });
    tracing::debug!("both sides are read");
    let (mut sources, mut sides) = (source?, sides?);
    let mut assumptions = Assumptions::default();
    if request.assume {
        assumed_qemus(&mut sources, &mut sides, request, &mut assumptions);
    }
    let mut source = gather::source(sources, &request.source, &request.options)?;
    if request.assume && request.destination.machine.is_none() {
        let oldest = sides
            .iter()
            .filter_map(|side| side.facts.qemu.value().copied())
            .min();
        let told = request
            .destination
            .qemu
            .as_deref()
            .and_then(|text| text.parse().ok());
        assumptions.machine(&mut source.facts, oldest.or(told))?;
    }
    let has_same_build =
        |side: &Side| match (side.facts.code.sha256.value(), source.facts.code.sha256.value()) {
            (Some(there), Some(here)) => there == here,
            _ => false,
        };
    if request.assume && request.destination.vars.is_none() && sides.iter().all(has_same_build) {
        assumptions.vars(&mut source.facts);
    }
    let sides = gather::adapted(sides, &request.destination, &request.options, &source)?;
    let judged = judged(&source, sides);
    tracing::debug!(candidates = judged.len(), "judged");
    let candidates = if judged.len() > 1 {
        judged
            .iter()
            .map(|(side, verdict)| candidate(&side.name, verdict))
            .collect()
    } else {
        Vec::new()
    };
    let Some((side, verdict)) = chosen(&source, &judged) else {
        return Err(Error::Usage(Misuse {
            message: "the destination has no firmware".into(),
            remedy: Remedy::give(
                "name it, or another folder",
                [Input::DestinationCode, Input::DestinationFirmwareFolder],
            ),
        }));
    };
    let mut checked = Checked::new(&source, side, verdict, candidates);
    checked.assumptions = assumptions.into_list();
    Ok(checked)
}

/// This host's QEMU for each side that does not say its own. A side without firmware is for the other's guests.
fn assumed_qemus(
    sources: &mut [Side],
    destinations: &mut [Side],
    request: &Request,
    assumptions: &mut Assumptions,
) {
    let arch = |side: &Side| side.facts.code.arch.value().copied();
    let of_source = sources.iter().find_map(arch);
    let of_destination = destinations.iter().find_map(arch);
    for side in sources {
        let arch = arch(side).or(of_destination);
        let told = request.source.qemu.as_deref();
        assumptions.qemu(&mut side.facts, arch, told, AssumedSide::Source);
    }
    for side in destinations {
        let arch = of_source.or(arch(side));
        let told = request.destination.qemu.as_deref();
        assumptions.qemu(&mut side.facts, arch, told, AssumedSide::Destination);
    }
}
