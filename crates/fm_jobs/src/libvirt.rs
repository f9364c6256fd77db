//! libvirt: domains that keep their firmware, and the hook that lets it follow them.

mod adopt;
mod arrival;
mod blank;
mod cold_boot;
mod confine;
mod error;
mod hook;
mod install;
mod notes;
mod status;
mod virsh;

pub use adopt::{Adopt, AdoptedDomain, DomainFailure, Which, adopt, unadopt};
pub use error::Error;
pub use hook::{Answer, Call, Policy, answer};
pub use install::{Hook, Install, Installed, install, uninstall};
pub use status::{Confinement, Daemon, Status, StatusDomain, status, version};

pub(crate) use blank::{layout_of, template};
pub(crate) use notes::notes;
pub(crate) use virsh::{Virsh, stamped};

/// What is ours of libvirt's affairs, in the store's folder.
const FOLDER: &str = "libvirt";
