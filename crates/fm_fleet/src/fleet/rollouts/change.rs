//! What a person does with a rollout: pause, resume, abort, roll back.

use fm_api::v1::fleet::{Event, EventKind, OldVariables};
use fm_records::{Revision, Transaction};
use fm_rollout::Command;

use super::super::events::event;
use super::super::inner::{Inner, MAX_ATTEMPT_COUNT, Stored, write};
use super::super::keys;
use super::super::record::RolloutRecord;
use crate::{Error, Result};

/// Does it, if the record is at `revision` still, where that was said.
pub(in super::super) async fn change(
    inner: &Inner,
    id: &str,
    command: Command,
    variables: Option<OldVariables>,
    by: &str,
    revision: Option<Revision>,
) -> Result<()> {
    inner.meta_to_write().await?;
    let key = keys::rollout(id);
    for _ in 0..MAX_ATTEMPT_COUNT {
        let before: Option<Stored<RolloutRecord>> = inner.get(&key).await?;
        let before = before.ok_or_else(|| Error::NoRollout { id: id.to_owned() })?;
        if let Some(expected) = revision
            && expected != before.modified
        {
            return Err(Error::Changed {
                what: format!("rollout {id}"),
                expected,
                found: before.modified,
            });
        }
        let mut next = before.value.clone();
        next.state = fm_rollout::next(next.state, command)?;
        next.why = Some(format!("{} by {by}", command.participle()));
        if command == Command::Resume {
            // Who goes on has seen what there was.
            next.accepted_count = next.trouble_count;
        }
        if let Some(variables) = variables {
            next.variables = variables;
        }
        let transaction = Transaction::new()
            .if_unchanged(&key, Some(before.modified))
            .put(&key, write(&key, &next)?);
        let told = told(inner, id, by, &next);
        if inner.transact_with(transaction, vec![told]).await?.is_some() {
            return Ok(());
        }
    }
    Err(Error::Contention {
        what: format!("rollout {id}"),
    })
}

/// The event that says how a rollout stands now.
pub(super) fn told(inner: &Inner, id: &str, by: &str, record: &RolloutRecord) -> Event {
    let mut told = event(EventKind::RolloutChanged, inner.clock.display());
    told.by = Some(by.to_owned());
    told.build = record.spec.builds.first().cloned();
    let state = fm_rollout::state_name(record.state);
    told.why = Some(match &record.why {
        Some(why) => format!("rollout {id} is {state}: {why}"),
        None => format!("rollout {id} is {state}"),
    });
    told
}
