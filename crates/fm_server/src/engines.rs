//! Where records and builds are: the engine that an address names.

#[cfg(feature = "etcd")]
mod etcd;
mod secrets;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use fm_blobs::{Blobs, Layout, Registry, RegistryOptions};
use fm_records::{Records, Sqlite, SqliteOptions};

use self::secrets::{optional, user};
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
    /// In a registry.
    Registry(RegistryOptions),
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
            let is_member = |member: &String| {
                let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
                !member.is_empty() && member.bytes().all(is_part)
            };
            if !members.iter().all(is_member) {
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
        if text.starts_with("oci://") || text.starts_with("oci+http://") {
            return Ok(Self::Registry(RegistryOptions::parse(text)?));
        }
        if text.is_empty() || text.contains("://") {
            return Err(bad());
        }
        Ok(Self::Layout(text.into()))
    }
}

impl RecordsAt {
    /// Opens them. What etcd wants to see of us lies in `folder`.
    pub(crate) async fn open(&self, folder: &Path) -> Result<Arc<dyn Records>> {
        match self {
            Self::Sqlite(path) => Ok(Arc::new(Sqlite::open(path, SqliteOptions::default())?)),
            #[cfg(feature = "etcd")]
            Self::Etcd(members) => Ok(Arc::new(etcd::connect(members, &folder.join("etcd")).await?)),
            #[cfg(not(feature = "etcd"))]
            Self::Etcd(_) => Err(Error::WithoutEtcd),
        }
    }
}

impl BlobsAt {
    /// Opens the place. What a registry wants to see of us lies in `folder`.
    pub(crate) fn open(&self, folder: &Path) -> Result<Arc<dyn Blobs>> {
        match self {
            Self::Layout(path) => Ok(Arc::new(Layout::open(path)?)),
            Self::Registry(options) => {
                let folder = folder.join("registry");
                let options = RegistryOptions {
                    ca: optional(&folder.join("ca.crt"))?,
                    user: user(&folder.join("user"))?,
                    ..options.clone()
                };
                Ok(Arc::new(Registry::new(&options)?))
            }
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
        for text in [
            "",
            "etcd://",
            "etcd://a,,b",
            "etcd://a/b",
            "etcd://u@a",
            "redis://a",
        ] {
            assert!(records(text).is_err(), "{text}");
        }
        let blobs = |text: &str| text.parse::<BlobsAt>();
        assert!(matches!(
            blobs("oci://r:5000/fw").unwrap(),
            BlobsAt::Registry(options) if options.base == "https://r:5000" && options.name == "fw"
        ));
        for text in ["", "oci://r", "oci:///x", "oci+http://r/x", "http://a/b"] {
            assert!(blobs(text).is_err(), "{text}");
        }
    }
}
