//! Put variables back where they came from, or somewhere new, and make sure that they are there.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use fm_formats::image::Layout;
use fm_formats::varstore::{Checks, Format, Geometry, VarStore, Variable, Writer};

use super::document::VarsChange;
use super::replace::{Target, copy_sparse};
use super::source::{Content, Qcow2, Source, qemu_img, tempfile_folder};
use super::{Error, json};

/// What a change did.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) steps: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// A file that is being changed: held, read, its variables in hand.
#[derive(Debug)]
pub(super) struct Edit {
    target: Target,
    pub(super) source: Source,
    pub(super) variables: Vec<Variable>,
}

impl Edit {
    pub(super) fn open(path: &Path, even_if_in_use: bool) -> Result<Self, Error> {
        let target = Target::existing(path, even_if_in_use)?;
        let mut file = match target.old() {
            Some(old) => old.try_clone(),
            None => File::open(path),
        }
        .map_err(|source| Error::File {
            action: "read",
            path: path.to_path_buf(),
            source,
        })?;
        let source = Source::from_file(path, &mut file)?;
        if matches!(
            source.content,
            Content::Flash {
                qcow2: Some(Qcow2 { is_layered: true, .. }),
                ..
            }
        ) {
            return Err(Error::ReadOnlyKind {
                path: path.to_path_buf(),
                why: "it is a qcow2 with a backing file, encryption or snapshots",
            });
        }
        let variables = source.variables()?;
        Ok(Self {
            target,
            source,
            variables,
        })
    }

    /// Refuses a store whose damage an edit would make permanent.
    pub(super) fn refuse_damage(&self) -> Result<(), Error> {
        let view = self.source.view()?;
        let first = view
            .iter()
            .flat_map(|view| view.damage_found())
            .find(|damage| damage.loses_variables());
        match first {
            Some(damage) => Err(Error::Damaged {
                path: self.source.path.clone(),
                damage: damage.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// What would be written, checked as far as it can be before writing.
    fn volume(&self, checks: Checks) -> Result<Option<Vec<u8>>, Error> {
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
        let mut volume = Writer {
            layout,
            format,
            checks,
        }
        .emit(&self.variables)
        .map_err(|source| Error::Emit {
            path: self.source.path.clone(),
            source,
        })?;
        // Everything else of the volume starts fresh, but an event log is somebody's record.
        if let (Some(log), Some(area)) = (view.event_log(), Geometry::of(layout).event_log) {
            let start = area.offset as usize;
            volume[start..start + log.len()].copy_from_slice(log);
        }
        Ok(Some(volume))
    }

    /// Whether the variables can be written back.
    pub(super) fn check(&self, checks: Checks) -> Result<(), Error> {
        self.volume(checks).map(|_| ())
    }

    /// Writes, keeping a backup.
    pub(super) fn commit(self, checks: Checks, report: Report) -> Result<VarsChange, Error> {
        let volume = self.volume(checks)?;
        let Self {
            target,
            source,
            variables,
        } = self;
        let layout = source.layout()?;
        match (volume, &source.content) {
            (Some(volume), Content::Flash { len_bytes, qcow2, .. }) => write_flash(
                target,
                &Image {
                    volume,
                    len_bytes: *len_bytes,
                    qcow2: *qcow2,
                    keeps_tail: true,
                },
                layout,
                &variables,
                report,
            ),
            _ => write_json(target, &variables, report),
        }
    }
}

/// A flash image to write: the volume, then what the old file has behind it.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) volume: Vec<u8>,
    pub(super) len_bytes: u64,
    pub(super) qcow2: Option<Qcow2>,
    /// Whether what the old file has behind the volume stays: padding, or CODE of a combined image.
    pub(super) keeps_tail: bool,
}

pub(super) fn write_flash(
    target: Target,
    image: &Image,
    layout: Option<Layout>,
    variables: &[Variable],
    report: Report,
) -> Result<VarsChange, Error> {
    let path = target.path().to_path_buf();
    let mut tail = match target.old() {
        Some(old) if image.keeps_tail && image.qcow2.is_none() => old.try_clone().ok(),
        _ => None,
    };
    let meant = variables.to_vec();
    let verify_path = path.clone();
    let failed = |source| Error::File {
        action: "write",
        path: path.clone(),
        source,
    };
    let backup = match image.qcow2 {
        None => target.replace(
            |file| write_raw(file, image, tail.as_mut()),
            |file| verify(&verify_path, file, &meant),
        )?,
        Some(qcow2) => {
            let folder = tempfile_folder(&path)?;
            let (raw, packed) = (folder.path.join("raw"), folder.path.join("qcow2"));
            if image.keeps_tail {
                qemu_img(&path, &["convert", "-f", "qcow2", "-O", "raw"], &[&path, &raw])?;
            }
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&raw)
                .map_err(failed)?;
            write_raw(&mut file, image, None).map_err(failed)?;
            verify(&verify_path, &mut file, &meant)?;
            let cluster = format!("cluster_size={}", 1u64 << qcow2.cluster_bits);
            qemu_img(
                &path,
                &["convert", "-f", "raw", "-O", "qcow2", "-o", &cluster],
                &[&raw, &packed],
            )?;
            target.replace(
                |file| io::copy(&mut File::open(&packed)?, file).map(|_| ()),
                |_| {
                    let read = Source::read(&packed)?.variables()?;
                    if read == meant {
                        Ok(())
                    } else {
                        Err(Error::Verify { path: verify_path })
                    }
                },
            )?
        }
    };
    let view = VarStore::parse_file(&image.volume, image.len_bytes).map_err(|source| Error::Parse {
        path: path.clone(),
        source,
    })?;
    Ok(VarsChange {
        schema: "flashmoor/vars-change/1",
        path: path.display().to_string(),
        written: true,
        backup: backup.map(|path| path.display().to_string()),
        layout: layout.map(|layout| layout.name().to_owned()),
        variable_count: variables.len() as u64,
        free_bytes: Some(view.free_bytes()),
        steps: report.steps,
        notes: report.notes,
    })
}

fn write_raw(file: &mut File, image: &Image, tail: Option<&mut File>) -> io::Result<()> {
    if let Some(tail) = tail {
        copy_sparse(tail, file, image.volume.len() as u64)?;
    }
    file.set_len(image.len_bytes.max(image.volume.len() as u64))?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&image.volume)
}

/// Reads the store back and compares it with what was meant.
fn verify(path: &Path, file: &mut File, meant: &[Variable]) -> Result<(), Error> {
    let failed = |source| Error::File {
        action: "read back",
        path: path.to_path_buf(),
        source,
    };
    let len_bytes = file.metadata().map_err(failed)?.len();
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut prefix = Vec::new();
    file.take(VarStore::PREFIX_BYTES as u64)
        .read_to_end(&mut prefix)
        .map_err(failed)?;
    let sound = VarStore::parse_file(&prefix, len_bytes)
        .is_ok_and(|view| view.damage_found().is_empty() && view.to_variables() == meant);
    if sound {
        Ok(())
    } else {
        Err(Error::Verify {
            path: path.to_path_buf(),
        })
    }
}

pub(super) fn write_json(
    target: Target,
    variables: &[Variable],
    mut report: Report,
) -> Result<VarsChange, Error> {
    report.notes.extend(json_losses(variables));
    let path = target.path().to_path_buf();
    let text = json::write(variables);
    let backup = target.replace(|file| file.write_all(&text), |_| Ok(()))?;
    Ok(VarsChange {
        schema: "flashmoor/vars-change/1",
        path: path.display().to_string(),
        written: true,
        backup: backup.map(|path| path.display().to_string()),
        layout: None,
        variable_count: variables.len() as u64,
        free_bytes: None,
        steps: report.steps,
        notes: report.notes,
    })
}

/// What JSON of QEMU's `uefi-vars` has no place for, a sentence each.
fn json_losses(variables: &[Variable]) -> Vec<String> {
    let mut notes = Vec::new();
    for variable in variables {
        if variable.monotonic_count != 0 || variable.public_key_index != 0 {
            notes.push(format!(
                "{}-{}: monotonic count {} and key index {} have no place in the JSON",
                variable.guid, variable.name, variable.monotonic_count, variable.public_key_index
            ));
        }
    }
    notes
}
