//! Digests of firmware seen in this run: fifty guests of one build are compared with it, not hashed each.
//!
//! Comparing runs at memory speed and sees every byte, so nothing is ever taken for unchanged on trust.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::{Arc, Mutex, PoisonError};

use fm_check::next_boot_code::digest_of;
use fm_formats::Sha256;
use fm_host::{GuestMemory, Region};

/// Contents above this are not kept but read again from their file; OVMF's CODE is below 4 MiB, Arm's chips
/// are 64 MiB.
pub(super) const MAX_KEPT_BYTES: u64 = 8 << 20;
/// All kept contents together.
const MAX_ALL_KEPT_BYTES: usize = 24 << 20;

/// A file, whatever its path: device, inode, size, modification and change.
type Identity = (u64, u64, u64, [i64; 4]);

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Contents {
    kept: Mutex<Vec<(Sha256, Arc<Vec<u8>>)>>,
    files: Mutex<Vec<(Identity, Sha256)>>,
}

impl Contents {
    /// The digest of what `unpack` makes of `file`. A file that was seen before is not read again.
    pub(super) fn of_file<E: From<io::Error>>(
        &self,
        file: File,
        unpack: impl FnOnce(File) -> Result<File, E>,
    ) -> Result<Sha256, E> {
        let identity = identity(&file.metadata()?);
        // held until the digest is there: a second thread that wants the same file waits for it
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, digest)) = files.iter().find(|(known, _)| *known == identity) {
            return Ok(*digest);
        }
        let plain = unpack(file)?;
        let len_bytes = plain.metadata()?.len();
        let digest = match usize::try_from(len_bytes) {
            Ok(len) if len_bytes <= MAX_KEPT_BYTES => {
                let mut bytes = vec![0; len];
                plain.read_exact_at(&mut bytes, 0)?;
                self.of_bytes(bytes)
            }
            _ => digest_of(&plain)?.0,
        };
        files.push((identity, digest));
        Ok(digest)
    }

    /// The digest of a region that its guest cannot write; `held` is the file that QEMU made it from.
    pub(super) fn of_region(
        &self,
        memory: &GuestMemory,
        region: Region,
        held: Option<File>,
    ) -> Result<Sha256, fm_host::Error> {
        if region.len_bytes > MAX_KEPT_BYTES {
            return match held.and_then(|held| self.of_held(memory, region, &held)) {
                Some(digest) => Ok(digest),
                None => memory.digest(region),
            };
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (digest, bytes) in &kept {
            if memory.equals_bytes(region, bytes)? {
                return Ok(*digest);
            }
        }
        match memory.read(region, u64::MAX)? {
            Some(bytes) => Ok(self.of_bytes(bytes)),
            None => memory.digest(region),
        }
    }

    /// The digest of `held`, if the region holds the very same bytes.
    fn of_held(&self, memory: &GuestMemory, region: Region, held: &File) -> Option<Sha256> {
        let before = held.metadata().ok()?;
        if before.len() != region.len_bytes {
            return None;
        }
        let digest = self.of_file(held.try_clone().ok()?, Ok::<_, io::Error>).ok()?;
        let same = memory.equals(region, held).ok()?;
        // whoever writes to a file in place may do so between the two
        let unchanged = identity(&held.metadata().ok()?) == identity(&before);
        (same && unchanged).then_some(digest)
    }

    fn of_bytes(&self, bytes: Vec<u8>) -> Sha256 {
        let digest = Sha256::of(&bytes);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().all(|(known, _)| *known != digest) {
            kept.push((digest, Arc::new(bytes)));
        }
        let all_bytes =
            |kept: &[(Sha256, Arc<Vec<u8>>)]| kept.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        while all_bytes(&kept) > MAX_ALL_KEPT_BYTES {
            kept.remove(0);
        }
        digest
    }
}

fn identity(status: &Metadata) -> Identity {
    (
        status.dev(),
        status.ino(),
        status.size(),
        [
            status.mtime(),
            status.mtime_nsec(),
            status.ctime(),
            status.ctime_nsec(),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_changes_in_one_byte_has_another_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("CODE.fd");
        let mut bytes = vec![0x5a; 100_000];
        fs::write(&path, &bytes).unwrap();
        let contents = Contents::default();
        let of_file = || contents.of_file(File::open(&path)?, Ok::<_, io::Error>);
        let before = of_file().unwrap();
        assert_eq!(before, Sha256::of(&bytes));
        assert_eq!(of_file().unwrap(), before);
        bytes[77_777] ^= 1;
        let next = dir.path().join("next");
        fs::write(&next, &bytes).unwrap();
        fs::rename(&next, &path).unwrap();
        assert_eq!(of_file().unwrap(), Sha256::of(&bytes));
    }

    #[test]
    fn what_is_kept_stays_within_its_bound() {
        let contents = Contents::default();
        for fill in 0..8 {
            contents.of_bytes(vec![fill; MAX_KEPT_BYTES as usize]);
        }
        let kept: usize = contents
            .kept
            .lock()
            .unwrap()
            .iter()
            .map(|(_, bytes)| bytes.len())
            .sum();
        assert!(kept <= MAX_ALL_KEPT_BYTES);
    }
}
