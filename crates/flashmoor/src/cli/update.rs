//! `flashmoor update`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Args;
use fm_adopt::libvirt::{self, Booted, Which};
use fm_api::v1::update::RefusalReason;
use fm_store::Store;
use fm_update::build::Build;
use fm_update::decide::Vouched;
use fm_update::moment::Moment;
use fm_update::window::Window;
use fm_update::{Options, Place, Request, State, Update as Document};

use super::{Context, Result, Status};
use fm_render::remedy::WORDING;
use fm_render::update as render;

/// Give a running guest other firmware, which takes effect at its own next reset
///
/// The build is judged first, on this guest's variables, machine and devices. Then the guest is stopped for about a
/// millisecond, the pages of its CODE flash that differ are written, read back and compared, and it goes on; on any
/// doubt the old bytes are back before it does. Both builds are kept in the store. Exit status: 10 if it was refused,
/// 11 if too little is known.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The guest: a pid, name, uuid, libvirt domain or QMP socket
    #[arg(required_unless_present_any = ["status", "watch_over"])]
    guest: Option<String>,
    /// The build: a raw CODE file, or the id or name of a stored one
    #[arg(long, value_name = "BUILD", required_unless_present_any = ["revert", "status", "watch_over"],
        conflicts_with_all = ["revert", "status"])]
    to: Option<String>,
    /// Put back what the guest had before its last update
    #[arg(long, conflicts_with = "status")]
    revert: bool,
    /// Tell where the updates of this host's guests stand
    #[arg(long, conflicts_with = "dry_run")]
    status: bool,
    /// Judge and decide, touch nothing
    #[arg(long)]
    dry_run: bool,
    /// A QMP socket of the guest that nobody else is connected to [default: libvirt's, or the first on its command line]
    #[arg(long, value_name = "SOCKET")]
    monitor: Option<PathBuf>,
    /// The libvirt that manages the guest [default: qemu:///system]
    #[arg(long, value_name = "URI")]
    connect: Option<String>,
    /// The guest does not suspend to RAM before its next reset, though its machine offers it
    #[arg(long)]
    never_suspends: bool,
    /// The guest's boot is over, though no system can be seen in it: it sits in a shell, or its system is not known as one
    #[arg(long)]
    has_booted: bool,
    /// Do it when the guest is idle: when it uses less than a fifth of one processor for two seconds
    #[arg(long)]
    when_idle: bool,
    /// Do it at that time of the day, in UTC; over midnight if it ends before it starts
    #[arg(long, value_name = "HH:MM-HH:MM")]
    window: Option<Window>,
    /// Do it only when the guest's agent answers libvirt
    #[arg(long)]
    when_agent_answers: bool,
    /// How long is waited for that; after that it is refused
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    wait: u64,
    /// How long the guest may stand still; after that the old bytes are put back
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    max_pause: u64,
    /// For tests: the guest moves to another process before it resets
    #[arg(long, hide = true)]
    moves_before_reset: bool,
    /// Wait for the end of standard input, and put right what an update that was killed left
    #[arg(long, value_name = "RECORD", hide = true)]
    watch_over: Option<String>,
}

impl Update {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let store = context.store()?;
        if let Some(record) = &self.watch_over {
            let left = fm_update::recover_after(&store, record, std::io::stdin(), std::io::stdout())?;
            if let Some(record) = left {
                let uri = match &record.place {
                    Some(Place::Libvirt { uri, .. }) => uri.as_deref(),
                    _ => None,
                };
                follow(&store, uri, &mut record.document());
            }
            return Ok(Status::Done);
        }
        if self.status {
            let status = fm_update::status(&store, self.guest.as_deref(), WORDING)?;
            context.output.document(&status, render::status);
            return Ok(match status.unreadable.is_empty() {
                true => Status::Done,
                false => Status::Partly,
            });
        }
        let watcher = |record: &str| watcher(store.path(), record);
        let request = Request {
            guest: self.guest.as_deref().unwrap_or_default(),
            options: Options {
                dry_run: self.dry_run,
                monitor: self.monitor.as_ref(),
                libvirt_uri: self.connect.as_deref(),
                vouched: Vouched {
                    never_suspends: self.never_suspends,
                    has_booted: self.has_booted,
                    moves_before_reset: self.moves_before_reset,
                },
                max_pause: Duration::from_millis(self.max_pause),
                moment: Moment {
                    idle: self.when_idle,
                    window: self.window,
                    agent: self.when_agent_answers,
                    patience: Duration::from_secs(self.wait),
                },
                wording: WORDING,
                watcher: Some(&watcher),
            },
        };
        let mut done = match &self.to {
            Some(to) => fm_update::update(&store, &request, &Build::find(&store, to)?)?,
            None => fm_update::revert(&store, &request)?,
        };
        follow(&store, self.connect.as_deref(), &mut done);
        context.output.document(&done, render::update);
        Ok(status(&done))
    }
}

/// Lets the definition of a guest that holds other bytes now name that build, so that cold boot and reset agree.
fn follow(store: &Store, uri: Option<&str>, done: &mut Document) {
    if matches!(done.state, State::PendingReset | State::Reverted) {
        follow_on_proxmox(store, done);
        follow_in_libvirt(store, uri, done);
    }
}

/// That of an adopted domain.
fn follow_in_libvirt(store: &Store, uri: Option<&str>, done: &mut Document) {
    let guest = fm_host::find(&done.guest.pid.to_string()).ok();
    let Some(uuid) = guest
        .filter(fm_update::is_libvirts)
        .and_then(|guest| guest.uuid().map(str::to_owned))
    else {
        return;
    };
    let adopted = libvirt::adopt(store, uri, &Which::One(uuid.clone()));
    // Where it goes while it waits, they know by this that it does.
    let guest = fm_host::find(&done.guest.pid.to_string()).ok();
    let waits = guest.map(|guest| fm_update::next_reset(store, &guest));
    let noted = waits.transpose().map_err(crate::Error::from).and_then(|waits| {
        let Some(waits) = waits.flatten() else {
            return Ok(());
        };
        let booted = Booted {
            build: waits.runs,
            boots: waits.boots,
        };
        libvirt::note_booted(uri, &uuid, booted)?;
        Ok(())
    });
    if let Err(error) = noted {
        done.remarks.push(format!(
            "that it waits for a reset is not known where it migrates to: {}",
            fm_remedy::one_line(&error)
        ));
    }
    match adopted {
        Ok(adopted) => done.remarks.extend(adopted.domains.iter().filter_map(|domain| {
            let loader = domain.loader.as_ref()?;
            Some(format!(
                "the definition of {} names {}",
                domain.name,
                loader.display()
            ))
        })),
        Err(error) => done.remarks.push(format!(
            "the guest's definition could not follow, and its next cold boot gets other firmware: {}",
            fm_remedy::one_line(&error)
        )),
    }
}

/// The same of a guest of Proxmox VE's: what its configuration holds it to.
fn follow_on_proxmox(store: &Store, done: &mut Document) {
    let cluster = super::pve::cluster();
    let guest = fm_host::find(&done.guest.pid.to_string()).ok();
    let Some(id) = guest.and_then(|guest| cluster.number(&guest)) else {
        return;
    };
    done.remarks.push(match fm_pve::follow(&cluster, store, id) {
        Ok(Some(_)) => format!("the configuration of guest {id} holds it to this build"),
        Ok(None) => format!("guest {id} is not adopted: its next cold boot gets this node's firmware"),
        Err(error) => format!(
            "the configuration of guest {id} could not follow, and its next cold boot gets other firmware: {}",
            fm_remedy::one_line(&error)
        ),
    });
}

/// The command that puts right what an update leaves whose process is killed.
pub(super) fn watcher(store: &Path, record: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| "flashmoor".into()));
    command
        .arg("--store")
        .arg(store)
        .args(["update", "--watch-over", record]);
    command
}

/// How a refusal ends the process.
pub(super) fn status(done: &Document) -> Status {
    match done.state {
        State::Refused => {}
        // It is of another update, and this one was not judged.
        State::Interrupted => return Status::Unknown,
        _ => return Status::Done,
    }
    let unknown = |reason| {
        matches!(
            reason,
            RefusalReason::Unknown
                | RefusalReason::ProcessorsUnseen
                | RefusalReason::AcceleratorUnknown
                | RefusalReason::NoMonitor
        )
    };
    match done.refusals.iter().all(|refusal| unknown(refusal.reason)) {
        true => Status::Unknown,
        false => Status::Incompatible,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn only_what_was_done_or_would_be_is_a_success() {
        for (state, reasons, expected) in [
            ("planned", &[][..], Status::Done),
            ("pending_reset", &[], Status::Done),
            ("reverted", &[], Status::Done),
            // It is of another update, and the one that was asked for was not judged.
            ("interrupted", &[], Status::Unknown),
            ("refused", &["no_monitor"], Status::Unknown),
            ("refused", &["no_monitor", "same_build"], Status::Incompatible),
        ] {
            let refusals: Vec<_> = reasons
                .iter()
                .map(|reason| json!({"reason": reason, "why": "so"}))
                .collect();
            let told = serde_json::from_value(json!({
                "schema": "flashmoor/update/1", "guest": {"pid": 1}, "from": "", "to": "", "state": state,
                "way": "in_place", "bytes_written": 0, "refusals": refusals, "remarks": [],
            }));
            assert_eq!(status(&told.unwrap()), expected, "{state} {reasons:?}");
        }
    }

    #[test]
    fn a_look_that_puts_right_what_was_left_is_no_dry_run() {
        assert!(Cli::try_parse_from(["flashmoor", "update", "--status"]).is_ok());
        assert!(Cli::try_parse_from(["flashmoor", "update", "--status", "--dry-run"]).is_err());
    }
}
