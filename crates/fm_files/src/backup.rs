//! Backups: the old file under a name with the time in it, how they are found again, how many are kept.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;

use crate::identity::keep_owner_and_labels;
use crate::{Error, Folder, Identity, Place, Result, copy_sparse};

/// What stands between a file's name and the time of its backup.
pub const MARK: &str = ".flashmoor-backup-";
/// How many of the newest are kept, besides the oldest: what was there before anything was changed.
const NEWEST_KEPT: usize = 9;
/// Somebody who makes that many names meanwhile does nothing else.
const ATTEMPTS: usize = 100;
/// Nobody keeps that many by hand.
const MAX_NUMBER: u32 = 10_000;

/// A backup's age: later ones are greater.
///
/// The clock may be set back, so a backup that is made while a later time is in use gets a number behind its time, one
/// above all that there are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    number: u64,
    time: OsString,
}

/// Keeps `old`, the file at `place`, under a name of its own, durably. Gives back that name.
///
/// # Errors
/// If the disk or the system refuses.
pub fn make(place: &Place, old: &File) -> Result<OsString> {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
    for _ in 0..ATTEMPTS {
        let name = next_name(place, old, &now)?;
        match keep_as(place.folder(), old, &name) {
            Ok(()) => return Ok(name),
            Err(Error::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Exists { path: place.path() })
}

/// The same under the first free of PLACE`suffix`1, PLACE`suffix`2 …
///
/// # Errors
/// If the disk or the system refuses.
pub(crate) fn make_numbered(place: &Place, old: &File, suffix: &str) -> Result<OsString> {
    for number in 1..MAX_NUMBER {
        let mut name = place.name().to_owned();
        name.push(format!("{suffix}{number}"));
        match keep_as(place.folder(), old, &name) {
            Ok(()) => return Ok(name),
            Err(Error::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Exists { path: place.path() })
}

/// Gives the very file `old` the name `name` as well: as a link where that is possible, else as a copy that belongs to
/// the same user.
///
/// # Errors
/// [`Error::Exists`], or if the disk or the system refuses.
fn keep_as(folder: &Folder, old: &File, name: &OsStr) -> Result<()> {
    match folder.link_file(old, name) {
        Ok(()) => folder.sync(),
        Err(error @ Error::Exists { .. }) => Err(error),
        // No links here, or no more of them: never opened again by its path, where another file may be by now.
        Err(_) => copy(folder, old, name),
    }
}

fn copy(folder: &Folder, old: &File, name: &OsStr) -> Result<()> {
    let failed = |error| Error::io("write", &folder.join(name), error);
    let mut copy = match folder.create_file(name, 0o600) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Error::Exists {
                path: folder.join(name),
            });
        }
        other => other?,
    };
    let written = keep_owner_and_labels(old, &copy)
        .and_then(|()| copy_sparse(&mut old.try_clone()?, &mut copy, 0))
        .and_then(|()| copy.sync_all());
    if let Err(error) = written {
        let _ = folder.remove(name, false);
        return Err(failed(error));
    }
    folder.sync()
}

/// A time that is later than all that there are needs no number.
fn next_name(place: &Place, old: &File, now: &str) -> Result<OsString> {
    let newest = orders(place, Some(owner_of(old, place)?))?
        .pop()
        .map(|(order, _)| order);
    let mut name = prefix(place);
    name.push(now);
    let own = Order {
        number: 0,
        time: now.into(),
    };
    if let Some(newest) = newest.filter(|newest| *newest >= own) {
        name.push(format!(".{}", newest.number.saturating_add(1)));
    }
    Ok(name)
}

/// The names of a file's backups, oldest first: regular files that belong to `owner_uid`, as the file does, or to
/// anybody where the file is gone. Whatever else has such a name was not made by [`make`].
///
/// # Errors
/// If the folder cannot be read.
pub fn list(place: &Place, owner_uid: Option<u32>) -> Result<Vec<OsString>> {
    Ok(orders(place, owner_uid)?
        .into_iter()
        .map(|(_, name)| name)
        .collect())
}

/// Opens the backup `name`, if it is one.
///
/// # Errors
/// [`Error::NotRegular`], [`Error::Foreign`], or if the system refuses.
pub fn open(place: &Place, name: &OsStr, owner_uid: Option<u32>) -> Result<File> {
    let path = place.folder().join(name);
    let missing = || Error::io("open", &path, std::io::Error::from(ErrorKind::NotFound));
    let (file, _) = place.folder().file(name)?.ok_or_else(missing)?;
    let identity = Identity::of(&file).map_err(|error| Error::io("look at", &path, error))?;
    match owner_uid {
        Some(expected_uid) if identity.owner_uid != expected_uid => Err(Error::Foreign {
            path,
            owner_uid: identity.owner_uid,
            expected_uid,
        }),
        _ => Ok(file),
    }
}

/// Removes all backups but the oldest, the newest, and the one `just_made`. A backup too many does no harm: failures
/// are passed over.
pub fn prune(place: &Place, owner_uid: u32, just_made: &OsStr) {
    let found = list(place, Some(owner_uid)).unwrap_or_default();
    let between = 1..found.len().saturating_sub(NEWEST_KEPT).max(1);
    for backup in found.get(between).unwrap_or_default() {
        if backup != just_made {
            let _ = place.folder().remove(backup, false);
        }
    }
}

/// Whether `name` is one that a backup of the file at `place` could have.
#[must_use]
pub fn is_named_so(place: &Place, name: &OsStr) -> bool {
    name.as_bytes().starts_with(prefix(place).as_bytes())
}

fn orders(place: &Place, owner_uid: Option<u32>) -> Result<Vec<(Order, OsString)>> {
    let prefix = prefix(place);
    let mut found = Vec::new();
    for name in place.folder().names()? {
        let Some(rest) = name.as_bytes().strip_prefix(prefix.as_bytes()) else {
            continue;
        };
        let identity = place.folder().identity(&name)?;
        if identity.is_some_and(|identity| {
            identity.is_regular && owner_uid.is_none_or(|owner_uid| identity.owner_uid == owner_uid)
        }) {
            found.push((Order::of(rest), name));
        }
    }
    found.sort();
    Ok(found)
}

impl Order {
    fn of(rest: &[u8]) -> Self {
        let text = String::from_utf8_lossy(rest);
        // `20261130T012351.123456Z`, then maybe `.12`: what stands behind the `Z`.
        let number = text
            .rsplit_once("Z.")
            .and_then(|(_, number)| number.parse().ok())
            .unwrap_or(0);
        Self {
            number,
            time: OsStr::from_bytes(rest).to_owned(),
        }
    }
}

fn prefix(place: &Place) -> OsString {
    let mut prefix = place.name().to_owned();
    prefix.push(MARK);
    prefix
}

fn owner_of(file: &File, place: &Place) -> Result<u32> {
    let identity = Identity::of(file).map_err(|error| Error::io("look at", &place.path(), error))?;
    Ok(identity.owner_uid)
}

#[cfg(test)]
mod tests;
