//! Joining a fleet: the key is made here and stays here; the CA is the one that the token pins.

use std::time::Duration;

use fm_api::v1::enrolment::{JoinRequest, Joined, RenewRequest};
use fm_formats::Sha256;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::client::{Client, Precondition};
use crate::http::{self, Fault, Request, Trust};
use crate::identity::is_name;
use crate::token::is_url;
use crate::{Error, Identity, JoinToken, Result};

const TIMEOUT: Duration = Duration::from_secs(30);
const CA_PATH: &str = "/api/v1/ca";
const JOIN_PATH: &str = "/api/v1/join";

/// What joining needs to know.
#[derive(Debug, Clone)]
pub struct JoinPlan<'a> {
    /// The token.
    pub token: &'a JoinToken,
    /// Addresses of the fleet's servers; without one, the token's is taken.
    pub urls: &'a [String],
    /// What the newcomer is to be called.
    pub name: &'a str,
}

/// Joins: fetches the CA's certificate and compares it with the token's digest, makes a key, and exchanges the token
/// for a certificate. Nothing is written.
///
/// # Errors
/// If no server answers, it is of another fleet, or it refuses.
pub fn join(plan: &JoinPlan<'_>) -> Result<Identity> {
    if !is_name(plan.name) {
        return Err(Error::BadName {
            name: plan.name.into(),
        });
    }
    let from_token = [plan.token.url.clone()];
    let urls = if plan.urls.is_empty() {
        &from_token
    } else {
        plan.urls
    };
    if let Some(url) = urls.iter().find(|url| !is_url(url)) {
        return Err(Error::BadUrl { url: url.clone() });
    }
    let mut tried = Vec::new();
    for url in urls {
        match join_at(plan, url) {
            Ok((joined, ca, key)) => {
                return Ok(Identity {
                    name: joined.name,
                    urls: urls.to_vec(),
                    ca,
                    certificate: joined.certificate,
                    key,
                });
            }
            Err(Fault::Unreachable(why)) => tried.push(why),
            Err(Fault::Final(error)) => return Err(error),
        }
    }
    Err(Error::NoAnswer { tried })
}

fn join_at(plan: &JoinPlan<'_>, url: &str) -> Result<(Joined, String, String), Fault> {
    let ca = pinned_ca(plan.token, url)?;
    let key = KeyPair::generate().map_err(|error| Fault::Final(error.into()))?;
    let csr = CertificateParams::default()
        .serialize_request(&key)
        .and_then(|request| request.pem())
        .map_err(|error| Fault::Final(error.into()))?;
    let body = serde_json::to_vec(&JoinRequest {
        secret: plan.token.secret.clone(),
        name: plan.name.into(),
        csr,
    })
    .unwrap_or_default();
    let trusting = http::agent(&Trust::Ca(&ca), Some(TIMEOUT)).map_err(Fault::Final)?;
    let answer = http::ask(
        &trusting,
        url,
        &Request {
            method: "POST",
            path: JOIN_PATH,
            headers: &[],
            body: Some(&body),
            content_type: "application/json",
            limit_bytes: http::MAX_ANSWER_BYTES,
        },
    )?;
    let joined = serde_json::from_slice(&answer.body).map_err(|error| {
        Fault::Final(Error::BadAnswer {
            url: url.into(),
            source: error.into(),
        })
    })?;
    Ok((joined, ca, key.serialize_pem()))
}

/// The certificate of the CA that `url` shows, if it is the one that the token pins.
fn pinned_ca(token: &JoinToken, url: &str) -> Result<String, Fault> {
    let anybody = http::agent(&Trust::Pinning, Some(TIMEOUT)).map_err(Fault::Final)?;
    let answer = http::ask(
        &anybody,
        url,
        &Request {
            method: "GET",
            path: CA_PATH,
            headers: &[],
            body: None,
            content_type: "",
            limit_bytes: http::MAX_ANSWER_BYTES,
        },
    )?;
    let is_pinned = CertificateDer::pem_slice_iter(&answer.body)
        .map_while(core::result::Result::ok)
        .find(|certificate| Sha256::of(certificate) == token.ca)
        .map(|certificate| pem::encode(&pem::Pem::new("CERTIFICATE", certificate.to_vec())));
    is_pinned.ok_or_else(|| Fault::Final(Error::WrongFleet { url: url.into() }))
}

/// The same identity with a new key and a new certificate. The old one holds until its time is over.
///
/// # Errors
/// If no server answers, or the one that does refuses.
pub fn renew(client: &Client, identity: &Identity) -> Result<Identity> {
    let key = KeyPair::generate()?;
    let csr = CertificateParams::default().serialize_request(&key)?.pem()?;
    let joined: Joined = client.write("POST", "/api/v1/renew", &RenewRequest { csr }, Precondition::None)?;
    Ok(Identity {
        certificate: joined.certificate,
        key: key.serialize_pem(),
        ..identity.clone()
    })
}

/// The digest by which a token pins a CA: that of the first certificate in this PEM.
///
/// # Errors
/// If there is none.
pub fn pin(ca: &str) -> Result<Sha256> {
    let certificate = CertificateDer::from_pem_slice(ca.as_bytes()).map_err(|error| Error::BadIdentity {
        path: "the CA's certificate".into(),
        source: error.into(),
    })?;
    Ok(Sha256::of(&certificate))
}
