//! What guests trust: Secure Boot, whose keys, and what dbx takes back.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

/// `flashmoor/vars-secure-boot/1`: what a guest trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecureBootStatus {
    /// `flashmoor/vars-secure-boot/1`.
    pub schema: Schema<SecureBootStatus>,
    /// Where it was read.
    pub source: String,
    /// Whether firmware with Secure Boot will enforce it: a platform key is enrolled and it is not switched off.
    pub enabled: bool,
    /// No platform key: anybody may enrol keys.
    pub setup_mode: bool,
    /// Whether keys may be changed by a person at the machine without a signature.
    pub custom_mode: bool,
    /// Platform key.
    pub pk: Vec<String>,
    /// Who may update db and dbx.
    pub kek: Vec<String>,
    /// Who may sign what boots.
    pub db: Vec<String>,
    /// How many hashes of images are revoked.
    pub dbx_hashes: u64,
    /// How many certificates are revoked.
    pub dbx_certificates: u64,
    /// Subjects of these certificates.
    pub dbx_certificate_names: Vec<String>,
    /// How many digests of certificates are revoked.
    pub dbx_certificate_hashes: u64,
    /// Lowest versions of Windows' boot managers that still start (`DBXUpdateSVN`).
    pub dbx_secure_versions: Vec<SecureVersion>,
    /// Shim's own revocations: generations of what it starts.
    pub sbat_level: Option<String>,
    /// What of db does not count, because dbx holds it too, its issuer or its digest: dbx is asked first.
    pub revoked: Vec<Revoked>,
    /// What nothing of Microsoft's boots for: db has certificates for it, and dbx revokes every one.
    pub nothing_trusted_for: Vec<String>,
    /// Which generations of Microsoft's certificates db holds and dbx does not revoke: whose signatures boot.
    pub microsoft: MicrosoftTrust,
    /// Of these, whose signatures Windows boots by.
    pub microsoft_windows: MicrosoftTrust,
    /// Of these, whose signatures everything else boots by: shim, option ROMs.
    pub microsoft_third_party: MicrosoftTrust,
    /// Which generations of Microsoft's keys KEK holds: whose updates of db and dbx are taken.
    pub microsoft_kek: MicrosoftTrust,
}

document!(SecureBootStatus = "flashmoor/vars-secure-boot/1");

impl SecureBootStatus {
    /// What is trusted by a certificate of 2011 alone, whose successor of 2023 is missing.
    #[must_use]
    pub fn behind(&self) -> Vec<&'static str> {
        [
            (self.microsoft_windows, "Windows"),
            (self.microsoft_third_party, "third parties"),
            (self.microsoft_kek, "updates of keys"),
        ]
        .into_iter()
        .filter(|(trust, _)| *trust == MicrosoftTrust::Only2011)
        .map(|(_, what)| what)
        .collect()
    }
}

/// Generations of Microsoft's certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MicrosoftTrust {
    /// None of them.
    None,
    /// Only those of 2011, which expire in 2026: what is signed with the new ones will not boot.
    #[serde(rename = "only_2011")]
    Only2011,
    /// Only those of 2023.
    #[serde(rename = "only_2023")]
    Only2023,
    /// Both.
    Both,
}

/// `flashmoor/vars-dbx-forecast/1`: whether a revocation update would still fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DbxForecast {
    /// `flashmoor/vars-dbx-forecast/1`.
    pub schema: Schema<DbxForecast>,
    /// Which store.
    pub source: String,
    /// Signatures in the update that the store has not.
    pub new_signatures: u64,
    /// Size of dbx after it, header and name included.
    pub needed_bytes: u64,
    /// What firmware of the layout accepts for one variable.
    pub limit_bytes: u64,
    /// What is free now.
    pub free_bytes: u64,
    /// What would be free after a reclaim or `vars compact`.
    pub free_after_compact_bytes: u64,
    /// Whether the running operating system can write it: firmware does not reclaim once the system runs.
    pub fits_now: bool,
    /// Whether the running operating system can write it after `vars compact` or the firmware's own reclaim.
    pub fits_after_compact: bool,
    /// Whether there is room for it in place of the old one: for `vars secure-boot enroll`, or a tool that
    /// runs before the operating system does.
    pub fits_offline: bool,
    /// What of db will not count any more.
    pub revoked: Vec<Revoked>,
    /// What nothing of Microsoft's will boot for.
    pub nothing_trusted_for: Vec<String>,
}

document!(DbxForecast = "flashmoor/vars-dbx-forecast/1");

/// Something in db that dbx takes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revoked {
    /// A certificate's subject, or a hash.
    pub signature: String,
    /// What in dbx counts against it.
    pub by: RevokedBy,
    /// Subject of the issuer in dbx, if that is what counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// What in dbx counts against something in db.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevokedBy {
    /// The same certificate.
    Certificate,
    /// Another certificate of the same subject and key.
    SameKey,
    /// The certificate that signed it.
    Issuer,
    /// The digest of the certificate.
    CertificateHash,
    /// The same hash of an image.
    Hash,
}

/// The lowest version of a boot manager that still starts. The boot manager itself looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecureVersion {
    /// Whose: its name, or the GUID of one that has none.
    pub application: String,
    /// Before the point.
    pub major: u16,
    /// Behind the point.
    pub minor: u16,
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: dbx holds ", self.signature)?;
        match self.by {
            RevokedBy::Certificate => f.write_str("the same certificate"),
            RevokedBy::SameKey => f.write_str("another certificate of the same key"),
            RevokedBy::Issuer => write!(f, "its issuer {}", self.issuer.as_deref().unwrap_or_default()),
            RevokedBy::CertificateHash => f.write_str("the certificate's digest"),
            RevokedBy::Hash => f.write_str("the same hash"),
        }
    }
}

impl fmt::Display for SecureVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{} or later", self.application, self.major, self.minor)
    }
}
