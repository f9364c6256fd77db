//! `saved vars`: the variables that a saved guest had.

use fm_api::Schema;
use fm_api::v1::saved::{SavedVariable, SavedVars};
use fm_formats::Sha256;
use fm_stream::{BlockKind, uefi_variables};
use fm_varstore::{VarStore, Variable};

use crate::extract::whole;
use crate::stream::{self, Gathered, Request};
use crate::{Error, Result};

fn saved(variable: Variable) -> SavedVariable {
    SavedVariable {
        name: variable.name.to_string(),
        guid: variable.guid.to_string(),
        attributes: variable.attributes,
        size_bytes: variable.data.len() as u64,
    }
}

/// Those that last in QEMU's `uefi-vars` device, if the guest has one.
fn of_device(gathered: &Gathered) -> Result<Option<SavedVars>> {
    let mut devices = gathered.facts.devices.iter();
    let Some((device, state)) = devices.find_map(|device| Some((device, device.state.as_ref()?))) else {
        return Ok(None);
    };
    let variables = uefi_variables(state, device.offset).map_err(|source| Error::Vars {
        path: gathered.path.clone(),
        source,
    })?;
    Ok(Some(SavedVars {
        schema: Schema::default(),
        sha256: Sha256::of(state).to_string(),
        variables: variables.into_iter().map(saved).collect(),
        damage: Vec::new(),
    }))
}

/// Lists the live variables of a saved guest.
///
/// # Errors
/// If the input holds no whole VARS flash, or that is no variable store.
pub fn vars(input: &Request) -> Result<SavedVars> {
    let gathered = stream::gather(input)?;
    if gathered.first_of(BlockKind::Vars).is_none()
        && let Some(found) = of_device(&gathered)?
    {
        return Ok(found);
    }
    let index = whole(&gathered, gathered.first_of(BlockKind::Vars), "VARS flash")?;
    let bytes = gathered.bytes(index).unwrap_or_default();
    let store = VarStore::parse(&bytes).map_err(|source| Error::Vars {
        path: gathered.path.clone(),
        source,
    })?;
    let variables = store.to_variables().into_iter().map(saved);
    Ok(SavedVars {
        schema: Schema::default(),
        sha256: gathered
            .sha256(index)
            .map(|digest| digest.to_string())
            .unwrap_or_default(),
        variables: variables.collect(),
        damage: store.damage_found().iter().map(ToString::to_string).collect(),
    })
}
