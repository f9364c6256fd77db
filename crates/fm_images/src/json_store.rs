//! Variables as JSON, read: what QEMU's `uefi-vars` device, virt-firmware, python-uefivars and our own list write.
//!
//! Source: QEMU `hw/uefi/var-service-json.c`; virt-firmware `efi/efijson.py` writes the same shape, python-uefivars
//! says `timestamp` for `time`.

use std::collections::{BTreeMap, BTreeSet};

use fm_formats::Guid;
use fm_formats::efi::{Name, ParseNameError, Time};
use fm_varstore::Variable;
use serde_json::{Map, Value};

/// The longest JSON that is read: no store has so much to say.
pub const MAX_JSON_BYTES: u64 = 64 << 20;

/// The version of QEMU's shape that is known.
pub const VERSION: u64 = 2;

/// QEMU's record of who may change a private authenticated variable, as its own hexadecimal text.
pub type Digests = BTreeMap<(Guid, Name), String>;

/// What a JSON document held.
#[derive(Debug, Default)]
pub struct Variables {
    /// Those that are valid.
    pub variables: Vec<Variable>,
    /// Who may change which.
    pub digests: Digests,
}

/// Why a document is no store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonStoreError {
    /// No JSON.
    #[error("it is no JSON")]
    Syntax(#[from] serde_json::Error),
    /// JSON, but nothing that holds variables.
    #[error("it holds no list `variables` of objects")]
    Shape,
    /// Written by a QEMU that says more than we know.
    #[error("it is of version {0}, and {VERSION} is the last one known")]
    Version(u64),
    /// A field of a variable.
    #[error("{field} of the variable {name}: {why}")]
    Field {
        /// The variable, by its name or its place.
        name: String,
        /// The field, as the document calls it.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// Whether JSON holds variables, by its shape: the name of a file says nothing.
#[must_use]
pub fn is_store(text: &[u8]) -> bool {
    serde_json::from_slice::<Value>(text).is_ok_and(|document| {
        document.get("variables").is_some_and(Value::is_array) && document.get("interface-types").is_none()
    })
}

/// Reads any of the shapes; QEMU takes an empty file for a store without variables.
///
/// # Errors
/// [`JsonStoreError`] with the variable and the field that cannot be read.
pub fn parse(text: &[u8]) -> Result<Variables, JsonStoreError> {
    if text.is_empty() {
        return Ok(Variables::default());
    }
    let document: Value = serde_json::from_slice(text)?;
    let version = document.get("version").and_then(Value::as_u64);
    if let Some(version) = version.filter(|version| *version > VERSION) {
        return Err(JsonStoreError::Version(version));
    }
    // Only our own list has it: its names are escaped.
    let is_own = document.get("schema").is_some();
    let entries = document
        .get("variables")
        .and_then(Value::as_array)
        .ok_or(JsonStoreError::Shape)?;
    let mut seen = BTreeSet::new();
    let mut found = Variables::default();
    for (index, entry) in entries.iter().enumerate() {
        let entry = Entry {
            fields: entry.as_object().ok_or(JsonStoreError::Shape)?,
            index,
        };
        // Our own list may also tell of deleted ones.
        if let Some(state) = entry.fields.get("state").and_then(Value::as_str)
            && matches!(state, "deleted" | "superseded" | "header_only" | "unknown")
        {
            continue;
        }
        let (variable, digest) = entry.read(is_own)?;
        let key = (variable.guid, variable.name.clone());
        if !seen.insert(key.clone()) {
            return Err(entry.bad("name", format!("{} has it twice", variable.guid)));
        }
        if let Some(digest) = digest {
            found.digests.insert(key, digest);
        }
        found.variables.push(variable);
    }
    Ok(found)
}

/// One variable, with its place in the list.
struct Entry<'j> {
    fields: &'j Map<String, Value>,
    index: usize,
}

impl Entry<'_> {
    fn bad(&self, field: &'static str, why: impl Into<String>) -> JsonStoreError {
        let name = self.fields.get("name").and_then(Value::as_str);
        JsonStoreError::Field {
            name: name.map_or_else(|| format!("number {}", self.index + 1), str::to_owned),
            field,
            why: why.into(),
        }
    }

    fn text(&self, field: &'static str) -> Result<Option<&str>, JsonStoreError> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.bad(field, format!("{} where text is expected", kind(other)))),
        }
    }

    fn wanted(&self, field: &'static str) -> Result<&str, JsonStoreError> {
        self.text(field)?.ok_or_else(|| self.bad(field, "it is missing"))
    }

    fn number(&self, field: &'static str, max: u64) -> Result<Option<u64>, JsonStoreError> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().filter(|number| *number <= max) {
                Some(number) => Ok(Some(number)),
                None => Err(self.bad(
                    field,
                    format!("{} where a number up to {max} is expected", kind(value)),
                )),
            },
        }
    }

    fn read(&self, is_own: bool) -> Result<(Variable, Option<String>), JsonStoreError> {
        let text = self.wanted("name")?;
        let name = if is_own { text.parse() } else { literal(text) }
            .map_err(|error: ParseNameError| self.bad("name", error.to_string()))?;
        let guid = self
            .wanted("guid")?
            .parse()
            .map_err(|error: fm_formats::ParseGuidError| self.bad("guid", error.to_string()))?;
        let attributes = match self.number("attr", u32::MAX.into())? {
            None => self.number("attributes", u32::MAX.into())?,
            found => found,
        }
        .ok_or_else(|| self.bad("attr", "it is missing"))?;
        let u32_of = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Ok((
            Variable {
                guid,
                name,
                attributes: u32_of(attributes),
                timestamp: self.time()?,
                monotonic_count: self.number("monotonic_count", u64::MAX)?.unwrap_or(0),
                public_key_index: u32_of(self.number("public_key_index", u32::MAX.into())?.unwrap_or(0)),
                data: hex(self.wanted("data")?)
                    .ok_or_else(|| self.bad("data", "it is not pairs of hexadecimal digits"))?,
            },
            self.text("digest")?.map(str::to_owned),
        ))
    }

    /// `EFI_TIME` in hexadecimal: QEMU's `time`, python-uefivars' `timestamp`, or `raw` in our own.
    fn time(&self) -> Result<Time, JsonStoreError> {
        let (field, text) = match self.fields.get("timestamp") {
            Some(Value::Object(own)) => ("timestamp", own.get("raw").and_then(Value::as_str)),
            Some(Value::String(text)) => ("timestamp", Some(text.as_str())),
            None | Some(Value::Null) => ("time", self.text("time")?),
            Some(other) => {
                return Err(self.bad("timestamp", format!("{} where text is expected", kind(other))));
            }
        };
        let Some(text) = text else {
            return Ok(Time::default());
        };
        hex(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Time)
            .ok_or_else(|| self.bad(field, "it is not 32 hexadecimal digits"))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "another number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
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

/// The bytes that pairs of hexadecimal digits say; nothing if the text is not such.
#[must_use]
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16);
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(entry: &str) -> Result<Variables, JsonStoreError> {
        parse(format!(r#"{{"version":2,"variables":[{entry}]}}"#).as_bytes())
    }

    #[test]
    fn each_shape_says_its_times_in_its_own_way() {
        let raw = "e9070106000000000000000000000000";
        for time in [
            format!(r#""time":"{raw}""#),
            format!(r#""timestamp":"{raw}""#),
            format!(r#""timestamp":{{"text":"2025","raw":"{raw}"}}"#),
        ] {
            let entry = format!(
                r#"{{"name":"A","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","attr":39,"data":"00",{time}}}"#
            );
            let found = store(&entry).unwrap();
            assert_eq!(found.variables[0].timestamp.0[..4], [0xe9, 7, 1, 6], "{time}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_the_words_of_the_document() {
        let guid = r#""guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c""#;
        for (entry, field) in [
            (format!(r#"{{"name":7,{guid},"attr":7,"data":""}}"#), "name"),
            (format!(r#"{{"name":"A",{guid},"attr":"7","data":""}}"#), "attr"),
            (
                format!(r#"{{"name":"A",{guid},"attr":4294967296,"data":""}}"#),
                "attr",
            ),
            (format!(r#"{{"name":"A",{guid},"attr":7,"data":"0"}}"#), "data"),
            (format!(r#"{{"name":"A",{guid},"attr":7}}"#), "data"),
            (
                format!(r#"{{"name":"A",{guid},"attr":7,"data":"","timestamp":3}}"#),
                "timestamp",
            ),
            (r#"{"name":"A","guid":"x","attr":7,"data":""}"#.to_owned(), "guid"),
        ] {
            let JsonStoreError::Field {
                field: found, why, ..
            } = store(&entry).unwrap_err()
            else {
                panic!("{entry}");
            };
            assert_eq!(found, field, "{entry}");
            assert!(!why.contains("u32") && !why.contains("struct"), "{why}");
        }
        assert!(matches!(store("3"), Err(JsonStoreError::Shape)));
        assert!(matches!(parse(b"{}"), Err(JsonStoreError::Shape)));
        assert!(matches!(parse(b"{"), Err(JsonStoreError::Syntax(_))));
        assert!(matches!(
            parse(br#"{"version":3,"variables":[]}"#),
            Err(JsonStoreError::Version(3))
        ));
    }

    #[test]
    fn a_descriptor_is_no_store() {
        assert!(is_store(br#"{"version":2,"variables":[]}"#));
        assert!(!is_store(br#"{"interface-types":["uefi"],"variables":[]}"#));
        assert!(!is_store(b"[]") && !is_store(b""));
    }
}
