//! What a guest's configuration has no place for, in the cluster's file system, which every node has.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use fm_files::{Folder, create_folders, read_bounded};
use serde::{Deserialize, Serialize};

use crate::{Cluster, Error, Result};

const MAX_RECORD_BYTES: u64 = 64 << 10;
const VERSION: u32 = 1;

/// A guest that was adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// The build's whole digest.
    pub(crate) build: String,
    /// How long its CODE is.
    pub(crate) code_size_bytes: u64,
    /// The hookscript that the guest had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hookscript: Option<String>,
}

impl Record {
    pub(crate) fn new(build: String, code_size_bytes: u64, hookscript: Option<String>) -> Self {
        Self {
            version: VERSION,
            build,
            code_size_bytes,
            hookscript,
        }
    }

    fn path(cluster: &Cluster, id: u32) -> PathBuf {
        cluster.records().join(format!("{id}.json"))
    }

    /// That of a guest, if it was adopted.
    pub(crate) fn read(cluster: &Cluster, id: u32) -> Result<Option<Self>> {
        let path = Self::path(cluster, id);
        let Some(bytes) = read_bounded(&path, MAX_RECORD_BYTES)? else {
            return Ok(None);
        };
        let record: Self = match serde_json::from_slice(&bytes) {
            Ok(record) => record,
            Err(source) => return Err(Error::Record { path, source }),
        };
        match record.version {
            VERSION => Ok(Some(record)),
            version => Err(Error::RecordVersion { path, version }),
        }
    }

    pub(crate) fn write(&self, cluster: &Cluster, id: u32) -> Result<()> {
        let path = Self::path(cluster, id);
        let bytes = serde_json::to_vec(self).map_err(|source| Error::Record {
            path: path.clone(),
            source,
        })?;
        create_folders(&cluster.records())?;
        // The cluster's file system has no modes to set and no exchange of names: the file is replaced by a rename.
        let temporary = cluster.records().join(format!("{id}.json.new"));
        let failed = |error: std::io::Error| fm_files::Error::io("write", &path, error);
        let mut file = File::create(&temporary).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(&temporary, &path).map_err(failed)?;
        if let Some(folder) = Folder::open(&cluster.records())? {
            folder.sync()?;
        }
        Ok(())
    }

    pub(crate) fn remove(cluster: &Cluster, id: u32) -> Result<()> {
        let path = Self::path(cluster, id);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(fm_files::Error::io("remove", &path, error).into())
            }
            _ => Ok(()),
        }
    }
}
