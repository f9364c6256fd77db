//! libvirt: domains that keep their firmware, and the hook that lets it follow them.

mod adopt;
mod blank;
mod confine;
mod hook;
mod install;
mod stale_landings;
mod status;
mod wakeup;

pub use adopt::{AdoptedDomain, DomainFailure, LibvirtAdoption, Which, adopt, unadopt};
pub use hook::{
    Answer, Call, DEFINITIONS, Decision, HookAnswer, HookDecision, Operation, Outcome, PlacedCode,
    PlacedTemplate, Policy, Reason, Step, SubOperation, answer, decision,
};
pub use install::{Hook, Install, Installed, NextStep, Setup, install, uninstall};
pub use status::{Confinement, Daemon, HostStatus, Problem, Status, StatusDomain, status, version};

pub use crate::error::LibvirtError as Error;

pub use adopt::{SOURCE, pinned_for};
pub use stale_landings::forget_stale_landings;
pub use wakeup::wakeup;

/// What is ours of libvirt's affairs, in the store's folder.
const FOLDER: &str = "libvirt";
