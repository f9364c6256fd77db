//! What the command line of a running guest says of it.

use fm_host::{Encryption, Guest};
use fm_judge::{Confidential, Evidence, Facts, Known, VarsAccess};

/// What neither the memory nor an offer shows.
pub(super) fn command_line(guest: &Guest, facts: &mut Facts) {
    let command = guest.command();
    let line = Evidence::GuestCommandLine(guest.label());
    let at = |option: &'static str| line.part(option);
    if let Some(smm) = command.smm {
        facts.smm = Known::new(smm, at("-machine smm="));
    } else if guest.accelerator().as_deref() == Some("tcg") {
        // QEMU `hw/i386/x86.c`, `x86_machine_is_smm_enabled`: under KVM the kernel decides
        facts.smm = Known::new(true, at("-accel tcg, which has it unless told otherwise"));
    }
    if let Some(flash) = command.flash.iter().find(|flash| flash.unit == 1) {
        let access = match (flash.read_only, flash.is_snapshot) {
            (true, _) => VarsAccess::ReadOnly,
            (false, true) => VarsAccess::Dropped,
            (false, false) => VarsAccess::Written,
        };
        facts.vars.access = Known::new(access, at("its VARS drive"));
    }
    // With flash for them variables are there, whatever else the guest has.
    if let Some(device) = &command.uefi_vars
        && !command.flash.iter().any(|flash| flash.unit == 1)
    {
        facts.vars.in_device = Known::new(true, at("-device uefi-vars"));
        facts.vars.present = Known::new(false, at("-device uefi-vars"));
        if let Some(json) = &device.json {
            facts.vars.path = Known::new(json.clone(), at("jsonfile="));
        }
    }
    facts.secure_flash = Known::new(command.secure_flash, at("-global cfi.pflash01.secure="));
    facts.s3 = Known::new(!command.s3_off, at("-global ICH9-LPC.disable_s3="));
    facts.tpm = Known::new(command.tpm, at("-tpmdev"));
    let encryption = match &command.encryption {
        None => Some(Confidential::No),
        Some(Encryption::Sev) => Some(Confidential::Sev),
        Some(Encryption::SevEs) => Some(Confidential::SevEs),
        Some(Encryption::SevSnp) => Some(Confidential::SevSnp),
        Some(Encryption::Tdx) => Some(Confidential::Tdx),
        // of other machines, or an object that was not found
        Some(Encryption::Other(_)) => None,
    };
    if let Some(encryption) = encryption {
        facts.confidential = Known::new(encryption, at("-machine confidential-guest-support="));
    }
}
