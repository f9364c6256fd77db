//! `flashmoor`: parse the words, run the job, have what came of it rendered, exit with its class.

#![allow(
    rustdoc::invalid_rust_codeblocks,
    reason = "the doc comments of arguments are the help that a terminal shows, not Markdown"
)]

mod cli;
mod config;
mod documents;
mod error;
mod log;

use error::Error;

use std::panic;
use std::process::ExitCode;

fn main() -> ExitCode {
    panic::set_hook(Box::new(fm_render::bug));
    panic::catch_unwind(cli::main).unwrap_or(ExitCode::from(cli::BUG))
}
