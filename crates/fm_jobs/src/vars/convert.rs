//! Move variables to another layout, or between flash and JSON.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fm_formats::image::Layout;
use fm_formats::varstore::{Checks, Format, VarStore, Writer};

use super::Error;
use super::describe::{CERT_DB, cert_db_names};
use super::document::VarsChange;
use super::replace::Target;
use super::save::{Image, Report, write_flash, write_json};
use super::source::{Content, Source};

/// What to convert into.
#[derive(Debug, Clone)]
pub enum Into {
    /// A layout by name.
    Layout(Layout),
    /// The layout and file size of a VARS template.
    Like(PathBuf),
    /// The layout that a CODE file needs.
    ForCode(PathBuf),
    /// JSON as QEMU's `uefi-vars` device and virt-firmware read it.
    Json,
}

/// A conversion.
#[derive(Debug, Clone)]
pub struct ConvertRequest {
    /// The variables' source: flash image, qcow2, JSON or running guest.
    pub input: PathBuf,
    /// What is made.
    pub into: Into,
    /// Where it is written; may be the input itself with `replace`.
    pub output: PathBuf,
    /// Replace an output that is there; the old file is kept as a backup.
    pub replace: bool,
    /// Read or replace although a program has the file open for writing.
    pub even_if_in_use: bool,
}

/// Writes every live variable of the input into a fresh store: same name, GUID, attributes, data, timestamp,
/// count and key index. Deleted ones are not carried.
///
/// # Errors
/// Before anything is written: the variable that cannot go there, and the limit it meets.
pub fn convert(request: &ConvertRequest) -> Result<VarsChange, Error> {
    // Held first: where input and output are one file, nobody changes it between reading and writing.
    let target = Target::output(&request.output, request.replace, request.even_if_in_use)?;
    let source = Source::find(&request.input)?;
    let target = target.modelled_on(source.model.as_deref());
    let damaged = source.view()?.and_then(|view| {
        let damage = view.damage_found().iter().find(|damage| damage.loses_variables());
        damage.map(ToString::to_string)
    });
    if let Some(damage) = damaged {
        return Err(Error::Damaged {
            path: request.input.clone(),
            damage,
        });
    }
    let variables = source.variables()?;
    let mut report = Report::default();
    report.notes.extend(source.digest_notes());
    let from = source
        .layout()?
        .map_or_else(|| "JSON".to_owned(), |layout| layout.name().to_owned());
    let Some((layout, len_bytes)) = request.into.flash()? else {
        let (records, variables): (Vec<_>, Vec<_>) = variables
            .into_iter()
            .partition(|variable| variable.guid == CERT_DB);
        for name in records.iter().flat_map(|record| cert_db_names(&record.data)) {
            report.notes.push(format!(
                "{name}: who may change it is recorded in certdb on flash and as `digest` in the JSON; the one \
                 cannot be computed from the other, so the first signed update after the move is refused"
            ));
        }
        report
            .steps
            .push(format!("{} variables from {from} to JSON", variables.len()));
        return write_json(target, &variables, report);
    };
    let writer = Writer {
        layout,
        format: Format::Authenticated,
        checks: Checks::Sizes,
    };
    let volume = writer.emit(&variables).map_err(|source| Error::Emit {
        path: request.output.clone(),
        source,
    })?;
    report
        .steps
        .push(format!("{} variables from {from} to {layout}", variables.len()));
    let qcow2 = match &source.content {
        Content::Flash { qcow2, .. } => *qcow2,
        Content::Json(_) => None,
    };
    // A qcow2 stays one. Nothing of an old output is kept but its owner, mode and labels.
    let image = Image {
        volume,
        len_bytes,
        qcow2,
        keeps_tail: false,
    };
    write_flash(target, &image, Some(layout), &variables, report)
}

impl Into {
    /// Layout and length of the flash image to make; nothing for JSON.
    fn flash(&self) -> Result<Option<(Layout, u64)>, Error> {
        match self {
            Self::Json => Ok(None),
            Self::Layout(layout) => Ok(Some((*layout, layout.vars_size_bytes()))),
            Self::Like(path) => {
                let template = Source::read(path)?;
                let layout = template
                    .layout()?
                    .ok_or_else(|| Error::UnknownLayout { path: path.clone() })?;
                let len_bytes = match template.content {
                    Content::Flash { len_bytes, .. } => len_bytes,
                    Content::Json(_) => layout.vars_size_bytes(),
                };
                Ok(Some((layout, len_bytes)))
            }
            Self::ForCode(path) => {
                let layout = code_layout(path)?;
                Ok(Some((layout, layout.vars_size_bytes())))
            }
        }
    }
}

/// The layout that firmware in a CODE file or combined image expects of its VARS.
fn code_layout(path: &Path) -> Result<Layout, Error> {
    let failed = |source| Error::File {
        action: "read",
        path: path.to_path_buf(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let len_bytes = file.metadata().map_err(failed)?.len();
    if let Some(layout) = Layout::of_x86_code_size(len_bytes) {
        return Ok(layout);
    }
    let mut prefix = Vec::new();
    (&mut file)
        .take(VarStore::PREFIX_BYTES as u64)
        .read_to_end(&mut prefix)
        .map_err(failed)?;
    // A combined image starts with its store.
    if let Some(layout) = Layout::of_x86_combined_size(len_bytes)
        && VarStore::parse_file(&prefix, len_bytes).is_ok_and(|view| view.format() != Format::Blank)
    {
        return Ok(layout);
    }
    [Layout::ArmVirt, Layout::Riscv, Layout::Loongarch]
        .into_iter()
        .find(|layout| layout.code_size_bytes() == len_bytes)
        .ok_or_else(|| Error::UnknownCode {
            path: path.to_path_buf(),
        })
}

/// An export.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    /// Where from.
    pub input: PathBuf,
    /// Where to.
    pub output: PathBuf,
    /// Replace an output that is there.
    pub replace: bool,
}

/// Writes the variables as JSON for QEMU's `uefi-vars` device and virt-firmware.
///
/// # Errors
/// If the input is no variable store or the output is there already.
pub fn export(request: &ExportRequest) -> Result<VarsChange, Error> {
    convert(&ConvertRequest {
        input: request.input.clone(),
        into: Into::Json,
        output: request.output.clone(),
        replace: request.replace,
        even_if_in_use: false,
    })
}
