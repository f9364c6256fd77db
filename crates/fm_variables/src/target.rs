//! What a verb of `vars` writes to: a file that another takes the name of, or a device that is written in its place.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fm_files::{InPlace, Place, Replace, copy_sparse};
use fm_stream::qcow2::MAGIC;
use fm_varstore::VarStore;

use crate::in_flash::Step;
use crate::journal::{self, Journal, Rewrite, Settled};
use crate::source::{self, refuse_guest};
use crate::store_target::StoreTarget;
use crate::{Error, qcow2};

/// A qcow2 does not say how much of a device it takes; no flash image takes more.
const MAX_QCOW2_BYTES: u64 = 16 << 20;

/// Runs of zeros as long as this stay holes.
const HOLE_BYTES: usize = 64 << 10;

/// Held, so that nobody else changes it.
#[derive(Debug)]
pub(super) enum Target {
    /// A new file takes its name, and the old one stays as a backup beside it.
    File(Replace),
    /// It is written where it lies, by the journal.
    Device(Device),
    /// What would be written to it is made up and checked, and nothing is written.
    DryRun(Box<Self>),
}

/// A block device, or a file that no other can take the name of.
#[derive(Debug)]
pub(super) struct Device {
    held: InPlace,
    journal: Journal,
    /// How much of it the guest has as flash, if that is known.
    size_bytes: Option<u64>,
    /// What became of a write that was interrupted.
    settled: Settled,
    /// When one was interrupted that is left alone.
    interrupted: Option<String>,
}

/// What a file or device is to hold.
#[derive(Debug)]
pub(super) struct NewContent<'a> {
    pub(super) bytes: &'a [u8],
    /// How long the image is; what lies behind the bytes is zero, or stays.
    pub(super) len_bytes: u64,
    pub(super) keeps_rest: bool,
}

impl NewContent<'_> {
    /// A file of these bytes.
    pub(super) fn whole(bytes: &[u8]) -> NewContent<'_> {
        NewContent {
            bytes,
            len_bytes: bytes.len() as u64,
            keeps_rest: false,
        }
    }

    fn write(&self, file: &mut File, old: Option<&File>) -> io::Result<()> {
        if let Some(old) = old.filter(|_| self.keeps_rest) {
            copy_sparse(&mut old.try_clone()?, file, self.bytes.len() as u64)?;
        }
        file.set_len(self.len_bytes.max(self.bytes.len() as u64))?;
        // What is zero stays a hole: the flash of a `virt` board is 64 MiB with little in it.
        for (part, start) in self.bytes.chunks(HOLE_BYTES).zip((0u64..).step_by(HOLE_BYTES)) {
            if part.iter().any(|byte| *byte != 0) {
                file.write_all_at(part, start)?;
            }
        }
        Ok(())
    }
}

/// Whether a write that was interrupted, and that somebody else has written over since, stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupted {
    Refuse,
    /// All of the store is replaced by one that was there before.
    Supersede,
}

impl Target {
    /// Takes hold of an existing file or device.
    pub(super) fn existing(to: &StoreTarget, interrupted: Interrupted) -> Result<Self, Error> {
        Self::held(to, interrupted).map(|target| target.dry(to.dry_run))
    }

    fn dry(self, dry_run: bool) -> Self {
        if dry_run {
            Self::DryRun(Box::new(self))
        } else {
            self
        }
    }

    fn held(to: &StoreTarget, interrupted: Interrupted) -> Result<Self, Error> {
        let path = &to.path;
        if InPlace::is_needed(path) {
            return Device::hold(to, interrupted).map(Self::Device);
        }
        let failed = |action, path: &Path, source| Error::File {
            action,
            path: path.to_path_buf(),
            source,
        };
        match Replace::existing(path, to.even_if_in_use) {
            Err(fm_files::Error::Io {
                action: "find",
                path: named,
                source,
            }) => {
                refuse_guest(path)?;
                Err(failed("find", &named, source))
            }
            Err(error @ fm_files::Error::NotRegular { .. }) => match source::open(path) {
                Ok(_) => Err(error.into()),
                Err(source) => Err(failed("open", path, source)),
            },
            other => Ok(Self::File(other?)),
        }
    }

    /// A file that must not be there yet, or may be replaced; of a device that is there, one that holds nothing.
    pub(super) fn output(to: &StoreTarget, replace: bool) -> Result<Self, Error> {
        let exists = || Error::Exists {
            path: to.path.clone(),
        };
        let target = match fs::symlink_metadata(&to.path) {
            Ok(_) if replace => Self::held(to, Interrupted::Refuse),
            Ok(_) if InPlace::is_needed(&to.path) => {
                let device = Device::hold(to, Interrupted::Refuse)?;
                if device.is_blank()? {
                    Ok(Self::Device(device))
                } else {
                    Err(exists())
                }
            }
            Ok(_) => Err(exists()),
            Err(_) => Ok(Self::File(Replace::new(&to.path)?)),
        };
        target.map(|target| target.dry(to.dry_run))
    }

    /// The same, with the owner, mode and labels of `model` for a file that is made.
    pub(super) fn modelled_on(self, model: Option<&Path>) -> Self {
        match self {
            Self::File(file) => Self::File(file.modelled_on(model.and_then(|path| source::open(path).ok()))),
            device @ Self::Device(_) => device,
            Self::DryRun(target) => Self::DryRun(Box::new(target.modelled_on(model))),
        }
    }

    /// Its path.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::File(file) => file.path(),
            Self::Device(device) => device.held.path().to_owned(),
            Self::DryRun(target) => target.path(),
        }
    }

    /// What is there, if something is.
    pub(super) fn old(&self) -> Option<&File> {
        match self {
            Self::File(file) => file.old(),
            Self::Device(device) => Some(device.held.file()),
            Self::DryRun(target) => target.old(),
        }
    }

    /// What is known of the size of its store.
    pub(super) fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::File(_) => None,
            Self::Device(device) => device.size_bytes,
            Self::DryRun(target) => target.size_bytes(),
        }
    }

    /// What its backups are named after, and whose they are; nothing for a device that has none.
    pub(super) fn backups(&self) -> Result<Option<(Place, Option<u32>)>, Error> {
        match self {
            Self::File(file) => Ok(Some((file.place().clone(), file.owner_uid()))),
            Self::Device(device) => {
                let own = device.journal.find(&device.held)?;
                Ok(own.map(|own| (own.backups(), Some(journal::own_uid()))))
            }
            Self::DryRun(target) => target.backups(),
        }
    }

    /// What is to be said of a write that was interrupted before.
    pub(super) fn note(&self) -> Option<String> {
        let device = match self {
            Self::File(_) => return None,
            Self::Device(device) => device,
            Self::DryRun(target) => return target.note(),
        };
        if let Some(since) = &device.interrupted {
            return Some(format!(
                "a write of {since} was interrupted, and is finished or undone before anything else is written"
            ));
        }
        match &device.settled {
            Settled::Nothing => None,
            Settled::Finished { since } => Some(format!(
                "a write of {since} that was interrupted was finished first"
            )),
            Settled::Undone { since } => Some(format!(
                "a write of {since} that was interrupted was undone first"
            )),
        }
    }

    /// Whether it is written where it lies.
    pub(super) fn is_device(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Device(_) => true,
            Self::DryRun(target) => target.is_device(),
        }
    }

    /// Whether nothing is written.
    pub(super) fn is_dry_run(&self) -> bool {
        matches!(self, Self::DryRun(_))
    }

    /// Writes the steps of one variable's change, and makes sure that the store is what `verify` takes it for. Gives back
    /// the path of the backup; nothing was done of a file.
    pub(super) fn step(
        self,
        steps: &[Step],
        verify: impl FnOnce(&mut File) -> Result<(), Error>,
    ) -> Result<Option<PathBuf>, Error> {
        let Self::Device(device) = self else {
            return Ok(None);
        };
        let backup = device.journal.step(&device.held, device.store_bytes()?, steps)?;
        let mut file = device.held.file().try_clone().map_err(|source| Error::File {
            action: "read back",
            path: device.held.path().to_owned(),
            source,
        })?;
        verify(&mut file)?;
        Ok(Some(backup))
    }

    /// Writes, and makes sure that it is there and is what `verify` takes it for. Gives back the path of the backup.
    pub(super) fn replace(
        self,
        content: &NewContent<'_>,
        verify: impl FnOnce(&mut File) -> Result<(), Error>,
    ) -> Result<Option<PathBuf>, Error> {
        match self {
            Self::File(file) => {
                let old = file.old().map(File::try_clone).transpose();
                let old = old.map_err(|source| Error::File {
                    action: "read",
                    path: file.path(),
                    source,
                })?;
                file.replace(|new| content.write(new, old.as_ref()), verify)
            }
            Self::Device(device) => device.replace(content, verify).map(Some),
            Self::DryRun(target) => {
                if let Self::Device(device) = &*target {
                    device.refuse_small(content)?;
                }
                draft(&target.path(), content, target.old(), verify)?;
                Ok(None)
            }
        }
    }
}

/// Holds what would be written in memory, and has it read as what it is meant to be.
fn draft(
    path: &Path,
    content: &NewContent<'_>,
    old: Option<&File>,
    verify: impl FnOnce(&mut File) -> Result<(), Error>,
) -> Result<(), Error> {
    let failed = |source| Error::File {
        action: "write",
        path: path.to_owned(),
        source,
    };
    let mut draft = qcow2::memory_file().map_err(failed)?;
    content.write(&mut draft, old).map_err(failed)?;
    verify(&mut draft)
}

impl Device {
    fn hold(to: &StoreTarget, interrupted: Interrupted) -> Result<Self, Error> {
        let journal = to.journal.clone().ok_or_else(|| Error::NoJournal {
            path: to.path.clone(),
        })?;
        let held = InPlace::hold(&to.path, to.even_if_in_use)?;
        let unsettled = if to.dry_run {
            journal.interrupted(&held)?
        } else {
            None
        };
        let settle = || match to.dry_run {
            true => Ok(Settled::Nothing),
            false => journal.settle_held(&held),
        };
        let settled = match settle() {
            Err(Error::Interrupted { .. }) if interrupted == Interrupted::Supersede => Settled::Nothing,
            // Whoever only looks may look at what a guest has open.
            Err(Error::InUse { .. }) if to.even_if_in_use => Settled::Nothing,
            settled => settled?,
        };
        Ok(Self {
            held,
            journal,
            size_bytes: to.size_bytes,
            settled,
            interrupted: unsettled,
        })
    }

    fn beginning(&self) -> Result<Vec<u8>, Error> {
        Ok(self.held.read(VarStore::PREFIX_BYTES as u64)?)
    }

    fn is_blank(&self) -> Result<bool, Error> {
        Ok(!source::is_written(&self.beginning()?))
    }

    /// How much of it the old store takes.
    fn store_bytes(&self) -> Result<u64, Error> {
        let (beginning, len_bytes) = (self.beginning()?, self.held.len_bytes()?);
        let own = if beginning.starts_with(&MAGIC) {
            MAX_QCOW2_BYTES
        } else {
            let by_header = source::volume_len_bytes(&beginning);
            self.size_bytes.or(by_header).unwrap_or_default()
        };
        Ok(own.min(len_bytes).min(journal::MAX_IMAGE_BYTES))
    }

    /// How many bytes the content takes of it.
    fn refuse_small(&self, content: &NewContent<'_>) -> Result<u64, Error> {
        let size_bytes = self.held.len_bytes()?;
        let needed_bytes = content.len_bytes.max(content.bytes.len() as u64);
        if self.held.is_device() && needed_bytes > size_bytes {
            return Err(Error::DeviceTooSmall {
                path: self.held.path().to_owned(),
                needed_bytes,
                size_bytes,
            });
        }
        Ok(needed_bytes)
    }

    fn replace(
        self,
        content: &NewContent<'_>,
        verify: impl FnOnce(&mut File) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        let old_len_bytes = self.held.len_bytes()?;
        let needed_bytes = self.refuse_small(content)?;
        // Read as what it is meant to be before anything is written.
        draft(self.held.path(), content, None, verify)?;
        let file_size_bytes =
            Some(needed_bytes).filter(|size| !self.held.is_device() && *size != old_len_bytes);
        let backup_bytes = match file_size_bytes {
            Some(_) => old_len_bytes.min(journal::MAX_IMAGE_BYTES),
            None => self.store_bytes()?,
        };
        self.journal.rewrite(
            &self.held,
            &Rewrite {
                bytes: content.bytes,
                backup_bytes,
                file_size_bytes,
            },
        )
    }
}
