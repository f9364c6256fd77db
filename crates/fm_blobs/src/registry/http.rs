//! HTTP as a registry wants it: names and passwords, tokens, bounded answers.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fm_api::oci::MANIFEST;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider};

use super::url::RegistryOptions;
use crate::MAX_MANIFEST_BYTES;
use crate::source::MAX_BLOB_BYTES;
use crate::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest blob takes so long on a slow line.
const CALL_TIMEOUT: Duration = Duration::from_secs(300);
/// Where Debian, Fedora and SUSE keep whom the system trusts.
const SYSTEM_CAS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];
const MAX_TOKEN_BYTES: u64 = 64 << 10;

pub(super) struct Http {
    agent: ureq::Agent,
    base: String,
    /// Name and password, as the header has them.
    basic: Option<String>,
    name: String,
    /// The header that was accepted last.
    authorization: Mutex<Option<String>>,
}

/// What a registry answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
    challenge: Option<String>,
}

impl Answer {
    /// What it says, for people.
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let short: String = text
            .chars()
            .take(300)
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        format!("HTTP status {} {}", self.status, short.trim())
    }

    /// Whether it names an error.
    pub(super) fn names(&self, code: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(code)
    }

    pub(super) fn refused(&self, action: &'static str) -> Error {
        Error::unreachable(action, self.text())
    }
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

type Body = Box<dyn Read + Send>;

impl Http {
    pub(super) fn new(options: &RegistryOptions) -> Result<Self> {
        let pem = match &options.ca {
            Some(pem) => pem.clone(),
            None => SYSTEM_CAS
                .iter()
                .find_map(|path| std::fs::read(path).ok())
                .unwrap_or_default(),
        };
        let mut roots: Vec<Certificate<'static>> = Vec::new();
        for item in ureq::tls::parse_pem(&pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => roots.push(certificate),
                Ok(_) => {}
                Err(error) => {
                    return Err(Error::invalid(
                        "the certificate of the registry's CA",
                        error.to_string(),
                    ));
                }
            }
        }
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(&roots))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // Registries send readers of blobs to where these lie; names and tokens do not go along.
            .max_redirects(3)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(CALL_TIMEOUT))
            .user_agent(concat!("flashmoor/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let basic = options
            .user
            .as_ref()
            .map(|(name, password)| format!("Basic {}", BASE64.encode(format!("{name}:{password}"))));
        Ok(Self {
            agent,
            base: options.base.clone(),
            name: options.name.clone(),
            basic,
            authorization: Mutex::default(),
        })
    }

    /// One request, its answer read whole. Where the registry wants to know who asks, it is told, once.
    pub(super) fn send(
        &self,
        action: &'static str,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<Answer> {
        let url = self.address(action, path)?;
        let answer = self.once(action, method, &url, body)?;
        if answer.status != 401 || !self.authorize(action, &answer)? {
            return Ok(answer);
        }
        self.once(action, method, &url, body)
    }

    /// Opens a blob to be read piece by piece, with its size; nothing if it is not there.
    pub(super) fn open(&self, action: &'static str, path: &str) -> Result<Option<(u64, Body)>> {
        let url = self.address(action, path)?;
        for _ in 0..2 {
            let mut response = self.request(action, "GET", &url, None)?;
            let status = response.status().as_u16();
            if status == 200 {
                let size = response.body().content_length();
                let size = size
                    .ok_or_else(|| Error::unreachable(action, "the registry does not say how large it is"))?;
                if size > MAX_BLOB_BYTES {
                    return Err(Error::TooLarge {
                        what: "a blob (bytes)".into(),
                        size,
                        limit: MAX_BLOB_BYTES,
                    });
                }
                let body = response
                    .into_body()
                    .into_with_config()
                    .limit(MAX_BLOB_BYTES)
                    .reader();
                return Ok(Some((size, Box::new(body))));
            }
            let answer = whole(action, &mut response)?;
            match status {
                404 => return Ok(None),
                401 if self.authorize(action, &answer)? => {}
                _ => return Err(answer.refused(action)),
            }
        }
        Err(Error::unreachable(
            action,
            "the registry does not take the name and password",
        ))
    }

    /// The address of a path, or of where the registry has sent us: never another host, as a token goes along.
    fn address(&self, action: &'static str, path: &str) -> Result<String> {
        if path.starts_with('/') {
            return Ok(format!("{}{path}", self.base));
        }
        let is_ours = path
            .strip_prefix(&self.base)
            .is_some_and(|rest| rest.starts_with('/'));
        if is_ours {
            Ok(path.to_owned())
        } else {
            Err(Error::unreachable(
                action,
                "the registry names another host to upload to",
            ))
        }
    }

    fn once(
        &self,
        action: &'static str,
        method: &str,
        url: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<Answer> {
        let mut response = self.request(action, method, url, body)?;
        whole(action, &mut response)
    }

    fn request(
        &self,
        action: &'static str,
        method: &str,
        url: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<ureq::http::Response<ureq::Body>> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(url)
            .header("accept", MANIFEST);
        let known = self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(authorization) = known.as_ref().or(self.basic.as_ref()) {
            request = request.header("authorization", authorization);
        }
        let malformed = |error: ureq::http::Error| Error::unreachable(action, error);
        let failed = |error: ureq::Error| Error::unreachable(action, error);
        match body {
            Some((kind, bytes)) => {
                let request = match kind {
                    "" => request,
                    kind => request.header("content-type", kind),
                };
                self.agent
                    .run(request.body(bytes).map_err(malformed)?)
                    .map_err(failed)
            }
            None => self
                .agent
                .run(request.body(()).map_err(malformed)?)
                .map_err(failed),
        }
    }

    /// Gets what a registry's challenge asks for; tells whether there is something new to try.
    ///
    /// Source: distribution `docs/spec/auth/token.md`.
    fn authorize(&self, action: &'static str, answer: &Answer) -> Result<bool> {
        let Some(challenge) = answer
            .challenge
            .as_deref()
            .and_then(|text| text.strip_prefix("Bearer "))
        else {
            return Ok(false);
        };
        let member = |name: &str| {
            let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let Some(realm) = member("realm").filter(|realm| self.may_hear_password(realm)) else {
            return Ok(false);
        };
        let scope = format!("repository:{}:pull,push,delete", self.name);
        let separator = if realm.contains('?') { '&' } else { '?' };
        let service = member("service").unwrap_or_default();
        let url = format!(
            "{realm}{separator}service={}&scope={}",
            utf8_percent_encode(&service, NON_ALPHANUMERIC),
            utf8_percent_encode(&scope, NON_ALPHANUMERIC)
        );
        let mut request = ureq::http::Request::builder().method("GET").uri(url);
        if let Some(basic) = &self.basic {
            request = request.header("authorization", basic);
        }
        let request = request
            .body(())
            .map_err(|error| Error::unreachable(action, error))?;
        let mut response = self
            .agent
            .run(request)
            .map_err(|error| Error::unreachable(action, error))?;
        let bytes = response
            .body_mut()
            .with_config()
            .limit(MAX_TOKEN_BYTES)
            .read_to_vec()
            .map_err(|error| Error::unreachable(action, error))?;
        let token: Option<Token> = serde_json::from_slice(&bytes).ok();
        let token = token.and_then(|token| token.token.or(token.access_token));
        let Some(token) = token else { return Ok(false) };
        let header = format!("Bearer {token}");
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(header);
        Ok(true)
    }

    /// A password goes over TLS, or stays on this machine as the registry does.
    fn may_hear_password(&self, realm: &str) -> bool {
        realm.starts_with("https://") || (self.base.starts_with("http://") && realm.starts_with(&self.base))
    }
}

fn whole(action: &'static str, response: &mut ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let (location, challenge) = (header("location"), header("www-authenticate"));
    let status = response.status().as_u16();
    let body = response
        .body_mut()
        .with_config()
        .limit(MAX_MANIFEST_BYTES.saturating_add(1))
        .read_to_vec()
        .map_err(|error| Error::unreachable(action, error))?;
    Ok(Answer {
        status,
        location,
        body,
        challenge,
    })
}
