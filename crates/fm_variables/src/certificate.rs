//! What people need to know of a certificate.

use std::fmt;

use fm_formats::Sha256;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A certificate's subject, issuer and validity.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) from: String,
    pub(super) until: String,
    pub(super) digest: Sha256,
    /// Whether its last day is past.
    pub(super) is_expired: bool,
}

impl Certificate {
    /// Whether `der` is a certificate and nothing behind it.
    pub(super) fn is_whole(der: &[u8]) -> bool {
        X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty())
    }

    /// Its subject and last day.
    pub(super) fn in_short(&self) -> String {
        let word = if self.is_expired { "expired" } else { "until" };
        format!("{} ({word} {})", self.subject, self.until)
    }

    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let day = |time: &x509_parser::time::ASN1Time| {
            let date = time.to_datetime();
            format!(
                "{:04}-{:02}-{:02}",
                date.year(),
                u8::from(date.month()),
                date.day()
            )
        };
        Some(Self {
            subject: common_name(certificate.subject()),
            issuer: common_name(certificate.issuer()),
            from: day(&certificate.validity().not_before),
            until: day(&certificate.validity().not_after),
            digest: Sha256::of(der),
            is_expired: certificate.validity().not_after < x509_parser::time::ASN1Time::now(),
        })
    }
}

/// The common name, or the whole name where there is none; nothing that drives a terminal.
fn common_name(name: &x509_parser::x509::X509Name<'_>) -> String {
    let text = name
        .iter_common_name()
        .find_map(|name| name.as_str().ok())
        .map_or_else(|| name.to_string(), str::to_owned);
    text.chars().filter(|character| !character.is_control()).collect()
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            issuer,
            from,
            until,
            digest,
            is_expired,
        } = self;
        let expired = if *is_expired { ", expired" } else { "" };
        write!(
            f,
            "{subject} (by {issuer}, {from} to {until}{expired}, sha256 {digest})"
        )
    }
}
