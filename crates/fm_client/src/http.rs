//! HTTPS as this crate uses it: the one module that knows the HTTP library.

use std::io::{BufRead as _, BufReader, Read};
use std::time::Duration;

use fm_api::v1::enrolment::Problem;
use ureq::http;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::provider::provider;
use crate::{Error, Result};

/// A document of the API has at most some MiB: a page is bounded at its other end.
pub(crate) const MAX_ANSWER_BYTES: u64 = 32 << 20;
const CONNECT: Duration = Duration::from_secs(5);
/// An event is one line of some hundred bytes.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Whom to trust, and who to be.
pub(crate) enum Trust<'a> {
    /// This CA, in PEM; without a certificate of our own.
    Ca(&'a str),
    /// This CA, and this certificate and key.
    Mutual {
        ca: &'a str,
        certificate: &'a str,
        key: &'a str,
    },
    /// Nobody, because nothing is encrypted: a service of this machine.
    Nobody,
    /// Nobody yet: what is read is compared with a digest, and nothing secret is sent.
    Pinning,
}

/// What a request sends.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'static str, String)],
    pub(crate) body: Option<&'a [u8]>,
    pub(crate) content_type: &'static str,
    /// The most bytes of an answer that are taken.
    pub(crate) limit_bytes: u64,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) url: String,
    pub(crate) etag: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Why one server gave no answer.
pub(crate) enum Fault {
    /// It could not be reached, or broke off: the next one may do.
    Unreachable(String),
    /// It answered, and that is that.
    Final(Error),
}

/// Whatever name is asked for is at this address: a certificate is held against the name, a connection goes to the address.
#[derive(Debug)]
struct At(http::Uri);

impl Resolver for At {
    fn resolve(
        &self,
        _uri: &http::Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        DefaultResolver::default().resolve(&self.0, config, timeout)
    }
}

pub(crate) fn agent(trust: &Trust<'_>, timeout: Option<Duration>) -> Result<ureq::Agent> {
    Ok(config(trust, timeout)?.new_agent())
}

/// The same for one address, whatever the name in a URL.
pub(crate) fn agent_at(trust: &Trust<'_>, timeout: Duration, address: &str) -> Result<ureq::Agent> {
    let url = format!("https://{address}");
    let at = url.parse().map_err(|_| Error::BadUrl {
        url: address.to_owned(),
    })?;
    Ok(ureq::Agent::with_parts(
        config(trust, Some(timeout))?,
        DefaultConnector::default(),
        At(at),
    ))
}

fn config(trust: &Trust<'_>, timeout: Option<Duration>) -> Result<ureq::config::Config> {
    let bad = |error: ureq::Error| Error::BadIdentity {
        path: "the certificate".into(),
        source: error.into(),
    };
    let certificates = |pem: &str| -> Result<Vec<Certificate<'static>>> {
        ureq::tls::parse_pem(pem.as_bytes())
            .filter_map(|item| match item {
                Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(Ok(certificate)),
                Ok(_) => None,
                Err(error) => Some(Err(bad(error))),
            })
            .collect()
    };
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider());
    let tls = match trust {
        Trust::Ca(ca) => tls.root_certs(RootCerts::new_with_certs(&certificates(ca)?)),
        Trust::Mutual { ca, certificate, key } => {
            let key = PrivateKey::from_pem(key.as_bytes()).map_err(bad)?;
            let own = ClientCert::new_with_certs(&certificates(certificate)?, key);
            tls.root_certs(RootCerts::new_with_certs(&certificates(ca)?))
                .client_cert(Some(own))
        }
        Trust::Nobody => tls,
        Trust::Pinning => tls.disable_verification(true),
    };
    Ok(ureq::Agent::config_builder()
        .tls_config(tls.build())
        .https_only(!matches!(trust, Trust::Nobody))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_connect(Some(CONNECT))
        .timeout_global(timeout)
        .user_agent(concat!("flashmoor/", env!("CARGO_PKG_VERSION")))
        .build())
}

fn send(agent: &ureq::Agent, url: &str, request: &Request<'_>) -> Result<http::Response<ureq::Body>, Fault> {
    let mut message = http::Request::builder()
        .method(request.method)
        .uri(format!("{url}{}", request.path));
    for (name, value) in request.headers {
        message = message.header(*name, value);
    }
    let bad = |error: http::Error| {
        Fault::Final(Error::BadAnswer {
            url: url.into(),
            source: error.into(),
        })
    };
    let unreachable = |error: ureq::Error| Fault::Unreachable(format!("{url}: {error}"));
    match request.body {
        Some(body) => agent
            .run(
                message
                    .header("content-type", request.content_type)
                    .body(body)
                    .map_err(bad)?,
            )
            .map_err(unreachable),
        None => agent.run(message.body(()).map_err(bad)?).map_err(unreachable),
    }
}

/// One request to one server, its whole answer read.
pub(crate) fn ask(agent: &ureq::Agent, url: &str, request: &Request<'_>) -> Result<Answer, Fault> {
    let mut response = send(agent, url, request)?;
    let status = response.status().as_u16();
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let etag = header("etag");
    let body = response
        .body_mut()
        .with_config()
        .limit(request.limit_bytes)
        .read_to_vec();
    if !(200..300).contains(&status) {
        let problem = body.ok().and_then(|body| serde_json::from_slice(&body).ok());
        // A server that has lost its records, or is busy, may have a neighbour that is better off.
        let problem = problem.unwrap_or_else(|| Problem {
            kind: "about:blank".into(),
            title: format!("HTTP status {status}"),
            status,
            detail: None,
        });
        return Err(if matches!(status, 502..=504) {
            Fault::Unreachable(format!("{url}: {}", problem.title))
        } else {
            Fault::Final(Error::Refused {
                problem: Box::new(problem),
            })
        });
    }
    let body = body.map_err(|error| Fault::Unreachable(format!("{url}: {error}")))?;
    Ok(Answer {
        url: url.into(),
        etag,
        body,
    })
}

/// Data of server-sent events, one after the other, until the server or the reader ends it.
pub struct EventLines(BufReader<Box<dyn Read + Send + Sync>>);

impl std::fmt::Debug for EventLines {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("EventLines")
    }
}

impl Iterator for EventLines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            let read = (&mut self.0).take(MAX_LINE_BYTES).read_line(&mut line);
            if !read.is_ok_and(|read| read > 0) {
                return None;
            }
            if let Some(data) = line.strip_prefix("data:") {
                return Some(data.trim().to_owned());
            }
        }
    }
}

/// Opens a stream of events.
pub(crate) fn events(agent: &ureq::Agent, url: &str, path: &str) -> Result<EventLines, Fault> {
    let request = Request {
        method: "GET",
        path,
        headers: &[("accept", "text/event-stream".into())],
        body: None,
        content_type: "",
        limit_bytes: MAX_ANSWER_BYTES,
    };
    let mut response = send(agent, url, &request)?;
    let status = response.status().as_u16();
    if status != 200 {
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec();
        let problem = body.ok().and_then(|body| serde_json::from_slice(&body).ok());
        return Err(Fault::Final(Error::Refused {
            problem: Box::new(problem.unwrap_or_else(|| Problem {
                kind: "about:blank".into(),
                title: format!("HTTP status {status}"),
                status,
                detail: None,
            })),
        }));
    }
    let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
    Ok(EventLines(BufReader::new(Box::new(reader))))
}
