//! What is kept of a guest that a rollout wants something of: one file each, replaced whole.

use std::path::{Path, PathBuf};

use fm_api::v1::fleet::{CertificateSet, Digest, GuestProgress, ProgressState, Rest};
use fm_files::{Folder, Place};
use fm_formats::Sha256;
use serde::{Deserialize, Serialize};

use super::ground::Process;
use crate::{Error, Result};

/// Below the store's folder.
const FOLDER: &str = "rollouts";
const MAX_RECORD_BYTES: u64 = 64 << 10;

/// How far a guest has come, and the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) guest: String,
    pub(super) rollout: String,
    /// The build that it had before.
    pub(super) from: Option<Digest>,
    /// The build that it gets.
    pub(super) to: Digest,
    pub(super) state: ProgressState,
    #[serde(default)]
    pub(super) evidence: Option<String>,
    #[serde(default)]
    pub(super) written: Vec<String>,
    /// Whether it was judged here that it goes well, and whether its variables are converted then.
    #[serde(default)]
    pub(super) judged: Option<bool>,
    /// Its variables from before: its own file where they are converted to another one, else a copy.
    #[serde(default)]
    pub(super) vars: Option<Vars>,
    /// How often it had booted before it took the build.
    #[serde(default)]
    pub(super) boots: Option<u32>,
    /// The process that runs the build.
    #[serde(default)]
    pub(super) process: Option<(u32, u64)>,
    /// The host has shut it down, and starts it again.
    #[serde(default)]
    pub(super) is_ours_to_start: bool,
    /// The definition has gone back to the old build.
    #[serde(default)]
    pub(super) is_back: bool,
    /// What its keys gain, where that is what is wanted: `to` is then what it had before as well.
    #[serde(default)]
    pub(super) certificates: Option<CertificateSet>,
    /// Its memory has been given the build, or is about to be: it takes it at its own next reset.
    #[serde(default)]
    pub(super) at_reset: bool,
}

/// Variables from before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Vars {
    /// The guest's own file.
    pub(super) path: PathBuf,
    /// The file that they were converted to; nothing if they are not.
    pub(super) converted: Option<PathBuf>,
    /// What is in the copy, where there is one.
    #[serde(default, with = "digest")]
    pub(super) copy: Option<Sha256>,
}

mod digest {
    use fm_formats::Sha256;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<Sha256>, to: S) -> Result<S::Ok, S::Error> {
        value.map(|value| value.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sha256>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        Ok(text.and_then(|text| text.parse().ok()))
    }
}

impl Record {
    pub(super) fn new(guest: &str, rollout: &str, to: &Digest) -> Self {
        Self {
            guest: guest.to_owned(),
            rollout: rollout.to_owned(),
            from: None,
            to: to.clone(),
            state: ProgressState::Waiting,
            evidence: None,
            written: Vec::new(),
            judged: None,
            vars: None,
            boots: None,
            process: None,
            is_ours_to_start: false,
            is_back: false,
            certificates: None,
            at_reset: false,
        }
    }

    /// The file that the guest's variables are converted to or enrolled in, if it is another one than before.
    pub(super) fn new_vars(&self) -> Option<&Path> {
        self.vars.as_ref()?.converted.as_deref()
    }

    /// Whether a process has what is wanted: the build, or the file whose keys have the certificates.
    pub(super) fn is_taken_by(&self, process: &Process) -> bool {
        let has_keys = self.certificates.is_none()
            || self.new_vars().is_some() && process.vars.as_deref() == self.new_vars();
        process.code.as_ref() == Some(&self.to) && has_keys
    }

    /// Whether a process is as it was before.
    pub(super) fn is_as_before(&self, process: &Process) -> bool {
        let has_code = self.from.is_some() && process.code == self.from;
        has_code && !(self.certificates.is_some() && self.is_taken_by(process))
    }

    /// How far it has come, and what says so.
    pub(super) fn set(&mut self, state: ProgressState, evidence: impl Into<String>) {
        self.state = state;
        self.evidence = Some(evidence.into());
    }

    pub(super) fn wait(&mut self, evidence: impl Into<String>) {
        self.set(ProgressState::Waiting, evidence);
    }

    pub(super) fn progress(&self) -> GuestProgress {
        GuestProgress {
            guest: self.guest.clone(),
            rollout: self.rollout.clone(),
            build: self.to.clone(),
            state: self.state,
            evidence: self.evidence.clone(),
            written: self.written.clone(),
            rest: Rest::new(),
        }
    }
}

/// The folder of the records and copies.
#[derive(Debug)]
pub(super) struct Journal {
    folder: Folder,
}

impl Journal {
    pub(super) fn open(store: &Path) -> Result<Self> {
        let path = store.join(FOLDER);
        fm_files::create_folders(&path)?;
        let folder = Folder::open(&path)?
            .ok_or_else(|| Error::file("open", &path, std::io::ErrorKind::NotFound.into()))?;
        Ok(Self { folder })
    }

    /// What is kept of every guest. What cannot be read is none of ours.
    pub(super) fn records(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for name in self.folder.names()? {
            let is_record = name.to_str().is_some_and(|name| name.ends_with(".json"));
            if !is_record || fm_files::is_unfinished(&name) {
                continue;
            }
            if let Some(bytes) = self.folder.read(&name, MAX_RECORD_BYTES)? {
                records.extend(serde_json::from_slice::<Record>(&bytes).ok());
            }
        }
        records.sort_by(|left, right| left.guest.cmp(&right.guest));
        Ok(records)
    }

    pub(super) fn save(&self, record: &Record) -> Result<()> {
        let place = Place::in_folder(&self.folder, name(&record.guest, "json"));
        let bytes =
            serde_json::to_vec(record).map_err(|error| Error::file("write", &place.path(), error.into()))?;
        Ok(place.write(&bytes, 0o600)?)
    }

    /// Forgets a guest, and the copy of its variables.
    pub(super) fn forget(&self, guest: &str) -> Result<()> {
        for end in ["json", "vars", "judged"] {
            let name = name(guest, end);
            if self.folder.stat(&name)?.is_some() {
                self.folder.remove(&name, false)?;
            }
        }
        self.folder.sync()?;
        Ok(())
    }

    /// Where the copy of a guest's variables lies.
    pub(super) fn copy(&self, guest: &str) -> Place {
        Place::in_folder(&self.folder, name(guest, "vars"))
    }

    /// Where variables are converted to for the judge.
    pub(super) fn judged(&self, guest: &str) -> PathBuf {
        self.folder.join(name(guest, "judged"))
    }
}

/// Where the copy of a guest's variables lies.
pub(super) fn copy_path(store: &Path, guest: &str) -> PathBuf {
    store.join(FOLDER).join(name(guest, "vars"))
}

/// A guest's id comes from the fleet; as a file's name it has no more than digits.
fn name(guest: &str, end: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match guest.bytes().all(is_plain) && guest.len() <= 64 {
        true => format!("{guest}.{end}"),
        false => format!("x{}.{end}", Sha256::of(guest.as_bytes())),
    }
}
