//! The verbs that only look: list, show, get, diff.

use std::collections::BTreeMap;
use std::path::Path;

use fm_api::Schema;
use fm_api::v1::firmware::StoreFormat;
use fm_api::v1::vars::{DiffedStore, VariableChange, VariableDocument, VarsDiff, VarsList};
use fm_formats::Guid;
use fm_formats::efi::{Name, SignatureLists};
use fm_varstore::{Format, Variable};

use fm_images::words;

use crate::document;
use crate::names::{SECURITY, plain};
use crate::revocation::Dbx;
use crate::source::{Content, Source, is_written};
use crate::{Error, describe};

/// Which variables of a store are meant.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The name.
    pub name: String,
    /// The namespace; needed only where a name is there twice or is not well known.
    pub guid: Option<Guid>,
}

impl Selection {
    pub(super) fn name(&self) -> Result<Name, Error> {
        self.name.parse().map_err(|source| Error::Name {
            text: self.name.clone(),
            source,
        })
    }

    /// The one variable that is meant.
    pub(super) fn find<'v>(&self, path: &Path, variables: &'v [Variable]) -> Result<&'v Variable, Error> {
        let name = self.name()?;
        let found: Vec<_> = variables
            .iter()
            .filter(|variable| variable.name == name && self.guid.is_none_or(|guid| guid == variable.guid))
            .collect();
        match found.as_slice() {
            [] => Err(Error::NotFound {
                path: path.to_path_buf(),
                name,
                guid: self.guid,
            }),
            [one] => Ok(one),
            several => Err(Error::Ambiguous {
                path: path.to_path_buf(),
                name,
                guids: several.iter().map(|variable| variable.guid).collect(),
            }),
        }
    }
}

/// A store and its variables; with `all` the deleted, superseded and unfinished ones too.
///
/// # Errors
/// If there is neither a file nor a guest called so, or it has no variable store.
pub fn list(path: &Path, all: bool) -> Result<VarsList, Error> {
    let source = Source::find(path)?;
    list_source(&source, all)
}

fn list_source(source: &Source, all: bool) -> Result<VarsList, Error> {
    let label = source.path.display().to_string();
    if let Content::Json(found) = &source.content {
        return Ok(VarsList {
            schema: Schema::default(),
            source: label,
            layout: None,
            format: StoreFormat::Json,
            size_bytes: None,
            used_bytes: None,
            free_bytes: None,
            reclaimable_bytes: None,
            truth: None,
            interrupted: None,
            firmware_finds: None,
            event_log: None,
            damage: Vec::new(),
            variables: found
                .variables
                .iter()
                .map(|variable| source.document(variable))
                .collect(),
        });
    }
    let Some(view) = source.view()? else {
        return Err(Error::UnknownLayout {
            path: source.path.clone(),
        });
    };
    Ok(VarsList {
        schema: Schema::default(),
        source: label,
        layout: view.layout().map(words::layout),
        format: words::store_format(view.format()),
        size_bytes: Some(view.size_bytes()),
        used_bytes: Some(view.used_bytes()),
        free_bytes: Some(view.free_bytes()),
        reclaimable_bytes: Some(view.reclaimable_bytes()),
        truth: Some(document::active_copy(view.active_copy())),
        interrupted: view.interrupted().map(document::interrupted),
        firmware_finds: source.firmware_finds()?,
        event_log: Some(view.event_log().is_some_and(is_written)),
        damage: document::damage(&view),
        variables: view
            .entries()
            .iter()
            .filter(|entry| all || entry.state.is_live())
            .map(document::entry)
            .collect(),
    })
}

/// One variable, and what it says line by line.
#[derive(Debug)]
pub struct Shown {
    /// The variable.
    pub variable: VariableDocument,
    /// Its meaning, for people.
    pub lines: Vec<String>,
}

/// The variables with their meaning in full: all of them, or the ones called `name`.
///
/// # Errors
/// If the file is no variable store or has no such variable.
pub fn show(path: &Path, name: Option<&str>) -> Result<Vec<Shown>, Error> {
    let source = Source::find(path)?;
    let variables = source.variables()?;
    let wanted = match name {
        None => None,
        Some(text) => {
            let name = Selection {
                name: text.to_owned(),
                guid: None,
            }
            .name()?;
            if !variables.iter().any(|variable| variable.name == name) {
                return Err(Error::NotFound {
                    path: path.to_path_buf(),
                    name,
                    guid: None,
                });
            }
            Some(name)
        }
    };
    let dbx = Dbx::of(&variables);
    // What is in db and does not count is said where db is read.
    let revoked = |variable: &Variable| -> Vec<String> {
        let is_db = variable.guid == SECURITY && variable.name == plain("db");
        let lists = SignatureLists::parse(&variable.data).unwrap_or_default();
        let found = if is_db { dbx.revokes(&lists) } else { Vec::new() };
        found
            .iter()
            .map(|revoked| format!("revoked, nothing boots by it: {revoked}"))
            .collect()
    };
    Ok(variables
        .iter()
        .filter(|variable| wanted.as_ref().is_none_or(|name| *name == variable.name))
        .map(|variable| Shown {
            variable: source.document(variable),
            lines: [describe::in_full(variable), revoked(variable)].concat(),
        })
        .collect())
}

/// One variable, as a document and as its bytes.
///
/// # Errors
/// If there is no such variable, or several.
pub fn get(path: &Path, which: &Selection) -> Result<(VariableDocument, Vec<u8>), Error> {
    let source = Source::find(path)?;
    let variables = source.variables()?;
    let variable = which.find(path, &variables)?;
    Ok((source.document(variable), variable.data.clone()))
}

/// How two stores, of whatever kind and layout, differ in their variables.
///
/// # Errors
/// If one of them is no variable store.
pub fn diff(left: &Path, right: &Path) -> Result<VarsDiff, Error> {
    let mut damage = Vec::new();
    let sources = (Source::find(left)?, Source::find(right)?);
    let mut read = |source: &Source, side| -> Result<BTreeMap<(Guid, Name), Variable>, Error> {
        let found = source
            .view()?
            .map(|view| document::damage_of(side, &view))
            .unwrap_or_default();
        damage.extend(found);
        // A blank store differs from none only in what it is.
        debug_assert!(
            source
                .view()?
                .is_none_or(|view| view.format() != Format::Blank || view.entries().is_empty())
        );
        Ok(source
            .variables()?
            .into_iter()
            .map(|variable| ((variable.guid, variable.name.clone()), variable))
            .collect())
    };
    let (lefts, mut rights) = (
        read(&sources.0, DiffedStore::Left)?,
        read(&sources.1, DiffedStore::Right)?,
    );
    // Of flash it is not known who may change what.
    let is_json = |source: &Source| matches!(source.content, Content::Json(_));
    let both_know = is_json(&sources.0) && is_json(&sources.1);
    let (mut only_left, mut changed) = (Vec::new(), Vec::new());
    for (key, one) in &lefts {
        match rights.remove(key) {
            None => only_left.push(sources.0.document(one)),
            Some(other) => {
                let mut fields = differing(one, &other);
                let (left, right) = (sources.0.document(one), sources.1.document(&other));
                if both_know && left.digest != right.digest {
                    fields.push("digest".into());
                }
                if !fields.is_empty() {
                    changed.push(VariableChange { fields, left, right });
                }
            }
        }
    }
    let only_right: Vec<_> = rights
        .values()
        .map(|variable| sources.1.document(variable))
        .collect();
    Ok(VarsDiff {
        schema: Schema::default(),
        left: left.display().to_string(),
        right: right.display().to_string(),
        identical: only_left.is_empty() && only_right.is_empty() && changed.is_empty(),
        only_left,
        only_right,
        changed,
        damage,
    })
}

fn differing(one: &Variable, other: &Variable) -> Vec<String> {
    [
        ("attributes", one.attributes != other.attributes),
        ("data", one.data != other.data),
        ("timestamp", one.timestamp != other.timestamp),
        ("monotonic_count", one.monotonic_count != other.monotonic_count),
        ("public_key_index", one.public_key_index != other.public_key_index),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(field, _)| field.to_owned())
    .collect()
}
