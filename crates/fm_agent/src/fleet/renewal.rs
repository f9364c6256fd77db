//! The certificate is renewed long before its time is over, with a new key.

use std::path::Path;
use std::time::{Duration, SystemTime};

use fm_client::{Client, Identity};

use crate::Result;

/// Of the year that a certificate holds, so much may pass.
const RENEW_AFTER: Duration = Duration::from_secs(120 * 24 * 3600);

/// Renews a certificate whose file is old enough. Whether it did.
pub(super) fn renew_if_due(client: &Client, identity: &Identity, folder: &Path) -> Result<bool> {
    let written = std::fs::metadata(folder.join("client.crt")).and_then(|file| file.modified());
    let age = written
        .ok()
        .and_then(|written| SystemTime::now().duration_since(written).ok());
    if age.is_none_or(|age| age < RENEW_AFTER) {
        return Ok(false);
    }
    fm_client::renew(client, identity)?.save(folder)?;
    Ok(true)
}
