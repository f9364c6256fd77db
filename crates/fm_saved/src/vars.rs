//! `saved vars`: the variables that a saved guest had.

use fm_formats::stream::BlockKind;
use fm_formats::varstore::VarStore;
use schemars::JsonSchema;
use serde::Serialize;

use crate::extract::whole;
use crate::stream::{self, Request};
use crate::{Error, Result};

/// `flashmoor/saved-vars/1`: the live variables in a saved guest's VARS flash.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SavedVars {
    /// `flashmoor/saved-vars/1`.
    pub schema: String,
    /// The digest of the VARS flash.
    pub sha256: String,
    /// The variables, in the order of the store.
    pub variables: Vec<SavedVariable>,
    /// Damage of the store, with its offset in the VARS flash: variables may be lost in it.
    pub damage: Vec<String>,
}

/// A variable.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SavedVariable {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub guid: String,
    /// Its attributes, as UEFI numbers them.
    pub attributes: u32,
    /// How much data it holds.
    pub size_bytes: u64,
}

/// Lists the live variables of a saved guest.
///
/// # Errors
/// If the input holds no whole VARS flash, or that is no variable store.
pub fn vars(input: &Request) -> Result<SavedVars> {
    let gathered = stream::gather(input)?;
    let index = whole(&gathered, gathered.first_of(BlockKind::Vars), "VARS flash")?;
    let bytes = gathered.bytes(index).unwrap_or_default();
    let store = VarStore::parse(&bytes).map_err(|source| Error::Vars {
        path: gathered.path.clone(),
        source,
    })?;
    let variables = store.to_variables().into_iter().map(|variable| SavedVariable {
        name: variable.name.to_string(),
        guid: variable.guid.to_string(),
        attributes: variable.attributes,
        size_bytes: variable.data.len() as u64,
    });
    Ok(SavedVars {
        schema: "flashmoor/saved-vars/1".into(),
        sha256: gathered
            .sha256(index)
            .map(|digest| digest.to_string())
            .unwrap_or_default(),
        variables: variables.collect(),
        damage: store.damage_found().iter().map(ToString::to_string).collect(),
    })
}
