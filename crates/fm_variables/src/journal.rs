//! Writes to block devices, of which a cut leaves nothing half: backup and intent are on disk before, and what was
//! interrupted is finished or undone afterwards.
//!
//! ```text
//! STORE/variables/              root's alone: variables can hold secrets
//!   <device>/device.json        which device it is
//!            vars.flashmoor-backup-<time>   what it held before
//!            new                what it is to hold
//!            intent.json        that it is being written: on disk after the two above, gone when all is verified
//! ```
//!
//! Old and new bytes are both kept, so that an interrupted write is known by what the device holds: each sector is of the
//! one or the other, or somebody else has written since, and then nothing is touched.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fm_files::{Folder, InPlace, NewFile, Place, backup, create_folders};
use fm_formats::Sha256;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::in_flash::Step;

/// The folder in the store.
const FOLDER: &str = "variables";
const DEVICE: &str = "device.json";
const INTENT: &str = "intent.json";
const NEW: &str = "new";
/// What backups are named after.
const OLD: &str = "vars";
/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// A record is some hundred bytes long.
const MAX_RECORD_BYTES: u64 = 64 << 10;
/// The largest image that is written in place.
pub(super) const MAX_IMAGE_BYTES: u64 = fm_formats::image::MAX_FLASH_BYTES;
/// Devices beyond that belong to no one host.
const MAX_DEVICE_COUNT: usize = 100_000;
const VERSION: u32 = 1;

/// Where backups of block devices and intents to write them are kept.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
}

/// Which device a folder is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    version: u32,
    /// As it was named first.
    path: PathBuf,
    /// What the system calls it for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl Device {
    /// Whether the system calls it so; nothing if it has no lasting name for the one or the other.
    fn is_called(&self, id: Option<&str>) -> Option<bool> {
        Some(self.id.as_deref()? == id?)
    }

    /// Whether it is what `path` leads to, which the system calls `id`.
    fn is_at(&self, path: &Path, id: Option<&str>) -> bool {
        self.is_called(id)
            .unwrap_or_else(|| same_device(&self.path, path))
    }
}

/// A write that is on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Intent {
    version: u32,
    /// The backup's name: what the device held.
    backup: String,
    backup_sha256: String,
    new_sha256: String,
    /// Of a file: how long it is afterwards, if not as long as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_size_bytes: Option<u64>,
}

impl Intent {
    /// When it began: the time is in the backup's name.
    fn since(&self) -> &str {
        self.backup.rsplit_once(backup::MARK).map_or("", |(_, time)| time)
    }
}

/// A device that a write was interrupted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingWrite {
    /// The device, as it was named.
    pub path: PathBuf,
    /// When the write began, in the form 20261130T055947.123456Z.
    pub since: String,
}

/// What became of an interrupted write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// There was none.
    Nothing,
    /// The device holds what it was to hold.
    Finished {
        /// When the write began.
        since: String,
    },
    /// The device holds what it held before.
    Undone {
        /// When the write began.
        since: String,
    },
}

/// What became of an interrupted write to one of several devices.
#[derive(Debug)]
pub struct SettledDevice {
    /// The device.
    pub path: PathBuf,
    /// What became of it, or why nothing could.
    pub result: Result<Settled, Error>,
}

/// What is to be written.
#[derive(Debug)]
pub(super) struct Rewrite<'a> {
    /// The device's beginning from now on.
    pub(super) bytes: &'a [u8],
    /// How much of it is kept as a backup, if that is more.
    pub(super) backup_bytes: u64,
    /// Of a file: how long it is afterwards, if not as long as before.
    pub(super) file_size_bytes: Option<u64>,
}

/// The folder of one device.
#[derive(Debug)]
pub(super) struct DeviceFolder {
    folder: Folder,
}

impl Journal {
    /// In the folder of a store, which need not exist yet.
    #[must_use]
    pub fn in_store(store: &Path) -> Self {
        Self {
            path: store.join(FOLDER),
        }
    }

    /// Its folder, if it is there, and ours alone: who else could write to it could tell us what to write where.
    fn root(&self) -> Result<Option<Folder>, Error> {
        let Some(folder) = Folder::open(&self.path)? else {
            return Ok(None);
        };
        let status = folder.status()?;
        if status.st_uid != rustix::process::geteuid().as_raw() || status.st_mode & 0o077 != 0 {
            return Err(Error::OpenJournal {
                path: self.path.clone(),
            });
        }
        Ok(Some(folder))
    }

    fn make_root(&self) -> Result<Folder, Error> {
        if let Some(folder) = self.root()? {
            return Ok(folder);
        }
        let parent = self.path.parent().unwrap_or(Path::new("."));
        create_folders(parent)?;
        let store = Folder::open(parent)?.ok_or_else(|| missing(parent))?;
        store.private_sub_or_create(FOLDER)?;
        self.root()?.ok_or_else(|| missing(&self.path))
    }

    /// Each device that has a folder.
    fn devices(&self) -> Result<Vec<(DeviceFolder, Device)>, Error> {
        let Some(root) = self.root()? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for name in root.names()?.into_iter().take(MAX_DEVICE_COUNT) {
            let Some(folder) = root.sub(&name)? else {
                continue;
            };
            // Killed before this one was written, nothing else was begun either.
            if let Some(device) = read::<Device>(&folder, DEVICE)? {
                found.push((DeviceFolder { folder }, device));
            }
        }
        Ok(found)
    }

    pub(super) fn find(&self, held: &InPlace) -> Result<Option<DeviceFolder>, Error> {
        let is_it = |device: &Device| {
            device
                .is_called(held.id())
                .unwrap_or_else(|| held.is_at(&device.path))
        };
        let mut all = self.devices()?.into_iter();
        Ok(all.find(|(_, device)| is_it(device)).map(|(folder, _)| folder))
    }

    fn find_or_make(&self, held: &InPlace) -> Result<DeviceFolder, Error> {
        if let Some(found) = self.find(held)? {
            return Ok(found);
        }
        let device = Device {
            version: VERSION,
            path: held.path().to_owned(),
            id: held.id().map(str::to_owned),
        };
        let folder = self.make_root()?.private_sub_or_create(folder_name(&device))?;
        write(&folder, DEVICE, &device)?;
        Ok(DeviceFolder { folder })
    }

    /// The writes that were interrupted, or are on their way just now.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn pending(&self) -> Result<Vec<PendingWrite>, Error> {
        let mut pending = Vec::new();
        for (own, device) in self.devices()? {
            if let Some(intent) = read::<Intent>(&own.folder, INTENT)? {
                pending.push(PendingWrite {
                    path: device.path,
                    since: intent.since().to_owned(),
                });
            }
        }
        Ok(pending)
    }

    /// The write that was interrupted on the device at `path`, by whatever name, or is on its way there just now.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn pending_at(&self, path: &Path) -> Result<Option<PendingWrite>, Error> {
        // A file that others can take the name of is never written in place.
        if self.root()?.is_none() || !InPlace::is_needed(path) {
            return Ok(None);
        }
        let id = InPlace::id_at(path);
        for (own, device) in self.devices()? {
            if device.is_at(path, id.as_deref())
                && let Some(intent) = own.intent()?
            {
                return Ok(Some(PendingWrite {
                    path: device.path,
                    since: intent.since().to_owned(),
                }));
            }
        }
        Ok(None)
    }

    /// Finishes or undoes what was interrupted on the device at `path`, if it is one that is written in place.
    ///
    /// # Errors
    /// [`Error::InUse`] if a guest runs on it, [`Error::Interrupted`] if somebody else has written to it since, or if the
    /// disk refuses.
    pub fn settle(&self, path: &Path) -> Result<Settled, Error> {
        match self.pending_at(path)? {
            Some(_) => self.settle_held(&InPlace::hold(path, false)?),
            None => Ok(Settled::Nothing),
        }
    }

    /// The same for every device that is there: what became of each that a write was interrupted on.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn settle_all(&self) -> Result<Vec<SettledDevice>, Error> {
        let pending = self.pending()?.into_iter();
        let there = pending.filter(|pending| pending.path.exists());
        Ok(there
            .map(|pending| {
                let result = self.settle(&pending.path);
                SettledDevice {
                    path: pending.path,
                    result,
                }
            })
            .filter(|device| !matches!(device.result, Ok(Settled::Nothing)))
            .collect())
    }

    /// Where backups are, device by device.
    pub(super) fn places(&self) -> Result<Vec<(PathBuf, Place)>, Error> {
        let all = self.devices()?.into_iter();
        Ok(all.map(|(own, device)| (device.path, own.backups())).collect())
    }

    /// The same of the device at `path`, which is not held.
    pub(super) fn place_of(&self, path: &Path) -> Result<Option<Place>, Error> {
        let id = InPlace::id_at(path);
        let mut all = self.devices()?.into_iter();
        Ok(all
            .find(|(_, device)| device.is_at(path, id.as_deref()))
            .map(|(own, _)| own.backups()))
    }

    /// When the write began that was interrupted on the device.
    pub(super) fn interrupted(&self, held: &InPlace) -> Result<Option<String>, Error> {
        let intent = self.find(held)?.map(|own| own.intent()).transpose()?;
        Ok(intent.flatten().map(|intent| intent.since().to_owned()))
    }

    pub(super) fn settle_held(&self, held: &InPlace) -> Result<Settled, Error> {
        match self.find(held)? {
            Some(own) => own.settle(held),
            None => Ok(Settled::Nothing),
        }
    }

    /// Writes step by step, of which each leaves the store valid, after the first `backup_bytes` are a backup. Gives back
    /// its path.
    pub(super) fn step(&self, held: &InPlace, backup_bytes: u64, steps: &[Step]) -> Result<PathBuf, Error> {
        let own = self.find_or_make(held)?;
        let backup = own.keep(&held.read(backup_bytes)?)?;
        for step in steps {
            held.write_at(&step.bytes, step.offset)?;
            held.sync()?;
        }
        backup::prune(&own.backups(), own_uid(), &backup);
        Ok(own.folder.join(&backup))
    }

    /// Writes, so that a cut leaves the old or the new bytes. Gives back the path of the backup.
    pub(super) fn rewrite(&self, held: &InPlace, rewrite: &Rewrite<'_>) -> Result<PathBuf, Error> {
        self.find_or_make(held)?.rewrite(held, rewrite)
    }
}

impl DeviceFolder {
    /// The place that backups are named after, and whose they are.
    pub(super) fn backups(&self) -> Place {
        Place::in_folder(&self.folder, OLD)
    }

    fn intent(&self) -> Result<Option<Intent>, Error> {
        read(&self.folder, INTENT)
    }

    fn settle(&self, held: &InPlace) -> Result<Settled, Error> {
        let Some(intent) = self.intent()? else {
            return Ok(Settled::Nothing);
        };
        let since = intent.since().to_owned();
        let interrupted = |why: &str| Error::Interrupted {
            path: held.path().to_owned(),
            since: since.clone(),
            why: why.to_owned(),
        };
        if let Some(holder) = held.holder() {
            return Err(Error::InUse {
                path: held.path().to_owned(),
                holder,
            });
        }
        let whole = |name: &str, sha256: &str| -> Result<Option<Vec<u8>>, Error> {
            let bytes = self.folder.read(name, MAX_IMAGE_BYTES)?;
            Ok(bytes.filter(|bytes| digest(bytes) == sha256))
        };
        let new = whole(NEW, &intent.new_sha256)?;
        let old = whole(&intent.backup, &intent.backup_sha256)?;
        let Some(old) = old else {
            return Err(interrupted("its backup is not what it was"));
        };
        let Some(new) = new else {
            // Without the new bytes it is not known which sectors are ours; those of the old store are its backup's.
            return Err(interrupted("what was to be written is not what it was"));
        };
        let present = held.read(new.len() as u64)?;
        if !is_between(&present, &old, &new) {
            return Err(interrupted("it holds what neither the write nor its backup has"));
        }
        if put(held, &new, intent.file_size_bytes).is_ok() {
            self.done()?;
            return Ok(Settled::Finished { since });
        }
        put(held, &old, intent.file_size_bytes.map(|_| old.len() as u64))?;
        self.done()?;
        Ok(Settled::Undone { since })
    }

    /// The intent is carried out, or given up.
    pub(super) fn done(&self) -> Result<(), Error> {
        self.folder.remove(INTENT, false)?;
        self.folder.sync()?;
        // Left over, the next write replaces it.
        let _ = self.folder.remove(NEW, false);
        Ok(())
    }

    fn rewrite(&self, held: &InPlace, rewrite: &Rewrite<'_>) -> Result<PathBuf, Error> {
        let bytes = rewrite.bytes;
        let old = held.read(rewrite.backup_bytes.max(bytes.len() as u64))?;
        let backup = self.keep(&old)?;
        let intent = Intent {
            version: VERSION,
            backup: backup.to_string_lossy().into_owned(),
            backup_sha256: digest(&old),
            new_sha256: digest(bytes),
            file_size_bytes: rewrite.file_size_bytes,
        };
        Place::in_folder(&self.folder, NEW).write(bytes, 0o600)?;
        write(&self.folder, INTENT, &intent)?;
        if let Err(error) = put(held, bytes, rewrite.file_size_bytes) {
            let old_size_bytes = rewrite.file_size_bytes.map(|_| old.len() as u64);
            return match put(held, &old, old_size_bytes).and_then(|()| self.done()) {
                Ok(()) => {
                    // No backup is needed of what is still there.
                    let _ = self.folder.remove(&backup, false);
                    Err(error)
                }
                Err(_) => Err(Error::HalfWritten {
                    path: held.path().to_owned(),
                    source: Box::new(error),
                }),
            };
        }
        self.done()?;
        backup::prune(&self.backups(), own_uid(), &backup);
        Ok(self.folder.join(&backup))
    }

    /// Keeps `old` as a backup, durably.
    pub(super) fn keep(&self, old: &[u8]) -> Result<OsString, Error> {
        let place = self.backups();
        let new = NewFile::create(&place)?;
        new.write_all(old)?;
        new.place_over()?;
        let file = place.open()?.ok_or_else(|| missing(&place.path()))?;
        let name = backup::make(&place, &file)?;
        place.folder().remove(OLD, false)?;
        Ok(name)
    }
}

/// Whose the backups are.
pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Writes what differs, and makes sure that it is on disk.
fn put(held: &InPlace, bytes: &[u8], file_size_bytes: Option<u64>) -> Result<(), Error> {
    held.write_differing(bytes)?;
    if let Some(size_bytes) = file_size_bytes {
        held.set_len(size_bytes)?;
    }
    held.sync()?;
    if held.read(bytes.len() as u64)? == bytes {
        return Ok(());
    }
    Err(Error::Verify {
        path: held.path().to_owned(),
    })
}

/// Whether each sector that is there is of the one or the other. What a file grew by may not have come to the disk.
fn is_between(present: &[u8], old: &[u8], new: &[u8]) -> bool {
    let starts = (0..present.len()).step_by(SECTOR_BYTES);
    starts.zip(present.chunks(SECTOR_BYTES)).all(|(start, sector)| {
        let is_of = |bytes: &[u8]| {
            let end = (start + sector.len()).min(bytes.len());
            bytes
                .get(start..end)
                .is_some_and(|part| !part.is_empty() && sector.starts_with(part))
        };
        is_of(old) || is_of(new) || start >= old.len() && sector.iter().all(|byte| *byte == 0)
    })
}

fn same_device(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// Readable, and another one for every device.
fn folder_name(device: &Device) -> String {
    let digest = digest(format!("{:?} {:?}", device.path, device.id).as_bytes());
    let path = device.path.to_string_lossy();
    let readable: String = path
        .trim_start_matches('/')
        .chars()
        .map(|letter| {
            let is_plain = letter.is_ascii_alphanumeric() || "._-".contains(letter);
            if is_plain { letter } else { '-' }
        })
        .take(100)
        .collect();
    format!("{readable}-{}", digest.get(..16).unwrap_or_default())
}

fn digest(bytes: &[u8]) -> String {
    Sha256::of(bytes).to_string()
}

fn read<T: for<'de> Deserialize<'de>>(folder: &Folder, name: &str) -> Result<Option<T>, Error> {
    let Some(bytes) = folder.read(name, MAX_RECORD_BYTES)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| Error::Journal {
            path: folder.join(name),
            source,
        })
}

fn write<T: Serialize>(folder: &Folder, name: &str, record: &T) -> Result<(), Error> {
    let bytes = serde_json::to_vec(record).map_err(|source| Error::Journal {
        path: folder.join(name),
        source,
    })?;
    Ok(Place::in_folder(folder, name).write(&bytes, 0o600)?)
}

fn missing(path: &Path) -> Error {
    fm_files::Error::io("open", path, std::io::Error::from(std::io::ErrorKind::NotFound)).into()
}

#[cfg(test)]
mod tests;
