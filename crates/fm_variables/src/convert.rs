//! Move variables to another layout, or between flash and JSON.

use std::path::{Path, PathBuf};

use fm_api::v1::vars::VarsChange;
use fm_formats::image::{Feature, Layout, Role};
use fm_images::inspect::{self, Cache};
use fm_varstore::{CertRecord, Checks, Format, Variable, Writer, attribute};

use crate::journal::Journal;
use crate::qcow2::{self, Qcow2};
use crate::report::Report;
use crate::save::{Image, Tail, write_flash, write_json};
use crate::source::{Content, Source, is_written};
use crate::store_target::StoreTarget;
use crate::target::Target;
use crate::{Error, certdb, limits};

/// What to convert into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConvertTarget {
    /// A layout by name.
    Layout(Layout),
    /// The layout, file size and file format of a VARS template; of a combined image its firmware too.
    Like(PathBuf),
    /// The layout that a CODE file needs.
    ForCode(PathBuf),
    /// JSON as QEMU's `uefi-vars` device and virt-firmware read it.
    Json,
}

/// How a flash image lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// As it is.
    Raw,
    /// In a qcow2.
    Qcow2,
}

/// A conversion.
#[derive(Debug, Clone)]
pub struct ConvertRequest {
    /// The variables' source: flash image, qcow2, JSON or running guest.
    pub input: PathBuf,
    /// What is made.
    pub into: ConvertTarget,
    /// How the flash image lies in its file; left out, as the template does, or else as the input does.
    pub format: Option<FileFormat>,
    /// Where it is written; may be the input itself with `replace`.
    pub output: PathBuf,
    /// Replace an output that is there; the old file is kept as a backup.
    pub replace: bool,
    /// Read or replace although a program has the file open for writing.
    pub even_if_in_use: bool,
    /// Where backups of block devices are kept; without it none is written.
    pub journal: Option<Journal>,
    /// What was found in images seen before, if that is kept: firmware that is known need not be decoded again.
    pub cache: Option<Cache>,
    /// Make up and check what would be written, and write nothing.
    pub dry_run: bool,
}

/// Writes every live variable of the input into a fresh store: same name, GUID, attributes, data, timestamp,
/// count and key index. Deleted ones are not carried.
///
/// # Errors
/// Before anything is written: the variable that cannot go there, and the limit it meets.
pub fn convert(request: &ConvertRequest) -> Result<VarsChange, Error> {
    // Held first: where input and output are one file, nobody changes it between reading and writing.
    let to = StoreTarget {
        path: request.output.clone(),
        even_if_in_use: request.even_if_in_use,
        size_bytes: None,
        journal: request.journal.clone(),
        dry_run: request.dry_run,
    };
    let output = || Target::output(&to, request.replace);
    let held = request
        .output
        .symlink_metadata()
        .is_ok()
        .then(output)
        .transpose()?;
    let source = Source::find(&request.input)?;
    source.refuse_damage()?;
    let variables = source.variables()?;
    let mut report = Report::default();
    let from = source
        .layout()?
        .map_or_else(|| "JSON".to_owned(), |layout| layout.name().to_owned());
    let code = source.code()?;
    let shape = request.into.shape(request.cache.as_ref(), &mut report)?;
    let target = held.map_or_else(output, Ok)?;
    let target = target.modelled_on(source.model.as_deref());
    report.notes.extend(target.note());
    let Some(shape) = shape else {
        return into_json(target, &source, variables, code.is_some(), report);
    };
    report.notes.extend(source.digest_notes());
    if shape.code.is_none() {
        refuse_to_drop_code(&target)?;
        if code.is_some() {
            report.notes.push(NO_CODE.into());
        }
    }
    if source
        .view()?
        .is_some_and(|view| view.event_log().is_some_and(is_written))
    {
        report
            .notes
            .push("the event log of the store is not carried: its records are of the old layout".into());
    }
    let writer = Writer {
        layout: shape.layout,
        format: Format::Authenticated,
        // What a firmware wrote is carried as it is; JSON may have been written by anybody.
        checks: match source.content {
            Content::Flash { .. } => Checks::Sizes,
            Content::Json(_) => Checks::All,
        },
    };
    // Who signs a list of keys decides how long it is; what else is too large, no firmware wrote.
    let is_signed = |variable: &Variable| variable.attributes & SIGNED != 0;
    let volume = limits::check(writer, &variables, is_signed)
        .and_then(|notes| {
            report.notes.extend(notes);
            limits::lenient(writer).emit(&variables)
        })
        .map_err(|source| Error::Emit {
            path: request.output.clone(),
            source,
        })?;
    report.steps.push(format!(
        "{} variables from {from} to {}",
        variables.len(),
        shape.layout
    ));
    let own = match &source.content {
        Content::Flash { qcow2, .. } => *qcow2,
        Content::Json(_) => None,
    };
    let wanted = shape.qcow2.unwrap_or(own);
    // Nothing of an old output is kept but its owner, mode and labels.
    let image = Image {
        volume,
        len_bytes: shape.len_bytes,
        qcow2: match request.format {
            None => wanted,
            Some(FileFormat::Raw) => None,
            Some(FileFormat::Qcow2) => Some(wanted.or(own).unwrap_or_default()),
        },
        tail: shape.code.map_or(Tail::Zeros, Tail::Code),
    };
    write_flash(target, &image, Some(shape.layout), &variables, report)
}

/// Authenticated by count or by time.
const SIGNED: u32 = attribute::COUNT_AUTHENTICATED | attribute::TIME_AUTHENTICATED;

const NO_CODE: &str = "the firmware behind the variables is not carried: the source is a combined image, and what is written is not";

fn into_json(
    target: Target,
    source: &Source,
    variables: Vec<Variable>,
    drops_code: bool,
    mut report: Report,
) -> Result<VarsChange, Error> {
    refuse_to_drop_code(&target)?;
    let digests = source.digests();
    let (records, variables): (Vec<_>, Vec<_>) = variables.into_iter().partition(certdb::is_record);
    for entry in records
        .iter()
        .flat_map(|record| CertRecord::parse(&record.data).entries)
    {
        report.notes.push(format!(
            "{}-{}: who may change it is recorded in certdb on flash and as `digest` in the JSON; the one cannot be \
             computed from the other, so the first signed update after the move is refused",
            entry.guid, entry.name
        ));
    }
    if drops_code {
        report.notes.push(NO_CODE.into());
    }
    let from = source
        .layout()?
        .map_or_else(|| "JSON".to_owned(), |layout| layout.name().to_owned());
    report
        .steps
        .push(format!("{} variables from {from} to JSON", variables.len()));
    write_json(target, &variables, &digests, report)
}

/// A combined image is not replaced by a file without its firmware.
fn refuse_to_drop_code(target: &Target) -> Result<(), Error> {
    let Some(old) = target.old() else { return Ok(()) };
    let mut old = old.try_clone().map_err(|source| Error::File {
        action: "read",
        path: target.path(),
        source,
    })?;
    // Whatever else was there may be replaced.
    let has_code = Source::from_file(&target.path(), &mut old).is_ok_and(|old| old.has_code());
    if has_code {
        return Err(Error::DropsCode { path: target.path() });
    }
    Ok(())
}

/// The flash image to make.
struct Shape {
    layout: Layout,
    len_bytes: u64,
    /// Firmware behind the variables.
    code: Option<Vec<u8>>,
    /// Whether the file is a qcow2, where that is told.
    qcow2: Option<Option<Qcow2>>,
}

impl ConvertTarget {
    /// The flash image to make; nothing for JSON.
    fn shape(&self, cache: Option<&Cache>, report: &mut Report) -> Result<Option<Shape>, Error> {
        let bare = |layout: Layout| Shape {
            layout,
            len_bytes: layout.vars_size_bytes(),
            code: None,
            qcow2: None,
        };
        match self {
            Self::Json => Ok(None),
            Self::Layout(layout) => Ok(Some(bare(*layout))),
            Self::Like(path) => {
                let template = Source::read(path)?;
                let layout = template
                    .layout()?
                    .ok_or_else(|| Error::UnknownLayout { path: path.clone() })?;
                let code = template.code()?;
                Ok(Some(match template.content {
                    Content::Flash { len_bytes, qcow2, .. } => Shape {
                        layout,
                        len_bytes,
                        code,
                        qcow2: Some(qcow2),
                    },
                    Content::Json(_) => bare(layout),
                }))
            }
            Self::ForCode(path) => {
                let (layout, is_combined) = code_layout(path, cache)?;
                if is_combined {
                    report.notes.push(format!(
                        "{} holds variables and firmware in one, and only the variables are written; a store made \
                         like {0} would be a combined image",
                        path.display()
                    ));
                }
                Ok(Some(bare(layout)))
            }
        }
    }
}

/// The layout that firmware in a CODE file or combined image expects of its VARS, and whether it is combined.
fn code_layout(path: &Path, cache: Option<&Cache>) -> Result<(Layout, bool), Error> {
    let failed = |source| Error::File {
        action: "read",
        path: path.to_path_buf(),
        source,
    };
    let unfit = |why: &str| Error::UnknownCode {
        path: path.to_path_buf(),
        why: why.to_owned(),
    };
    let found = match inspect::lookup_by_path(path, cache) {
        Some((found, _)) => found,
        None => {
            let file = super::source::open(path).map_err(failed)?;
            inspect::parse_cached(&qcow2::unpack(path, &file)?, cache)
        }
    };
    if found.role == Some(Role::Vars) {
        return Err(unfit("it holds variables, no firmware"));
    }
    let Some(image) = found.image else {
        return Err(unfit(&found.reason.unwrap_or_default()));
    };
    if image.has(Feature::PvVars) {
        return Err(unfit(
            "it keeps its variables in QEMU's uefi-vars device, not in flash; a store in JSON is what that reads",
        ));
    }
    image
        .layout
        .map(|layout| (layout, found.role == Some(Role::Combined)))
        .ok_or_else(|| unfit("its size is no known layout's"))
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
    /// Where backups of block devices are kept; without it none is written.
    pub journal: Option<Journal>,
    /// Make up and check what would be written, and write nothing.
    pub dry_run: bool,
}

/// Writes the variables as JSON for QEMU's `uefi-vars` device and virt-firmware.
///
/// # Errors
/// If the input is no variable store or the output is there already.
pub fn export(request: &ExportRequest) -> Result<VarsChange, Error> {
    convert(&ConvertRequest {
        input: request.input.clone(),
        into: ConvertTarget::Json,
        format: None,
        output: request.output.clone(),
        replace: request.replace,
        even_if_in_use: false,
        journal: request.journal.clone(),
        cache: None,
        dry_run: request.dry_run,
    })
}
