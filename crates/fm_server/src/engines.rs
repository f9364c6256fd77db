//! Where records and builds are: the engine that an address names.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use fm_fleet::blobs::Blobs;
use fm_fleet::records::{Records, Sqlite, SqliteOptions};

use crate::{Error, Result};

/// Where the records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordsAt {
    /// In a database of this server's own.
    Sqlite(PathBuf),
    /// In etcd, at these members.
    Etcd(Vec<String>),
}

/// Where the builds are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobsAt {
    /// In an OCI layout of this server's own.
    Layout(PathBuf),
    /// In a registry, under this name.
    Registry(String),
}

impl FromStr for RecordsAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::Engine {
            text: text.into(),
            what: "records",
        };
        if let Some(members) = text.strip_prefix("etcd://") {
            let members: Vec<String> = members.split(',').map(str::to_owned).collect();
            if members.iter().any(String::is_empty) {
                return Err(bad());
            }
            return Ok(Self::Etcd(members));
        }
        if text.is_empty() || text.contains("://") {
            return Err(bad());
        }
        Ok(Self::Sqlite(text.into()))
    }
}

impl FromStr for BlobsAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::Engine {
            text: text.into(),
            what: "builds",
        };
        if let Some(name) = text.strip_prefix("oci://") {
            let is_whole = name
                .split_once('/')
                .is_some_and(|(host, name)| !host.is_empty() && !name.is_empty());
            return if is_whole {
                Ok(Self::Registry(name.into()))
            } else {
                Err(bad())
            };
        }
        if text.is_empty() || text.contains("://") {
            return Err(bad());
        }
        Ok(Self::Layout(text.into()))
    }
}

impl RecordsAt {
    /// Opens them.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Records>> {
        match self {
            Self::Sqlite(path) => Ok(Arc::new(Sqlite::open(path, SqliteOptions::default())?)),
            Self::Etcd(members) => Err(Error::Engine {
                text: format!("etcd://{}", members.join(",")),
                what: "records",
            }),
        }
    }
}

impl BlobsAt {
    /// Opens the place.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Blobs>> {
        match self {
            Self::Layout(path) => Ok(Arc::new(fm_fleet::blobs::Layout::open(path)?)),
            Self::Registry(name) => Err(Error::Engine {
                text: format!("oci://{name}"),
                what: "builds",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_engine() {
        let records = |text: &str| text.parse::<RecordsAt>();
        assert_eq!(records("/a/b").unwrap(), RecordsAt::Sqlite("/a/b".into()));
        let members = vec!["a:2379".to_owned(), "b:2379".to_owned()];
        assert_eq!(records("etcd://a:2379,b:2379").unwrap(), RecordsAt::Etcd(members));
        for text in ["", "etcd://", "etcd://a,,b", "redis://a"] {
            assert!(records(text).is_err(), "{text}");
        }
        let blobs = |text: &str| text.parse::<BlobsAt>();
        assert_eq!(
            blobs("oci://r:5000/fw").unwrap(),
            BlobsAt::Registry("r:5000/fw".into())
        );
        for text in ["", "oci://r", "oci:///x", "http://a/b"] {
            assert!(blobs(text).is_err(), "{text}");
        }
    }
}
