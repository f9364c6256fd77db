//! `demo`: the main job on two 'hosts' of this machine, every step real, every claim checked.
//!
//! A host here is a folder with firmware files, a store and a QEMU of its own. Nothing is shown that did
//! not happen: a check that does not hold ends the demo with an error.

mod hosts;
mod steps;

use std::path::PathBuf;

use fm_api::v1::demo::Demo;

pub use crate::error::DemoError as Error;

/// The firmware that the two hosts have.
#[derive(Debug, Clone)]
pub struct Request {
    /// CODE of host A, such as the 2M build.
    pub from_code: PathBuf,
    /// VARS template that belongs to it.
    pub from_vars: PathBuf,
    /// CODE of host B, of another size, such as the 4M build.
    pub to_code: PathBuf,
    /// VARS template that belongs to it.
    pub to_vars: PathBuf,
}

/// What the demo tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DemoEvent {
    /// A new step begins.
    Step {
        /// From 1.
        number: usize,
        /// What it shows.
        title: &'static str,
    },
    /// A command that a person would type here.
    Command(String),
    /// What came of something.
    Line(String),
    /// What was checked, and held.
    Held(String),
}

/// Runs the demo in a temporary folder, telling `tell` what happens.
///
/// # Errors
/// If anything at all does not work as promised.
pub fn run(request: &Request, tell: &mut dyn FnMut(&DemoEvent)) -> crate::Result<Demo> {
    let folder = tempfile::Builder::new().prefix("flashmoor-demo-").tempdir();
    let folder = folder.map_err(|source| crate::Error::file("create", &std::env::temp_dir(), source))?;
    let mut demo = steps::Demonstration::new(request, folder.path(), tell)?;
    demo.boot_at_a()?;
    demo.try_the_plain_way()?;
    demo.carry_to_b()?;
    demo.reset_at_b()?;
    demo.return_to_a()?;
    demo.move_to_the_other_layout()?;
    Ok(demo.finish())
}
