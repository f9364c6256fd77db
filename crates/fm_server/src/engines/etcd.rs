//! How etcd is reached: over TLS with a certificate of ours, and without only on this machine.

use std::path::Path;

use fm_records::{Etcd, EtcdOptions, EtcdTls};

use super::secrets::{optional, user};
use crate::{Error, Result};

/// Connects to the members. `folder` holds `ca.crt`, `client.crt` and `client.key` for TLS, and `user`, where etcd wants
/// a name and a password.
pub(super) async fn connect(members: &[String], folder: &Path) -> Result<Etcd> {
    Ok(Etcd::connect(&options(members, folder)?).await?)
}

fn options(members: &[String], folder: &Path) -> Result<EtcdOptions> {
    let file = |name: &str| optional(&folder.join(name));
    let tls = match (file("ca.crt")?, file("client.crt")?, file("client.key")?) {
        (Some(ca), Some(certificate), Some(key)) => Some(EtcdTls { ca, certificate, key }),
        _ => None,
    };
    let elsewhere = members.iter().find(|member| !is_loopback(member));
    if let (Some(member), None) = (elsewhere, &tls) {
        return Err(Error::EtcdInTheClear {
            member: member.clone(),
            folder: folder.to_owned(),
        });
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    Ok(EtcdOptions {
        endpoints: members
            .iter()
            .map(|member| format!("{scheme}://{member}"))
            .collect(),
        tls,
        user: user(&folder.join("user"))?,
    })
}

fn is_loopback(member: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|local| {
        member
            .strip_prefix(local)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_on_other_machines_are_spoken_to_with_certificates_only() {
        let folder = tempfile::tempdir().unwrap();
        let asked = |members: &[&str]| {
            let members: Vec<String> = members.iter().map(|member| (*member).to_owned()).collect();
            options(&members, folder.path())
        };
        let local = asked(&["127.0.0.1:2379", "localhost:1"]).unwrap();
        assert_eq!(local.endpoints, ["http://127.0.0.1:2379", "http://localhost:1"]);
        for other in ["a:2379", "127.0.0.1.evil:2379", "10.0.0.1:2379"] {
            let refused = asked(&["127.0.0.1:2379", other]);
            assert!(matches!(refused, Err(Error::EtcdInTheClear { member, .. }) if member == other));
        }
        for name in ["ca.crt", "client.crt", "client.key"] {
            assert!(asked(&["a:2379"]).is_err());
            std::fs::write(folder.path().join(name), "pem").unwrap();
        }
        std::fs::write(folder.path().join("user"), "fleet:secret\n").unwrap();
        let far = asked(&["a:2379"]).unwrap();
        assert_eq!(far.endpoints, ["https://a:2379"]);
        assert!(far.tls.is_some());
        assert_eq!(far.user, Some(("fleet".into(), "secret".into())));
    }
}
