//! Whether keys gain Microsoft's certificates of 2023: only where Secure Boot is on, and Microsoft is trusted already.

use fm_api::v1::secure_boot::{MicrosoftTrust, SecureBootStatus};

use super::ground::Keys;

/// What is to be done with keys.
pub(super) fn judged(status: &SecureBootStatus) -> Keys {
    let is_new = |trust| matches!(trust, MicrosoftTrust::Only2023 | MicrosoftTrust::Both);
    if !status.enabled {
        return Keys::Not("Secure Boot is off, and enrolling Microsoft's keys would switch it on".into());
    }
    if status.microsoft == MicrosoftTrust::None {
        return Keys::Not("its keys are its owner's: none of Microsoft's certificates is in db".into());
    }
    match is_new(status.microsoft) && is_new(status.microsoft_kek) {
        true => Keys::Have,
        false => Keys::Gain,
    }
}
