//! Generations of certificates in a guest's keys, in the fleet's words.

use std::path::Path;

use fm_api::v1::fleet::Certificates;
use fm_api::v1::secure_boot::{MicrosoftTrust, SecureBootStatus};

/// What the guest with this process trusts; nothing if it has no keys or they cannot be read.
pub(super) fn of_guest(pid: u32) -> Option<Certificates> {
    fm_variables::status(Path::new(&pid.to_string()))
        .ok()
        .map(|status| of(&status))
}

fn of(status: &SecureBootStatus) -> Certificates {
    let is_test_key = |name: &String| name.contains("DO NOT TRUST") || name.contains("DO NOT SHIP");
    let pk = if status.pk.iter().any(is_test_key) {
        vec!["broken".to_owned()]
    } else if status.pk.is_empty() {
        Vec::new()
    } else {
        vec!["enrolled".to_owned()]
    };
    Certificates {
        pk,
        kek: generations(status.microsoft_kek),
        db: generations(status.microsoft),
        dbx: if status.dbx_hashes > 0 || status.dbx_certificates > 0 {
            vec!["enrolled".to_owned()]
        } else {
            Vec::new()
        },
        ..Certificates::default()
    }
}

fn generations(trust: MicrosoftTrust) -> Vec<String> {
    let texts: &[&str] = match trust {
        MicrosoftTrust::None => &[],
        MicrosoftTrust::Only2011 => &["2011"],
        MicrosoftTrust::Only2023 => &["2023"],
        MicrosoftTrust::Both => &["2011", "2023"],
    };
    texts.iter().map(|text| (*text).to_owned()).collect()
}
