//! Guests that rollouts leave out.

use fm_api::v1::fleet::{EventKind, Rest};
use fm_api::v1::rollout::GuestPin;
use fm_records::Transaction;

use super::super::check;
use super::super::events::event;
use super::super::inner::{Inner, Stored, write};
use super::super::keys;
use super::super::record::{GuestPinRecord, Record as _};
use crate::{Error, Result};

/// Leaves a guest out of every rollout that begins from now on.
pub(in super::super) async fn pin(inner: &Inner, pin: &GuestPin) -> Result<()> {
    inner.meta_to_write().await?;
    check::id("the pin", "guest", &pin.guest)?;
    let mut pin = pin.clone();
    check::word(&mut pin.reason);
    check::word(&mut pin.by);
    let key = keys::guest_pin(&pin.guest);
    let record = GuestPinRecord {
        schema: GuestPinRecord::SCHEMA,
        pin: pin.clone(),
        rest: Rest::new(),
    };
    let change = Transaction::new().put(&key, write(&key, &record)?);
    tell(
        inner,
        change,
        &pin.guest,
        &pin.by,
        format!("left out: {}", pin.reason),
    )
    .await
}

/// Takes it back.
pub(in super::super) async fn unpin(inner: &Inner, guest: &str, by: &str) -> Result<()> {
    inner.meta_to_write().await?;
    check::id("the pin", "guest", guest)?;
    let key = keys::guest_pin(guest);
    if inner.get::<GuestPinRecord>(&key).await?.is_none() {
        return Ok(());
    }
    let change = Transaction::new().delete(&key);
    tell(inner, change, guest, by, "not left out any more".into()).await
}

async fn tell(inner: &Inner, change: Transaction, guest: &str, by: &str, why: String) -> Result<()> {
    let mut told = event(EventKind::GuestPinned, inner.clock.display());
    told.guest = Some(guest.to_owned());
    told.by = Some(by.to_owned());
    told.why = Some(why);
    match inner.transact_with(change, vec![told]).await? {
        Some(_) => Ok(()),
        None => Err(Error::Contention {
            what: format!("the pin of guest {guest}"),
        }),
    }
}

/// Everybody who is left out.
pub(in super::super) async fn pins(inner: &Inner) -> Result<Vec<GuestPin>> {
    let mut pins = Vec::new();
    let take = |_: &str, record: Stored<GuestPinRecord>| pins.push(record.value.pin);
    inner.scan(keys::GUEST_PINS, None, take).await?;
    Ok(pins)
}
