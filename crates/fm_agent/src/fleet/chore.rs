//! What a host does for its fleet besides reporting: it brings builds that the fleet lacks.

use fm_api::oci::{CODE, DESCRIPTOR, VARS_TEMPLATE};
use fm_api::v1::enrolment::{UploadedBuild, UploadedLayer};
use fm_api::v1::fleet::{BuildView, Digest};
use fm_client::{Client, Precondition};
use fm_files::Place;
use fm_formats::Sha256;
use fm_store::{Build, MAX_DESCRIPTOR_BYTES, MAX_FLASH_BYTES, Store, StoredFile};

use super::facts;
use crate::{Error, Result};

/// Uploads a build: its blobs, and then what it is made of. Whether it was there to be uploaded.
pub(super) fn upload(client: &Client, store: &Store, build: &Digest) -> Result<bool> {
    let Some(build) = build
        .as_str()
        .parse::<Sha256>()
        .ok()
        .map(|id| store.build(&id))
        .transpose()?
        .flatten()
    else {
        // Gone meanwhile, or run by a guest and not captured yet: the fleet will ask again.
        return Ok(false);
    };
    let mut layers = Vec::new();
    for (media_type, title, part, limit_bytes) in parts(&build) {
        let bytes = read(part, limit_bytes)?;
        let digest = Digest::from(part.sha256.to_bytes());
        client.put_bytes(&format!("/api/v1/blobs/{digest}"), &bytes)?;
        layers.push(UploadedLayer {
            media_type: media_type.into(),
            title,
            digest,
        });
    }
    let _: BuildView = client.write(
        "PUT",
        &format!("/api/v1/builds/{}", build.id),
        &UploadedBuild {
            layers,
            name: build.name.clone(),
            version: build.version.clone(),
            source: build.source.clone(),
            facts: facts::of_build(&build),
        },
        Precondition::None,
    )?;
    Ok(true)
}

/// The files of a build, each with its kind, its name and its limit.
fn parts(build: &Build) -> Vec<(&'static str, String, &StoredFile, u64)> {
    let mut parts = vec![(CODE, "CODE.fd".to_owned(), &build.code, MAX_FLASH_BYTES)];
    if let Some(template) = &build.vars_template {
        parts.push((VARS_TEMPLATE, "VARS.fd".into(), template, MAX_FLASH_BYTES));
    }
    let first = build.vars_template.as_ref().map(|template| template.sha256);
    for template in &build.templates {
        if Some(template.sha256) != first {
            let name = format!("VARS-sha256-{}.fd", template.sha256);
            parts.push((VARS_TEMPLATE, name, template, MAX_FLASH_BYTES));
        }
    }
    if let Some(descriptor) = &build.descriptor {
        parts.push((
            DESCRIPTOR,
            "descriptor.json".into(),
            descriptor,
            MAX_DESCRIPTOR_BYTES,
        ));
    }
    parts
}

/// A file of the store's, if it still is what the store says.
fn read(part: &StoredFile, limit_bytes: u64) -> Result<Vec<u8>> {
    let place = Place::at(&part.path)?;
    let bytes = place
        .folder()
        .read(place.name(), limit_bytes)?
        .ok_or_else(|| Error::file("read", &part.path, std::io::ErrorKind::NotFound.into()))?;
    if Sha256::of(&bytes) != part.sha256 {
        let damaged = std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not what the store says");
        return Err(Error::file("read", &part.path, damaged));
    }
    Ok(bytes)
}
