//! The journal: one record a guest in the store's folder, written before its memory is.
//!
//! A record names the process by its pid, the moment it started and the host's boot, so that it is never taken for
//! another process's. It is replaced whole; whoever works on a guest holds the lock beside it.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::{Duration, Instant};

use fm_api::v1::update::{Guest as GuestDocument, State, Update, Way};
use fm_files::Folder;
use fm_formats::Sha256;
use fm_host::Guest;
use fm_store::{Store, UPDATES};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::RecordProblem;
use crate::monitor::Place;
use crate::{Error, Result};

const MAX_RECORD_BYTES: u64 = 64 << 10;
/// How long whoever comes next waits for the one who works on a guest.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// The form of the records; others are not touched.
const VERSION: u32 = 1;

/// What is written down of one update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The form of this record.
    pub version: u32,
    /// The guest's process.
    pub pid: u32,
    /// When it started, in clock ticks since the host booted.
    pub start_ticks: u64,
    /// Which boot of the host that was.
    pub boot_id: String,
    /// The guest's name.
    pub name: Option<String>,
    /// Its uuid.
    pub uuid: Option<String>,
    /// sha256 of the CODE that the guest runs.
    pub from: Sha256,
    /// sha256 of the CODE that it gets.
    pub to: Sha256,
    /// sha256 of the CODE that its flash held when this was begun, where that is not what it runs: of an update before
    /// this one, whose reset has not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Sha256>,
    /// What was known before this was begun, which is known again if it never comes to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Box<Record>>,
    /// How far it is.
    pub step: Step,
    /// How the bytes get there.
    pub way: Way,
    /// Whether the guest ran when it was begun, and is to run when it is over.
    pub was_running: bool,
    /// Through which monitor it is stopped.
    pub place: Option<Place>,
    /// How often the guest has booted at most before it runs what it gets, as its variables count: a boot that was not over
    /// then may count itself yet.
    pub boots: Option<u32>,
    /// When this step was reached, in RFC 3339.
    pub since: String,
    /// Microseconds that the guest stood still.
    pub pause_us: Option<u64>,
    /// Bytes that were written.
    pub bytes_written: u64,
}

/// How far an update is. The first and the third are intents: the guest may hold whole old bytes, whole new ones, or a
/// part of both, and may stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// New bytes are about to be written.
    Writing,
    /// They are in place, whole.
    Written,
    /// The old bytes are about to be written again.
    Reverting,
    /// They are in place, whole.
    Reverted,
    /// It was interrupted, and the old bytes are in place.
    Undone,
    /// The guest has booted with the new bytes.
    Done,
}

impl Step {
    /// Whether what the guest holds is not known for certain.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Writing | Self::Reverting)
    }

    /// Whether the guest holds what it was given.
    #[must_use]
    pub const fn is_in_place(self) -> bool {
        matches!(self, Self::Written | Self::Done)
    }

    /// The state for documents.
    #[must_use]
    pub const fn state(self) -> State {
        match self {
            Self::Writing | Self::Reverting => State::Interrupted,
            Self::Written => State::PendingReset,
            Self::Reverted => State::Reverted,
            Self::Undone => State::Undone,
            Self::Done => State::Done,
        }
    }

    /// What an interrupted step has come to, where the guest turns out to hold whole old or new bytes.
    #[must_use]
    pub const fn settled(self, holds_new: bool) -> Self {
        match (self, holds_new) {
            (Self::Writing | Self::Reverting, true) => Self::Written,
            (Self::Writing, false) => Self::Undone,
            (Self::Reverting, false) => Self::Reverted,
            (other, _) => other,
        }
    }
}

impl Record {
    /// The name of a guest's record.
    #[must_use]
    pub fn id(guest: &Guest) -> String {
        format!("{}-{}", guest.pid(), guest.process().start_ticks())
    }

    /// Its own name.
    #[must_use]
    pub fn own_id(&self) -> String {
        format!("{}-{}", self.pid, self.start_ticks)
    }

    /// Its document, without what is only known while it is made.
    #[must_use]
    pub fn document(&self) -> Update {
        Update {
            schema: fm_api::Schema::default(),
            guest: GuestDocument {
                pid: self.pid,
                name: self.name.clone(),
                uuid: self.uuid.clone(),
            },
            from: self.from.to_string(),
            to: self.to.to_string(),
            state: self.step.state(),
            way: self.way,
            since: Some(self.since.clone()),
            pause_us: self.pause_us,
            bytes_written: self.bytes_written,
            verdict: None,
            refusals: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// The builds that are needed as long as this is what is known.
    pub(crate) fn builds(&self) -> Vec<Sha256> {
        let own = match self.step {
            Step::Reverted | Step::Undone => vec![self.from],
            _ => [self.from, self.to].into_iter().chain(self.held).collect(),
        };
        let before = self.previous.iter().flat_map(|previous| previous.builds());
        own.into_iter().chain(before).collect()
    }

    /// What its flash held before the bytes that the open step writes.
    pub(crate) fn before(&self) -> Sha256 {
        match self.step {
            Step::Writing => self.held.unwrap_or(self.from),
            _ => self.from,
        }
    }

    /// What is left of an open step where the guest turns out to hold whole old or new bytes.
    pub(crate) fn settled(self, holds_new: bool) -> Self {
        match (self.step, self.held, self.previous) {
            (Step::Writing, _, Some(previous)) if !holds_new => *previous,
            // What it waited for before, it waits for again.
            (Step::Writing, Some(held), None) if !holds_new => Self {
                to: held,
                held: None,
                previous: None,
                ..self
            }
            .at(Step::Written),
            (step, ..) => Self {
                previous: None,
                ..self
            }
            .at(step.settled(holds_new)),
        }
    }

    /// The same one step further, at this moment.
    #[must_use]
    pub(crate) fn at(mut self, step: Step) -> Self {
        self.step = step;
        self.since = now();
        self
    }
}

/// The records of a store.
#[derive(Debug)]
pub struct Journal {
    folder: Folder,
}

/// The right to work on one guest, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Journal {
    /// The journal of `store`; nothing if there is none.
    ///
    /// # Errors
    /// If its folder cannot be opened.
    pub fn open(store: &Store) -> Result<Option<Self>> {
        let Some(root) = Folder::open(store.path())? else {
            return Ok(None);
        };
        Ok(root.sub(UPDATES)?.map(|folder| Self { folder }))
    }

    /// The same, made if need be; the store has to be there.
    pub(crate) fn make(store: &Store) -> Result<Self> {
        let root = Folder::open(store.path())?.ok_or_else(|| {
            Error::file(
                "open",
                store.path(),
                std::io::Error::from(std::io::ErrorKind::NotFound),
            )
        })?;
        let folder = root.sub_or_create(UPDATES)?;
        root.sync()?;
        Ok(Self { folder })
    }

    /// The record of that name.
    ///
    /// # Errors
    /// [`Error::Record`] if it cannot be understood.
    pub fn read(&self, id: &str) -> Result<Option<Record>> {
        let name = format!("{id}.json");
        let Some(bytes) = self.folder.read(&name, MAX_RECORD_BYTES)? else {
            return Ok(None);
        };
        let bad = |why: RecordProblem| Error::Record {
            path: self.folder.join(&name),
            why,
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(|error| bad(error.into()))?;
        if record.version != VERSION {
            return Err(bad(RecordProblem::Version {
                found: record.version,
                known: VERSION,
            }));
        }
        if record.own_id() != id {
            return Err(bad(RecordProblem::OtherGuest { id: record.own_id() }));
        }
        Ok(Some(record))
    }

    /// The names of all records, and of guests that were worked on of which there is none.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn ids(&self) -> Result<Vec<String>> {
        let names = self.folder.names()?.into_iter();
        let ids: BTreeSet<String> = names
            .filter_map(|name| {
                let name = name.to_str()?;
                let id = name.strip_suffix(".json").or(name.strip_suffix(".lock"))?;
                Some(id.to_owned())
            })
            .filter(|id| id.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
            .collect();
        Ok(ids.into_iter().collect())
    }

    /// Puts a record in place, on disk when this returns.
    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        let id = record.own_id();
        let bytes = serde_json::to_vec_pretty(record).map_err(|error| Error::Record {
            path: self.folder.join(&id),
            why: error.into(),
        })?;
        let unfinished = format!("{id}.new");
        self.folder.remove(&unfinished, false)?;
        self.folder.create(&unfinished, &bytes, 0o644)?;
        self.folder
            .rename(&unfinished, &self.folder, format!("{id}.json"))?;
        Ok(self.folder.sync()?)
    }

    /// Takes the record of a guest that is gone away.
    pub(crate) fn forget(&self, id: &str) -> Result<()> {
        for name in [format!("{id}.json"), format!("{id}.new"), format!("{id}.lock")] {
            self.folder.remove(&name, false)?;
        }
        Ok(self.folder.sync()?)
    }

    /// The right to work on that guest, waited for as long as `timeout`: who puts right what another left needs a moment.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process works on it for longer.
    pub(crate) fn lock(&self, id: &str, timeout: Duration) -> Result<Lock> {
        let name = format!("{id}.lock");
        let file = self.folder.lock_file(&name)?;
        let start = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if start.elapsed() < timeout => {
                    // `flock` waits without an end or not at all: what bounds the wait is a look now and then.
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(Error::Busy { id: id.to_owned() }),
                Err(errno) => return Err(Error::file("lock", &self.folder.join(&name), errno.into())),
            }
        }
    }

    /// The same, waiting for whoever has it.
    pub(crate) fn wait_for_lock(&self, id: &str) -> Result<Lock> {
        let name = format!("{id}.lock");
        let file = self.folder.lock_file(&name)?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|errno| Error::file("lock", &self.folder.join(&name), errno.into()))?;
        Ok(Lock { _file: file })
    }
}

/// Why the builds of a record are kept.
pub(crate) fn pin_of(record_id: &str) -> String {
    format!("update of the guest of process {record_id}")
}

/// A record of `guest`, of which nothing has been done yet.
pub(crate) fn begun(guest: &Guest, from: Sha256, to: Sha256, way: Way) -> Record {
    Record {
        version: VERSION,
        pid: guest.pid(),
        start_ticks: guest.process().start_ticks(),
        boot_id: boot_id(),
        name: guest.name().map(str::to_owned),
        uuid: guest.uuid().map(str::to_owned),
        from,
        to,
        held: None,
        previous: None,
        step: Step::Writing,
        way,
        was_running: true,
        place: None,
        boots: None,
        since: now(),
        pause_us: None,
        bytes_written: 0,
    }
}

/// Which boot of the host this is; empty where the kernel does not say.
pub(crate) fn boot_id() -> String {
    fm_host::boot_id().unwrap_or_default()
}

fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second())
        .unwrap_or(now)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            version: VERSION,
            pid: 7,
            start_ticks: 11,
            boot_id: "b".into(),
            name: Some("web".into()),
            uuid: None,
            from: Sha256::of(b"old"),
            to: Sha256::of(b"new"),
            held: None,
            previous: None,
            step: Step::Writing,
            way: Way::InPlace,
            was_running: true,
            place: None,
            boots: Some(3),
            since: "2026-01-01T00:00:00Z".into(),
            pause_us: None,
            bytes_written: 0,
        }
    }

    fn journal() -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(Journal::open(&store).unwrap().is_none());
        let journal = Journal::make(&store).unwrap();
        (folder, journal)
    }

    #[test]
    fn a_record_comes_back_as_it_was_written_and_is_replaced_whole() {
        let (_folder, journal) = journal();
        assert_eq!(journal.read("7-11").unwrap(), None);
        journal.write(&record()).unwrap();
        assert_eq!(journal.read("7-11").unwrap(), Some(record()));
        let next = record().at(Step::Written);
        journal.write(&next).unwrap();
        assert_eq!(journal.read("7-11").unwrap(), Some(next));
        assert_eq!(journal.ids().unwrap(), ["7-11"]);
        drop(journal.lock("7-11", Duration::ZERO).unwrap());
        drop(journal.lock("8-11", Duration::ZERO).unwrap());
        assert_eq!(journal.ids().unwrap(), ["7-11", "8-11"]);
        journal.forget("8-11").unwrap();
        journal.forget("7-11").unwrap();
        assert!(journal.ids().unwrap().is_empty());
    }

    #[test]
    fn a_record_that_is_none_or_another_guests_is_refused() {
        let (folder, journal) = journal();
        let path = folder.path().join(UPDATES).join("7-11.json");
        let mut other = serde_json::to_value(record()).unwrap();
        other["version"] = 2.into();
        let mut strange = serde_json::to_value(record()).unwrap();
        strange["pid"] = 8.into();
        let mut no_digest = serde_json::to_value(record()).unwrap();
        no_digest["from"] = "00".into();
        let why = |text: &str| {
            std::fs::write(&path, text).unwrap();
            match journal.read("7-11") {
                Err(Error::Record { why, .. }) => why,
                other => panic!("{other:?}"),
            }
        };
        for text in ["", "{}", &no_digest.to_string()] {
            assert!(matches!(why(text), RecordProblem::Json(_)), "{text}");
        }
        assert!(matches!(
            why(&other.to_string()),
            RecordProblem::Version { found: 2, known: 1 }
        ));
        assert!(matches!(why(&strange.to_string()), RecordProblem::OtherGuest { id } if id == "8-11"));
    }

    #[test]
    fn a_record_of_before_there_was_a_third_digest_is_read() {
        let mut old = serde_json::to_value(record()).unwrap();
        assert!(old.as_object_mut().unwrap().remove("held").is_none());
        assert_eq!(serde_json::from_value::<Record>(old).unwrap(), record());
    }

    #[test]
    fn an_update_over_one_that_waits_comes_to_the_one_or_the_other() {
        let middle = Sha256::of(b"middle");
        let begun = Record {
            held: Some(middle),
            ..record()
        };
        assert_eq!(begun.before(), middle);
        let done = begun.clone().settled(true);
        assert_eq!(
            (done.step, done.from, done.to),
            (Step::Written, record().from, record().to)
        );
        let undone = begun.clone().settled(false);
        assert_eq!(
            (undone.step, undone.from, undone.to),
            (Step::Written, record().from, middle)
        );
        // So it does where that was written down, as it was.
        let waited = Record {
            to: middle,
            ..record()
        }
        .at(Step::Written);
        let begun = Record {
            previous: Some(Box::new(waited.clone())),
            ..begun
        };
        assert_eq!(begun.clone().settled(false), waited);
        assert_eq!(begun.settled(true).previous, None);
        // The way back leads to what it runs.
        let back = Record {
            held: Some(middle),
            step: Step::Reverting,
            ..record()
        };
        assert_eq!(back.before(), record().from);
        let reverted = back.settled(false);
        assert_eq!((reverted.step, reverted.from), (Step::Reverted, record().from));
    }

    #[test]
    fn an_update_over_one_that_is_done_leaves_that_one_known_if_it_never_comes_to_be() {
        let done = record().at(Step::Done);
        let over = Record {
            from: record().to,
            to: Sha256::of(b"newer"),
            previous: Some(Box::new(done.clone())),
            ..record()
        };
        for build in done.builds().into_iter().chain([over.to]) {
            assert!(over.builds().contains(&build), "it may be needed yet");
        }
        assert_eq!(over.clone().settled(false), done);
        let written = over.settled(true);
        assert_eq!((written.step, written.previous), (Step::Written, None));
    }

    #[test]
    fn a_record_has_its_digests_as_64_digits() {
        let text = serde_json::to_value(record()).unwrap();
        assert_eq!(text["from"], Sha256::of(b"old").to_string());
        assert_eq!(text["to"], Sha256::of(b"new").to_string());
    }

    #[test]
    fn two_do_not_work_on_one_guest() {
        let (_folder, journal) = journal();
        let lock = journal.lock("7-11", Duration::ZERO).unwrap();
        assert!(matches!(
            journal.lock("7-11", Duration::ZERO),
            Err(Error::Busy { .. })
        ));
        journal.lock("8-11", Duration::ZERO).unwrap();
        drop(lock);
        journal.lock("7-11", Duration::ZERO).unwrap();
    }

    #[test]
    fn an_interrupted_step_comes_to_what_the_guest_holds() {
        use Step::{Done, Reverted, Reverting, Undone, Writing, Written};
        for (step, holds_new, settled) in [
            (Writing, true, Written),
            (Writing, false, Undone),
            (Reverting, true, Written),
            (Reverting, false, Reverted),
            (Written, false, Written),
            (Done, true, Done),
        ] {
            assert_eq!(step.settled(holds_new), settled, "{step:?}");
        }
    }
}
