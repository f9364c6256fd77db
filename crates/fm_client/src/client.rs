//! Requests to a fleet: the servers of the list are tried in turn, the last one that answered first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::{self, Answer, EventLines, Fault, MAX_ANSWER_BYTES, Request, Trust};
use crate::token::is_url;
use crate::{Error, Identity, Result};

/// The name in the certificate of every host: who connects to a peer takes any host of the fleet, and no server.
pub const PEER_NAME: &str = "host.flashmoor.internal";

const JSON: &str = "application/json";

/// A client of one fleet.
#[derive(Debug)]
pub struct Client {
    urls: Vec<String>,
    agent: ureq::Agent,
    streams: ureq::Agent,
    /// The server that answered last.
    last: AtomicUsize,
}

/// On what a write depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition<'a> {
    /// Nothing.
    None,
    /// That what is there is still the one with this tag.
    Matches(&'a str),
}

impl Client {
    /// A client that is `identity`. No request takes longer than `timeout`.
    ///
    /// # Errors
    /// If the certificates can't be read, or an address is none.
    pub fn new(identity: &Identity, timeout: Duration) -> Result<Self> {
        if let Some(url) = identity.urls.iter().find(|url| !is_url(url)) {
            return Err(Error::BadUrl { url: url.clone() });
        }
        let trust = Trust::Mutual {
            ca: &identity.ca,
            certificate: &identity.certificate,
            key: &identity.key,
        };
        Ok(Self {
            urls: identity.urls.clone(),
            agent: http::agent(&trust, Some(timeout))?,
            streams: http::agent(&trust, None)?,
            last: AtomicUsize::new(0),
        })
    }

    /// A client of another host's agent, which gives builds to hosts of the same fleet, at `address` (`HOST:PORT`). Which
    /// host it is does not matter: what it gives is checked by its digest.
    ///
    /// # Errors
    /// If the certificates can't be read, or the address is none.
    pub fn of_peer(identity: &Identity, address: &str, timeout: Duration) -> Result<Self> {
        let trust = Trust::Mutual {
            ca: &identity.ca,
            certificate: &identity.certificate,
            key: &identity.key,
        };
        let agent = http::agent_at(&trust, timeout, address)?;
        Ok(Self {
            urls: vec![format!("https://{PEER_NAME}")],
            streams: agent.clone(),
            agent,
            last: AtomicUsize::new(0),
        })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If no server answers, or the one that does refuses.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.send(&Request {
            method: "GET",
            path,
            headers: &[("accept", JSON.into())],
            body: None,
            content_type: JSON,
            limit_bytes: MAX_ANSWER_BYTES,
        })?;
        read(&answer)
    }

    /// Reads a document and the tag of its state.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_tagged<T: DeserializeOwned>(&self, path: &str) -> Result<(T, Option<String>)> {
        let answer = self.send(&Request {
            method: "GET",
            path,
            headers: &[("accept", JSON.into())],
            body: None,
            content_type: JSON,
            limit_bytes: MAX_ANSWER_BYTES,
        })?;
        Ok((read(&answer)?, answer.etag))
    }

    /// Reads bytes.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_bytes(&self, path: &str) -> Result<Vec<u8>> {
        self.get_bytes_up_to(path, MAX_ANSWER_BYTES)
    }

    /// Reads bytes, of which there are so many at most.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_bytes_up_to(&self, path: &str, limit_bytes: u64) -> Result<Vec<u8>> {
        let answer = self.send(&Request {
            method: "GET",
            path,
            headers: &[],
            body: None,
            content_type: JSON,
            limit_bytes,
        })?;
        Ok(answer.body)
    }

    /// Writes a document and reads the answer.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn write<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &impl Serialize,
        precondition: Precondition<'_>,
    ) -> Result<T> {
        let body = serde_json::to_vec(body).map_err(|error| Error::BadAnswer {
            url: path.into(),
            source: error.into(),
        })?;
        let mut headers = vec![("accept", JSON.to_owned())];
        if let Precondition::Matches(tag) = precondition {
            headers.push(("if-match", tag.to_owned()));
        }
        let answer = self.send(&Request {
            method,
            path,
            headers: &headers,
            body: Some(&body),
            content_type: JSON,
            limit_bytes: MAX_ANSWER_BYTES,
        })?;
        read(&answer)
    }

    /// Writes bytes; whatever is answered does not matter.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn put_bytes(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.send(&Request {
            method: "PUT",
            path,
            headers: &[],
            body: Some(bytes),
            content_type: "application/octet-stream",
            limit_bytes: MAX_ANSWER_BYTES,
        })
        .map(drop)
    }

    /// What happens, as it happens.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn events(&self, path: &str) -> Result<EventLines> {
        self.in_turn(|url| http::events(&self.streams, url, path))
    }

    /// The servers' addresses.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    fn send(&self, request: &Request<'_>) -> Result<Answer> {
        self.in_turn(|url| http::ask(&self.agent, url, request))
    }

    fn in_turn<T>(&self, ask: impl Fn(&str) -> Result<T, Fault>) -> Result<T> {
        let first = self.last.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        for at in (0..self.urls.len()).map(|step| (first + step) % self.urls.len()) {
            let Some(url) = self.urls.get(at) else { continue };
            match ask(url) {
                Ok(answer) => {
                    self.last.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(Fault::Unreachable(why)) => tried.push(why),
                Err(Fault::Final(error)) => return Err(error),
            }
        }
        Err(Error::NoAnswer { tried })
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T> {
    serde_json::from_slice(&answer.body).map_err(|error| Error::BadAnswer {
        url: answer.url.clone(),
        source: error.into(),
    })
}
