//! `flashmoor`: parse the words, run the job, render what came of it, exit with its class.

mod cli;
mod render;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
