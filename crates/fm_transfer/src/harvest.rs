//! `harvest`: read the firmware that landed from the running guest, verify it, store it, settle the landing.

use std::path::{Path, PathBuf};

use fm_formats::Sha256;
use fm_host::Guest;
use fm_store::{Import, Landing, Store};

/// What a harvest brought in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Harvested {
    /// Digest of the CODE that the guest runs; nothing if it could not be read.
    pub sha256: Option<Sha256>,
    /// Its length.
    pub size_bytes: Option<u64>,
    /// The digest it should have, as the source or the landing said.
    pub expected_sha256: Option<Sha256>,
    /// Whether both are known and equal.
    pub verified: bool,
    /// The stored build's CODE file.
    pub path: Option<PathBuf>,
    /// The landing that now holds the true bytes.
    pub landing: Option<String>,
    /// What was not done and why, if anything.
    pub remark: Option<String>,
}

/// The harvest of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Harvest {
    /// Whether it is what would be stored, and nothing was.
    pub dry_run: bool,
    /// The guest's process.
    pub pid: u32,
    /// The firmware it runs.
    pub code: Harvested,
}

impl Harvested {
    /// Nothing was read, for the reason in `remark`.
    pub fn unread(expected: Option<Sha256>, remark: impl Into<String>) -> Self {
        Self {
            sha256: None,
            size_bytes: None,
            expected_sha256: expected,
            verified: false,
            path: None,
            landing: None,
            remark: Some(remark.into()),
        }
    }
}

/// Harvests the guest that `selector` names. Where `expected` is not given, the landing's own digest counts.
///
/// # Errors
/// If there is no such guest, its bytes cannot be read or are not the expected ones, or the store refuses.
/// Nothing is stored or settled unless the digest matches.
pub fn harvest(store: &Store, selector: &str, expected: Option<Sha256>) -> crate::Result<Harvest> {
    let guest = fm_host::find(selector)?;
    let code = of_guest(store, &guest, expected, false)?;
    Ok(Harvest {
        dry_run: store.is_dry_run(),
        pid: guest.pid(),
        code,
    })
}

/// The harvest at the end of a migration, which has succeeded whatever comes of this.
///
/// `updated` if its firmware was exchanged on the way: then the landing, which was made for what it left with, holds
/// what it arrived with.
pub fn after_migration(
    store: &Store,
    pid: u32,
    expected: Option<Sha256>,
    updated: bool,
) -> crate::Result<Harvested> {
    of_guest(store, &fm_host::find(&pid.to_string())?, expected, updated)
}

fn of_guest(
    store: &Store,
    guest: &Guest,
    expected: Option<Sha256>,
    updated: bool,
) -> crate::Result<Harvested> {
    let code = guest.read_flash(0)?;
    let found = Sha256::of(&code);
    let landing = landing_of(store, guest)?;
    let expected = expected.or(landing.as_ref().map(|landing| landing.code));
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        let source = crate::Mismatch { expected, found };
        return Err(crate::Error::DigestMismatch {
            pid: guest.pid(),
            source,
        });
    }
    let stored = store.import(&Import {
        code: &code,
        source: Some("harvested from a running guest"),
        ..Import::default()
    })?;
    let settled = landing
        .map(|landing| match updated {
            true => store.settle_landing_anew(&landing.id, &found),
            false => store.settle_landing(&landing.id, &found),
        })
        .transpose()?;
    Ok(Harvested {
        sha256: Some(found),
        size_bytes: Some(code.len() as u64),
        expected_sha256: expected,
        verified: expected.is_some(),
        path: Some(stored.path),
        landing: settled.map(|landing| landing.id),
        remark: expected
            .is_none()
            .then(|| "nobody said which digest to expect, so the bytes are stored as found".into()),
    })
}

/// The landing whose file the guest's CODE flash was started from.
fn landing_of(store: &Store, guest: &Guest) -> crate::Result<Option<Landing>> {
    let Some(started_from) = &guest.flash_unit(0)?.path else {
        return Ok(None);
    };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let started_from = real(started_from);
    Ok(store
        .landings()?
        .into_iter()
        .find(|landing| real(&landing.path) == started_from))
}
