//! libvirt: domains that keep their firmware, and the hook that lets it follow them.

mod adopt;
mod arrival;
mod blank;
mod cold_boot;
mod confine;
mod digests;
mod error;
mod hook;
mod install;
mod never_came;
mod notes;
mod status;

pub use adopt::{Adopt, AdoptedDomain, DomainFailure, Which, adopt, unadopt};
pub use error::Error;
pub use hook::{Answer, Call, DEFINITIONS, Policy, answer};
pub use install::{Hook, Install, Installed, install, uninstall};
pub use status::{Confinement, Daemon, Status, StatusDomain, status, version};

pub(crate) use adopt::{SOURCE, pinned_for};
pub(crate) use fm_libvirt::virsh::{Virsh, defined, stamped};
pub(crate) use never_came::forget_those_who_never_came;
pub(crate) use notes::notes;

/// What is ours of libvirt's affairs, in the store's folder.
const FOLDER: &str = "libvirt";
