//! Tokens, certificates and revocations in the records, under a prefix of the server's own.

use std::sync::Arc;

use fm_api::v1::enrolment::{IssuedCertificate, Role};
use fm_client::random_hex;
use fm_fleet::Error;
use fm_formats::Sha256;
use fm_records::{Outcome, Records, Scan, Transaction};
use serde::{Deserialize, Serialize};

use crate::clock::{display, now_s};

const TOKEN: &str = "/fm/server/v1/token/";
const CERTIFICATE: &str = "/fm/server/v1/certificate/";
/// So many certificates of one name are remembered.
const MAX_NAMED_COUNT: usize = 32;
/// Whoever loses so many races in a row is in nobody's normal fleet.
const MAX_RACE_COUNT: usize = 16;

/// The part of the records that says who may come in.
#[derive(Clone)]
pub struct Ledger {
    records: Arc<dyn Records>,
}

/// A token as it is kept: by the digest of its secret, which nobody can be made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// What lists call it.
    pub id: String,
    /// The role of whoever comes with it.
    pub role: Role,
    /// The name that it is good for; any if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Until when it holds, in seconds since 1970.
    pub expires_s: i64,
    /// Whether it is sent with each request, and not spent to join.
    #[serde(default)]
    pub bearer: bool,
    /// Who made it.
    #[serde(default)]
    pub by: String,
}

/// A token that can be used, and what its record was when it was read.
pub struct FoundToken {
    /// What is on record of it.
    pub token: Token,
    /// Under which key.
    pub key: String,
    modified: u64,
}

/// A certificate that was issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate, in PEM.
    pub pem: String,
    /// In small hexadecimal digits.
    pub serial: String,
    /// When, in seconds since 1970.
    pub issued_s: i64,
    /// Until when it holds, in seconds since 1970.
    pub expires_s: i64,
}

impl Issued {
    /// Until when it holds, as text.
    pub fn expires(&self) -> String {
        display(self.expires_s)
    }
}

/// What became of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It is used up, and the certificate is on record.
    Done,
    /// Somebody else was faster with it.
    Gone,
    /// The name is another's.
    NameTaken,
}

impl Ledger {
    /// In these records.
    pub fn new(records: Arc<dyn Records>) -> Self {
        Self { records }
    }

    /// Makes a token; its secret is nowhere but in the answer.
    pub async fn make_token(&self, token: &Token) -> Result<String, Error> {
        let secret = random_hex(32).map_err(|error| Error::invalid("a token", error.to_string()))?;
        let transaction = Transaction::new()
            .if_absent(token_key(&secret))
            .put(token_key(&secret), to_json(token));
        match self.records.transact(transaction).await? {
            Outcome::Committed(_) => Ok(secret),
            Outcome::Conflict => Err(Error::invalid("a token", "its secret is there already")),
        }
    }

    /// The token of a secret, if it can still be used to join.
    pub async fn token(&self, secret: &str) -> Result<Option<FoundToken>, Error> {
        let key = token_key(secret);
        let Some(entry) = self.records.get(&key).await?.entry else {
            return Ok(None);
        };
        let token: Token = from_json(&key, &entry.value)?;
        let is_good = !token.bearer && token.expires_s > now_s();
        Ok(is_good.then_some(FoundToken {
            token,
            key,
            modified: entry.modified,
        }))
    }

    /// The name behind a bearer token, if it holds.
    pub async fn bearer(&self, secret: &str) -> Result<Option<String>, Error> {
        let key = token_key(secret);
        let Some(entry) = self.records.get(&key).await?.entry else {
            return Ok(None);
        };
        let token: Token = from_json(&key, &entry.value)?;
        let is_good = token.bearer && token.role == Role::Reader && token.expires_s > now_s();
        Ok(is_good.then(|| token.name.unwrap_or_else(|| format!("token {}", token.id))))
    }

    /// Uses a token up and puts the certificate that it was exchanged for on record, both or neither. A token for a
    /// certain name revokes what that name has; any other needs a name that nobody has.
    pub async fn spend(&self, found: &FoundToken, name: &str, issued: &Issued) -> Result<Spent, Error> {
        let record = record_of(name, found.token.role, issued);
        // Who joins at the same moment under the same name writes the same record, and one of the two has to lose.
        let (named, before) = self.named(name).await?;
        if found.token.name.is_none() && !before.is_empty() {
            return Ok(Spent::NameTaken);
        }
        let name_key = name_key(name);
        let mut transaction = Transaction::new()
            .if_unchanged(&found.key, Some(found.modified))
            .if_unchanged(&name_key, named)
            .delete(&found.key)
            .put(&name_key, to_json(&vec![issued.serial.clone()]))
            .put(certificate_key(&issued.serial), to_json(&record));
        for (mut old, modified) in before {
            let key = certificate_key(&old.serial);
            old.revoked = Some(display(now_s()));
            transaction = transaction
                .if_unchanged(&key, Some(modified))
                .put(key, to_json(&old));
        }
        Ok(match self.records.transact(transaction).await? {
            Outcome::Committed(_) => Spent::Done,
            Outcome::Conflict => Spent::Gone,
        })
    }

    /// Puts a renewed certificate on record.
    pub async fn renewed(&self, name: &str, role: Role, issued: &Issued) -> Result<(), Error> {
        let record = record_of(name, role, issued);
        let (named, valid) = self.named(name).await?;
        let mut serials: Vec<String> = valid.into_iter().map(|(record, _)| record.serial).collect();
        serials.push(issued.serial.clone());
        let (key, name_key) = (certificate_key(&issued.serial), name_key(name));
        let transaction = Transaction::new()
            .if_absent(&key)
            .if_unchanged(&name_key, named)
            .put(&key, to_json(&record))
            .put(&name_key, to_json(&serials));
        match self.records.transact(transaction).await? {
            Outcome::Committed(_) => Ok(()),
            Outcome::Conflict => Err(Error::Contention {
                what: format!("the certificates of {name}"),
            }),
        }
    }

    /// Whether a certificate was revoked. One that is not on record was made beside the server, such as the first
    /// administrator's, and holds until somebody revokes it.
    pub async fn is_revoked(&self, serial: &str) -> Result<bool, Error> {
        let key = certificate_key(serial);
        let Some(entry) = self.records.get(&key).await?.entry else {
            return Ok(false);
        };
        let record: IssuedCertificate = from_json(&key, &entry.value)?;
        Ok(record.revoked.is_some())
    }

    /// Revokes a certificate, whether it is on record or not.
    pub async fn revoke(&self, serial: &str) -> Result<IssuedCertificate, Error> {
        let key = certificate_key(serial);
        for _ in 0..MAX_RACE_COUNT {
            let entry = self.records.get(&key).await?.entry;
            let mut record = match &entry {
                Some(entry) => from_json(&key, &entry.value)?,
                None => IssuedCertificate {
                    schema: fm_api::Schema::default(),
                    serial: serial.into(),
                    name: "unknown".into(),
                    role: Role::Reader,
                    issued: "unknown".into(),
                    expires: "unknown".into(),
                    revoked: None,
                },
            };
            if record.revoked.is_some() {
                return Ok(record);
            }
            record.revoked = Some(display(now_s()));
            let transaction = Transaction::new()
                .if_unchanged(&key, entry.map(|entry| entry.modified))
                .put(&key, to_json(&record));
            if let Outcome::Committed(_) = self.records.transact(transaction).await? {
                return Ok(record);
            }
        }
        Err(Error::Contention {
            what: format!("certificate {serial}"),
        })
    }

    /// Revokes every certificate of a name.
    pub async fn revoke_name(&self, name: &str) -> Result<(), Error> {
        let (_, valid) = self.named(name).await?;
        for (record, _) in valid {
            self.revoke(&record.serial).await?;
        }
        Ok(())
    }

    /// Certificates, by serial number; and where the next page begins.
    pub async fn certificates(
        &self,
        after: Option<&str>,
        count: usize,
    ) -> Result<(Vec<IssuedCertificate>, Option<String>), Error> {
        let page = self
            .records
            .scan(&Scan {
                prefix: CERTIFICATE.into(),
                after: after.map(certificate_key),
                limit: count,
                at: None,
            })
            .await?;
        let found = page
            .entries
            .iter()
            .map(|entry| from_json(&entry.key, &entry.value))
            .collect::<Result<Vec<IssuedCertificate>, _>>()?;
        let next = found.last().filter(|_| page.more).map(|last| last.serial.clone());
        Ok((found, next))
    }

    /// Certificates of a name that are not revoked, with the revisions of their records; and that of the record that
    /// names them.
    async fn named(&self, name: &str) -> Result<(Option<u64>, Vec<(IssuedCertificate, u64)>), Error> {
        let key = name_key(name);
        let Some(entry) = self.records.get(&key).await?.entry else {
            return Ok((None, Vec::new()));
        };
        let serials: Vec<String> = from_json(&key, &entry.value)?;
        let mut valid = Vec::new();
        for serial in serials {
            let key = certificate_key(&serial);
            if let Some(entry) = self.records.get(&key).await?.entry {
                let record: IssuedCertificate = from_json(&key, &entry.value)?;
                if record.revoked.is_none() {
                    valid.push((record, entry.modified));
                }
            }
        }
        // A transaction has room for some of them only; who renews so often keeps the latest.
        let many = valid.len().saturating_sub(MAX_NAMED_COUNT);
        Ok((Some(entry.modified), valid.split_off(many)))
    }
}

fn record_of(name: &str, role: Role, issued: &Issued) -> IssuedCertificate {
    IssuedCertificate {
        schema: fm_api::Schema::default(),
        serial: issued.serial.clone(),
        name: name.into(),
        role,
        issued: display(issued.issued_s),
        expires: issued.expires(),
        revoked: None,
    }
}

fn token_key(secret: &str) -> String {
    format!("{TOKEN}{}", Sha256::of(secret.as_bytes()))
}

fn certificate_key(serial: &str) -> String {
    format!("{CERTIFICATE}{serial}")
}

fn name_key(name: &str) -> String {
    format!("/fm/server/v1/name/{name}")
}

/// Ours have text keys only, so that this cannot fail.
fn to_json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

fn from_json<T: serde::de::DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Record {
        key: key.into(),
        source,
    })
}

/// Bytes in small hexadecimal digits, as serial numbers are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
