//! Rows of a host spread over records of at most 64 KiB, so that a row that changes rewrites one of them.

use fm_formats::Sha256;
use serde::Serialize;

use super::inner::write;
use super::record::Record;
use crate::{Error, Result};

/// The most bytes of a shard.
const MAX_SHARD_BYTES: usize = 64 << 10;
/// The most shards of one kind.
pub(super) const MAX_SHARD_COUNT: usize = 16;
/// The most bytes of one kind together: guests and details fit into one transaction.
const MAX_KIND_BYTES: usize = 448 << 10;

/// A record as it would be written.
#[derive(Debug, Clone)]
pub(super) struct Shard {
    pub(super) bytes: Vec<u8>,
    /// A short digest of what it holds.
    pub(super) digest: String,
}

/// A short digest of what a record holds: tells whether it changed.
pub(super) fn short_digest(bytes: &[u8]) -> String {
    let mut text = Sha256::of(bytes).to_string();
    text.truncate(16);
    text
}

/// Spreads rows, each with the name that it stays in its shard by.
pub(super) fn spread<Row, Shaped: Record>(
    what: &str,
    mut rows: Vec<(String, Row)>,
    shape: impl Fn(Vec<Row>) -> Shaped,
) -> Result<Vec<Shard>>
where
    Row: Clone + Serialize,
{
    rows.sort_by(|left, right| left.0.cmp(&right.0));
    let mut count = 1;
    loop {
        let mut shards: Vec<Vec<Row>> = vec![Vec::new(); count];
        for (name, row) in &rows {
            let first = Sha256::of(name.as_bytes()).to_bytes()[0];
            if let Some(shard) = shards.get_mut(usize::from(first) % count) {
                shard.push(row.clone());
            }
        }
        let mut written = Vec::new();
        for shard in shards {
            let bytes = write(what, &shape(shard))?;
            let digest = short_digest(&bytes);
            written.push(Shard { bytes, digest });
        }
        let total: usize = written.iter().map(|shard| shard.bytes.len()).sum();
        if total > MAX_KIND_BYTES {
            return Err(Error::TooLarge {
                what: format!("{what} of a host (bytes)"),
                size: total as u64,
                limit: MAX_KIND_BYTES as u64,
            });
        }
        if count == MAX_SHARD_COUNT || written.iter().all(|shard| shard.bytes.len() <= MAX_SHARD_BYTES) {
            return Ok(written);
        }
        count *= 2;
    }
}
