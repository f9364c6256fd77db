//! What is to be told and was told: one file, replaced whole, that outlives the agent and any outage.

use std::path::{Path, PathBuf};

use fm_api::v1::fleet::{HostId, HostReport, Mark, Recorded, ReportAnswer, Rest};
use fm_files::{Folder, Place};
use serde::{Deserialize, Serialize};

use super::rows::{Departing, Rows};
use crate::{Error, Result};

const NAME: &str = "outbox.json";
/// A report has at most some MiB.
const MAX_OUTBOX_BYTES: u64 = 16 << 20;

/// The file's content.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    /// Which installation this is: made up once.
    instance: String,
    sequence: u64,
    /// Whether a report with this sequence number may have been sent: another one needs the next number.
    sent: bool,
    rows: Rows,
    #[serde(default)]
    departing: Vec<Departing>,
    #[serde(default)]
    recorded: Option<Recorded>,
    /// What the next report acknowledges.
    #[serde(default)]
    acknowledges: Option<Mark>,
}

/// The outbox of this host.
#[derive(Debug)]
pub(super) struct Outbox {
    place: Place,
    path: PathBuf,
    state: State,
}

impl Outbox {
    /// The one in a folder, made if need be.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = Folder::open(path)?
            .ok_or_else(|| Error::file("open", path, std::io::ErrorKind::NotFound.into()))?;
        let place = Place::in_folder(&folder, NAME);
        let state = match folder.read(NAME, MAX_OUTBOX_BYTES)? {
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Error::file("read", &path.join(NAME), error.into()))?,
            None => State {
                instance: fm_client::random_hex(16)?,
                sequence: 0,
                sent: true,
                rows: Rows::default(),
                departing: Vec::new(),
                recorded: None,
                acknowledges: None,
            },
        };
        let outbox = Self {
            place,
            path: path.join(NAME),
            state,
        };
        // The instance must be the same after a crash, and so be there before anybody hears of it.
        outbox.save()?;
        Ok(outbox)
    }

    pub(super) fn departing(&self) -> &[Departing] {
        &self.state.departing
    }

    /// Guests that were in the last report and are not in `rows`, unless they are known to have left already.
    pub(super) fn add_departures(&mut self, rows: &Rows) {
        for gone in self.state.rows.gone(rows) {
            if !self.state.departing.contains(&gone) {
                self.state.departing.push(gone);
            }
        }
        // Who came back has not left.
        let is_here = |gone: &Departing| rows.guests.iter().any(|guest| guest.uuid == gone.guest);
        self.state.departing.retain(|gone| !is_here(gone));
    }

    /// These need nothing here any more.
    pub(super) fn forget_departures(&mut self, is_over: impl Fn(&Departing) -> bool) {
        self.state.departing.retain(|gone| !is_over(gone));
    }

    /// Sets what is to be told. Whether that differs from what the fleet has.
    pub(super) fn set(&mut self, rows: Rows, acknowledges: Option<Mark>) -> Result<bool> {
        let is_new = rows != self.state.rows || acknowledges.is_some() || self.state.recorded.is_none();
        if is_new {
            if self.state.sent {
                self.state.sequence = self.state.sequence.saturating_add(1);
                self.state.sent = false;
            }
            self.state.rows = rows;
            if acknowledges.is_some() {
                self.state.acknowledges = acknowledges;
            }
        }
        self.save()?;
        Ok(is_new || self.is_pending())
    }

    /// Whether something is still to be told.
    pub(super) fn is_pending(&self) -> bool {
        let recorded = self.state.recorded.as_ref();
        recorded.is_none_or(|recorded| recorded.sequence != self.state.sequence)
    }

    /// The report to send. From now on its number is used, whatever becomes of it.
    pub(super) fn report(&mut self, host: &HostId, boot_id: &str) -> Result<HostReport> {
        self.state.sent = true;
        self.save()?;
        let rows = self.state.rows.clone();
        Ok(HostReport {
            schema: fm_api::Schema::default(),
            host: host.clone(),
            instance: self.state.instance.clone(),
            boot_id: boot_id.into(),
            sequence: self.state.sequence,
            recorded: self.state.recorded.clone(),
            acknowledged: self.state.acknowledges.clone(),
            name: Some(host.to_string()),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            labels: rows.labels,
            guests: rows.guests,
            rollouts: rows.rollouts,
            builds: rows.builds,
            landings: rows.landings,
            pins: rows.pins,
            uses: rows.uses,
            rest: Rest::new(),
        })
    }

    /// What the fleet has by now.
    pub(super) fn answered(&mut self, answer: &ReportAnswer, was_report: bool) -> Result<()> {
        self.state.recorded = answer.recorded.clone();
        if was_report {
            self.state.acknowledges = None;
        }
        self.forget_departures(|gone| answer.arrived.contains(&gone.guest));
        self.save()
    }

    /// The fleet has a later number than this, which was set back with its disk: go on behind that one.
    pub(super) fn skip_to(&mut self, sequence: u64) -> Result<()> {
        self.state.sequence = sequence.saturating_add(1);
        self.state.sent = false;
        self.state.recorded = None;
        self.save()
    }

    fn save(&self) -> Result<()> {
        let bytes = serde_json::to_vec(&self.state)
            .map_err(|error| Error::file("write", &self.path, error.into()))?;
        Ok(self.place.write(&bytes, 0o600)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(sequence: u64) -> ReportAnswer {
        ReportAnswer {
            schema: fm_api::Schema::default(),
            recorded: Some(Recorded {
                epoch: "e".into(),
                revision: 1,
                sequence,
            }),
            scan: None,
            upload: Vec::new(),
            arrived: Vec::new(),
            targets_revision: None,
            rest: Rest::new(),
        }
    }

    #[test]
    fn a_number_is_used_once_and_the_installation_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let host: HostId = "a".parse().unwrap();
        let mut outbox = Outbox::open(folder.path()).unwrap();
        assert!(outbox.set(Rows::default(), None).unwrap());
        let first = outbox.report(&host, "b").unwrap();
        assert_eq!(first.sequence, 1);
        // Killed before the answer came: the same state keeps its number, another one gets the next.
        let mut outbox = Outbox::open(folder.path()).unwrap();
        assert!(outbox.is_pending());
        let mark = Mark {
            term: "t".into(),
            revision: 7,
        };
        assert!(outbox.set(Rows::default(), Some(mark.clone())).unwrap());
        let second = outbox.report(&host, "b").unwrap();
        assert_eq!((second.sequence, &second.instance), (2, &first.instance));
        assert_eq!(second.acknowledged, Some(mark));
        outbox.answered(&answer(2), true).unwrap();
        assert!(!outbox.set(Rows::default(), None).unwrap());
    }

    #[test]
    fn who_was_set_back_goes_on_behind_what_is_on_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(folder.path()).unwrap();
        outbox.skip_to(41).unwrap();
        outbox.set(Rows::default(), None).unwrap();
        let report = outbox.report(&"a".parse().unwrap(), "b").unwrap();
        assert_eq!(report.sequence, 42);
    }
}
