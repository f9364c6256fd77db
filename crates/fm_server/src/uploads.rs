//! Blobs on their way in: in files of the server's own, bounded in number and size, gone when the server starts again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use fm_api::v1::fleet::Digest;
use fm_blobs::{Blob, BlobSource};
use sha2::Digest as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;

use crate::Result;
use crate::pki::private_folder;
use fm_access::Problem;

/// The most bytes of a blob: no flash device is larger.
pub(crate) const MAX_BLOB_BYTES: u64 = fm_formats::image::MAX_FLASH_BYTES;
/// Uploads that are under way at once.
const MAX_UPLOAD_COUNT: usize = 8;
/// Between two pieces of a blob there is no more time than this.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);
/// All of them may have so many bytes.
const MAX_WAITING_BYTES: u64 = 1 << 30;

/// The folder of blobs that came and were not asked for by a manifest yet.
pub(crate) struct Uploads {
    folder: PathBuf,
    slots: Arc<Semaphore>,
}

impl Uploads {
    /// An empty folder; what an earlier server left there goes.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let folder = private_folder(path)?;
        for entry in folder.entries()? {
            folder.remove_all(&entry)?;
        }
        Ok(Self {
            folder: path.to_owned(),
            slots: Arc::new(Semaphore::new(MAX_UPLOAD_COUNT)),
        })
    }

    /// Takes a blob in and checks what it is.
    pub(crate) async fn take(&self, digest: &Digest, body: Body) -> Result<u64, Problem> {
        let _slot = Arc::clone(&self.slots)
            .try_acquire_owned()
            .map_err(|_| Problem::busy("enough uploads are under way"))?;
        if self.waiting_bytes()? > MAX_WAITING_BYTES {
            self.drop_oldest()?;
        }
        let unfinished = tempfile::Builder::new()
            .prefix(".upload-")
            .tempfile_in(&self.folder)
            .map_err(failed)?;
        let mut file = tokio::fs::File::from_std(unfinished.reopen().map_err(failed)?);
        let mut pieces = body.into_data_stream();
        let mut size_bytes = 0_u64;
        let mut hasher = sha2::Sha256::new();
        while let Some(piece) = next(&mut pieces).await? {
            size_bytes = size_bytes.saturating_add(piece.len() as u64);
            if size_bytes > MAX_BLOB_BYTES {
                return Err(Problem::too_large(MAX_BLOB_BYTES));
            }
            hasher.update(&piece);
            file.write_all(&piece).await.map_err(failed)?;
        }
        file.sync_all().await.map_err(failed)?;
        let found = fm_access::hex(&hasher.finalize());
        if found != digest.as_str() {
            return Err(Problem::bad_request(format!(
                "the bytes are {found}, not {digest}"
            )));
        }
        unfinished
            .persist(self.folder.join(digest.as_str()))
            .map_err(|error| failed(error.error))?;
        Ok(size_bytes)
    }

    /// A blob that came; nothing if it did not.
    pub(crate) fn blob(&self, digest: &Digest) -> Option<Blob> {
        let path = self.folder.join(digest.as_str());
        let size_bytes = path.symlink_metadata().ok()?.len();
        Some(Blob {
            digest: digest.clone(),
            size_bytes,
            source: BlobSource::File(path),
        })
    }

    /// A blob is where it belongs, and not needed here any more.
    pub(crate) fn forget(&self, digest: &Digest) {
        // Another request may have been faster.
        let _ = std::fs::remove_file(self.folder.join(digest.as_str()));
    }

    fn waiting(&self) -> Result<Vec<(std::time::SystemTime, PathBuf, u64)>, Problem> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed)?.flatten() {
            if let Ok(metadata) = entry.metadata()
                && !entry.file_name().to_string_lossy().starts_with('.')
            {
                let since = metadata.modified().unwrap_or(std::time::UNIX_EPOCH);
                found.push((since, entry.path(), metadata.len()));
            }
        }
        found.sort();
        Ok(found)
    }

    fn waiting_bytes(&self) -> Result<u64, Problem> {
        Ok(self.waiting()?.iter().map(|(_, _, size)| *size).sum())
    }

    fn drop_oldest(&self) -> Result<(), Problem> {
        if let Some((_, path, _)) = self.waiting()?.first() {
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }
}

async fn next(pieces: &mut BodyDataStream) -> Result<Option<axum::body::Bytes>, Problem> {
    let piece = std::future::poll_fn(|context| {
        futures_core::Stream::poll_next(std::pin::Pin::new(&mut *pieces), context)
    });
    match tokio::time::timeout(PIECE_TIMEOUT, piece).await {
        Err(_) => Err(Problem::too_slow()),
        Ok(None) => Ok(None),
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(Some(Err(_))) => Err(Problem::bad_request("the upload broke off")),
    }
}

fn failed(error: std::io::Error) -> Problem {
    Problem::internal(format!("the upload cannot be kept: {error}"))
}
