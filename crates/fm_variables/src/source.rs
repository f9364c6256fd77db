//! Where variables come from: a VARS file, a combined image, a qcow2 of either, JSON, or a running guest.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use fm_api::v1::vars::VariableDocument;
use fm_formats::Reader;
use fm_formats::image::Layout;
use fm_formats::volume::VolumeHeader;
use fm_host::Guest;
use fm_stream::qcow2::MAGIC;
use fm_varstore::{ActiveCopy, State, VarStore, Variable};
use rustix::fs::{Mode, OFlags};

use crate::Error;
use crate::document;
use crate::json::{self, Digests};
use crate::qcow2::{self, Qcow2};
use crate::stdin;

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
    /// comes before a guest, and `-` is standard input.
    pub(super) fn find(named: &Path) -> Result<Self, Error> {
        if named.as_os_str() == "-" {
            let path = Path::new("standard input");
            let failed = |source| Error::File {
                action: "read",
                path: path.to_path_buf(),
                source,
            };
            let mut source = Self::from_file(path, &mut stdin::file().map_err(failed)?)?;
            source.model = None;
            return Ok(source);
        }
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
        if let Some((path, file)) = guest.uefi_vars_file() {
            return Self::of_device(guest, &path, file);
        }
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

    /// What QEMU's `uefi-vars` device has written: it writes all of it whenever the guest sets a lasting variable.
    fn of_device(guest: &Guest, path: &Path, file: std::io::Result<File>) -> Result<Self, Error> {
        let mut text = Vec::new();
        file.and_then(|file| {
            file.take(fm_images::json_store::MAX_JSON_BYTES)
                .read_to_end(&mut text)
        })
        .map_err(|source| Error::File {
            action: "read",
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Self {
            path: guest.label().into(),
            model: None,
            content: Content::Json(json::read(path, &text)?),
        })
    }

    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File {
            action: "read",
            path: path.to_path_buf(),
            source,
        };
        Self::from_file(path, &mut open(path).map_err(failed)?)
    }

    /// From a file that is open already: what an edit locked is what it reads.
    pub(super) fn from_file(path: &Path, file: &mut File) -> Result<Self, Error> {
        Self::from_sized(path, file, None)
    }

    /// The same where it is known how much of a device is the guest's flash.
    pub(super) fn from_sized(path: &Path, file: &mut File, size_bytes: Option<u64>) -> Result<Self, Error> {
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
        let is_device = file.metadata().map_err(failed)?.file_type().is_block_device();
        let content = if prefix.starts_with(&MAGIC) {
            let flash = qcow2::unpack(path, file)?;
            Content::Flash {
                prefix: qcow2::start_of(&flash, VarStore::PREFIX_BYTES),
                len_bytes: flash.len_bytes,
                qcow2: Some(Qcow2::of(&prefix)),
            }
        } else if is_json(path, &prefix) {
            file.take(fm_images::json_store::MAX_JSON_BYTES)
                .read_to_end(&mut prefix)
                .map_err(failed)?;
            Content::Json(json::read(path, &prefix)?)
        } else if let Some(why) = fm_images::inspect::named_foreign(&prefix).or_else(|| code(&prefix)) {
            return Err(Error::Foreign {
                path: path.to_path_buf(),
                why,
            });
        } else {
            // A volume is as large as its storage made it, and what lies behind the store is not the guest's.
            let own_bytes = size_bytes.or_else(|| volume_len_bytes(&prefix));
            let len_bytes = match own_bytes.filter(|_| is_device) {
                Some(own_bytes) => own_bytes.min(len_bytes),
                None => len_bytes,
            };
            prefix.truncate(usize::try_from(len_bytes).unwrap_or(prefix.len()));
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

    /// How many variables firmware finds that reads the main area alone and stops at damage, where that is not all.
    pub(super) fn firmware_finds(&self) -> Result<Option<u64>, Error> {
        let (
            Some(view),
            Content::Flash {
                prefix, len_bytes, ..
            },
        ) = (self.view()?, &self.content)
        else {
            return Ok(None);
        };
        let all = view.variables().count();
        let found = match view.active_copy() {
            ActiveCopy::Main => view.found_by_firmware().count(),
            ActiveCopy::Spare => {
                VarStore::parse_main(prefix, *len_bytes).map_or(0, |main| main.found_by_firmware().count())
            }
        };
        Ok((found != all).then_some(found as u64))
    }

    pub(super) fn variables(&self) -> Result<Vec<Variable>, Error> {
        match &self.content {
            Content::Json(found) => Ok(found.variables.clone()),
            Content::Flash { .. } => Ok(self.view()?.map(|view| view.to_variables()).unwrap_or_default()),
        }
    }

    /// Whether firmware lies behind the variables, as in a combined image.
    pub(super) fn has_code(&self) -> bool {
        self.code().is_ok_and(|code| code.is_some())
    }

    /// The firmware that lies behind the variables of a combined image, if the source is the file of one.
    pub(super) fn code(&self) -> Result<Option<Vec<u8>>, Error> {
        let (Content::Flash { len_bytes, qcow2, .. }, Some(path), Some(view)) =
            (&self.content, &self.model, self.view()?)
        else {
            return Ok(None);
        };
        let Some(layout) = Layout::of_x86_combined_size(*len_bytes) else {
            return Ok(None);
        };
        let failed = |source| Error::File {
            action: "read",
            path: path.clone(),
            source,
        };
        let mut file = open(path).map_err(failed)?;
        let code = if qcow2.is_some() {
            let mut image = qcow2::start_of(&qcow2::unpack(path, &file)?, usize::MAX);
            image.split_off(image.len().min(view.volume_len_bytes() as usize))
        } else {
            let mut code = Vec::new();
            file.seek(SeekFrom::Start(view.volume_len_bytes()))
                .and_then(|_| file.take(layout.code_size_bytes()).read_to_end(&mut code))
                .map_err(failed)?;
            code
        };
        let is_padding = code
            .first()
            .is_none_or(|first| code.iter().all(|byte| byte == first));
        Ok((!is_padding).then_some(code))
    }

    /// What is said of one of its variables.
    pub(super) fn document(&self, variable: &Variable) -> VariableDocument {
        let digest = match &self.content {
            Content::Json(found) => found.digests.get(&(variable.guid, variable.name.clone())),
            Content::Flash { .. } => None,
        };
        VariableDocument {
            digest: digest.cloned(),
            ..document::variable(variable, State::Live, None)
        }
    }

    /// Of JSON: who may change which variable. Flash says it in certdb.
    pub(super) fn digests(&self) -> Digests {
        match &self.content {
            Content::Json(found) => found.digests.clone(),
            Content::Flash { .. } => Digests::default(),
        }
    }

    /// Refuses a store whose damage would be made permanent: what it lost would be missing for good.
    pub(super) fn refuse_damage(&self) -> Result<(), Error> {
        match self.view()?.and_then(|view| view.first_lossy_damage().copied()) {
            Some(damage) => Err(Error::Damaged {
                path: self.path.clone(),
                damage: damage.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// Of a raw flash image: how long the volume of variables is that it starts with.
    pub(super) fn flash_bytes(&self) -> Option<usize> {
        match &self.content {
            Content::Flash {
                prefix, qcow2: None, ..
            } => usize::try_from(volume_len_bytes(prefix)?).ok(),
            _ => None,
        }
    }

    /// What kind of store it is, in a few words.
    pub(super) fn kind(&self) -> Result<String, Error> {
        let Content::Flash { len_bytes, qcow2, .. } = &self.content else {
            return Ok("JSON".into());
        };
        Ok(format!(
            "a {} store of {len_bytes} bytes{}",
            self.layout()?.map_or("strange", Layout::name),
            if qcow2.is_some() { " in a qcow2" } else { "" }
        ))
    }

    pub(super) fn layout(&self) -> Result<Option<Layout>, Error> {
        Ok(self.view()?.and_then(|view| view.layout()))
    }
}

/// Erased flash is all ones; blank stores are all zeros.
pub(super) fn is_written(area: &[u8]) -> bool {
    !area.iter().all(|byte| *byte == 0xff) && !area.iter().all(|byte| *byte == 0)
}

/// How long the volume is that starts with `prefix`, as its header says, if it is one of variables.
pub(super) fn volume_len_bytes(prefix: &[u8]) -> Option<u64> {
    VolumeHeader::parse(&mut Reader::new(prefix))
        .ok()
        .filter(|header| header.file_system == VolumeHeader::NV_DATA)
        .map(|header| header.volume_len_bytes)
}

/// What is said of firmware where variables are expected: a volume of files is none of variables.
fn code(prefix: &[u8]) -> Option<String> {
    let header = VolumeHeader::parse(&mut Reader::new(prefix)).ok()?;
    matches!(header.file_system, VolumeHeader::FFS2 | VolumeHeader::FFS3)
        .then(|| "it is CODE, whose variables are in another file".into())
}

/// JSON starts with a brace; an empty file is a store of QEMU's that nothing was written to yet.
fn is_json(path: &Path, prefix: &[u8]) -> bool {
    match prefix.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(first) => *first == b'{',
        None => prefix.is_empty() && path.extension().is_some_and(|extension| extension == "json"),
    }
}

/// Opens a file that may hold variables, for reading.
///
/// Without waiting: a FIFO has no content until somebody writes to it, and no length ever.
pub(super) fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(file);
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::InvalidInput,
        "it is neither a file nor a block device",
    ))
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
