//! `--watch`: what is shown is shown again whenever something happened.

use std::io::IsTerminal as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use clap::Args;
use fm_client::Client;

use super::super::{Context, Result, Status};
use crate::Error;

/// After so long without an event it is looked all the same: that a host has fallen silent is none.
const QUIET: Duration = Duration::from_secs(30);
/// Between two tries while no server answers.
const REST: Duration = Duration::from_secs(1);

/// Whether to go on.
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Show it again whenever something happens in the fleet, until interrupted; with --json one document after the other
    #[arg(long)]
    watch: bool,
}

impl Watch {
    /// Shows once, or again and again. A server that goes away is waited for once something was shown.
    pub(super) fn show(&self, context: &Context, client: &Client, show: impl Fn() -> Result<()>) -> Result {
        if !self.watch {
            show()?;
            return Ok(Status::Done);
        }
        let mut is_shown = false;
        let mut is_lost = false;
        loop {
            match follow(context, client, &show, &mut is_shown) {
                Err(error) if !is_shown || !is_passing(&error) => return Err(error),
                Err(error) if !is_lost => {
                    is_lost = true;
                    context
                        .output
                        .remark(format_args!("waiting for the fleet: {error}"));
                }
                Err(_) => {}
                Ok(()) => is_lost = false,
            }
            std::thread::sleep(REST);
        }
    }
}

/// Shows, and again with each event, until the stream of events ends.
fn follow(
    context: &Context,
    client: &Client,
    show: &impl Fn() -> Result<()>,
    is_shown: &mut bool,
) -> Result<()> {
    // Open before the first look: what happens meanwhile is an event.
    let mut lines = client.events("/api/v1/events?new=true")?;
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || lines.try_for_each(|_| tell.send(())));
    loop {
        if std::io::stdout().is_terminal() && !context.output.wants_json() {
            context.output.clear();
        }
        show()?;
        *is_shown = true;
        match told.recv_timeout(QUIET) {
            // Whatever happened since the last look is one look more.
            Ok(()) => while told.try_recv().is_ok() {},
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Whether it may be over in a while.
fn is_passing(error: &Error) -> bool {
    let Error::Client(error) = error else {
        return false;
    };
    match error.as_ref() {
        fm_client::Error::NoAnswer { .. } => true,
        fm_client::Error::Refused { problem } => problem.status >= 500,
        _ => false,
    }
}
