//! The hook's answer: what libvirt is told before a guest arrives, starts, or leaves.
//!
//! It is decided from the XML and from local files alone. libvirt holds locks while it waits, so that
//! asking it anything would never end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fm_libvirt::Domain;
use fm_store::Store;

use super::arrival::{self, Arrival};
use super::{cold_boot, notes};

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
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// `migrate`, `restore`, `prepare`, `started` …
    pub operation: &'a str,
    /// `begin` or `end`.
    pub suboperation: &'a str,
    /// The domain's XML.
    pub xml: &'a str,
    /// What to do where we can't help.
    pub policy: Policy,
    /// When libvirt goes on without an answer.
    pub deadline: Duration,
    /// Where libvirt keeps its definitions: [`DEFINITIONS`].
    pub definitions: &'a Path,
}

/// Where the system's libvirt keeps the definitions of its domains.
pub const DEFINITIONS: &str = "/etc/libvirt/qemu";

impl Call<'_> {
    /// How long another writer of the store is waited for: there must be time left to say that it was too long.
    pub(super) fn patience(&self) -> Duration {
        self.deadline.saturating_sub(ANSWER).max(self.deadline / 2)
    }

    /// Whether nothing will arrive but a definition.
    fn is_offline(&self, domain: &Domain) -> bool {
        self.operation == "migrate" && !domain.has_resource && has_control_groups()
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Go on, nothing to say.
    Pass,
    /// Go on; this is for the log.
    Remark(String),
    /// Go on with this XML.
    Replace(String),
    /// Stop, for this reason.
    Refuse(String),
}

/// Decides. Whatever of ours fails lets libvirt go on as if we were not there, unless QEMU would fail anyway.
#[must_use]
pub fn answer(store: &Path, call: &Call<'_>) -> Answer {
    let acts = matches!(
        (call.operation, call.suboperation),
        ("migrate" | "restore" | "prepare", "begin")
    );
    if !acts {
        if matches!(call.operation, "release")
            && let Ok(domain) = Domain::parse(call.xml)
        {
            forget(store, &domain, call);
        }
        notes::tell(store);
        return Answer::Pass;
    }
    let Ok(domain) = Domain::parse(call.xml) else {
        return Answer::Remark("the domain's XML cannot be read, so nothing is done for it".into());
    };
    let answer = if domain.flash().is_none() {
        rom(&domain, call)
    } else if call.operation == "prepare" {
        cold_boot::answer(store, &domain, call)
    } else {
        let plan = match call.is_offline(&domain) {
            true => arrival::offline(store, &domain),
            false => arrival::plan(store, &domain, call.patience()),
        };
        match plan {
            Arrival::Ready => Answer::Pass,
            Arrival::Placed { loader, template } => {
                match fm_libvirt::with_firmware(call.xml, &loader, template.as_deref()) {
                    Ok(xml) => Answer::Replace(xml),
                    Err(error) => Answer::Remark(error.to_string()),
                }
            }
            Arrival::Unhelped(why) => Answer::Remark(why),
            Arrival::Impossible(why) => Answer::Refuse(why),
        }
    };
    match (answer, call.policy) {
        (Answer::Refuse(why), Policy::Pass) => Answer::Remark(why),
        (answer, _) => answer,
    }
}

/// No flash, or one in a format that libvirt keeps to itself. What `-bios` takes does come with the stream, but QEMU
/// wants a file to begin with.
fn rom(domain: &Domain, call: &Call<'_>) -> Answer {
    let file = domain.loader.as_ref().filter(|loader| !loader.is_flash);
    match file.and_then(|loader| loader.path.as_deref()) {
        Some(path) if call.operation != "prepare" && path.is_absolute() && !path.exists() => {
            Answer::Refuse(format!(
                "{}, the firmware of domain {}, is not on this host, and it is a ROM image, which Flashmoor does not \
                 carry; install the package that has it",
                path.display(),
                domain.name
            ))
        }
        _ => Answer::Pass,
    }
}

/// A domain's definition, if it has one.
pub(super) fn definition(folder: &Path, domain: &Domain) -> PathBuf {
    folder.join(format!("{}.xml", domain.name))
}

/// A guest that left, or never came: a placeholder that nothing arrived in is of no use to anybody.
fn forget(store: &Path, domain: &Domain, call: &Call<'_>) {
    let Some(uuid) = domain.uuid.as_deref() else {
        return;
    };
    let _ = fs::remove_file(mark(store, uuid));
    // looking costs a folder's listing; most hosts have no landings at all
    let Some(loader) = domain
        .flash()
        .filter(|path| path.starts_with(store.join("landings")))
    else {
        return;
    };
    // A definition that outlives the guest names it: its next start has to find it, and to be told what is wrong.
    if fs::read_to_string(definition(call.definitions, domain))
        .is_ok_and(|xml| xml.contains(&loader.display().to_string()))
    {
        return;
    }
    let Ok(store) = Store::open(store) else {
        return;
    };
    let store = store.with_patience(call.patience());
    let landings = store.landings().unwrap_or_default();
    for landing in landings {
        if landing.placeholder && landing.guest_uuid.as_deref() == Some(uuid) && landing.path == *loader {
            let _ = store.remove_landing(&landing.id);
        }
    }
}

/// The folder of those files, in that of a store.
pub(super) const ARRIVING: &str = "libvirt/arriving";

/// The file that says: this guest is on its way, so that its start here is no cold boot.
pub(super) fn mark(store: &Path, uuid: &str) -> PathBuf {
    let plain: String = uuid
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-')
        .take(64)
        .collect();
    store.join(ARRIVING).join(plain)
}

#[cfg(test)]
mod tests;
