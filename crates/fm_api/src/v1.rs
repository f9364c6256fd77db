//! The first version of every document.

pub mod backups;
pub mod build;
pub mod config;
pub mod enrolment;
pub mod fleet;
pub mod fleet_lists;
pub mod incus;
pub mod offer;
pub mod pve;
pub mod trust;
pub mod update;
