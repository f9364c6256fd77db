//! `migrate`: preflight, the migration itself, and the harvest of the firmware that arrived.
//!
//! ```text
//! source QEMU                 flashmoor                  destination QEMU (-incoming defer)
//!      |<- describe ------------- | ------------ describe ->|
//!      |                     judge: would QEMU refuse?      |
//!      |<- digest of CODE ------- |                         |
//!      |                          | --- migrate-incoming -->|
//!      |<- migrate -------------- |                         |
//!      |================ the stream, CODE in it ===========>|
//!      |<- variables as sent? --- |                         |
//!      |<- processors? (update) - |                         |
//!      |<- migrate-continue ----- |                         |
//!      |                          |<---- RESUME ------------|
//!      |                          |<---- bytes of CODE -----|
//!      |                     verify, store, settle landing  |
//! ```
//!
//! With an update the stream goes through a relay, which gives the guest another build of the same size on the way; the
//! digest that is verified in the end is the new one.

mod address;
mod drive;
pub mod preflight;
mod relay;
mod update;
mod variables;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use fm_formats::Sha256;
use fm_host::monitor::{self, Description};
use fm_host::processors::Processors;
use fm_host::qmp::{self, Client, RunState};
use fm_judge::{Outcome, Phase};
use fm_store::Store;

use self::address::Address;
pub use self::drive::{Options, Progress};
pub use crate::error::migrate::Error;
pub use crate::error::refusal::Refusal;
pub use crate::error::relay::Error as RelayError;
pub use crate::error::unfit::Unfit;
use crate::harvest::{self, Harvested};

/// A monitor may be silent while QEMU's main loop switches a large guest over.
const MONITOR_TIMEOUT: Duration = Duration::from_secs(60);

/// A QEMU that greets does so at once; one that serves another client never does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What to migrate where.
#[derive(Debug, Clone)]
pub struct Request {
    /// The source's QMP socket.
    pub source: PathBuf,
    /// The destination's QMP socket.
    pub destination: PathBuf,
    /// QEMU's address for the stream; a private Unix socket if both ends run on this host.
    pub uri: Option<String>,
    /// The digest that CODE must have at the destination, where the source cannot be read from here.
    pub expected_code: Option<Sha256>,
    /// The CODE that the guest is to arrive with, if that is another than it left with.
    pub update: Option<Vec<u8>>,
    /// Bandwidth, downtime and the like.
    pub options: Options,
}

/// What happens on the way, for whoever watches.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Both ends were described and judged; QEMU will accept.
    Preflight {
        /// The worst of what was found; incompatible is an error.
        outcome: Outcome,
        /// What to know before, if anything.
        remarks: Vec<String>,
    },
    /// The stream begins.
    Started {
        /// Where it goes.
        uri: String,
    },
    /// How far it is.
    Progress(Progress),
    /// The guest is at the destination.
    Arrived {
        /// The destination's run state.
        status: RunState,
    },
}

/// A migration that came to its end; every other end is an error.
#[derive(Debug)]
pub struct Migration {
    /// Milliseconds from start to end, by QEMU's account.
    pub total_time_ms: u64,
    /// Milliseconds that the guest stood still, by QEMU's account.
    pub downtime_ms: u64,
    /// Bytes of guest memory sent.
    pub bytes: u64,
    /// Where the stream went.
    pub uri: String,
    /// Where the guest was.
    pub source: End,
    /// Where it is.
    pub destination: End,
    /// The firmware that it arrived with.
    pub code: Harvested,
    /// What became of its firmware on the way; nothing if it was to stay what it was.
    pub updated: Option<Updated>,
    /// Why the firmware was not stored although it could be read, for who must act on it.
    pub not_harvested: Option<crate::Error>,
}

/// A guest's firmware, exchanged on the way: it takes effect at the guest's next reset.
#[derive(Debug, Clone)]
pub struct Updated {
    /// Digest of the CODE that it left with, if that could be read; it runs on with what that loaded.
    pub from: Option<Sha256>,
    /// Digest of the CODE that its next reset runs.
    pub to: Sha256,
    /// How many pages of CODE were given other content.
    pub pages_replaced: u64,
    /// Where the guest's processors were when it left.
    pub processors: Processors,
}

/// One end of a migration.
#[derive(Debug, Clone)]
pub struct End {
    /// QEMU's version.
    pub qemu_version: String,
    /// The machine type as the stream names it.
    pub machine: Option<String>,
    /// The process, if it is one of this host's.
    pub pid: Option<u32>,
    /// The run state afterwards; the source keeps a stopped copy in `postmigrate` until it is ended.
    pub status: RunState,
}

/// Migrates a guest and harvests its firmware. Setting `cancel` ends the attempt with the guest at the source.
///
/// # Errors
/// [`Error`] inside [`crate::Error::Migrate`]; unless it says otherwise the guest runs on at the source.
/// Once the guest has arrived, a harvest that fails is told in [`Migration::not_harvested`] and not as an error.
pub fn migrate(
    store: &Store,
    request: &Request,
    cancel: &AtomicBool,
    watch: &mut dyn FnMut(&Event),
) -> crate::Result<Migration> {
    let _span = tracing::info_span!("migrate").entered();
    let preflight = tracing::info_span!("preflight").entered();
    let mut source = connect(&request.source, Client::connect)?;
    let mut destination = match request.options.postcopy {
        true => connect(&request.destination, Client::connect_out_of_band),
        false => connect(&request.destination, Client::connect),
    }?;
    let from = monitor::describe(&mut source).map_err(Error::from)?;
    let to = monitor::describe(&mut destination).map_err(Error::from)?;
    expect_ready(&request.source, &from, &request.destination, &to)?;
    let variables = variables::Variables::open(from.pid, to.pid);
    let unwatched = variables.is_none() && from.flash_block(1).is_some() && !request.options.stop_first;
    watch(&judged(&from, &to, unwatched)?);
    let before = running_code(&from);
    let uri = request.uri.as_deref();
    let (expected, address, relay) = match &request.update {
        None => {
            let expected = request.expected_code.or(before);
            (expected, Address::choose(uri, &from, &to)?, None)
        }
        Some(code) => {
            update::expect_fit(&mut source, &mut destination, &from, &request.options, uri, code)?;
            let address = Address::with_relay(uri, &from, &to)?;
            let relay = start_relay(&address, code)?;
            (Some(Sha256::of(code)), address, Some(relay))
        }
    };
    drop(preflight);
    let arch = request
        .update
        .as_ref()
        .and_then(|_| fm_host::find(&from.pid?.to_string()).ok())
        .map(|guest| guest.arch().to_owned());

    watch(&Event::Started {
        uri: address.uri.clone(),
    });
    let driver = drive::MigrationDriver {
        source: &mut source,
        destination: &mut destination,
        options: &request.options,
        uri: &address.uri,
        source_uri: relay.as_ref().map(relay::Relay::uri),
        cancel,
        cancel_timeout: drive::CANCEL_TIMEOUT,
        was_running: from.status == RunState::Running,
        variables,
        exchanged_of: arch.as_deref(),
        seen: drive::Seen::default(),
    };
    let done = tracing::info_span!("stream")
        .in_scope(|| driver.run(&mut |progress| watch(&Event::Progress(progress.clone()))));
    let exchanged = relay.map(relay::Relay::end);
    let (done, pages_replaced) = match (done, exchanged) {
        // Both QEMUs can say no more than that their connection broke.
        (Err(Error::Failed { .. }), Some(Err(error))) => return Err(Error::NotExchanged(error).into()),
        (done, exchanged) => (done?, exchanged.and_then(Result::ok)),
    };
    watch(&Event::Arrived {
        status: done.destination_status.clone(),
    });

    let (code, not_harvested) = match to.pid {
        Some(pid) => match tracing::info_span!("harvest", pid)
            .in_scope(|| harvest::after_migration(store, pid, expected, request.update.is_some()))
        {
            Ok(code) => (code, None),
            Err(error) => (Harvested::unread(expected, error.to_string()), Some(error)),
        },
        None => {
            let elsewhere = "the destination's QEMU is not on this host: store its firmware there (harvest)";
            (Harvested::unread(expected, elsewhere), None)
        }
    };
    Ok(Migration {
        not_harvested,
        total_time_ms: done.total_time_ms,
        downtime_ms: done.downtime_ms,
        bytes: done.bytes,
        uri: address.uri.clone(),
        source: end(&from, &RunState::PostMigrate),
        destination: end(&to, &done.destination_status),
        code,
        updated: request.update.as_ref().map(|code| Updated {
            from: before,
            to: Sha256::of(code),
            pages_replaced: pages_replaced.unwrap_or_default(),
            processors: done.processors,
        }),
    })
}

/// A relay at the address's socket, which gives the guest `code`.
fn start_relay(address: &Address, code: &[u8]) -> Result<relay::Relay, Error> {
    let target = relay::Target::parse(&address.uri)
        .ok_or_else(|| Error::Unfit(Unfit::Address(address.uri.clone())))?;
    let (socket, owner) = address.relay.clone().ok_or_else(|| Error::NoUri {
        why: "there is no place for a relay".into(),
    })?;
    relay::Relay::start(socket, owner, target, code.to_owned()).map_err(Error::NotExchanged)
}

fn connect(socket: &Path, how: fn(&Path, Duration) -> Result<Client, qmp::Error>) -> Result<Client, Error> {
    let mut client = how(socket, CONNECT_TIMEOUT)?;
    client.set_timeout(MONITOR_TIMEOUT);
    Ok(client)
}

/// The guest is at the source, and the destination waits for it and for nobody else.
fn expect_ready(
    source: &Path,
    from: &Description,
    destination: &Path,
    to: &Description,
) -> Result<(), Error> {
    if from.status.has_no_guest_to_send() {
        return Err(Error::NoGuest {
            socket: source.to_owned(),
            status: from.status.clone(),
        });
    }
    if to.status != RunState::InMigrate {
        return Err(Error::NotIncoming {
            socket: destination.to_owned(),
            status: to.status.clone(),
        });
    }
    Ok(())
}

fn judged(from: &Description, to: &Description, unwatched: bool) -> crate::Result<Event> {
    let verdict = preflight::verdict(from, to)?;
    if let Some(refusal) = preflight::refusal(&verdict) {
        return Err(Error::Incompatible(refusal).into());
    }
    let phase = verdict.phase(Phase::LiveMigration);
    let worth_saying = phase
        .findings()
        .iter()
        .filter(|finding| finding.outcome != Outcome::Compatible);
    let findings = worth_saying.map(|finding| format!("{}: {}", finding.code, finding.why));
    let remark = "the source's memory cannot be read from here: a variable that the guest writes meanwhile may stay \
                  behind; a guest that stands still meanwhile (stop first) writes none";
    Ok(Event::Preflight {
        outcome: phase.outcome(),
        remarks: findings.chain(unwatched.then(|| remark.into())).collect(),
    })
}

/// The digest of the CODE that the source runs, if its process can be read from here.
fn running_code(from: &Description) -> Option<Sha256> {
    let guest = fm_host::find(&from.pid?.to_string()).ok()?;
    Some(Sha256::of(&guest.read_flash(0).ok()?))
}

fn end(seen: &Description, status: &RunState) -> End {
    End {
        qemu_version: seen.version.to_string(),
        machine: seen.machine.clone(),
        pid: seen.pid,
        status: status.clone(),
    }
}
