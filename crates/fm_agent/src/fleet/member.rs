//! Being a member of a fleet: joining it, leaving it, and knowing that one is.

use std::collections::BTreeMap;
use std::path::Path;

use fm_api::v1::membership::FleetMembership;
use fm_client::{Identity, JoinPlan, JoinToken};
use fm_remedy::{Input, Misuse, Remedy};
use fm_store::Store;

use super::labels::set_labels;
use crate::{Error, Result};

/// What joining needs.
#[derive(Debug, Clone)]
pub struct Joining<'a> {
    /// The token.
    pub token: &'a JoinToken,
    /// Addresses of the fleet's servers; the token's if there are none.
    pub urls: &'a [String],
    /// What this host is to be called; its own name if nothing is said.
    pub name: Option<&'a str>,
    /// What its owner says of it, such as its rack.
    pub labels: &'a BTreeMap<String, String>,
    /// Whether a membership that is there is given up for this one.
    pub replace: bool,
}

/// Makes a key, exchanges the token for a certificate, and keeps both.
///
/// # Errors
/// If this host is a member already, the fleet refuses, or the disk does.
pub fn join(store: &Store, folder: &Path, joining: &Joining<'_>) -> Result<FleetMembership> {
    if !joining.replace && folder.join("fleet.json").exists() {
        return Err(Error::Usage(Misuse {
            message: format!("this host has joined a fleet already: {}", folder.display()),
            remedy: Remedy::give(
                "leave it first, or say that the new one replaces it",
                [Input::Replace],
            ),
        }));
    }
    // The store comes into being as a store before anything else lies in its folder.
    let _ = store.builds()?;
    let own_name = fm_host::host_name().unwrap_or_default();
    let identity = fm_client::join(&JoinPlan {
        token: joining.token,
        urls: joining.urls,
        name: joining.name.unwrap_or(&own_name),
    })?;
    identity.save(folder)?;
    if !joining.labels.is_empty() {
        set_labels(folder, joining.labels)?;
    }
    Ok(told(&identity, folder))
}

/// The membership of this host, if it has one.
///
/// # Errors
/// If its files cannot be read.
pub fn membership(folder: &Path) -> Result<Option<FleetMembership>> {
    match Identity::load(folder) {
        Ok(identity) => Ok(Some(told(&identity, folder))),
        Err(fm_client::Error::NoIdentity { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Forgets the fleet. What the fleet remembers of this host stays until somebody retires it.
///
/// # Errors
/// If the disk refuses.
pub fn leave(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", folder, error))
        }
        _ => Ok(()),
    }
}

fn told(identity: &Identity, folder: &Path) -> FleetMembership {
    FleetMembership {
        schema: fm_api::Schema::default(),
        host: identity.name.clone(),
        urls: identity.urls.clone(),
        folder: folder.to_owned(),
    }
}
