//! The bytes of a blob that is to be stored, checked before they go anywhere.

use super::oci::digest_of;
use super::{Blob, BlobSource};
use crate::{Error, Result};

/// No blob is larger than firmware can be.
pub(crate) const MAX_BLOB_BYTES: u64 = fm_formats::image::MAX_FLASH_BYTES;

/// Reads the bytes of a blob. Blocks.
pub(crate) fn read(blob: &Blob) -> Result<Vec<u8>> {
    let action = "read what is to be stored";
    let check = |size: u64| {
        if size > MAX_BLOB_BYTES {
            return Err(Error::TooLarge {
                what: "a blob (bytes)".into(),
                size,
                limit: MAX_BLOB_BYTES,
            });
        }
        Ok(())
    };
    check(blob.size_bytes)?;
    let bytes = match &blob.source {
        BlobSource::Bytes(bytes) => bytes.to_vec(),
        BlobSource::File(path) => {
            let size = std::fs::metadata(path)
                .map_err(|error| Error::unreachable(action, error))?
                .len();
            check(size)?;
            std::fs::read(path).map_err(|error| Error::unreachable(action, error))?
        }
    };
    let found = digest_of(&bytes)?;
    if found == blob.digest {
        Ok(bytes)
    } else {
        Err(Error::Corrupt {
            expected: blob.digest.clone(),
            found,
        })
    }
}
