//! A service that is not the fleet's: one address, by TLS unless it is on this machine, each answer bounded in bytes and time.

use std::time::Duration;

use ureq::http::{Response, Uri};

use crate::http::{self, Trust};
use crate::{Error, Result};

/// A service that is asked.
#[derive(Debug, Clone)]
pub struct Service {
    url: String,
    /// What of the address is told: not its path, which may be a secret.
    shown: String,
    agent: ureq::Agent,
}

impl Service {
    /// The service at `url`, whose certificate one of `ca` (PEM) has signed. No answer takes longer than `timeout`.
    ///
    /// # Errors
    /// [`Error::BadService`] if the address is none, or speaks no TLS and is not on this machine.
    pub fn new(url: &str, ca: &str, timeout: Duration) -> Result<Self> {
        let bad = |why| Error::BadService {
            url: url.to_owned(),
            why,
        };
        let address: Uri = url.parse().map_err(|_| bad("it is no address"))?;
        let (Some(scheme), Some(authority)) = (address.scheme_str(), address.authority()) else {
            return Err(bad("it has no https:// and no host"));
        };
        if authority.as_str().contains('@') {
            return Err(bad("it has a name or a password in it"));
        }
        let is_here = matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
        let is_plain = scheme == "http";
        if !is_plain && scheme != "https" {
            return Err(bad("it begins with neither https:// nor http://"));
        }
        if is_plain && !is_here {
            return Err(bad("without TLS only services of this machine are asked"));
        }
        let trust = match is_plain {
            true => Trust::Nobody,
            false => Trust::Ca(ca),
        };
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            shown: format!("{scheme}://{authority}"),
            agent: http::agent(&trust, Some(timeout))?,
        })
    }

    /// Sends a JSON document to the address itself; what was answered, if that was well.
    ///
    /// # Errors
    /// [`Error::Service`] if there is no answer in time, or none that says that it is well.
    pub fn post_json(&self, document: &[u8], limit_bytes: u64) -> Result<Vec<u8>> {
        let request = self.agent.post(&self.url).content_type("application/json");
        self.answer(request.send(document), limit_bytes)
    }

    /// Sends a form to a path behind the address; what was answered, if that was well.
    ///
    /// # Errors
    /// As [`Service::post_json`].
    pub fn post_form(&self, path: &str, fields: &[(&str, &str)], limit_bytes: u64) -> Result<Vec<u8>> {
        let request = self.agent.post(format!("{}{path}", self.url));
        self.answer(request.send_form(fields.iter().copied()), limit_bytes)
    }

    fn answer(&self, sent: Result<Response<ureq::Body>, ureq::Error>, limit_bytes: u64) -> Result<Vec<u8>> {
        let failed = |why: String| Error::Service {
            service: self.shown.clone(),
            why,
        };
        let mut response = sent.map_err(|error| failed(error.to_string()))?;
        let body = response
            .body_mut()
            .with_config()
            .limit(limit_bytes)
            .read_to_vec()
            .map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        if !status.is_success() {
            return Err(failed(format!("HTTP status {}", status.as_u16())));
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_only_this_machine_is_asked_and_no_password_is_in_an_address() {
        let service = |url: &str| Service::new(url, "", Duration::from_secs(1));
        for good in [
            "http://localhost:9090",
            "http://127.0.0.1:9090/",
            "http://[::1]:9090/prometheus",
        ] {
            service(good).unwrap();
        }
        for bad in [
            "",
            "localhost:9090",
            "http://prometheus:9090",
            "http://localhost.example",
            "http://user:secret@localhost",
            "ftp://localhost",
            "http://",
        ] {
            assert!(matches!(service(bad), Err(Error::BadService { .. })), "{bad}");
        }
    }

    #[test]
    fn a_path_that_may_be_a_secret_is_not_told() {
        // Nobody listens on the port that was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let url = format!("http://{address}/hooks/secret");
        let service = Service::new(&url, "", Duration::from_secs(5)).unwrap();
        let error = service.post_json(b"{}", 1024).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
