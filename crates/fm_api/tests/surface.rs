//! The documents' JSON schemas are those that are checked in: what scripts rely on does not change unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use fm_api::{Described, documents};
use serde_json::{Value, json};

/// Set to write the files anew.
const WRITE: &str = "FLASHMOOR_WRITE_SCHEMAS";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

/// `inspect.2.json` of `flashmoor/inspect/2`.
fn file_name(document: &Described) -> String {
    let version = document.schema.rsplit('/').next().unwrap_or_default();
    format!("{}.{version}.json", document.name())
}

/// Every statement of a schema that a reader may rely on: where it stands, and what it says. Descriptions are none. What
/// is a set in JSON schema has no order here.
fn statements(schema: &Value) -> BTreeSet<String> {
    fn walk(at: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    if !matches!(name.as_str(), "description" | "title") || at.ends_with("/properties") {
                        walk(&format!("{at}/{name}"), member, found);
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    match item {
                        // The one word, or the one kind, that an alternative is for.
                        Value::Object(members) => {
                            let tag = |name: &str| members.get("properties")?.get(name)?.get("const");
                            let kind = [
                                "kind", "event", "what", "action", "input", "setting", "to", "domain",
                            ]
                            .into_iter()
                            .find_map(tag);
                            let key = members.get("const").or(members.get("$ref")).or(kind);
                            let key = key.map_or_else(|| index.to_string(), Value::to_string);
                            walk(&format!("{at}[{key}]"), item, found);
                        }
                        other => drop(found.insert(format!("{at} has {other}"))),
                    }
                }
            }
            leaf => drop(found.insert(format!("{at} is {leaf}"))),
        }
    }
    let mut found = BTreeSet::new();
    walk("", schema, &mut found);
    found
}

/// What was promised and is not any more.
fn broken(before: &Value, now: &Value) -> Vec<String> {
    let (before, now) = (statements(before), statements(now));
    before.difference(&now).cloned().collect()
}

#[test]
fn the_schemas_of_all_documents_are_those_that_are_checked_in() {
    let folder = folder();
    let now: BTreeMap<String, String> = documents()
        .iter()
        .map(|document| {
            let text = serde_json::to_string_pretty(&(document.describe)()).unwrap();
            (file_name(document), text + "\n")
        })
        .collect();
    if std::env::var_os(WRITE).is_some() {
        fs::create_dir_all(&folder).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, text) in &now {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    let before: BTreeMap<String, String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    let mut wrong = Vec::new();
    for (name, text) in &before {
        match now.get(name) {
            None => wrong.push(format!("{name}: the document is gone, or has another number")),
            Some(same) if same == text => {}
            Some(other) => {
                let schema = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
                let broken = broken(&schema(text), &schema(other));
                match broken.is_empty() {
                    true => wrong.push(format!(
                        "{name}: something was added, or is described in other words"
                    )),
                    false => wrong.extend(broken.iter().map(|what| format!("{name}: no more holds: {what}"))),
                }
            }
        }
    }
    let added = now.keys().filter(|name| !before.contains_key(*name));
    wrong.extend(added.map(|name| format!("{name}: a new document")));
    assert!(
        wrong.is_empty(),
        "documents are not what {} has:\n  {}\nWhere something holds no more, or means something else, scripts break: \
         give the document the next number in its `document!`, and say in CHANGELOG.md what changed. Then, and for what was \
         added, write the files anew with {WRITE}=1 and look at what git shows.",
        folder.display(),
        wrong.join("\n  ")
    );
}

#[test]
fn every_document_has_one_name_and_they_are_in_alphabetical_order() {
    let names: Vec<&str> = documents().iter().map(Described::name).collect();
    assert!(names.is_sorted() && names.len() > 60, "{names:?}");
    let different: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(different.len(), names.len(), "two documents share a name");
}

/// Every Rust source below `folder`.
fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push_str(&fs::read_to_string(path).unwrap()),
        }
    }
}

#[test]
fn every_type_that_is_a_document_is_described() {
    let mut text = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/v1"), &mut text);
    let declared: BTreeSet<&str> = text
        .split("\ndocument!(")
        .skip(1)
        .filter_map(|rest| rest.split('"').nth(1))
        .collect();
    let described: BTreeSet<&str> = documents().iter().map(|document| document.schema).collect();
    assert_eq!(described, declared);
}

#[test]
fn a_field_that_is_removed_retyped_or_no_longer_there_always_breaks_and_an_added_one_does_not() {
    let before = json!({
        "type": "object",
        "properties": {
            "kind": { "$ref": "#/$defs/Kind", "description": "What it is." },
            "size_bytes": { "type": "integer", "minimum": 0 },
        },
        "required": ["kind", "size_bytes"],
        "$defs": { "Kind": { "oneOf": [{ "const": "code" }, { "const": "vars" }] } },
    });
    let changed = |change: fn(&mut Value)| {
        let mut now = before.clone();
        change(&mut now);
        !broken(&before, &now).is_empty()
    };
    assert!(changed(|now| drop(
        now["properties"].as_object_mut().unwrap().remove("size_bytes")
    )));
    assert!(changed(
        |now| now["properties"]["size_bytes"]["type"] = json!("string")
    ));
    assert!(changed(|now| now["required"] = json!(["kind"])));
    assert!(changed(
        |now| now["$defs"]["Kind"]["oneOf"] = json!([{ "const": "code" }])
    ));
    assert!(changed(
        |now| now["properties"]["kind"]["$ref"] = json!("#/$defs/Sort")
    ));

    assert!(!changed(
        |now| now["properties"]["more"] = json!({ "type": "string" })
    ));
    assert!(!changed(
        |now| now["required"] = json!(["size_bytes", "kind", "more"])
    ));
    assert!(!changed(
        |now| now["properties"]["kind"]["description"] = json!("Which kind.")
    ));
    assert!(!changed(|now| {
        now["$defs"]["Kind"]["oneOf"] =
            json!([{ "const": "both" }, { "const": "vars" }, { "const": "code" }]);
    }));
}
