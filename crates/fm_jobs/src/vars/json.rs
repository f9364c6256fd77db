//! Variables as JSON: what QEMU's `uefi-vars` device and virt-firmware write, and our own list.
//!
//! Source: QEMU `hw/uefi/var-service-json.c`; virt-firmware `efi/efijson.py` writes the same shape.

use std::path::Path;

use fm_formats::varstore::{Name, Time, Variable};
use serde::{Deserialize, Serialize};

use super::{Error, hex};

#[derive(Debug, Deserialize)]
struct Document {
    variables: Vec<Entry>,
}

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
    /// Names of variables whose `digest` (QEMU's record of who may change a private authenticated variable)
    /// has no place in a flash store.
    pub(super) with_digest: Vec<String>,
}

pub(super) fn read(path: &Path, text: &[u8]) -> Result<Variables, Error> {
    let document: Document = serde_json::from_slice(text).map_err(|source| Error::Json {
        path: path.to_path_buf(),
        source,
    })?;
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
        if entry.digest.is_some() {
            found.with_digest.push(entry.name.clone());
        }
        found.variables.push(Variable {
            guid: entry
                .guid
                .parse()
                .map_err(|error: fm_formats::ParseGuidError| bad("guid", error.to_string()))?,
            name: name(&entry.name).map_err(|error| bad("name", error.to_string()))?,
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

/// Foreign documents do not escape a backslash; ours do.
fn name(text: &str) -> Result<Name, fm_formats::varstore::ParseNameError> {
    text.parse().or_else(|error| {
        let escaped = text.replace('\\', "\\u{5c}");
        if escaped == text {
            Err(error)
        } else {
            escaped.parse()
        }
    })
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
}

/// The document that QEMU's `uefi-vars` device loads and virt-firmware reads.
pub(super) fn write(variables: &[Variable]) -> Vec<u8> {
    let document = OutDocument {
        version: 2,
        variables: variables
            .iter()
            .map(|variable| OutEntry {
                guid: variable.guid.to_string(),
                name: variable.name.to_string(),
                attr: variable.attributes,
                data: hex::encode(&variable.data),
                time: (!variable.timestamp.is_zero()).then(|| hex::encode(&variable.timestamp.0)),
            })
            .collect(),
    };
    let mut text = serde_json::to_vec_pretty(&document).unwrap_or_default();
    text.push(b'\n');
    text
}
