//! Digests of firmware seen in this run: fifty guests of one build are compared with it, not hashed each.
//!
//! Comparing runs at memory speed and sees every byte, so nothing is ever taken for unchanged on trust.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fm_formats::Sha256;
use fm_host::{GuestMemory, Region};
use sha2::Digest as _;

/// Contents above this are hashed and not kept; OVMF's CODE is below 4 MiB, Arm's chips are 64 MiB.
const KEEP_MAX_BYTES: u64 = 8 << 20;
/// All kept contents together.
const KEEP_ALL_MAX_BYTES: usize = 24 << 20;
/// The largest file that is read as firmware.
const FILE_MAX_BYTES: u64 = 256 << 20;

/// A file, whatever its path: device, inode, size, modification and change.
type Identity = (u64, u64, u64, [i64; 4]);

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Contents {
    kept: Mutex<Vec<(Sha256, Arc<Vec<u8>>)>>,
    files: Mutex<Vec<(Identity, Sha256)>>,
}

impl Contents {
    /// The digest of the file at `path`; nothing if it is larger than any firmware.
    pub(super) fn of_file(&self, path: &Path) -> std::io::Result<Option<Sha256>> {
        let mut file = File::open(path)?;
        let status = file.metadata()?;
        let identity = (
            status.dev(),
            status.ino(),
            status.size(),
            [
                status.mtime(),
                status.mtime_nsec(),
                status.ctime(),
                status.ctime_nsec(),
            ],
        );
        // held until the digest is there: a second thread that wants the same file waits for it
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, digest)) = files.iter().find(|(known, _)| *known == identity) {
            return Ok(Some(*digest));
        }
        if !status.is_file() || status.size() > FILE_MAX_BYTES {
            return Ok(None);
        }
        let digest = if status.size() <= KEEP_MAX_BYTES {
            let bytes = fs::read(path)?;
            self.of_bytes(bytes)
        } else {
            let mut hasher = sha2::Sha256::new();
            let mut chunk = vec![0; 1 << 20];
            loop {
                match file.read(&mut chunk)? {
                    0 => break Sha256::from_bytes(hasher.finalize().into()),
                    read => hasher.update(chunk.get(..read).unwrap_or_default()),
                }
            }
        };
        files.push((identity, digest));
        Ok(Some(digest))
    }

    /// The digest of a region that its guest cannot write.
    pub(super) fn of_region(&self, memory: &GuestMemory, region: Region) -> Result<Sha256, fm_host::Error> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (digest, bytes) in &kept {
            if memory.equals_bytes(region, bytes)? {
                return Ok(*digest);
            }
        }
        if region.len_bytes > KEEP_MAX_BYTES {
            return memory.digest(region);
        }
        match memory.read(region, u64::MAX)? {
            Some(bytes) => Ok(self.of_bytes(bytes)),
            None => memory.digest(region),
        }
    }

    fn of_bytes(&self, bytes: Vec<u8>) -> Sha256 {
        let digest = Sha256::of(&bytes);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().all(|(known, _)| *known != digest) {
            kept.push((digest, Arc::new(bytes)));
        }
        let all_bytes =
            |kept: &[(Sha256, Arc<Vec<u8>>)]| kept.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        while all_bytes(&kept) > KEEP_ALL_MAX_BYTES {
            kept.remove(0);
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_in_one_byte_has_another_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("CODE.fd");
        let mut bytes = vec![0x5a; 100_000];
        fs::write(&path, &bytes).unwrap();
        let contents = Contents::default();
        let before = contents.of_file(&path).unwrap().unwrap();
        assert_eq!(before, Sha256::of(&bytes));
        assert_eq!(contents.of_file(&path).unwrap().unwrap(), before);
        bytes[77_777] ^= 1;
        let next = dir.path().join("next");
        fs::write(&next, &bytes).unwrap();
        fs::rename(&next, &path).unwrap();
        assert_eq!(contents.of_file(&path).unwrap().unwrap(), Sha256::of(&bytes));
    }

    #[test]
    fn what_is_kept_stays_within_its_bound() {
        let contents = Contents::default();
        for fill in 0..8 {
            contents.of_bytes(vec![fill; KEEP_MAX_BYTES as usize]);
        }
        let kept: usize = contents
            .kept
            .lock()
            .unwrap()
            .iter()
            .map(|(_, bytes)| bytes.len())
            .sum();
        assert!(kept <= KEEP_ALL_MAX_BYTES);
    }
}
