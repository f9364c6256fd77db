//! `flashmoor agent`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use fm_adopt::supply::is_address;
use fm_agent::agent::{self, AgentEvent};
use fm_agent::fleet::{self, Joining, Shelf};
use fm_api::v1::fleet::Digest;
use fm_client::JoinToken;
use fm_formats::Sha256;
use fm_server::{PeerBuilds, PeerOptions, serve_peers};

use super::dry_run::DryRun;
use super::{Context, Result, Status};
use fm_render::{fleet as render, plain};

/// Watch this host's guests, store the firmware that they run and bring, and collect what nobody needs
///
/// Meant for systemd (`flashmoor libvirt install` puts the unit in place). A guest that arrived through a
/// landing is harvested as soon as its bytes are there; what a guest runs and the store lacks is captured; an
/// adopted domain that runs another build than it says is told. Builds that the agent or `libvirt adopt` stored
/// are removed when no guest has needed them for --keep-days; others never. No migration waits for the agent,
/// and what it misses while it does not run, it sees when it starts again.
///
/// On a host that has joined a fleet it reports there as well, from a thread of its own.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Agent {
    #[command(subcommand)]
    verb: Option<Verb>,
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
    /// Give builds to other hosts of the fleet: a guest that arrives there gets its own from here, also when no server of
    /// the fleet answers
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "once")]
    peers_listen: Option<SocketAddr>,
    /// Where other hosts reach that address [default: the address, or this host's name]
    #[arg(long, value_name = "HOST:PORT", requires = "peers_listen", value_parser = peer_address)]
    peers_address: Option<String>,
}

fn peer_address(text: &str) -> Result<String, String> {
    match is_address(text) {
        true => Ok(text.to_owned()),
        false => Err("it is to be a host's name or address, a colon and a port".into()),
    }
}

/// This host's builds, in the server's words.
#[derive(Debug)]
struct Builds(Shelf);

impl PeerBuilds for Builds {
    fn manifest(&self, build: &Digest) -> Result<Option<Vec<u8>>, String> {
        read(build, |build| self.0.manifest(build))
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        read(digest, |digest| self.0.blob(digest))
    }
}

fn read(
    digest: &Digest,
    read: impl FnOnce(&Sha256) -> fm_agent::Result<Option<Vec<u8>>>,
) -> Result<Option<Vec<u8>>, String> {
    let Ok(digest) = digest.as_str().parse() else {
        return Ok(None);
    };
    read(&digest).map_err(|error| fm_remedy::one_line(&error))
}

#[derive(Debug, Subcommand)]
enum Verb {
    Join(Join),
    Leave(Leave),
}

/// Let this host join a fleet, with a token that `flashmoor fleet token` made
///
/// The host's key is made here and stays here. The agent need not be started again.
#[derive(Debug, Args)]
struct Join {
    /// The fleet's servers, as https://HOST:PORT; several are tried in turn [default: the token's]
    url: Vec<String>,
    /// The token
    #[arg(
        long,
        value_name = "TOKEN",
        env = "FLASHMOOR_FLEET_TOKEN",
        hide_env_values = true
    )]
    token: String,
    /// What the fleet is to call this host [default: the host's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What to say of this host, for rollouts that keep to so many guests of a rack or select by it
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Give up the membership that this host has
    #[arg(long)]
    replace: bool,
}

/// Forget the fleet; what it remembers of this host stays until somebody retires it
#[derive(Debug, Args)]
struct Leave {
    #[command(flatten)]
    dry_run: DryRun,
}

/// `KEY=VALUE`.
fn label(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE, such as rack=r7".into()),
    }
}

impl Join {
    fn run(&self, context: &Context) -> Result {
        let store = context.store()?;
        let token: JoinToken = self.token.parse()?;
        let joining = Joining {
            token: &token,
            urls: &self.url,
            name: self.name.as_deref(),
            labels: &self.label.iter().cloned().collect(),
            replace: self.replace,
        };
        let joined = fleet::join(&store, &fleet::folder(store.path()), &joining)?;
        context.output.document(&joined, render::joined);
        Ok(Status::Done)
    }
}

impl Leave {
    fn run(&self, context: &Context) -> Result {
        let folder = fleet::folder(context.store()?.path());
        if self.dry_run.dry_run {
            let (text, of) = match fleet::membership(&folder)? {
                Some(membership) => ("would forget the fleet of", membership.urls.join(", ")),
                None => ("there is no fleet to forget in", folder.display().to_string()),
            };
            context.output.remark(format_args!("{text} {}", plain(&of)));
            return Ok(Status::Done);
        }
        fleet::leave(&folder)?;
        Ok(Status::Done)
    }
}

impl Agent {
    pub(crate) fn run(&self, context: &Context) -> Result {
        match &self.verb {
            Some(Verb::Join(join)) => return join.run(context),
            Some(Verb::Leave(leave)) => return leave.run(context),
            None => {}
        }
        let store = context.store()?;
        let output = context.output;
        let (_peers, peer) = match self.peers_listen {
            Some(listen) => {
                let serving = serve_peers(
                    PeerOptions {
                        listen,
                        identity: fleet::folder(store.path()),
                        builds: Arc::new(Builds(Shelf::new(&store))),
                    },
                    Box::new(move |event| render::server_event(&output, event)),
                )?;
                let peer = self
                    .peers_address
                    .clone()
                    .unwrap_or_else(|| reached_at(serving.address));
                (Some(serving), Some(peer))
            }
            None => (None, None),
        };
        let request = agent::Request {
            interval: Duration::from_secs(self.interval),
            uri: self.connect.clone(),
            keep: Duration::from_secs(self.keep_days.saturating_mul(24 * 3600)),
            peer,
            watcher: Some(super::update::watcher),
            once: self.once,
        };
        // The journal takes a line's priority from its first characters.
        let priority = |number: u8| match std::env::var_os("JOURNAL_STREAM") {
            Some(_) => format!("<{number}>"),
            None => String::new(),
        };
        let mut has_failed = false;
        agent::run(&store, &request, &mut |did| {
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
                AgentEvent::Fleet(event) => render::agent_event(event),
                AgentEvent::Failed { why } => (4, why.clone()),
            };
            output.remark(format_args!("{}{text}", priority(number)));
        })?;
        Ok(if has_failed { Status::Partly } else { Status::Done })
    }
}

/// Where others reach what listens at an address.
fn reached_at(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        let name = fm_host::host_name().unwrap_or_default();
        return format!("{name}:{}", address.port());
    }
    address.to_string()
}
