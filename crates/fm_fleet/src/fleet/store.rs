//! A build goes into the store: blobs, manifest, a look at both, and only then is it live.

use fm_api::v1::fleet::{BuildState, Digest, EventKind};

use super::builds::stored;
use super::events::event;
use super::inner::{Inner, MAX_ATTEMPT_COUNT, Stored, write};
use super::keys;
use super::manifest::{self, StoredBuild};
use super::record::BuildRecord;
use crate::{Error, Result};
use fm_blobs::oci::{digest_of, named_blobs};
use fm_blobs::{Blob, BlobReader, FoundManifest, Reference};
use fm_records::Transaction;

/// So often blobs are put in place again because the manifest was refused or something is gone.
const MAX_PUSH_COUNT: usize = 4;

/// Stores a build.
pub(super) async fn store(inner: &Inner, build: &StoredBuild, by: &str) -> Result<()> {
    manifest::check(build)?;
    inner.meta_to_write().await?;
    let key = keys::build(&build.build);
    for _ in 0..MAX_ATTEMPT_COUNT {
        let before: Option<Stored<BuildRecord>> = inner.get(&key).await?;
        let record = before
            .as_ref()
            .map_or_else(BuildRecord::missing, |before| before.value.clone());
        match record.state {
            BuildState::Deleting | BuildState::Unknown => {
                return Err(Error::WrongState {
                    build: build.build.clone(),
                    state: record.state,
                    wanted: "stored",
                });
            }
            BuildState::Live | BuildState::Condemned => {
                if verify(inner, &build.build).await? {
                    return Ok(());
                }
                continue;
            }
            BuildState::Missing | BuildState::Purged => {}
        }
        let generation = record.generation.saturating_add(1);
        let bytes = manifest::write(build, generation)?;
        let digest = push(inner, build, &bytes).await?;
        let code = build.layers.iter().find(|layer| layer.blob.digest == build.build);
        let next = BuildRecord {
            state: BuildState::Live,
            generation,
            manifest: Some(digest),
            size_bytes: code.map(|code| code.blob.size_bytes),
            name: build.name.clone().or(record.name),
            version: build.version.clone().or(record.version),
            facts: build.facts.clone().or(record.facts),
            ..record
        };
        if turn(
            inner,
            &build.build,
            before.as_ref(),
            &next,
            EventKind::BuildStored,
            by,
        )
        .await?
        {
            return Ok(());
        }
    }
    Err(Error::Contention {
        what: format!("the record of build {}", build.build),
    })
}

/// Takes up a build that lies in the store though no record says so: of an older version, or put there by hand.
pub(super) async fn adopt(inner: &Inner, build: &Digest, by: &str) -> Result<bool> {
    inner.meta_to_write().await?;
    let key = keys::build(build);
    let before: Option<Stored<BuildRecord>> = inner.get(&key).await?;
    let record = before
        .as_ref()
        .map_or_else(BuildRecord::missing, |before| before.value.clone());
    // Once something was deleted, a deletion that comes late may still hit what lies there.
    if record.state != BuildState::Missing || record.generation > 0 {
        return Ok(false);
    }
    for tag in [manifest::tag(build), manifest::old_tag(build)] {
        let Some(found) = inner.blobs.manifest(&Reference::Tag(tag)).await? else {
            continue;
        };
        if !manifest::is_of(&found.bytes, build) || !is_whole(inner, &found.bytes).await? {
            continue;
        }
        let next = BuildRecord {
            state: BuildState::Live,
            generation: 1,
            manifest: Some(found.digest),
            ..record.clone()
        };
        return turn(inner, build, before.as_ref(), &next, EventKind::BuildStored, by).await;
    }
    Ok(false)
}

async fn turn(
    inner: &Inner,
    build: &Digest,
    before: Option<&Stored<BuildRecord>>,
    next: &BuildRecord,
    kind: EventKind,
    by: &str,
) -> Result<bool> {
    let key = keys::build(build);
    let change = Transaction::new()
        .if_unchanged(&key, before.map(|before| before.modified))
        .put(&key, write(&key, next)?);
    let mut told = event(kind, inner.clock.display());
    told.build = Some(build.clone());
    told.by = Some(by.to_owned());
    Ok(inner.transact_with(change, vec![told]).await?.is_some())
}

/// Puts blobs and manifest in place until all of it is there.
async fn push(inner: &Inner, build: &StoredBuild, bytes: &[u8]) -> Result<Digest> {
    let config = manifest::empty_config()?;
    let mut blobs: Vec<&Blob> = build.layers.iter().map(|layer| &layer.blob).collect();
    blobs.push(&config);
    let digest = digest_of(bytes)?;
    let mut refused = None;
    for _ in 0..MAX_PUSH_COUNT {
        for blob in &blobs {
            if !inner.blobs.has_blob(&blob.digest).await? || refused.is_some() {
                inner.blobs.put_blob(blob).await?;
            }
        }
        match inner
            .blobs
            .put_manifest(&manifest::tag(&build.build), bytes)
            .await
        {
            Ok(found) if found == digest => {}
            Ok(found) => {
                return Err(fm_blobs::Error::Corrupt {
                    expected: digest,
                    found,
                }
                .into());
            }
            // The store's own collector may have taken blobs that no manifest named yet.
            Err(error @ fm_blobs::Error::ManifestRefused { .. }) => {
                refused = Some(error);
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        let found = inner.blobs.manifest(&Reference::Digest(digest.clone())).await?;
        if found.is_some() && is_whole(inner, bytes).await? {
            return Ok(digest);
        }
        refused = Some(fm_blobs::Error::ManifestRefused {
            digest: digest.clone(),
            why: "something of it was gone right after it was put in place".into(),
        });
    }
    Err(refused.map_or(Error::NoBlob { digest }, Error::Blobs))
}

async fn is_whole(inner: &Inner, manifest: &[u8]) -> Result<bool> {
    for blob in named_blobs(manifest)? {
        if !inner.blobs.has_blob(&blob).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a build that is on record as stored is there. One that is not is on record as missing from now on.
pub(super) async fn verify(inner: &Inner, build: &Digest) -> Result<bool> {
    for _ in 0..MAX_ATTEMPT_COUNT {
        let before = stored(inner, build).await?;
        let (BuildState::Live | BuildState::Condemned, Some(digest)) =
            (before.value.state, &before.value.manifest)
        else {
            return Ok(false);
        };
        if let Some(found) = inner.blobs.manifest(&Reference::Digest(digest.clone())).await?
            && is_whole(inner, &found.bytes).await?
        {
            return Ok(true);
        }
        let next = BuildRecord {
            state: BuildState::Missing,
            manifest: None,
            ..before.value.clone()
        };
        if turn(inner, build, Some(&before), &next, EventKind::BuildLost, "server").await? {
            return Ok(false);
        }
    }
    Err(Error::Contention {
        what: format!("the record of build {build}"),
    })
}

/// The manifest of a build that is there to be read. One that the store has lost is on record as missing from now on, so
/// that hosts which hold it are asked for it.
pub(super) async fn read_manifest(inner: &Inner, build: &Digest) -> Result<Option<FoundManifest>> {
    let record: Option<Stored<BuildRecord>> = inner.get(&keys::build(build)).await?;
    let manifest = record
        .filter(|record| matches!(record.value.state, BuildState::Live | BuildState::Condemned))
        .and_then(|record| record.value.manifest);
    let Some(manifest) = manifest else {
        return Ok(None);
    };
    let found = inner.blobs.manifest(&Reference::Digest(manifest)).await?;
    if found.is_none() {
        verify(inner, build).await?;
    }
    Ok(found)
}

/// A blob of the store.
pub(super) async fn read_blob(inner: &Inner, digest: &Digest) -> Result<Option<BlobReader>> {
    Ok(inner.blobs.read_blob(digest).await?)
}
