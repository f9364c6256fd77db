//! Guests get their firmware from the store: captured from those that run, named by libvirt's definitions, put in place by
//! its hook.

pub mod agent_lock;
pub mod capture;
mod error;
pub mod interrupted;
pub mod kubevirt;
pub mod libvirt;
pub mod supply;

pub use error::{Error, KubevirtError, Result};
