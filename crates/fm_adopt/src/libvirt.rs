//! libvirt: domains that keep their firmware, and the hook that lets it follow them.

mod adopt;
mod blank;
mod confine;
mod document;
mod flash_file;
mod hook;
mod install;
mod packed_template;
mod stale_landings;
mod status;
mod switch;
mod wakeup;

pub use adopt::{Adoption, FailedDomain, Which, adopt, note_booted, unadopt, would_adopt, would_unadopt};
pub use document::{adoption_document, setup_document, status_document};
pub use hook::{
    Answer, Call, DEFINITIONS, Decision, Operation, Outcome, PlacedCode, PlacedTemplate, Policy, Reason,
    Step, SubOperation, answer, decision, decision_document,
};
pub use install::{Install, NextStep, Setup, install, uninstall};
pub use status::{Problem, problems, status, version};

pub use crate::error::LibvirtError as Error;
pub use fm_libvirt::Booted;

pub use adopt::{SOURCE, pinned_for};
pub use stale_landings::forget_stale_landings;
pub use switch::{DefinedFirmware, defined_firmware, let_go_of, switch};
pub use wakeup::wakeup;

/// What is ours of libvirt's affairs, in the store's folder.
const FOLDER: &str = "libvirt";
