//! Asks an end of the migration whether its guest runs.

use fm_host::qmp::commands::QueryStatus;
use fm_host::qmp::{self, Client, RunState};

pub(super) fn run_state(client: &mut Client) -> Result<RunState, qmp::Error> {
    Ok(client.ask(&QueryStatus)?.status)
}
