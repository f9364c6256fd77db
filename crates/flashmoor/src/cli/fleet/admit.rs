//! `flashmoor fleet token`, `join` and `keys`: who may come in, and who no longer.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fm_api::v1::enrolment::{IssuedCertificate, IssuedCertificates, NewToken, Role, TokenRequest};
use fm_client::{BEARER, JoinPlan, JoinToken, Precondition};
use fm_formats::Sha256;

use super::super::{Context, Result, Status};
use super::access::Access;
use super::pages::Words;
use fm_render::fleet as render;

/// A role by its name.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    Host,
    Reader,
    Operator,
    Administrator,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Host => Self::Host,
            RoleName::Reader => Self::Reader,
            RoleName::Operator => Self::Operator,
            RoleName::Administrator => Self::Administrator,
        }
    }
}

/// Make a token with which a host, or a person, joins the fleet once
///
/// It holds the address and the digest of the fleet's CA, so that whoever uses it gives it to no other server. With
/// --name, a host of that name is replaced: its certificates so far are revoked.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// What its holder may do
    #[arg(long, value_name = "ROLE", default_value = "host")]
    role: RoleName,
    /// What its holder will be called [default: what it calls itself, if that is free]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How long it can be used
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// A token that is sent with each request, for a reader such as Prometheus
    #[arg(long)]
    bearer: bool,
    #[command(flatten)]
    access: Access,
}

impl Token {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let identity = self.access.identity(context)?;
        let client = self.access.client(context)?;
        let role = if self.bearer {
            Role::Reader
        } else {
            self.role.into()
        };
        let mut made: NewToken = client.write(
            "POST",
            "/api/v1/tokens",
            &TokenRequest {
                role,
                name: self.name.clone(),
                lifetime_s: self.minutes.saturating_mul(60),
                bearer: self.bearer,
            },
            Precondition::None,
        )?;
        made.text = if self.bearer {
            Some(format!("{BEARER}.{}", made.secret))
        } else {
            let token = JoinToken {
                secret: made.secret.clone(),
                ca: pin(&identity.ca)?,
                url: identity.urls.first().cloned().unwrap_or_default(),
            };
            Some(token.to_string())
        };
        context.output.document(&made, render::token);
        Ok(Status::Done)
    }
}

/// The digest of the CA that this client trusts.
fn pin(ca: &str) -> Result<Sha256> {
    Ok(fm_client::pin(ca)?)
}

/// Exchange a token for a certificate of your own
///
/// For people: a host joins with `flashmoor agent join`.
#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The token
    #[arg(
        long,
        value_name = "TOKEN",
        env = "FLASHMOOR_FLEET_TOKEN",
        hide_env_values = true
    )]
    token: String,
    /// What you are to be called
    #[arg(long, value_name = "NAME", default_value = "me")]
    name: String,
    /// Where the key and the certificate go
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

impl Join {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let token: JoinToken = self.token.parse()?;
        let identity = fm_client::join(&JoinPlan {
            token: &token,
            urls: &[],
            name: &self.name,
        })?;
        identity.save(&self.to)?;
        context
            .output
            .remark(format_args!("joined as {}; {}", identity.name, self.to.display()));
        Ok(Status::Done)
    }
}

/// List certificates that were issued, or revoke one, at once
#[derive(Debug, Args)]
pub(crate) struct Keys {
    /// Revoke the certificate with this serial number
    #[arg(long, value_name = "SERIAL")]
    revoke: Option<String>,
    #[command(flatten)]
    access: Access,
}

impl Keys {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        if let Some(serial) = &self.revoke {
            let path = format!("/api/v1/keys/{serial}/revoke");
            let revoked: IssuedCertificate =
                client.write("POST", &path, &serde_json::json!({}), Precondition::None)?;
            let list = IssuedCertificates {
                schema: fm_api::Schema::default(),
                certificates: vec![revoked],
                next: None,
            };
            context.output.document(&list, render::keys);
            return Ok(Status::Done);
        }
        let mut all = IssuedCertificates {
            schema: fm_api::Schema::default(),
            certificates: Vec::new(),
            next: None,
        };
        loop {
            let words = Words::default()
                .with("cursor", all.next.take())
                .with("limit", Some(1000));
            let page: IssuedCertificates = client.get(&words.on("/api/v1/keys"))?;
            all.certificates.extend(page.certificates);
            if page.next.is_none() {
                break;
            }
            all.next = page.next;
        }
        context.output.document(&all, render::keys);
        Ok(Status::Done)
    }
}
