//! The verbs that change single variables: set, delete, import.

use std::collections::BTreeSet;
use std::path::PathBuf;

use fm_api::v1::vars::VarsChange;
use fm_varstore::{Checks, Variable, Writer};

use crate::read::Selection;
use crate::report::Report;
use crate::save::Edit;
use crate::source::Source;
use crate::store_target::StoreTarget;
use crate::{Error, certdb, describe};

/// What to set.
#[derive(Debug, Clone)]
pub struct SetRequest {
    /// Where.
    pub write: StoreTarget,
    /// Which variable; the namespace may be left out for one that is there or well known.
    pub which: Selection,
    /// The bits; left out, those of the variable that is there, of the well-known one, or nv,bs,rt.
    pub attributes: Option<u32>,
    /// The content.
    pub data: Vec<u8>,
}

/// Sets one variable; timestamp, count and key index of one that is there stay.
///
/// # Errors
/// If the namespace is not clear, the attributes are not allowed, or the store has no room.
pub fn set(request: SetRequest) -> Result<VarsChange, Error> {
    let mut edit = open(&request.write)?;
    let name = request.which.name()?;
    let present: Vec<_> = edit
        .variables
        .iter()
        .filter(|variable| variable.name == name)
        .collect();
    let known = describe::well_known(&request.which.name);
    let guid = match (request.which.guid, present.as_slice(), known) {
        (Some(guid), ..) => guid,
        (None, [one], _) => one.guid,
        (None, [], Some((guid, _))) => guid,
        (None, [], None) => return Err(Error::NeedsGuid { name }),
        (None, several, _) => {
            let guids = several.iter().map(|variable| variable.guid).collect();
            return Err(Error::Ambiguous {
                path: request.write.path,
                name,
                guids,
            });
        }
    };
    let old = edit
        .variables
        .iter()
        .find(|variable| variable.guid == guid && variable.name == name)
        .cloned();
    let attributes = request
        .attributes
        .or(old.as_ref().map(|old| old.attributes))
        .or(known
            .filter(|(known, _)| *known == guid)
            .map(|(_, attributes)| attributes))
        .unwrap_or(7);
    let step = format!(
        "set {guid}-{name}: {} bytes, attributes {attributes:#x}",
        request.data.len()
    );
    let variable = match old {
        Some(old) => Variable {
            attributes,
            data: request.data,
            ..old
        },
        None => Variable::new(guid, name, attributes, request.data),
    };
    check_one(&edit, &variable)?;
    fm_varstore::set(&mut edit.variables, variable);
    edit.commit_changes(
        Checks::Representable,
        Report {
            steps: vec![step],
            notes: Vec::new(),
        },
    )
}

/// New variables must be such as firmware of the layout would take.
fn check_one(edit: &Edit, variable: &Variable) -> Result<(), Error> {
    let path = &edit.source.path;
    let layout = edit
        .source
        .layout()?
        .unwrap_or(fm_formats::image::Layout::X86Size4M);
    Writer {
        checks: Checks::All,
        ..Writer::new(layout)
    }
    .check(std::slice::from_ref(variable))
    .map_err(|source| Error::Emit {
        path: path.clone(),
        source,
    })
}

/// What to delete.
#[derive(Debug, Clone)]
pub struct DeleteRequest {
    /// Where.
    pub write: StoreTarget,
    /// Which variable.
    pub which: Selection,
}

/// Deletes one variable.
///
/// # Errors
/// If it is not there, or there several times and no namespace was given.
pub fn delete(request: &DeleteRequest) -> Result<VarsChange, Error> {
    let mut edit = open(&request.write)?;
    let found = request.which.find(&request.write.path, &edit.variables)?;
    let (guid, name) = (found.guid, found.name.clone());
    fm_varstore::delete(&mut edit.variables, guid, &name);
    let steps = vec![format!("deleted {guid}-{name}")];
    edit.commit_changes(
        Checks::Representable,
        Report {
            steps,
            notes: Vec::new(),
        },
    )
}

/// What to import.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// Where to.
    pub write: StoreTarget,
    /// Where from: JSON, another store, or a running guest.
    pub from: PathBuf,
    /// Drop what the source does not have.
    pub only: bool,
}

/// Sets every variable of another source; those of the same name and namespace are overwritten.
///
/// # Errors
/// If one cannot be written, or the source is damaged; then nothing is changed.
pub fn import(request: &ImportRequest) -> Result<VarsChange, Error> {
    let source = Source::find(&request.from)?;
    source.refuse_damage()?;
    let mut incoming = source.variables()?;
    let mut edit = open(&request.write)?;
    let mut report = Report::default();
    if edit.source.view()?.is_some() {
        report.notes.extend(source.digest_notes());
    }
    let key = |variable: &Variable| (variable.guid, variable.name.clone());
    let names: BTreeSet<_> = incoming.iter().map(key).collect();
    if request.only {
        edit.variables.retain(|variable| {
            // Which of certdb's entries stay is seen when it is known which variables do.
            let keep = certdb::is_record(variable) || names.contains(&key(variable));
            if !keep {
                report
                    .steps
                    .push(format!("deleted {}-{}", variable.guid, variable.name));
            }
            keep
        });
    }
    let staying: BTreeSet<_> = edit.variables.iter().chain(&incoming).map(key).collect();
    for record in incoming.iter_mut().filter(|variable| certdb::is_record(variable)) {
        if let Some(own) = edit.variables.iter().find(|own| key(own) == key(record)) {
            report.notes.extend(certdb::merge(own, record, &staying));
        }
    }
    if request.only {
        for own in edit.variables.iter_mut().filter(|own| certdb::is_record(own)) {
            certdb::keep_only(own, &staying);
        }
    }
    for variable in &incoming {
        check_one(&edit, variable)?;
        report.steps.push(format!(
            "set {}-{}: {} bytes",
            variable.guid,
            variable.name,
            variable.data.len()
        ));
    }
    edit.digests.extend(source.digests());
    fm_varstore::set_all(&mut edit.variables, incoming);
    edit.commit_changes(Checks::Representable, report)
}

impl Source {
    /// What a flash store has no place for, a sentence each.
    pub(super) fn digest_notes(&self) -> Vec<String> {
        self.digests()
            .keys()
            .map(|(guid, name)| {
                format!(
                    "{guid}-{name}: its `digest` (who may change it) has no place on flash and cannot become a certdb \
                     entry, so the next signed update of it is refused"
                )
            })
            .collect()
    }
}

/// A store to change, held and sound.
pub(super) fn open(write: &StoreTarget) -> Result<Edit, Error> {
    let edit = Edit::open(write)?;
    edit.source.refuse_damage()?;
    Ok(edit)
}
