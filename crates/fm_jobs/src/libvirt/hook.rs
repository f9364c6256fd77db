//! The hook's answer: what libvirt is told before a guest arrives, starts, or leaves.
//!
//! It is decided from the XML and from local files alone. libvirt holds locks while it waits, so that
//! asking it anything would never end.

use std::fs;
use std::path::Path;

use fm_libvirt::Domain;
use fm_store::Store;

use super::arrival::{self, Arrival};
use super::{FOLDER, cold_boot, notes};

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
            forget(store, &domain);
        }
        notes::tell(store, call.operation);
        return Answer::Pass;
    }
    let Ok(domain) = Domain::parse(call.xml) else {
        return Answer::Remark("the domain's XML cannot be read, so nothing is done for it".into());
    };
    if domain.flash().is_none() {
        // No flash, or one in a format that libvirt keeps to itself.
        return Answer::Pass;
    }
    let answer = match call.operation {
        "prepare" => cold_boot::answer(store, &domain),
        _ => match arrival::plan(store, &domain) {
            Arrival::Ready => Answer::Pass,
            Arrival::Placed { loader, template } => {
                match fm_libvirt::with_firmware(call.xml, &loader, template.as_deref()) {
                    Ok(xml) => Answer::Replace(xml),
                    Err(error) => Answer::Remark(error.to_string()),
                }
            }
            Arrival::Unhelped(why) => Answer::Remark(why),
            Arrival::Impossible(why) => Answer::Refuse(why),
        },
    };
    match (answer, call.policy) {
        (Answer::Refuse(why), Policy::Pass) => Answer::Remark(why),
        (answer, _) => answer,
    }
}

/// A guest that left, or never came: a placeholder that nothing arrived in is of no use to anybody.
fn forget(store: &Path, domain: &Domain) {
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
    let definition = Path::new("/etc/libvirt/qemu").join(format!("{}.xml", domain.name));
    if fs::read_to_string(definition).is_ok_and(|xml| xml.contains(&loader.display().to_string())) {
        return;
    }
    let Ok(store) = Store::open(store) else {
        return;
    };
    let store = store.with_patience(arrival::PATIENCE);
    let landings = store.landings().unwrap_or_default();
    for landing in landings {
        if landing.placeholder && landing.guest_uuid.as_deref() == Some(uuid) && landing.path == *loader {
            let _ = store.remove_landing(&landing.id);
        }
    }
}

/// The file that says: this guest is on its way, so that its start here is no cold boot.
pub(super) fn mark(store: &Path, uuid: &str) -> std::path::PathBuf {
    let plain: String = uuid
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-')
        .take(64)
        .collect();
    store.join(FOLDER).join("arriving").join(plain)
}

#[cfg(test)]
mod tests;
