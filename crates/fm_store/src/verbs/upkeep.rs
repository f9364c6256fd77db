//! Keeping the store in order: verify, collect, pin, forget a landing.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use fm_formats::Sha256;
use schemars::JsonSchema;
use serde::Serialize;

use super::{LandingEntry, uses};
use crate::{Collect, Result, Store};

/// `flashmoor/store-verify/1`: what reading every byte of the store found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Verification {
    /// `flashmoor/store-verify/1`.
    pub schema: &'static str,
    /// The store's folder.
    pub store: PathBuf,
    /// Whether everything holds what it promises; leftovers do not count against that.
    pub whole: bool,
    /// How many builds the index names.
    pub builds: usize,
    /// How many landings there are.
    pub landings: usize,
    /// How many blobs were read.
    pub blobs: usize,
    /// Their size together.
    pub size_bytes: u64,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// One thing in the store that is not as it should be.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Takes room and harms nobody; `gc` clears it away.
    Leftover,
    /// Something does not hold what it promises.
    Damage,
}

/// How to collect.
#[derive(Debug, Clone)]
pub struct GcRequest {
    /// Say what would be removed, and remove nothing.
    pub dry_run: bool,
    /// How long a placeholder that no process names is kept.
    pub placeholder_age: Duration,
}

/// `flashmoor/store-gc/1`: what was removed, and why the rest stays.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Gc {
    /// `flashmoor/store-gc/1`.
    pub schema: &'static str,
    /// The store's folder.
    pub store: PathBuf,
    /// Whether nothing was really removed.
    pub dry_run: bool,
    /// What was removed, or would be.
    pub removed: Vec<Removed>,
    /// The builds that stay.
    pub kept: Vec<Kept>,
    /// How much room on disk that frees.
    pub freed_bytes: u64,
    /// Processes that could not be looked at for lack of rights.
    pub unseen_processes: usize,
}

/// One thing that was removed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum Removed {
    /// A build that nothing refers to.
    Build {
        /// Its id.
        id: String,
        /// Its name.
        name: Option<String>,
    },
    /// A placeholder whose guest never came.
    Landing {
        /// Its id.
        id: String,
    },
    /// What a dead writer left.
    Leftover {
        /// Where it was.
        path: PathBuf,
    },
}

/// A build that stays.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Who needs it.
    pub reasons: Vec<String>,
}

/// `flashmoor/store-pin/1`: a build's pins as they are now.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Pin {
    /// `flashmoor/store-pin/1`.
    pub schema: &'static str,
    /// The build's id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Whether the command changed anything.
    pub changed: bool,
    /// Why the build is kept now.
    pub pins: Vec<String>,
}

/// `flashmoor/store-forget/1`: a landing that was removed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RemovedLanding {
    /// `flashmoor/store-forget/1`.
    pub schema: &'static str,
    /// Its name.
    pub id: String,
    /// What it was; nothing if its record could not be read.
    pub landing: Option<LandingEntry>,
}

/// Reads everything in the store and compares it with what it is said to be.
///
/// # Errors
/// If the store cannot be read at all.
pub fn verify(store: &Store) -> Result<Verification> {
    let found = store.verify()?;
    let findings = found.findings.iter().map(|finding| Finding {
        severity: match finding.severity {
            crate::Severity::Leftover => Severity::Leftover,
            crate::Severity::Damage => Severity::Damage,
        },
        path: finding.path.clone(),
        what: finding.what.clone(),
    });
    Ok(Verification {
        schema: "flashmoor/store-verify/1",
        store: store.path().to_owned(),
        whole: found.is_whole(),
        builds: found.builds,
        landings: found.landings,
        blobs: found.blobs,
        size_bytes: found.bytes,
        findings: findings.collect(),
    })
}

/// As [`gc`], of these builds only; what else nothing refers to is not the caller's to remove. A landing
/// that nothing has named for `age` goes first, because it keeps its build. Returns the builds that went.
pub fn collect_unneeded(store: &Store, builds: &[Sha256], age: Duration) -> Result<Vec<Sha256>> {
    let done = store.collect(&Collect {
        uses: &|| Ok(uses::gather(store)?.found),
        dry_run: false,
        placeholder_age: age,
        settled_age: Some(age),
        only: Some(builds),
    })?;
    let removed = done.removed.iter().filter_map(|removed| match removed {
        crate::Removed::Build { id, .. } => Some(*id),
        _ => None,
    });
    Ok(removed.collect())
}

/// Removes placeholders that are older than `age` and that no process, configuration or saved guest names. Returns
/// the landings that went.
pub fn forget_placeholders(store: &Store, age: Duration) -> Result<Vec<String>> {
    let (landings, unreadable) = store.all_landings()?;
    // Nothing to look for, and no lock to take, on most hosts.
    if unreadable.is_empty() && !landings.iter().any(|landing| landing.placeholder) {
        return Ok(Vec::new());
    }
    let done = store.collect(&Collect {
        uses: &|| Ok(uses::gather(store)?.found),
        dry_run: false,
        placeholder_age: age,
        settled_age: None,
        only: Some(&[]),
    })?;
    let removed = done.removed.into_iter().filter_map(|removed| match removed {
        crate::Removed::Landing { id } => Some(id),
        _ => None,
    });
    Ok(removed.collect())
}

/// Removes what no process, configuration, saved guest, landing or pin refers to.
///
/// # Errors
/// If the store is busy, cannot be read, or the disk refuses.
pub fn gc(store: &Store, request: &GcRequest) -> Result<Gc> {
    let _span = tracing::info_span!("store gc", dry_run = request.dry_run).entered();
    let unseen_processes = Cell::new(0);
    let done = store.collect(&Collect {
        uses: &|| {
            let uses = uses::gather(store)?;
            unseen_processes.set(uses.unseen_processes);
            Ok(uses.found)
        },
        dry_run: request.dry_run,
        placeholder_age: request.placeholder_age,
        settled_age: None,
        only: None,
    })?;
    let removed = done.removed.into_iter().map(|removed| match removed {
        crate::Removed::Build { id, name } => Removed::Build {
            id: id.to_string(),
            name,
        },
        crate::Removed::Landing { id } => Removed::Landing { id },
        crate::Removed::Leftover { path } => Removed::Leftover { path },
    });
    let kept = done.kept.into_iter().map(|kept| Kept {
        id: kept.id.to_string(),
        name: kept.name,
        reasons: kept.reasons,
    });
    Ok(Gc {
        schema: "flashmoor/store-gc/1",
        store: store.path().to_owned(),
        dry_run: request.dry_run,
        removed: removed.collect(),
        kept: kept.collect(),
        freed_bytes: done.freed_bytes,
        unseen_processes: unseen_processes.get(),
    })
}

/// Keeps the build that `text` means, for `reason`.
///
/// # Errors
/// If no build is meant, or the store refuses.
pub fn pin(store: &Store, text: &str, reason: &str) -> Result<Pin> {
    let id = store.find(text)?.id;
    let changed = store.pin(&id, reason)?;
    pinned(store, &id, changed)
}

/// Drops one reason to keep the build that `text` means, or all.
///
/// # Errors
/// If no build is meant, or the store refuses.
pub fn unpin(store: &Store, text: &str, reason: Option<&str>) -> Result<Pin> {
    // By its whole id also one whose manifest cannot be read.
    let id = match text.trim_start_matches("sha256:").parse() {
        Ok(id) => id,
        Err(_) => store.find(text)?.id,
    };
    let changed = store.unpin(&id, reason)?;
    pinned(store, &id, changed)
}

fn pinned(store: &Store, id: &Sha256, changed: bool) -> Result<Pin> {
    let build = store.build(id).ok().flatten();
    Ok(Pin {
        schema: "flashmoor/store-pin/1",
        id: id.to_string(),
        name: build.and_then(|build| build.name),
        changed,
        pins: store.pins(id)?,
    })
}

/// Removes a landing that no guest needs any more, also one whose record cannot be read.
///
/// # Errors
/// [`crate::Error::InUse`] if something refers to it still, or if the store refuses.
pub fn forget(store: &Store, id: &str) -> Result<RemovedLanding> {
    let landing = store.forget_landing(id, &|| Ok(uses::gather(store)?.found))?;
    Ok(RemovedLanding {
        schema: "flashmoor/store-forget/1",
        id: id.to_owned(),
        landing: landing.map(LandingEntry::from),
    })
}
