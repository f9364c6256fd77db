//! Put variables back where they came from, or somewhere new, and make sure that they are there.

use std::fs::File;
use std::path::Path;

use fm_api::v1::vars::VarsChange;
use fm_formats::image::Layout;
use fm_varstore::{Checks, Format, Geometry, VarStore, Variable, Writer};

use crate::document;
use crate::in_flash::{self, Step};
use crate::json::{self, Digests};
use crate::qcow2::{self, Qcow2};
use crate::report::Report;
use crate::source::{self, Content, Source};
use crate::store_target::StoreTarget;
use crate::target::{Interrupted, NewContent, Target};
use crate::{Error, limits};

/// A volume to write, and what is to be said of it.
struct Emitted {
    volume: Vec<u8>,
    notes: Vec<String>,
}

/// A file that is being changed: held, read, its variables in hand.
#[derive(Debug)]
pub(super) struct Edit {
    target: Target,
    pub(super) source: Source,
    pub(super) variables: Vec<Variable>,
    /// Of JSON: who may change which of them.
    pub(super) digests: Digests,
}

impl Edit {
    pub(super) fn open(write: &StoreTarget) -> Result<Self, Error> {
        let path = &write.path;
        let target = Target::existing(write, Interrupted::Refuse)?;
        let mut file = match target.old() {
            Some(old) => old.try_clone(),
            None => source::open(path),
        }
        .map_err(|source| Error::File {
            action: "read",
            path: path.clone(),
            source,
        })?;
        let source = Source::from_sized(path, &mut file, write.size_bytes)?;
        if matches!(
            source.content,
            Content::Flash {
                qcow2: Some(Qcow2 {
                    has_snapshots: true,
                    ..
                }),
                ..
            }
        ) {
            return Err(Error::ReadOnlyKind {
                path: path.clone(),
                why: "it is a qcow2 with snapshots, which a new file would not have",
            });
        }
        let variables = source.variables()?;
        let digests = source.digests();
        Ok(Self {
            target,
            source,
            variables,
            digests,
        })
    }

    /// What would be written, checked as far as it can be before writing.
    fn volume(&self, checks: Checks) -> Result<Option<Emitted>, Error> {
        let Some(view) = self.source.view()? else {
            return Ok(None);
        };
        let layout = view.layout().ok_or_else(|| Error::UnknownLayout {
            path: self.source.path.clone(),
        })?;
        let format = if view.format() == Format::Plain {
            Format::Plain
        } else {
            Format::Authenticated
        };
        let writer = Writer {
            layout,
            format,
            checks,
        };
        // What the store holds already is no change of ours, however large it is.
        let before = self.source.variables()?;
        let (mut volume, notes) =
            limits::check(writer, &self.variables, |variable| before.contains(variable))
                .and_then(|notes| Ok((limits::lenient(writer).emit(&self.variables)?, notes)))
                .map_err(|source| Error::Emit {
                    path: self.source.path.clone(),
                    source,
                })?;
        // Everything else of the volume starts fresh, but an event log is somebody's record.
        if let (Some(log), Some(area)) = (view.event_log(), Geometry::of(layout).event_log) {
            let start = area.offset as usize;
            volume[start..start + log.len()].copy_from_slice(log);
        }
        Ok(Some(Emitted { volume, notes }))
    }

    /// Whether the variables can be written back.
    pub(super) fn check(&self, checks: Checks) -> Result<(), Error> {
        self.volume(checks).map(|_| ())
    }

    /// Writes, unless the store says all that already: a backup that differs in nothing would push out one
    /// that does.
    pub(super) fn commit_changes(self, checks: Checks, report: Report) -> Result<VarsChange, Error> {
        if self.variables != self.source.variables()? || self.digests != self.source.digests() {
            return match self.steps()? {
                Some(steps) => self.commit_steps(&steps, checks, report),
                None => self.commit(checks, report),
            };
        }
        self.check(checks)?;
        let mut report = report;
        report.notes.extend(self.target.note());
        let view = self.source.view()?;
        Ok(VarsChange {
            up_to_date: true,
            free_bytes: view.as_ref().map(VarStore::free_bytes),
            ..document::change(
                &self.source.path,
                self.source.layout()?,
                self.variables.len(),
                report,
            )
        })
    }

    /// Writes it to another file, of the same kind; the one that was read stays as it is.
    pub(super) fn commit_to(
        self,
        path: &Path,
        replace: bool,
        checks: Checks,
        report: Report,
    ) -> Result<VarsChange, Error> {
        let target = Target::output(&StoreTarget::file(path), replace)?;
        let target = target.modelled_on(self.source.model.as_deref());
        Self { target, ..self }.commit(checks, report)
    }

    /// The writes by which firmware itself would make this change, of a device, where a whole new store has no name to
    /// take.
    fn steps(&self) -> Result<Option<Vec<Step>>, Error> {
        let (
            Some(view),
            Content::Flash {
                prefix, qcow2: None, ..
            },
        ) = (self.source.view()?, &self.source.content)
        else {
            return Ok(None);
        };
        let is_stepwise = self.target.is_device() && !self.target.is_dry_run();
        Ok(in_flash::plan(&view, prefix, &self.variables).filter(|_| is_stepwise))
    }

    fn commit_steps(self, steps: &[Step], checks: Checks, mut report: Report) -> Result<VarsChange, Error> {
        report.notes.extend(self.target.note());
        // What a whole new store would be refused for is refused here as well.
        report
            .notes
            .extend(self.volume(checks)?.into_iter().flat_map(|emitted| emitted.notes));
        let (layout, path) = (self.source.layout()?, self.target.path());
        let size_bytes = self.target.size_bytes();
        let mut free_bytes = None;
        let backup = self.target.step(steps, |file| {
            let written = Source::from_sized(&path, file, size_bytes)?;
            free_bytes = written.view()?.map(|view| view.free_bytes());
            let undamaged = written.view()?.is_some_and(|view| view.damage_found().is_empty());
            // The one that was changed lies behind the others now.
            let found = written.variables()?;
            let is_meant = found.len() == self.variables.len()
                && self.variables.iter().all(|variable| found.contains(variable));
            if undamaged && is_meant {
                return Ok(());
            }
            Err(Error::Verify { path: path.clone() })
        })?;
        Ok(VarsChange {
            written: true,
            backup: backup.map(|path| path.display().to_string()),
            free_bytes,
            ..document::change(&path, layout, self.variables.len(), report)
        })
    }

    /// Writes, keeping a backup.
    pub(super) fn commit(self, checks: Checks, mut report: Report) -> Result<VarsChange, Error> {
        report.notes.extend(self.target.note());
        let volume = self.volume(checks)?.map(|emitted| {
            report.notes.extend(emitted.notes);
            emitted.volume
        });
        let Self {
            target,
            source,
            variables,
            digests,
        } = self;
        let layout = source.layout()?;
        match (volume, &source.content) {
            (Some(volume), Content::Flash { len_bytes, qcow2, .. }) => write_flash(
                target,
                &Image {
                    volume,
                    len_bytes: *len_bytes,
                    qcow2: *qcow2,
                    tail: Tail::Kept,
                },
                layout,
                &variables,
                report,
            ),
            _ => write_json(target, &variables, &digests, report),
        }
    }
}

/// A flash image to write: the volume, then what lies behind it.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) volume: Vec<u8>,
    pub(super) len_bytes: u64,
    pub(super) qcow2: Option<Qcow2>,
    pub(super) tail: Tail,
}

/// What lies behind the volume in a flash image.
#[derive(Debug)]
pub(super) enum Tail {
    /// Zeros.
    Zeros,
    /// What the old file has there: padding, or CODE of a combined image.
    Kept,
    /// CODE of a combined image.
    Code(Vec<u8>),
}

pub(super) fn write_flash(
    target: Target,
    image: &Image,
    layout: Option<Layout>,
    variables: &[Variable],
    report: Report,
) -> Result<VarsChange, Error> {
    let path = target.path();
    let old = match (&image.tail, target.old()) {
        (Tail::Kept, Some(old)) => Some(old.try_clone().map_err(|source| Error::File {
            action: "read",
            path: path.clone(),
            source,
        })?),
        _ => None,
    };
    let packed = match image.qcow2 {
        Some(qcow2) => Some(pack(&path, image, qcow2, old.as_ref())?),
        None => None,
    };
    let with_code;
    let content = match (&packed, &image.tail) {
        (Some(packed), _) => NewContent::whole(packed),
        (None, Tail::Code(code)) => {
            with_code = [image.volume.as_slice(), code].concat();
            image.content(&with_code)
        }
        (None, _) => image.content(&image.volume),
    };
    let written = !target.is_dry_run();
    let backup = target.replace(&content, |file| verify(&path, file, variables))?;
    let view = VarStore::parse_file(&image.volume, image.len_bytes).map_err(|source| Error::Parse {
        path: path.clone(),
        source,
    })?;
    Ok(VarsChange {
        written,
        backup: backup.map(|path| path.display().to_string()),
        free_bytes: Some(view.free_bytes()),
        ..document::change(&path, layout, variables.len(), report)
    })
}

impl Image {
    fn content<'a>(&self, bytes: &'a [u8]) -> NewContent<'a> {
        NewContent {
            bytes,
            len_bytes: self.len_bytes,
            keeps_rest: matches!(self.tail, Tail::Kept),
        }
    }
}

fn pack(path: &Path, image: &Image, qcow2: Qcow2, old: Option<&File>) -> Result<Vec<u8>, Error> {
    let mut raw = match (&image.tail, old) {
        (Tail::Kept, Some(old)) => qcow2::start_of(&qcow2::unpack(path, old)?, usize::MAX),
        (Tail::Code(code), _) => [image.volume.as_slice(), code].concat(),
        _ => Vec::new(),
    };
    raw.resize(raw.len().max(image.volume.len()), 0);
    raw[..image.volume.len()].copy_from_slice(&image.volume);
    qcow2.pack(path, &raw, image.len_bytes.max(raw.len() as u64))
}

/// Reads back what was written, whatever its kind, and compares it with what was meant.
fn verify(path: &Path, file: &mut File, meant: &[Variable]) -> Result<(), Error> {
    match reads_as(path, file, meant) {
        Ok(true) => Ok(()),
        // The disk's error is no fault of what was written.
        Err(error @ Error::File { .. }) => Err(error),
        Ok(false) | Err(_) => Err(Error::Verify {
            path: path.to_path_buf(),
        }),
    }
}

fn reads_as(path: &Path, file: &mut File, meant: &[Variable]) -> Result<bool, Error> {
    let source = Source::from_file(path, file)?;
    let undamaged = source.view()?.is_none_or(|view| view.damage_found().is_empty());
    Ok(undamaged && source.variables()? == meant)
}

pub(super) fn write_json(
    target: Target,
    variables: &[Variable],
    digests: &Digests,
    mut report: Report,
) -> Result<VarsChange, Error> {
    report.notes.extend(variables.iter().flat_map(json_losses));
    let path = target.path();
    let text = json::write(&path, variables, digests)?;
    // What JSON has no place for is noted above; the rest must be there.
    let meant: Vec<_> = variables
        .iter()
        .map(|variable| Variable {
            monotonic_count: 0,
            public_key_index: 0,
            ..variable.clone()
        })
        .collect();
    let written = !target.is_dry_run();
    let backup = target.replace(&NewContent::whole(&text), |file| verify(&path, file, &meant))?;
    Ok(VarsChange {
        written,
        backup: backup.map(|path| path.display().to_string()),
        ..document::change(&path, None, variables.len(), report)
    })
}

/// What JSON of QEMU's `uefi-vars` has no place for, a sentence each.
fn json_losses(variable: &Variable) -> Vec<String> {
    let Variable { guid, name, .. } = variable;
    let mut notes = Vec::new();
    if variable.monotonic_count != 0 || variable.public_key_index != 0 {
        notes.push(format!(
            "{guid}-{name}: monotonic count {} and key index {} have no place in the JSON",
            variable.monotonic_count, variable.public_key_index
        ));
    }
    if name.units().iter().any(|unit| *unit > 0x7f) {
        notes.push(format!(
            "{guid}-{name}: QEMU reads names byte by byte, so it will know this one by another name"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fails_while_it_is_read_back_is_told_and_not_taken_for_our_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vars.fd");
        let mut unreadable = File::create(&path).unwrap();
        let error = verify(&path, &mut unreadable, &[]).unwrap_err();
        assert!(matches!(error, Error::File { action: "read", .. }), "{error}");
        assert_eq!(fm_remedy::Failure::class(&error), fm_remedy::Class::Failed);
    }
}
