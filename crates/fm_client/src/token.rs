//! Tokens as people carry them: the secret, whose certificate to expect, and where.

use std::fmt;
use std::str::FromStr;

use fm_formats::Sha256;

use crate::Error;

/// What stands before a token that is exchanged for a certificate.
const JOIN: &str = "fmj1";
/// What stands before a token that is sent with each request.
pub const BEARER: &str = "fmr1";
/// Digits of a secret: 32 random bytes.
const SECRET_DIGITS: usize = 64;
const MAX_URL_BYTES: usize = 512;

/// A token that a newcomer exchanges for a certificate: `fmj1.SECRET.CA.URL`.
///
/// The digest in it pins the fleet's CA: the secret is sent to nobody who cannot prove to be of that fleet.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The secret, in hexadecimal.
    pub secret: String,
    /// Digest of the CA's certificate, in DER.
    pub ca: Sha256,
    /// An address of the fleet's API.
    pub url: String,
}

impl fmt::Display for JoinToken {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{JOIN}.{}.{}.{}", self.secret, self.ca, self.url)
    }
}

/// Without the secret.
impl fmt::Debug for JoinToken {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{JOIN}.….{}.{}", self.ca, self.url)
    }
}

impl FromStr for JoinToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: &'static str| Error::BadToken { why };
        let mut parts = text.trim().splitn(4, '.');
        let mut part = || parts.next().unwrap_or_default();
        if part() != JOIN {
            return Err(bad("it does not start like one"));
        }
        let (secret, ca, url) = (part(), part(), part());
        let is_secret =
            secret.len() == SECRET_DIGITS && secret.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_secret {
            return Err(bad("its secret is cut or altered"));
        }
        let ca = ca.parse().map_err(|_| bad("its digest is cut or altered"))?;
        if !is_url(url) {
            return Err(bad("its address is cut or altered"));
        }
        Ok(Self {
            secret: secret.into(),
            ca,
            url: url.into(),
        })
    }
}

/// Whether this is the address of an API: HTTPS, no spaces, no path.
pub(crate) fn is_url(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else {
        return false;
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    !rest.is_empty() && url.len() <= MAX_URL_BYTES && rest.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_one_that_was_cut_is_refused() {
        let token = JoinToken {
            secret: "ab".repeat(32),
            ca: Sha256::of(b"ca"),
            url: "https://fleet.example:7117".into(),
        };
        let text = token.to_string();
        assert_eq!(text.parse::<JoinToken>().unwrap(), token);
        let whole = text.len() - token.url.len() + "https://".len();
        for cut in 0..=whole {
            assert!(text[..cut].parse::<JoinToken>().is_err(), "{}", &text[..cut]);
        }
        assert!(!format!("{token:?}").contains(&token.secret));
    }

    #[test]
    fn an_address_is_https_and_nothing_else() {
        for url in ["https://a:1", "https://[::1]:7117", "https://10.0.0.1"] {
            assert!(is_url(url), "{url}");
        }
        for url in [
            "http://a",
            "https://",
            "https://a/b",
            "https://a b",
            "https://u@a",
            "ftp://a",
        ] {
            assert!(!is_url(url), "{url}");
        }
    }
}
