//! Where a registry is, as people write it: `oci://registry:5000/name`.

use crate::{Error, Result};

/// Where a registry is, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryOptions {
    /// `https://registry:5000`; plain HTTP on loopback only.
    pub base: String,
    /// The repository, such as `flashmoor/builds`.
    pub name: String,
    /// Who signed the registry's certificate, in PEM; whom the system trusts, if nothing is said.
    pub ca: Option<Vec<u8>>,
    /// Name and password, where it wants those.
    pub user: Option<(String, String)>,
}

impl RegistryOptions {
    /// Reads `oci://HOST[:PORT]/NAME`, or `oci+http://` for one on loopback.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn parse(url: &str) -> Result<Self> {
        let invalid = |why: &str| Error::invalid("the address of the registry", why);
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| invalid("it is not of the form oci://HOST/NAME"))?;
        let (host, name) = rest
            .split_once('/')
            .ok_or_else(|| invalid("it names no repository behind the host"))?;
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) {
            return Err(invalid("its host is malformed"));
        }
        if !is_name(name) {
            return Err(invalid("the name of its repository is malformed"));
        }
        let is_loopback = ["localhost", "127.0.0.1", "[::1]"].iter().any(|local| {
            host.strip_prefix(local)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        });
        let base = match scheme {
            "oci" => format!("https://{host}"),
            "oci+http" if is_loopback => format!("http://{host}"),
            "oci+http" => return Err(invalid("without TLS it has to be on this machine's loopback")),
            _ => return Err(invalid("it is not of the form oci://HOST/NAME")),
        };
        Ok(Self {
            base,
            name: name.into(),
            ca: None,
            user: None,
        })
    }
}

/// Source: OCI distribution-spec v1.1, "Pulling manifests": `<name>`.
fn is_name(name: &str) -> bool {
    let is_component = |part: &str| {
        let ends =
            |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        ends(part.bytes().next()) && ends(part.bytes().last()) && part.bytes().all(is_allowed)
    };
    name.len() <= 200 && name.split('/').all(is_component)
}

#[cfg(test)]
mod tests {
    use super::RegistryOptions;

    #[test]
    fn an_address_names_host_and_repository_and_needs_tls_beyond_loopback() {
        let base = |url: &str| RegistryOptions::parse(url).ok().map(|options| options.base);
        assert_eq!(base("oci://r:5000/a/b").as_deref(), Some("https://r:5000"));
        assert_eq!(
            base("oci+http://127.0.0.1:5000/a").as_deref(),
            Some("http://127.0.0.1:5000")
        );
        for wrong in [
            "oci://r",
            "oci:///a",
            "oci://r/",
            "oci://r/A",
            "oci://r/a/../b",
            "oci://r/a b",
            "oci://user@r/a",
            "oci+http://r/a",
            "oci+http://127.0.0.1.evil/a",
            "https://r/a",
            "r/a",
        ] {
            assert_eq!(base(wrong), None, "{wrong}");
        }
    }
}
