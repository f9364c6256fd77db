//! `flashmoor agent`.

use std::time::Duration;

use clap::Args;
use fm_agent::agent::{self, AgentEvent};

use super::{Context, Result, Status};

/// Watch this host's guests, store the firmware that they run and bring, and collect what nobody needs
///
/// Meant for systemd (`flashmoor libvirt install` puts the unit in place). A guest that arrived through a
/// landing is harvested as soon as its bytes are there; what a guest runs and the store lacks is captured; an
/// adopted domain that runs another build than it says is told. Builds that the agent or `libvirt adopt` stored
/// are removed when no guest has needed them for --keep-days; others never. No migration waits for the agent,
/// and what it misses while it does not run, it sees when it starts again.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// How often to look at the guests when nothing happens
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// How long a build stays that no guest needs any more
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    keep_days: u64,
    /// The libvirt of this host [default: qemu:///system]
    #[arg(long, short, value_name = "URI")]
    connect: Option<String>,
    /// Look once, do what is to be done, and end
    #[arg(long)]
    once: bool,
}

impl Agent {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let request = agent::Request {
            interval: Duration::from_secs(self.interval),
            uri: self.connect.clone(),
            keep: Duration::from_secs(self.keep_days.saturating_mul(24 * 3600)),
            once: self.once,
        };
        let output = context.output;
        // The journal takes a line's priority from its first characters.
        let priority = |number: u8| match std::env::var_os("JOURNAL_STREAM") {
            Some(_) => format!("<{number}>"),
            None => String::new(),
        };
        let mut has_failed = false;
        agent::run(&context.store()?, &request, &mut |did| {
            has_failed |= matches!(did, AgentEvent::Failed { .. });
            let (number, text) = match did {
                AgentEvent::Began { store } => (6, format!("serving {}", store.display())),
                AgentEvent::Harvested { guest, build } => {
                    (5, format!("{guest} brought build {build}; it is stored"))
                }
                AgentEvent::Captured { guest, build } => {
                    (5, format!("{guest} runs build {build}; it is stored"))
                }
                AgentEvent::Stamped { guest, build } => {
                    (5, format!("{guest} runs build {build}; its domain says so now"))
                }
                AgentEvent::Collected { build } => (5, format!("build {build} was removed: nobody needs it")),
                AgentEvent::Forgot { landing } => {
                    (5, format!("landing {landing} was removed: its guest never came"))
                }
                AgentEvent::WriteFinished { device } => (
                    5,
                    format!("a write to {} that was interrupted is finished", device.display()),
                ),
                AgentEvent::WriteUndone { device } => (
                    5,
                    format!("a write to {} that was interrupted is undone", device.display()),
                ),
                AgentEvent::Failed { why } => (4, why.clone()),
            };
            output.remark(format_args!("{}{text}", priority(number)));
        })?;
        Ok(if has_failed { Status::Partly } else { Status::Done })
    }
}
