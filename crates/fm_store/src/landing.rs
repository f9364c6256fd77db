//! Landings: the files that incoming guests' CODE lands in, placeholders until the bytes are harvested.
//!
//! A landing has a name of its own and never a digest in its path, because until it is settled it holds
//! zeros. QEMU opens the placeholder read-only and keeps it open; settling renames a link of the stored
//! blob over the path, which the running guest does not notice and its next cold boot gets the right bytes
//! from. A guest whose build is stored already is given the build's own path, and a landing without a file,
//! which keeps the build from being collected.

use std::path::{Path, PathBuf};

use fm_files::Folder;
use fm_formats::Sha256;
use serde::{Deserialize, Serialize};

use crate::aside::Aside;
use crate::build::{FILES, Unreadable, code_path};
use crate::gc_root::{GcRoot, GcRoots};
use crate::layout::{to_json, within};
use crate::uptime::Uptime;
use crate::{Access, BUILDS, Error, LANDINGS, Result, Store, now, oci};

const CODE: &str = FILES[0].0;
const RECORD: &str = "landing.json";
const SCHEMA: &str = "flashmoor/landing/1";
const MAX_RECORD_BYTES: u64 = 64 * 1024;

/// What a landing is made for.
#[derive(Debug, Clone, Copy)]
pub struct NewLanding<'a> {
    /// The guest's name.
    pub guest_name: Option<&'a str>,
    /// The guest's UUID.
    pub guest_uuid: Option<&'a str>,
    /// Digest of the CODE bytes that will arrive.
    pub code: Sha256,
    /// Their number.
    pub size_bytes: u64,
}

/// A landing as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Landing {
    /// Its name.
    pub id: String,
    /// The guest it waits for.
    pub guest_name: Option<String>,
    /// The guest's UUID.
    pub guest_uuid: Option<String>,
    /// Digest of the CODE bytes that belong here.
    pub code: Sha256,
    /// Their number.
    pub size_bytes: u64,
    /// When it was made, in RFC 3339.
    pub created: String,
    /// The CODE file to start QEMU with.
    pub path: PathBuf,
    /// Whether that file holds zeros still, and not yet the bytes of [`Landing::code`].
    pub placeholder: bool,
    pub(crate) made: Option<Uptime>,
}

/// `landing.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    schema: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guest_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guest_uuid: Option<String>,
    code_sha256: String,
    size_bytes: u64,
    /// For display: the clock may be set.
    created: String,
    /// What its age is counted from. Versions before this one wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<Uptime>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// The landing's file is a placeholder.
    Waiting,
    /// The landing's file is a link of the stored build's.
    Settled,
    /// There is no file: the build was stored when the landing was made, and its path is used.
    Stored,
}

impl Store {
    /// Makes a landing, or returns the one that this guest has for these bytes.
    ///
    /// # Errors
    /// If the size is impossible, the store is busy, or the disk refuses.
    pub fn create_landing(&self, new: &NewLanding<'_>) -> Result<Landing> {
        if new.size_bytes == 0 {
            return Err(Error::Empty {
                what: "the announced CODE",
            });
        }
        if new.size_bytes > crate::MAX_FLASH_BYTES {
            return Err(Error::TooLarge {
                what: "the announced CODE".into(),
                size_bytes: new.size_bytes,
                limit_bytes: crate::MAX_FLASH_BYTES,
            });
        }
        let access = self.access()?;
        let landings = access.folder(LANDINGS)?;
        let stored = self.build(&new.code)?;
        for (landings, id) in each(landings.as_ref())? {
            // One that cannot be read is another's.
            let Ok(Some(landing)) = read(landings, &id) else {
                continue;
            };
            let same = landing.guest_uuid.as_deref() == new.guest_uuid
                && landing.guest_name.as_deref() == new.guest_name
                && (landing.code, landing.size_bytes) == (new.code, new.size_bytes);
            if !same {
                continue;
            }
            if landing.placeholder && stored.is_some() {
                // Another guest has brought the build meanwhile.
                return settle(&access, landings, landing);
            }
            return Ok(landing);
        }
        let (Some(writer), Some(landings)) = (access.writer(), &landings) else {
            return self.announced(new, landings.as_ref(), stored.is_some());
        };
        let record = Record {
            schema: SCHEMA.into(),
            guest_name: new.guest_name.map(str::to_owned),
            guest_uuid: new.guest_uuid.map(str::to_owned),
            code_sha256: new.code.to_string(),
            size_bytes: new.size_bytes,
            created: now(),
            made: Uptime::now(),
            state: if stored.is_some() {
                State::Stored
            } else {
                State::Waiting
            },
        };
        let record = within("the landing's record", to_json(&record), MAX_RECORD_BYTES)?;
        let id = free_id(Some(landings), new)?;
        let staged = writer.tmp.sub_or_create(&id)?;
        staged.create(RECORD, &record, 0o644)?;
        if stored.is_none() {
            staged.create_zeros(CODE, new.size_bytes, 0o444)?;
        }
        staged.sync()?;
        writer.tmp.rename(&id, landings, &id)?;
        landings.sync()?;
        known(landings, &id)
    }

    /// The landing that would be made.
    fn announced(&self, new: &NewLanding<'_>, landings: Option<&Folder>, is_stored: bool) -> Result<Landing> {
        let id = free_id(landings, new)?;
        let path = match is_stored {
            true => code_path(&self.path, &new.code),
            false => self.path.join(LANDINGS).join(&id).join(CODE),
        };
        Ok(Landing {
            id,
            guest_name: new.guest_name.map(str::to_owned),
            guest_uuid: new.guest_uuid.map(str::to_owned),
            code: new.code,
            size_bytes: new.size_bytes,
            created: now(),
            path,
            placeholder: !is_stored,
            made: None,
        })
    }

    /// All landings whose records can be read, sorted by id.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn landings(&self) -> Result<Vec<Landing>> {
        Ok(self.all_landings()?.0)
    }

    /// The same, and those whose records cannot be read.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all_landings(&self) -> Result<(Vec<Landing>, Vec<Unreadable>)> {
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        let Some(layout) = self.reader()? else {
            return Ok((found, unreadable));
        };
        let Some(landings) = layout.root.sub(LANDINGS)? else {
            return Ok((found, unreadable));
        };
        for id in ids(&landings)? {
            match read(&landings, &id) {
                Ok(landing) => found.extend(landing),
                Err(error) => unreadable.push(Unreadable { name: id, error }),
            }
        }
        Ok((found, unreadable))
    }

    /// The landing of that id.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn landing(&self, id: &str) -> Result<Option<Landing>> {
        let Some(layout) = self.reader()? else {
            return Ok(None);
        };
        match layout.root.sub(LANDINGS)? {
            Some(landings) if is_id(id) => read(&landings, id),
            _ => Ok(None),
        }
    }

    /// Puts the stored build `arrived` in the place of a landing's placeholder, while the guest runs. Doing
    /// it again changes nothing.
    ///
    /// # Errors
    /// [`Error::LandingMismatch`] if other bytes were announced, [`Error::UnknownBuild`] if they are not
    /// stored, [`Error::UnknownLanding`], or if the disk refuses.
    pub fn settle_landing(&self, id: &str, arrived: &Sha256) -> Result<Landing> {
        let access = self.access()?;
        let unknown = || Error::UnknownLanding { id: id.into() };
        let landings = access.folder(LANDINGS)?.ok_or_else(unknown)?;
        let landing = known(&landings, id)?;
        if landing.code != *arrived {
            return Err(Error::LandingMismatch {
                id: id.into(),
                expected: landing.code,
                found: *arrived,
            });
        }
        // In a dry run it would have been stored before.
        if self.build(arrived)?.is_none() && !self.is_dry_run {
            return Err(Error::UnknownBuild {
                text: arrived.to_string(),
            });
        }
        settle(&access, &landings, landing)
    }

    /// The same where the guest was given another build on the way: the landing is for that one from now on. One that
    /// is no placeholder any more stays what it is, since its file has a name of its own.
    ///
    /// # Errors
    /// As [`Store::settle_landing`], for another size instead of other bytes.
    pub fn settle_landing_anew(&self, id: &str, arrived: &Sha256) -> Result<Landing> {
        let access = self.access()?;
        let unknown = || Error::UnknownLanding { id: id.into() };
        let landings = access.folder(LANDINGS)?.ok_or_else(unknown)?;
        let landing = known(&landings, id)?;
        let build = self.build(arrived)?.ok_or_else(|| Error::UnknownBuild {
            text: arrived.to_string(),
        })?;
        if landing.size_bytes != build.code.size_bytes {
            return Err(Error::LandingMismatch {
                id: id.into(),
                expected: landing.code,
                found: *arrived,
            });
        }
        let code = *arrived;
        settle(&access, &landings, Landing { code, ..landing })
    }

    /// Removes a landing and its file. Nothing that a guest's configuration names may be removed; that is
    /// for the caller to know.
    ///
    /// # Errors
    /// [`Error::UnknownLanding`], or if the disk refuses.
    pub fn remove_landing(&self, id: &str) -> Result<Landing> {
        let writer = self.writer()?;
        let landings = writer.layout.root.sub_or_create(LANDINGS)?;
        let landing = known(&landings, id)?;
        let mut aside = Aside::new(&writer.layout.root, &writer.tmp);
        aside.take(LANDINGS, id)?;
        aside.remove()?;
        Ok(landing)
    }

    /// Removes a landing unless one of `roots` needs it, who are asked while nobody can begin to use it. Gives back what
    /// it was, or nothing for one whose record could not be read.
    ///
    /// # Errors
    /// [`Error::UnknownLanding`], [`Error::InUse`], or if the disk refuses.
    pub fn forget_landing(&self, id: &str, roots: GcRoots<'_>) -> Result<Option<Landing>> {
        let access = self.access()?;
        let unknown = || Error::UnknownLanding { id: id.into() };
        let landings = access.folder(LANDINGS)?.ok_or_else(unknown)?;
        if !is_id(id) || landings.stat(id)?.is_none() {
            return Err(unknown());
        }
        let landing = read(&landings, id).ok().flatten();
        let folder = landings.join(id);
        let user = |roots: Vec<GcRoot>| {
            let mut users = roots.into_iter();
            users.find(|user| user.path.as_deref().is_some_and(|path| is_in(path, &folder)))
        };
        let mut used = user(roots()?);
        if let (None, Some(writer)) = (&used, access.writer()) {
            let mut aside = Aside::new(&writer.layout.root, &writer.tmp);
            aside.take(LANDINGS, id)?;
            used = user(roots()?);
            aside.put_back(|_, _| used.is_some())?;
            aside.remove()?;
        }
        match used {
            Some(user) => Err(Error::InUse {
                id: id.into(),
                by: user.by,
            }),
            None => Ok(landing),
        }
    }
}

/// Whether a path leads into `folder`, by its words or by what it reaches.
pub(crate) fn is_in(path: &Path, folder: &Path) -> bool {
    path.starts_with(folder)
        || matches!((path.canonicalize(), folder.canonicalize()), (Ok(path), Ok(folder)) if path.starts_with(&folder))
}

/// The file before the record: a record that says settled always speaks the truth.
fn settle(access: &Access, landings: &Folder, landing: Landing) -> Result<Landing> {
    let id = &landing.id;
    if !landing.placeholder {
        return Ok(landing);
    }
    let Some(writer) = access.writer() else {
        return Ok(Landing {
            placeholder: false,
            ..landing
        });
    };
    let folder = landings
        .sub(id)?
        .ok_or_else(|| Error::UnknownLanding { id: id.clone() })?;
    let mut record = record(&folder)?;
    writer
        .layout
        .blobs
        .link(landing.code.to_string(), &writer.tmp, CODE)?;
    writer.tmp.rename(CODE, &folder, CODE)?;
    record.code_sha256 = landing.code.to_string();
    record.state = State::Settled;
    writer.tmp.create(RECORD, &to_json(&record), 0o644)?;
    folder.sync()?;
    writer.tmp.rename(RECORD, &folder, RECORD)?;
    folder.sync()?;
    known(landings, id)
}

/// Names of the landings' folders. Anything else in there is for `verify` to report.
pub(crate) fn ids(landings: &Folder) -> Result<Vec<String>> {
    let entries = landings.entries()?.into_iter();
    let names = entries
        .filter(|entry| entry.is_folder)
        .filter_map(|entry| entry.name.into_string().ok());
    Ok(names.filter(|id| is_id(id)).collect())
}

/// Each of them, with the folder that they are in; none in a store that was never written.
fn each(landings: Option<&Folder>) -> Result<Vec<(&Folder, String)>> {
    let Some(landings) = landings else {
        return Ok(Vec::new());
    };
    Ok(ids(landings)?.into_iter().map(|id| (landings, id)).collect())
}

fn known(landings: &Folder, id: &str) -> Result<Landing> {
    let landing = if is_id(id) { read(landings, id)? } else { None };
    landing.ok_or_else(|| Error::UnknownLanding { id: id.into() })
}

/// One landing; nothing if it does not exist.
pub(crate) fn read(landings: &Folder, id: &str) -> Result<Option<Landing>> {
    let Some(folder) = landings.sub(id)? else {
        return Ok(None);
    };
    let record = record(&folder)?;
    let path = folder.join(RECORD);
    let code = record.code_sha256.parse().map_err(|_| Error::Invalid {
        path,
        why: format!("code_sha256 is {:?}, which is no digest", record.code_sha256),
    })?;
    Ok(Some(Landing {
        id: id.into(),
        guest_name: record.guest_name,
        guest_uuid: record.guest_uuid,
        code,
        size_bytes: record.size_bytes,
        created: record.created,
        path: match record.state {
            State::Waiting | State::Settled => folder.join(CODE),
            // STORE/landings/<id> → STORE/builds/sha256-<hex>/CODE.fd
            State::Stored => {
                let root = landings.path().parent().unwrap_or(landings.path());
                root.join(BUILDS).join(oci::folder_of(&code)).join(CODE)
            }
        },
        placeholder: record.state == State::Waiting,
        made: record.made,
    }))
}

fn record(folder: &Folder) -> Result<Record> {
    let path = folder.join(RECORD);
    let Some(bytes) = folder.read(RECORD, MAX_RECORD_BYTES)? else {
        return Err(Error::Invalid {
            path,
            why: "the landing has no record".into(),
        });
    };
    let record: Record = serde_json::from_slice(&bytes).map_err(|source| Error::Json {
        what: "landing record",
        path: path.clone(),
        source,
    })?;
    if record.schema != SCHEMA {
        return Err(Error::Invalid {
            path,
            why: format!("its schema is {:?}, not {SCHEMA:?}", record.schema),
        });
    }
    Ok(record)
}

/// A landing's id is one plain path component that no digest hides in.
fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=80).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(plain)
}

/// The guest's name, or its UUID, as a folder's name; with a number if that is taken.
fn free_id(landings: Option<&Folder>, new: &NewLanding<'_>) -> Result<String> {
    let called = new.guest_name.or(new.guest_uuid).unwrap_or("guest");
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let mut stem: String = called
        .chars()
        .map(|letter| if plain(letter) { letter } else { '-' })
        .take(40)
        .collect();
    if stem.is_empty() || stem.starts_with('.') {
        stem.insert(0, 'g');
    }
    let mut id = stem.clone();
    let mut number = 1_u64;
    let is_taken = |id: &str| -> Result<bool> {
        Ok(match landings {
            Some(folder) => folder.stat(id)?.is_some(),
            None => false,
        })
    };
    while is_taken(&id)? {
        number += 1;
        id = format!("{stem}-{number}");
    }
    Ok(id)
}
