//! How a host joins a fleet, and what a server says when it refuses something.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

use super::fleet::Digest;

/// What a certificate or a token lets its holder do. Each role may do what those before it may, except `host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Writes the records of one host, and reads what that host needs.
    Host,
    /// Reads everything.
    Reader,
    /// Pins builds and retires hosts as well.
    Operator,
    /// Makes tokens and revokes certificates as well.
    Administrator,
}

impl Role {
    /// The role as certificates and documents name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Host, Self::Reader, Self::Operator, Self::Administrator]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// `POST /api/v1/tokens`: what a new token is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenRequest {
    /// `host`, `reader`, `operator` or `administrator`: what the certificate is for that it is exchanged for.
    pub role: Role,
    /// The name that the certificate will have. A host's token without one lets a host join under a name that is not
    /// taken; with one, the host of that name is replaced, and its certificates so far are revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// After how many seconds it expires.
    pub lifetime_s: u64,
    /// Whether it is sent with each request and not exchanged for a certificate: for `reader` only.
    #[serde(default)]
    pub bearer: bool,
}

/// `flashmoor/fleet-token/1`: a token, shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewToken {
    /// `flashmoor/fleet-token/1`.
    pub schema: Schema<NewToken>,
    /// What it is called in lists: not secret.
    pub id: String,
    /// The secret part. Whoever has it can use it.
    pub secret: String,
    /// What it is for.
    pub role: Role,
    /// For whom, if that is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it expires, in RFC 3339, by the server's clock.
    pub expires: String,
    /// What a client is to be given: holds the secret, the digest of the CA's certificate, and an address. Absent from
    /// a server's answer: the client that asked knows the address that it reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

document!(NewToken = "flashmoor/fleet-token/1");

/// `POST /api/v1/join`: a token is exchanged for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinRequest {
    /// The token's secret.
    pub secret: String,
    /// What the newcomer calls itself; a name in the token goes before it.
    pub name: String,
    /// A certificate signing request in PEM. Only its public key is taken from it.
    pub csr: String,
}

/// `POST /api/v1/renew`: whoever has a certificate gets the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenewRequest {
    /// A certificate signing request in PEM, with the new key.
    pub csr: String,
}

/// The answer: a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Joined {
    /// The name in the certificate.
    pub name: String,
    /// The role in it.
    pub role: Role,
    /// The certificate in PEM.
    pub certificate: String,
    /// When it expires, in RFC 3339.
    pub expires: String,
}

/// `flashmoor/fleet-certificate/1`: a certificate that a server issued, as the records know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuedCertificate {
    /// `flashmoor/fleet-certificate/1`.
    pub schema: Schema<IssuedCertificate>,
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// The name in it.
    pub name: String,
    /// The role in it.
    pub role: Role,
    /// When it was issued, in RFC 3339.
    pub issued: String,
    /// When it expires, in RFC 3339.
    pub expires: String,
    /// Since when it is not taken any more, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

document!(IssuedCertificate = "flashmoor/fleet-certificate/1");

/// `GET /api/v1/keys`: a page of certificates that were issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuedCertificates {
    /// `flashmoor/fleet-keys/1`.
    pub schema: Schema<IssuedCertificates>,
    /// The certificates, by serial number.
    pub certificates: Vec<IssuedCertificate>,
    /// Where the next page begins; nothing on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

document!(IssuedCertificates = "flashmoor/fleet-keys/1");

/// `flashmoor/fleet-meta/1`: the fleet as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetMeta {
    /// `flashmoor/fleet-meta/1`.
    pub schema: Schema<FleetMeta>,
    /// The fleet's id, made up when its records were.
    pub fleet: String,
    /// Made up anew each time the records were set back.
    pub epoch: String,
    /// The revision of the records.
    pub revision: u64,
    /// The version of the server that answered.
    pub version: String,
}

document!(FleetMeta = "flashmoor/fleet-meta/1");

/// `PUT /api/v1/builds/{digest}`: blobs that were uploaded are a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UploadedBuild {
    /// Its files; one of them has the build's digest.
    pub layers: Vec<UploadedLayer>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<crate::v1::fleet::BuildFacts>,
}

/// One file of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UploadedLayer {
    /// What it is, such as `application/vnd.flashmoor.code.v1`.
    pub media_type: String,
    /// Its name, such as `CODE.fd`.
    pub title: String,
    /// Its digest.
    pub digest: Digest,
}

/// `PUT /api/v1/builds/{digest}/pins/{name}`: why a build is to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewPin {
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// RFC 9457: what went wrong, as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Which kind, such as `urn:flashmoor:problem:not-yours`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
