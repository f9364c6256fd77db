//! Who asks: a certificate of the fleet's CA, or a bearer token. Both are looked up in the records at each request, so
//! that what was revoked is refused at once, on connections that stand already as well.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use fm_api::v1::enrolment::Role;
use fm_api::v1::fleet::HostId;
use fm_client::{BEARER, is_name};

use crate::clock::now_s;
use crate::ledger::{Ledger, hex};
use crate::problem::Problem;

/// What a connection showed in its handshake.
#[derive(Debug, Clone, Default)]
pub struct Shown(pub Option<Arc<ShownCertificate>>);

/// What a certificate that the handshake has verified says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    /// Whose it is.
    pub name: String,
    /// Nothing if it names none, or more than one.
    pub role: Option<Role>,
    /// Its serial number, in small hexadecimal digits.
    pub serial: String,
    /// Until when it holds, in seconds since 1970.
    pub expires_s: i64,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What it is called.
    pub name: String,
    /// Its role.
    pub role: Role,
}

impl ShownCertificate {
    /// Reads a certificate. Nothing if it cannot be read, which the handshake has ruled out.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let subject = certificate.subject();
        let mut names = subject.iter_common_name();
        let name = names.next()?.as_str().ok()?.to_owned();
        let mut units = subject.iter_organizational_unit();
        let role = units.next().and_then(|unit| Role::named(unit.as_str().ok()?));
        let is_one = names.next().is_none() && units.next().is_none() && is_name(&name);
        Some(Self {
            name,
            role: role.filter(|_| is_one),
            serial: hex(certificate.raw_serial()),
            expires_s: certificate.validity().not_after.timestamp(),
        })
    }
}

impl Principal {
    /// Who asks by this certificate, or with these headers.
    pub async fn of(shown: &Shown, headers: &HeaderMap, ledger: &Ledger) -> Result<Self, Problem> {
        if let Some(certificate) = &shown.0 {
            let role = certificate
                .role
                .ok_or_else(|| Problem::unknown_caller("the certificate names no role"))?;
            if certificate.expires_s <= now_s() {
                return Err(Problem::unknown_caller("the certificate has expired"));
            }
            if ledger.is_revoked(&certificate.serial).await? {
                return Err(Problem::unknown_caller("the certificate was revoked"));
            }
            return Ok(Self {
                name: certificate.name.clone(),
                role,
            });
        }
        let bearer = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .and_then(|text| text.trim().strip_prefix(BEARER)?.strip_prefix('.'));
        let Some(secret) = bearer else {
            return Err(Problem::unknown_caller("no certificate and no token was shown"));
        };
        let name = ledger
            .bearer(secret)
            .await?
            .ok_or_else(|| Problem::unknown_caller("the token is not known, or has expired"))?;
        Ok(Self {
            name,
            role: Role::Reader,
        })
    }

    /// Whether it may do what `role` may.
    pub fn require(&self, role: Role) -> Result<(), Problem> {
        if self.role != Role::Host && self.role >= role {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "that is for the role {}, and {} is {}",
            role.name(),
            self.name,
            self.role.name()
        )))
    }

    /// Whether it may write what `host` says of itself.
    pub fn require_host(&self, host: &HostId) -> Result<(), Problem> {
        if self.role == Role::Host && self.name == host.as_str() {
            return Ok(());
        }
        Err(Problem::not_yours(format!(
            "only host {host} itself may do that, and {} asked",
            self.name
        )))
    }

    /// Whether it may read what concerns `host`.
    pub fn require_reading(&self, host: &HostId) -> Result<(), Problem> {
        if self.role == Role::Host {
            return self.require_host(host);
        }
        self.require(Role::Reader)
    }

    /// Whether it may read builds: every host may, which is asked to keep and to bring them.
    pub fn require_builds(&self) -> Result<(), Problem> {
        match self.role {
            Role::Host => Ok(()),
            _ => self.require(Role::Reader),
        }
    }

    /// The host that it is, whose affairs are all that it may see.
    pub fn host(&self) -> Option<HostId> {
        (self.role == Role::Host)
            .then(|| self.name.parse().ok())
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(role: Role) -> Principal {
        Principal {
            name: "a".into(),
            role,
        }
    }

    #[test]
    fn a_role_may_what_those_before_it_may_and_a_host_none_of_it() {
        let people = [Role::Reader, Role::Operator, Role::Administrator];
        for (held, role) in people.iter().enumerate() {
            for (wanted, needs) in people.iter().enumerate() {
                assert_eq!(principal(*role).require(*needs).is_ok(), held >= wanted);
            }
        }
        for role in people {
            assert!(principal(Role::Host).require(role).is_err());
        }
    }

    #[test]
    fn a_host_writes_its_own_records_and_nobody_else_does() {
        let (own, other) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert!(principal(Role::Host).require_host(&own).is_ok());
        assert!(principal(Role::Host).require_host(&other).is_err());
        assert!(principal(Role::Administrator).require_host(&own).is_err());
        assert!(principal(Role::Reader).require_reading(&other).is_ok());
        assert!(principal(Role::Host).require_reading(&other).is_err());
    }
}
