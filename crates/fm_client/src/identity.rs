//! An identity on disk: a folder that only its owner enters, with a key, its certificate and the fleet's CA.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fm_files::{Folder, Place};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

const CA: &str = "ca.crt";
const CERTIFICATE: &str = "client.crt";
const KEY: &str = "client.key";
const FLEET: &str = "fleet.json";
const SCHEMA: &str = "flashmoor/fleet-identity/1";
/// A chain of certificates has some KiB.
const MAX_FILE_BYTES: u64 = 256 << 10;

/// The longest name in a certificate: what X.509 allows.
pub const MAX_NAME_BYTES: usize = 64;

/// Who a client is to the fleet, and where the fleet is.
#[derive(Clone)]
pub struct Identity {
    /// The name in the certificate.
    pub name: String,
    /// Addresses of the API, to be tried in this order.
    pub urls: Vec<String>,
    /// The fleet's CA, in PEM.
    pub ca: String,
    /// The certificate, in PEM.
    pub certificate: String,
    /// Its key, in PEM.
    pub key: String,
}

/// Where the parts of an identity are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The fleet's CA.
    pub ca: PathBuf,
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// `fleet.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    schema: String,
    name: String,
    urls: Vec<String>,
}

/// Without the key.
impl std::fmt::Debug for Identity {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Identity")
            .field("name", &self.name)
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The identity in a folder.
    ///
    /// # Errors
    /// [`Error::NoIdentity`] if there is none, [`Error::BadIdentity`] or a file's own error.
    pub fn load(path: &Path) -> Result<Self> {
        let none = || Error::NoIdentity {
            path: path.to_owned(),
        };
        let folder = Folder::open(path)?.ok_or_else(none)?;
        let text = |name: &str| -> Result<String> {
            let bytes = folder.read(name, MAX_FILE_BYTES)?.ok_or_else(none)?;
            String::from_utf8(bytes).map_err(|error| Error::BadIdentity {
                path: folder.join(name),
                source: error.into(),
            })
        };
        let record: Record = serde_json::from_str(&text(FLEET)?).map_err(|error| Error::BadIdentity {
            path: folder.join(FLEET),
            source: error.into(),
        })?;
        Ok(Self {
            name: record.name,
            urls: record.urls,
            ca: text(CA)?,
            certificate: text(CERTIFICATE)?,
            key: text(KEY)?,
        })
    }

    /// Where its parts are in a folder.
    #[must_use]
    pub fn files(folder: &Path) -> IdentityFiles {
        IdentityFiles {
            ca: folder.join(CA),
            certificate: folder.join(CERTIFICATE),
            key: folder.join(KEY),
        }
    }

    /// Writes it into a folder, which only its owner may enter. `fleet.json` comes last: with it, all is there.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn save(&self, path: &Path) -> Result<()> {
        let folder = private_folder(path)?;
        let write = |name: &str, bytes: &[u8]| Place::in_folder(&folder, name).write(bytes, 0o600);
        write(KEY, self.key.as_bytes())?;
        write(CERTIFICATE, self.certificate.as_bytes())?;
        write(CA, self.ca.as_bytes())?;
        let record = Record {
            schema: SCHEMA.into(),
            name: self.name.clone(),
            urls: self.urls.clone(),
        };
        let mut bytes = serde_json::to_vec_pretty(&record).unwrap_or_default();
        bytes.push(b'\n');
        Ok(write(FLEET, &bytes)?)
    }
}

/// The folder, made if need be, and its owner's alone.
fn private_folder(path: &Path) -> Result<Folder> {
    let failed = |path: PathBuf, source: std::io::Error| Error::BadIdentity {
        path,
        source: source.into(),
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| failed(path.to_owned(), error))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
        .map_err(|error| failed(path.to_owned(), error))?;
    Folder::open(path)?.ok_or_else(|| Error::NoIdentity {
        path: path.to_owned(),
    })
}

/// Whether this can be a name in a certificate, a record's key and a line of a log.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.starts_with(['.', '-']) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_comes_back_as_it_was_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet");
        assert!(matches!(Identity::load(&path), Err(Error::NoIdentity { .. })));
        let identity = Identity {
            name: "a".into(),
            urls: vec!["https://a:1".into(), "https://b:1".into()],
            ca: "ca".into(),
            certificate: "certificate".into(),
            key: "key".into(),
        };
        identity.save(&path).unwrap();
        let back = Identity::load(&path).unwrap();
        assert_eq!((back.urls, back.key), (identity.urls, identity.key));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join(KEY)), 0o600);
    }

    #[test]
    fn names_are_plain() {
        assert!(is_name("host-1.example") && is_name("a"));
        for name in ["", ".", "-x", "a/b", "a b", "a\n", "ä", &"a".repeat(65)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
