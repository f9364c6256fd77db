//! Variables as JSON: what QEMU's `uefi-vars` device and virt-firmware write, and our own list.
//!
//! Source: QEMU `hw/uefi/var-service-json.c`; virt-firmware `efi/efijson.py` writes the same shape.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fm_formats::Guid;
use fm_formats::varstore::{Name, ParseNameError, Time, Variable, attribute};
use serde::{Deserialize, Serialize};

use crate::{Error, hex};

#[derive(Debug, Deserialize)]
struct Document {
    /// Only our own list has it.
    #[serde(default)]
    schema: Option<String>,
    /// Of QEMU's shape.
    #[serde(default)]
    version: Option<u32>,
    variables: Vec<Entry>,
}

/// The version of QEMU's shape that is known.
const VERSION: u32 = 2;

/// QEMU's record of who may change a private authenticated variable, as its own hexadecimal text.
pub(super) type Digests = BTreeMap<(Guid, Name), String>;

/// Any of the three shapes: `attr` or `attributes`, `time` (hex) or `timestamp` (ours).
#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    guid: String,
    #[serde(alias = "attributes")]
    attr: u32,
    data: String,
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    timestamp: Option<OwnTime>,
    #[serde(default)]
    monotonic_count: u64,
    #[serde(default)]
    public_key_index: u32,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    state: Option<String>,
}

#[derive(Debug, Deserialize)]
struct OwnTime {
    raw: String,
}

/// What a JSON document held.
#[derive(Debug, Default)]
pub(super) struct Variables {
    pub(super) variables: Vec<Variable>,
    pub(super) digests: Digests,
}

pub(super) fn read(path: &Path, text: &[u8]) -> Result<Variables, Error> {
    // QEMU takes an empty file for a store without variables.
    if text.is_empty() {
        return Ok(Variables::default());
    }
    let document: Document = serde_json::from_slice(text).map_err(|source| Error::Json {
        path: path.to_path_buf(),
        source,
    })?;
    if let Some(version) = document.version.filter(|version| *version > VERSION) {
        return Err(Error::JsonVersion {
            path: path.to_path_buf(),
            version,
        });
    }
    let is_own = document.schema.is_some();
    let mut seen = BTreeSet::new();
    let mut found = Variables::default();
    for entry in document.variables {
        // Our own list may also tell of deleted ones.
        if entry
            .state
            .as_deref()
            .is_some_and(|state| matches!(state, "deleted" | "superseded" | "header_only" | "unknown"))
        {
            continue;
        }
        let bad = |field, why: String| Error::JsonField {
            path: path.to_path_buf(),
            name: entry.name.clone(),
            field,
            why,
        };
        let raw_time = entry
            .time
            .as_deref()
            .or(entry.timestamp.as_ref().map(|time| time.raw.as_str()));
        let timestamp = match raw_time {
            None => Time::default(),
            Some(text) => hex::decode(text)
                .and_then(|bytes| bytes.try_into().ok())
                .map(Time)
                .ok_or_else(|| bad("time", "it is not 32 hexadecimal digits".into()))?,
        };
        let guid = entry
            .guid
            .parse()
            .map_err(|error: fm_formats::ParseGuidError| bad("guid", error.to_string()))?;
        let name = if is_own {
            entry.name.parse()
        } else {
            literal(&entry.name)
        }
        .map_err(|error| bad("name", error.to_string()))?;
        if !seen.insert((guid, name.clone())) {
            return Err(bad("name", format!("{guid} has it twice")));
        }
        if let Some(digest) = &entry.digest {
            found.digests.insert((guid, name.clone()), digest.clone());
        }
        found.variables.push(Variable {
            guid,
            name,
            attributes: entry.attr,
            timestamp,
            monotonic_count: entry.monotonic_count,
            public_key_index: entry.public_key_index,
            data: hex::decode(&entry.data)
                .ok_or_else(|| bad("data", "it is not pairs of hexadecimal digits".into()))?,
        });
    }
    Ok(found)
}

/// A name as QEMU and virt-firmware write it: every character is one, the backslash too.
fn literal(text: &str) -> Result<Name, ParseNameError> {
    let name = Name::from_units(text.encode_utf16());
    if text.is_empty() {
        Err(ParseNameError::Empty)
    } else if text.contains('\0') {
        Err(ParseNameError::NotUcs2('\0'))
    } else {
        Ok(name)
    }
}

#[derive(Serialize)]
struct OutDocument {
    version: u32,
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
        version: VERSION,
        variables: entries,
    };
    let mut text = serde_json::to_vec_pretty(&document).unwrap_or_default();
    text.push(b'\n');
    Ok(text)
}
