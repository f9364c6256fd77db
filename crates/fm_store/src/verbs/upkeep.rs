//! Keeping the store in order: verify, collect, pin, forget a landing.

use std::path::PathBuf;
use std::time::Duration;

use fm_formats::Sha256;
use schemars::JsonSchema;
use serde::Serialize;

use super::{LandingEntry, uses};
use crate::{Collect, GcRoot, Result, Store};

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
    /// What it was.
    pub landing: LandingEntry,
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
    let mut uses = uses::gather(store)?.found;
    let oldest = jiff::Timestamp::now().checked_sub(age).ok();
    for landing in store.landings()? {
        let folder = landing.path.parent();
        let is_named = uses
            .iter()
            .filter_map(|by| by.path.as_deref())
            .any(|path| path == landing.path || path.parent() == folder);
        let is_old = landing
            .created
            .parse::<jiff::Timestamp>()
            .is_ok_and(|created| oldest.is_some_and(|oldest| created < oldest));
        if !landing.placeholder && !is_named && is_old {
            store.remove_landing(&landing.id)?;
        }
    }
    for build in store.builds()? {
        if !builds.contains(&build.id) {
            uses.push(GcRoot {
                by: "somebody".into(),
                build: Some(build.id),
                path: None,
            });
        }
    }
    let done = store.collect(&Collect {
        uses: &uses,
        dry_run: false,
        placeholder_age: age,
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
    let oldest = jiff::Timestamp::now().checked_sub(age).ok();
    let is_old = |landing: &crate::Landing| {
        let created = landing.created.parse::<jiff::Timestamp>();
        created.is_ok_and(|created| oldest.is_some_and(|oldest| created <= oldest))
    };
    let mut waiting = store.landings()?;
    waiting.retain(|landing| landing.placeholder && is_old(landing));
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let uses = uses::gather(store)?.found;
    waiting.retain(|landing| !uses.iter().any(|by| by.path.as_ref() == Some(&landing.path)));
    for landing in &waiting {
        store.remove_landing(&landing.id)?;
    }
    Ok(waiting.into_iter().map(|landing| landing.id).collect())
}

/// Removes what no process, configuration, saved guest, landing or pin refers to.
///
/// # Errors
/// If the store is busy, cannot be read, or the disk refuses.
pub fn gc(store: &Store, request: &GcRequest) -> Result<Gc> {
    let uses = uses::gather(store)?;
    let done = store.collect(&Collect {
        uses: &uses.found,
        dry_run: request.dry_run,
        placeholder_age: request.placeholder_age,
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
        unseen_processes: uses.unseen_processes,
    })
}

/// Keeps the build that `text` means, for `reason`.
///
/// # Errors
/// If no build is meant, or the store refuses.
pub fn pin(store: &Store, text: &str, reason: &str) -> Result<Pin> {
    let id = store.find(text)?.id;
    let changed = store.pin(&id, reason)?;
    pinned(store, text, changed)
}

/// Drops one reason to keep the build that `text` means, or all.
///
/// # Errors
/// If no build is meant, or the store refuses.
pub fn unpin(store: &Store, text: &str, reason: Option<&str>) -> Result<Pin> {
    let id = store.find(text)?.id;
    let changed = store.unpin(&id, reason)?;
    pinned(store, text, changed)
}

fn pinned(store: &Store, text: &str, changed: bool) -> Result<Pin> {
    let build = store.find(text)?;
    Ok(Pin {
        schema: "flashmoor/store-pin/1",
        id: build.id.to_string(),
        name: build.name,
        changed,
        pins: build.pins,
    })
}

/// Removes a landing that no guest needs any more.
///
/// # Errors
/// [`crate::Error::Usage`] if something refers to it still, or if the store refuses.
pub fn forget(store: &Store, id: &str) -> Result<RemovedLanding> {
    let unknown = || crate::Error::UnknownLanding { id: id.to_owned() };
    let landing = store.landing(id)?.ok_or_else(unknown)?;
    let users = uses::gather(store)?;
    let user = users
        .found
        .iter()
        .find(|user| user.path.as_ref() == Some(&landing.path));
    if let Some(user) = user {
        return Err(crate::Error::Usage {
            message: format!("landing {id:?} is in use by {}", user.by),
            remedy: "leave it until that is gone".into(),
        });
    }
    let landing = store.remove_landing(id)?.into();
    Ok(RemovedLanding {
        schema: "flashmoor/store-forget/1",
        landing,
    })
}
