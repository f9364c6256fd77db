//! Keeping the store in order: verify, collect, pin, forget a landing.

use std::cell::Cell;
use std::time::Duration;

use fm_api::Schema;
use fm_api::v1::store::{
    StoreFinding, StoreForgotten, StoreGc, StoreKept, StorePins, StoreRemoved, StoreSeverity,
    StoreVerification, StoredLanding,
};
use fm_formats::Sha256;

use super::uses;
use crate::{Collect, Result, Store, pin};

/// How to collect.
#[derive(Debug, Clone)]
pub struct GcRequest {
    /// Say what would be removed, and remove nothing.
    pub dry_run: bool,
    /// How long a placeholder that no process names is kept.
    pub placeholder_age: Duration,
}

/// Reads everything in the store and compares it with what it is said to be.
///
/// # Errors
/// If the store cannot be read at all.
pub fn verify(store: &Store) -> Result<StoreVerification> {
    let found = store.verify()?;
    let findings = found.findings.iter().map(|finding| StoreFinding {
        severity: match finding.severity {
            crate::Severity::Leftover => StoreSeverity::Leftover,
            crate::Severity::Damage => StoreSeverity::Damage,
        },
        path: finding.path.clone(),
        what: finding.what.clone(),
    });
    Ok(StoreVerification {
        schema: Schema::default(),
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
pub fn gc(store: &Store, request: &GcRequest) -> Result<StoreGc> {
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
        crate::Removed::Build { id, name } => StoreRemoved::Build {
            id: id.to_string(),
            name,
        },
        crate::Removed::Landing { id } => StoreRemoved::Landing { id },
        crate::Removed::Leftover { path } => StoreRemoved::Leftover { path },
    });
    let kept = done.kept.into_iter().map(|kept| StoreKept {
        id: kept.id.to_string(),
        name: kept.name,
        reasons: kept.reasons,
    });
    Ok(StoreGc {
        schema: Schema::default(),
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
pub fn pin(store: &Store, text: &str, reason: &str) -> Result<StorePins> {
    let id = store.find(text)?.id;
    let changed = store.pin(&id, reason)?;
    pinned(store, &id, changed, |pins| pin::add(pins, reason))
}

/// Drops one reason to keep the build that `text` means, or all.
///
/// # Errors
/// If no build is meant, or the store refuses.
pub fn unpin(store: &Store, text: &str, reason: Option<&str>) -> Result<StorePins> {
    // By its whole id also one whose manifest cannot be read.
    let id = match text.trim_start_matches("sha256:").parse() {
        Ok(id) => id,
        Err(_) => store.find(text)?.id,
    };
    let changed = store.unpin(&id, reason)?;
    pinned(store, &id, changed, |pins| pin::drop_from(pins, reason))
}

/// After a dry run the reasons are still the old ones: `change` makes them what they would be.
fn pinned(
    store: &Store,
    id: &Sha256,
    changed: bool,
    change: impl FnOnce(&mut Vec<String>),
) -> Result<StorePins> {
    let build = store.build(id).ok().flatten();
    let mut pins = store.pins(id)?;
    change(&mut pins);
    Ok(StorePins {
        schema: Schema::default(),
        id: id.to_string(),
        name: build.and_then(|build| build.name),
        dry_run: store.is_dry_run(),
        changed,
        pins,
    })
}

/// Removes a landing that no guest needs any more, also one whose record cannot be read.
///
/// # Errors
/// [`crate::Error::InUse`] if something refers to it still, or if the store refuses.
pub fn forget(store: &Store, id: &str) -> Result<StoreForgotten> {
    let landing = store.forget_landing(id, &|| Ok(uses::gather(store)?.found))?;
    Ok(StoreForgotten {
        schema: Schema::default(),
        dry_run: store.is_dry_run(),
        id: id.to_owned(),
        landing: landing.map(StoredLanding::from),
    })
}
