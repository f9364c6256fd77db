//! Where variables come from: a VARS file, a combined image, a qcow2 of either, JSON, or a running guest.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fm_formats::image::Layout;
use fm_formats::varstore::{VarStore, Variable};
use fm_host::Guest;

use super::{Error, json};

/// The longest JSON that is read.
const JSON_LIMIT_BYTES: u64 = 64 << 20;

/// In what the variables lie.
#[derive(Debug)]
pub(super) enum Content {
    /// A flash image; the first bytes of it, which hold the whole store.
    Flash {
        /// Those bytes.
        prefix: Vec<u8>,
        /// Of the image, which may be longer.
        len_bytes: u64,
        /// For a qcow2: what its writer must keep.
        qcow2: Option<Qcow2>,
    },
    /// JSON.
    Json(json::Variables),
}

/// A qcow2's header fields that matter when it is written again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Qcow2 {
    pub(super) cluster_bits: u32,
    /// Backing file or internal snapshots: nothing that a fresh file could keep.
    pub(super) is_layered: bool,
}

/// A source that was read.
#[derive(Debug)]
pub(super) struct Source {
    /// The file, or what messages call the guest.
    pub(super) path: PathBuf,
    /// The file whose owner, mode and labels suit a copy of the variables.
    pub(super) model: Option<PathBuf>,
    pub(super) content: Content,
}

impl Source {
    /// The file at `named`, or the running guest that is called so: by pid, name, uuid or QMP socket. A file
    /// comes before a guest.
    pub(super) fn find(named: &Path) -> Result<Self, Error> {
        match std::fs::metadata(named) {
            Ok(status) if status.file_type().is_socket() => {}
            Ok(_) => return Self::read(named),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_bare(named) => {}
            Err(_) => return Self::read(named),
        }
        match guest(named) {
            Some(found) => Self::of_guest(&found?),
            None => Err(Error::Neither {
                named: named.to_path_buf(),
            }),
        }
    }

    /// What the guest's VARS flash holds at this moment, read from its memory; the guest is not paused.
    pub(super) fn of_guest(guest: &Guest) -> Result<Self, Error> {
        // A combined image is one unit that starts with the variables.
        let unit = guest.flash()?.iter().map(|flash| flash.unit).max().unwrap_or(1);
        let memory = guest.memory()?;
        let region = guest.flash_region(&memory, unit)?;
        let prefix = guest.read_region(&memory, unit, region, VarStore::PREFIX_BYTES as u64)?;
        let source = Self {
            path: guest.label().into(),
            model: guest.flash_unit(unit)?.opened.clone(),
            content: Content::Flash {
                prefix,
                len_bytes: region.len_bytes,
                qcow2: None,
            },
        };
        source.view()?;
        Ok(source)
    }

    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File {
            action: "read",
            path: path.to_path_buf(),
            source,
        };
        let mut file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        Self::from_file(path, &mut file)
    }

    /// From a file that is open already: what an edit locked is what it reads.
    pub(super) fn from_file(path: &Path, file: &mut File) -> Result<Self, Error> {
        let failed = |source| Error::File {
            action: "read",
            path: path.to_path_buf(),
            source,
        };
        // Not the metadata's length: a block device has none there.
        let len_bytes = file.seek(SeekFrom::End(0)).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut prefix =
            Vec::with_capacity(usize::try_from(len_bytes.min(VarStore::PREFIX_BYTES as u64)).unwrap_or(0));
        (&mut *file)
            .take(VarStore::PREFIX_BYTES as u64)
            .read_to_end(&mut prefix)
            .map_err(failed)?;
        let content = if prefix.starts_with(b"QFI\xfb") {
            Content::from_qcow2(path, &prefix)?
        } else if prefix.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
            file.take(JSON_LIMIT_BYTES)
                .read_to_end(&mut prefix)
                .map_err(failed)?;
            Content::Json(json::read(path, &prefix)?)
        } else {
            Content::Flash {
                prefix,
                len_bytes,
                qcow2: None,
            }
        };
        let source = Self {
            path: path.to_path_buf(),
            model: Some(path.to_path_buf()),
            content,
        };
        // A file of another kind is refused here, once for all verbs.
        source.view()?;
        Ok(source)
    }

    /// The store, unless the source is JSON.
    pub(super) fn view(&self) -> Result<Option<VarStore<'_>>, Error> {
        match &self.content {
            Content::Json(_) => Ok(None),
            Content::Flash {
                prefix, len_bytes, ..
            } => VarStore::parse_file(prefix, *len_bytes)
                .map(Some)
                .map_err(|source| Error::Parse {
                    path: self.path.clone(),
                    source,
                }),
        }
    }

    pub(super) fn variables(&self) -> Result<Vec<Variable>, Error> {
        match &self.content {
            Content::Json(found) => Ok(found.variables.clone()),
            Content::Flash { .. } => Ok(self.view()?.map(|view| view.to_variables()).unwrap_or_default()),
        }
    }

    pub(super) fn layout(&self) -> Result<Option<Layout>, Error> {
        Ok(self.view()?.and_then(|view| view.layout()))
    }
}

/// Whether it could be a guest's name: no path says so little.
fn is_bare(named: &Path) -> bool {
    !named.as_os_str().is_empty() && named.components().count() == 1 && !named.has_root()
}

/// The guest called so, if there is one: found, or why it can't be told.
pub(super) fn guest(named: &Path) -> Option<Result<Guest, fm_host::Error>> {
    match fm_host::find(named.to_str()?) {
        Err(fm_host::Error::NoGuest { .. }) => None,
        found => Some(found),
    }
}

/// A file that is to be changed and is not there may be a guest's name: a better answer than "not found".
pub(super) fn refuse_guest(named: &Path) -> Result<(), Error> {
    match is_bare(named).then(|| guest(named)).flatten() {
        Some(Ok(guest)) => Err(Error::RunningGuest {
            path: guest.flash().ok().and_then(|units| {
                units
                    .iter()
                    .find_map(|flash| flash.path.clone().filter(|_| flash.unit == 1))
            }),
            guest: guest.label(),
        }),
        _ => Ok(()),
    }
}

impl Content {
    /// The raw image inside a qcow2, by QEMU's own tool; the image may be open in a guest.
    fn from_qcow2(path: &Path, header: &[u8]) -> Result<Self, Error> {
        let field = |at: usize| {
            header
                .get(at..at + 4)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u32::from_be_bytes)
        };
        let qcow2 = Qcow2 {
            cluster_bits: field(20).clamp(9, 21),
            is_layered: field(8) != 0 || field(12) != 0 || field(60) != 0,
        };
        let folder = tempfile_folder(path)?;
        let raw = folder.path.join("raw");
        qemu_img(
            path,
            &["convert", "-U", "-f", "qcow2", "-O", "raw"],
            &[path, &raw],
        )?;
        let failed = |source| Error::File {
            action: "read",
            path: raw.clone(),
            source,
        };
        let mut file = File::open(&raw).map_err(failed)?;
        let len_bytes = file.metadata().map_err(failed)?.len();
        let mut prefix = Vec::new();
        (&mut file)
            .take(VarStore::PREFIX_BYTES as u64)
            .read_to_end(&mut prefix)
            .map_err(failed)?;
        Ok(Self::Flash {
            prefix,
            len_bytes,
            qcow2: Some(qcow2),
        })
    }
}

/// A private folder for `qemu-img`, gone when dropped.
pub(super) struct TemporaryFolder {
    pub(super) path: PathBuf,
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

pub(super) fn tempfile_folder(about: &Path) -> Result<TemporaryFolder, Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut last = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
    for attempt in 0..100 {
        let path = std::env::temp_dir().join(format!("flashmoor-{}-{attempt}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(TemporaryFolder { path }),
            Err(error) => last = error,
        }
    }
    Err(Error::File {
        action: "make a working folder for",
        path: about.to_path_buf(),
        source: last,
    })
}

pub(super) fn qemu_img(about: &Path, words: &[&str], paths: &[&Path]) -> Result<(), Error> {
    let failed = |message: String| Error::Program {
        program: "qemu-img",
        path: about.to_path_buf(),
        message,
    };
    let output = Command::new("qemu-img")
        .args(words)
        .arg("--")
        .args(paths)
        .output()
        .map_err(|error| {
            failed(format!(
                "it cannot be started ({error}); it is in Debian's qemu-utils"
            ))
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
