//! Guests whose keys gain Microsoft's certificates of 2023: who has them, who cannot have them, what is asked for then.

use fm_api::v1::check::Outcome;
use fm_api::v1::fleet::GuestRow;
use fm_api::v1::rollout::{LeaveReason, PlanAction, PlanClass};
use fm_api::v1::update::Finding;

const OLD: &str = "2011";
const NEW: &str = "2023";

fn has(generations: &[String], wanted: &str) -> bool {
    generations.iter().any(|held| held == wanted)
}

/// Whether there is nothing to do: whoever may update keys and what may boot are of the new generation as well.
pub(super) fn has_all(guest: &GuestRow) -> bool {
    let keys = guest.certificates.as_ref();
    keys.is_some_and(|keys| has(&keys.kek, NEW) && has(&keys.db, NEW))
}

/// Why its keys stay as they are.
pub(super) fn leave(guest: &GuestRow) -> Option<LeaveReason> {
    let (Some(keys), Some(secure_boot)) = (&guest.certificates, guest.secure_boot) else {
        return Some(LeaveReason::UnknownKeys);
    };
    if !secure_boot {
        // Enrolling Microsoft's keys switches Secure Boot on, which nobody has asked for.
        return Some(LeaveReason::SecureBootOff);
    }
    // Who trusts nothing of Microsoft's has decided so.
    (!has(&keys.db, OLD) && !has(&keys.db, NEW)).then_some(LeaveReason::OwnKeys)
}

/// What its keys are, in bytes that are equal where they are.
pub(super) fn write_key(key: &mut Vec<u8>, guest: &GuestRow) {
    let Some(keys) = &guest.certificates else {
        key.push(0);
        return;
    };
    let bit = |is: bool, place: u8| u8::from(is) << place;
    key.push(
        1 | bit(has(&keys.kek, OLD), 1)
            | bit(has(&keys.kek, NEW), 2)
            | bit(has(&keys.db, OLD), 3)
            | bit(has(&keys.db, NEW), 4),
    );
}

/// What enrolling does to a class: PCR 7 measures KEK and db.
pub(super) fn judge(guest: &GuestRow, class: &mut PlanClass) {
    class.action = PlanAction::Enroll;
    class.reason = None;
    let tpm = guest.facts.as_ref().and_then(|facts| facts.tpm);
    if tpm == Some(false) {
        class.outcome = Outcome::Compatible;
        return;
    }
    let condition = match tpm {
        Some(_) => "",
        None => " (whether it has a TPM is not known)",
    };
    class.asks_for_keys = true;
    class.outcome = Outcome::Caution;
    class.findings.push(Finding {
        code: "FM-MEASURED-BOOT".into(),
        outcome: Outcome::Caution,
        subject: "measured boot".into(),
        why: format!(
            "PCR 7 (the Secure Boot keys) changes{condition}: disk encryption that is bound to it, such as BitLocker, asks \
             for its recovery key at the first start"
        ),
        remedy: Some(
            "have the recovery key at hand; before the guest is shut down, suspend BitLocker in it, and with LUKS see \
             that a passphrase is enrolled besides the TPM"
                .into(),
        ),
    });
}
