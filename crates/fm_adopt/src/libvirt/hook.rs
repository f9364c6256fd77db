//! The hook's answer: what libvirt is told before a guest arrives, starts, or leaves.
//!
//! It is decided from the XML and from local files alone: libvirt holds locks while it waits, so that asking it anything
//! would never end. Only a build that this host lacks is asked for, at the agent and for half of the deadline. First the facts are gathered, then it is decided what to do, which touches nothing, and then that is
//! done.

mod act;
mod decide;
mod document;
mod facts;
mod lacks;
mod marks;
mod reason;

use std::fs;
use std::path::Path;
use std::time::Duration;

use fm_libvirt::Domain;
pub use fm_libvirt::{Operation, SubOperation};

use crate::{interrupted, supply};

pub use self::decide::{Decision, Outcome, PlacedCode, PlacedTemplate, Step};
pub use self::document::decision_document;
pub(super) use self::marks::{ARRIVING, BLANK_VARS, has_served};
pub use self::reason::Reason;

/// What to do where we can't help and QEMU would fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Refuse, with the reason in one line.
    #[default]
    Refuse,
    /// Say the reason in libvirt's log, and let it fail by itself.
    Pass,
}

/// How libvirt called the hook.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// What libvirt is about to do, or has done.
    pub operation: Operation,
    /// Which moment of it.
    pub sub_operation: SubOperation,
    /// The domain's XML.
    pub xml: &'a str,
    /// What to do where we can't help.
    pub policy: Policy,
    /// When libvirt goes on without an answer.
    pub deadline: Duration,
    /// Where libvirt keeps its definitions: [`DEFINITIONS`].
    pub definitions: &'a Path,
    /// Whether nothing is to be written, not even what was found in files.
    pub dry_run: bool,
}

/// Where the system's libvirt keeps the definitions of its domains.
pub const DEFINITIONS: &str = "/etc/libvirt/qemu";

impl Call<'_> {
    /// How long another writer of the store is waited for: there must be time left to say that it was too long.
    fn lock_timeout(&self) -> Duration {
        self.deadline.saturating_sub(ANSWER).max(self.deadline / 2)
    }

    /// Whether nothing will arrive but a definition.
    fn is_offline(&self, domain: &Domain) -> bool {
        self.operation == Operation::Migrate && !domain.has_cgroup_partition && has_control_groups()
    }
}

/// What an answer takes.
const ANSWER: Duration = Duration::from_millis(300);

/// Whether libvirt puts guests into control groups, and so notes in what runs where those belong: the system's
/// libvirt does wherever the kernel has them.
fn has_control_groups() -> bool {
    rustix::process::geteuid().is_root()
        && fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| mounts.contains(" cgroup"))
}

/// What libvirt is told.
#[derive(Debug)]
pub enum Answer {
    /// Go on, nothing to say.
    Pass,
    /// Go on; this is for the log.
    Remark(Reason),
    /// Go on with this XML.
    Replace(String),
    /// Stop, for this reason.
    Refuse(Reason),
}

/// What would be done on this call. Nothing is done, and nothing is written.
#[must_use]
pub fn decision(store: &Path, call: &Call<'_>) -> Decision {
    let call = Call {
        dry_run: true,
        ..call.clone()
    };
    decide::decide(facts::gather(store, &call), call.policy)
}

/// Decides, does what was decided, and answers.
#[must_use]
pub fn answer(store: &Path, call: &Call<'_>) -> Answer {
    if let Some(reason) = half_written(store, call) {
        return match call.policy {
            Policy::Refuse => Answer::Refuse(reason),
            Policy::Pass => Answer::Remark(reason),
        };
    }
    let mut facts = facts::gather(store, call);
    // The fleet may have what this host lacks. Whatever comes of it, there is time left for what is done without.
    if let Some(wanted) = facts.lacks()
        && !call.dry_run
        && supply::ask(store, &wanted, call.deadline / 2)
    {
        facts = facts::gather(store, call);
    }
    act::act(store, call, decide::decide(facts, call.policy))
}

/// Before a start: finishes or undoes a write to a block device that the domain names and that was interrupted; the reason
/// if that cannot be.
fn half_written(store: &Path, call: &Call<'_>) -> Option<Reason> {
    let is_start = matches!(call.operation, Operation::Prepare | Operation::Start)
        && call.sub_operation == SubOperation::Begin;
    if call.dry_run || !is_start {
        return None;
    }
    let domain = Domain::parse(call.xml).ok()?;
    let names = |path: &Path| domain.nvram.as_ref().is_some_and(|nvram| nvram.is_at(path));
    let (path, source) = interrupted::in_the_way(store, names)?;
    Some(Reason::HalfWritten {
        domain: domain.name,
        path,
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests;
