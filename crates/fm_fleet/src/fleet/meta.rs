//! The fleet as a whole: who may read and write its records, and which epoch they are in.

use fm_api::v1::fleet::{EventKind, HostReport, HostState, Rest};

use super::events::event;
use super::inner::{Inner, MAX_ATTEMPT_COUNT, Stored, random_name, write};
use super::keys;
use super::record::{HostRecord, MetaRecord, PROGRAM, Record as _};
use crate::{Error, Result};
use fm_records::Transaction;

/// The fleet as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Made up when the records were.
    pub fleet_id: String,
    /// Made up anew each time the records turn out to have been set back.
    pub epoch: String,
    /// The oldest program that may read the records.
    pub min_reader: u32,
    /// The oldest program that may write them.
    pub min_writer: u32,
    /// The revision of the records.
    pub revision: u64,
}

/// So many epochs are remembered.
const MAX_PAST_EPOCH_COUNT: usize = 64;

impl Inner {
    /// The fleet as a whole, made if there is none; refused if it wants a newer program.
    pub(super) async fn meta(&self) -> Result<(Stored<MetaRecord>, u64)> {
        loop {
            let (found, revision) = self.get_at::<MetaRecord>(keys::META).await?;
            let Some(meta) = found else {
                let fresh = MetaRecord {
                    schema: MetaRecord::SCHEMA,
                    fleet_id: random_name()?,
                    epoch: random_name()?,
                    past_epochs: Vec::new(),
                    min_reader: PROGRAM,
                    min_writer: PROGRAM,
                    rest: Rest::new(),
                };
                let make = Transaction::new()
                    .if_absent(keys::META)
                    .put(keys::META, write(keys::META, &fresh)?);
                self.transact(make).await?;
                continue;
            };
            if meta.value.min_reader > PROGRAM {
                return Err(Error::TooOld {
                    role: "reader",
                    wanted: meta.value.min_reader,
                    known: PROGRAM,
                });
            }
            return Ok((meta, revision));
        }
    }

    /// The same for whoever is about to write.
    pub(super) async fn meta_to_write(&self) -> Result<(Stored<MetaRecord>, u64)> {
        let (meta, revision) = self.meta().await?;
        if meta.value.min_writer > PROGRAM {
            return Err(Error::TooOld {
                role: "writer",
                wanted: meta.value.min_writer,
                known: PROGRAM,
            });
        }
        Ok((meta, revision))
    }

    /// Begins a new epoch in place of the one that `meta` shows; somebody else may have done so already.
    pub(super) async fn next_epoch(
        &self,
        meta: &Stored<MetaRecord>,
        also_past: Option<&str>,
        by: &str,
        why: &str,
    ) -> Result<()> {
        let mut next = meta.value.clone();
        next.past_epochs.push(next.epoch);
        next.past_epochs.extend(also_past.map(str::to_owned));
        let excess = next.past_epochs.len().saturating_sub(MAX_PAST_EPOCH_COUNT);
        next.past_epochs.drain(..excess);
        next.epoch = random_name()?;
        let change = Transaction::new()
            .if_unchanged(keys::META, Some(meta.modified))
            .put(keys::META, write(keys::META, &next)?);
        let mut began = event(EventKind::EpochBegan, self.clock.display());
        began.by = Some(by.to_owned());
        began.why = Some(why.to_owned());
        self.transact_with(change, vec![began]).await?;
        Ok(())
    }

    /// Begins a new epoch.
    pub(super) async fn begin_epoch(&self, by: &str, why: &str) -> Result<()> {
        let (before, _) = self.meta_to_write().await?;
        let mut meta = before.clone();
        for _ in 0..MAX_ATTEMPT_COUNT {
            self.next_epoch(&meta, None, by, why).await?;
            meta = self.meta_to_write().await?.0;
            if meta.value.epoch != before.value.epoch {
                return Ok(());
            }
        }
        Err(Error::Contention {
            what: "the epoch".into(),
        })
    }
}

/// Whether a host has seen records that are lost: these here were set back to an older backup. With the epoch that
/// it has seen, if that is none of ours.
pub(super) fn set_back(
    meta: &MetaRecord,
    revision: u64,
    host: Option<&HostRecord>,
    report: &HostReport,
) -> Option<Option<String>> {
    let recorded = report.recorded.as_ref()?;
    if meta.past_epochs.contains(&recorded.epoch) {
        return None;
    }
    if recorded.epoch != meta.epoch {
        return Some(Some(recorded.epoch.clone()));
    }
    let own = host.filter(|host| host.state == HostState::Active && host.instance == report.instance);
    let is_behind = match own {
        Some(host) => host.sequence < recorded.sequence,
        // Another installation's record, or a retired one, is judged elsewhere.
        None => host.is_none(),
    };
    (is_behind || recorded.revision > revision).then_some(None)
}
