//! The wall's time: for what certificates and tokens say, and for display.

use rcgen::CertificateParams;
use x509_parser::time::ASN1Time;

/// Seconds since 1970.
pub(crate) fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// In RFC 3339, in UTC with whole seconds.
pub(crate) fn display(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}

/// Lets a certificate hold from one moment to another.
pub(crate) fn set_validity(params: &mut CertificateParams, from_s: i64, until_s: i64) {
    if let Ok(from) = ASN1Time::from_timestamp(from_s) {
        params.not_before = from.to_datetime();
    }
    // What no certificate can say is what they are good for at most.
    params.not_after = match ASN1Time::from_timestamp(until_s) {
        Ok(until) => until.to_datetime(),
        Err(_) => rcgen::date_time_ymd(2049, 12, 31),
    };
}
