//! Variables as JSON: read with the errors of this room, written as QEMU's `uefi-vars` device does.
//!
//! Source: QEMU `hw/uefi/var-service-json.c`; virt-firmware `efi/efijson.py` writes the same shape.

use std::path::Path;

use fm_images::json_store::{self, JsonStoreError};
pub(super) use fm_images::json_store::{Digests, Variables};
use fm_varstore::{Variable, attribute};
use serde::Serialize;

use crate::{Error, hex};

pub(super) fn read(path: &Path, text: &[u8]) -> Result<Variables, Error> {
    json_store::parse(text).map_err(|error| {
        let path = path.to_path_buf();
        match error {
            JsonStoreError::Syntax(source) => Error::Json { path, source },
            JsonStoreError::Version(version) => Error::JsonVersion { path, version },
            JsonStoreError::Field { name, field, why } => Error::JsonField {
                path,
                name,
                field,
                why,
            },
            why => Error::JsonShape { path, why },
        }
    })
}

#[derive(Serialize)]
struct OutDocument {
    version: u64,
    variables: Vec<OutEntry>,
}

#[derive(Serialize)]
struct OutEntry {
    guid: String,
    name: String,
    attr: u32,
    data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// The document that QEMU's `uefi-vars` device loads and virt-firmware reads.
pub(super) fn write(path: &Path, variables: &[Variable], digests: &Digests) -> Result<Vec<u8>, Error> {
    let mut entries = Vec::with_capacity(variables.len());
    for variable in variables {
        let name = String::from_utf16(variable.name.units()).map_err(|_| Error::JsonName {
            path: path.to_path_buf(),
            guid: variable.guid,
            name: variable.name.clone(),
        })?;
        let digest = digests.get(&(variable.guid, variable.name.clone())).cloned();
        entries.push(OutEntry {
            guid: variable.guid.to_string(),
            name,
            attr: variable.attributes,
            data: hex::encode(&variable.data),
            time: (!variable.timestamp.is_zero()).then(|| hex::encode(&variable.timestamp.0)),
            // Without authentication by time nobody's signature is asked for.
            digest: digest.filter(|_| variable.attributes & attribute::TIME_AUTHENTICATED != 0),
        });
    }
    let document = OutDocument {
        version: json_store::VERSION,
        variables: entries,
    };
    let mut text = serde_json::to_vec_pretty(&document).unwrap_or_default();
    text.push(b'\n');
    Ok(text)
}
