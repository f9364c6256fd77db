//! The rules, one a file: pure functions from the facts of two sides to findings.
//!
//! A new rule is a file in here with its line in [`ALL`], its page in `docs/findings`, a test that makes
//! it speak with each outcome that it can have, and the observation in the atlas that shows it to be true,
//! where a machine that has no special hardware can make one.

mod arch;
mod arrival;
mod build;
mod code_damaged;
mod confidential;
mod cpu_mode;
mod descriptor;
mod device_state;
mod drift;
mod feature_lost;
mod flash_file;
mod flash_size;
mod flash_units;
mod image_format;
mod isa_bios;
mod kind;
mod machine_support;
mod machine_type;
mod measured_boot;
mod pv_vars;
mod qemu_midwrite;
mod qemu_romd;
mod qemu_version;
mod ram_block;
mod rom_size;
mod s3;
mod secure_boot;
mod smm;
mod store_auth;
mod store_damage;
mod store_full;
mod store_header;
mod store_interrupted;
mod store_layout;
mod store_list;
mod store_other;
mod store_state;
mod vars_not_kept;
mod vars_padded;
mod vars_size;
mod wording;

use crate::Phase;
use crate::report::{Pair, Report, Rule};
use wording::{hex, missing, name_firmware, subject, text};

/// The rule in `$module`, with its page and the phases that it speaks of.
macro_rules! rule {
    ($module:ident, $code:literal, $phases:expr) => {
        Rule {
            code: $code,
            page: include_str!(concat!("../../../../docs/findings/", $code, ".md")),
            phases: $phases,
            run: $module::run,
        }
    };
}

const LIVE: &[Phase] = &[Phase::LiveMigration];
const COLD: &[Phase] = &[Phase::ColdBoot];
const BOTH: &[Phase] = &[Phase::LiveMigration, Phase::ColdBoot];
const RESET: &[Phase] = &[Phase::WarmReset];
const BOOTS: &[Phase] = &[Phase::WarmReset, Phase::ColdBoot];

/// All rules, by code.
pub(crate) const ALL: &[Rule] = &[
    rule!(arch, "FM-ARCH", COLD),
    rule!(arrival, "FM-ARRIVAL", RESET),
    rule!(build, "FM-BUILD", COLD),
    rule!(code_damaged, "FM-CODE-DAMAGED", BOTH),
    rule!(confidential, "FM-CONFIDENTIAL", BOTH),
    rule!(cpu_mode, "FM-CPU-MODE", COLD),
    rule!(descriptor, "FM-DESCRIPTOR", COLD),
    rule!(device_state, "FM-DEVICE-STATE", LIVE),
    rule!(drift, "FM-DRIFT", COLD),
    rule!(feature_lost, "FM-FEATURE-LOST", COLD),
    rule!(kind, "FM-FIRMWARE-KIND", BOTH),
    rule!(flash_file, "FM-FLASH-FILE", BOTH),
    rule!(flash_size, "FM-FLASH-SIZE", LIVE),
    rule!(flash_units, "FM-FLASH-UNITS", BOTH),
    rule!(image_format, "FM-IMAGE-FORMAT", BOTH),
    rule!(isa_bios, "FM-ISA-BIOS", LIVE),
    rule!(machine_support, "FM-MACHINE-SUPPORT", BOTH),
    rule!(machine_type, "FM-MACHINE-TYPE", BOTH),
    rule!(measured_boot, "FM-MEASURED-BOOT", COLD),
    rule!(pv_vars, "FM-PV-VARS", BOTH),
    rule!(qemu_midwrite, "FM-QEMU-MIDWRITE", LIVE),
    rule!(qemu_romd, "FM-QEMU-ROMD", LIVE),
    rule!(qemu_version, "FM-QEMU-VERSION", LIVE),
    rule!(ram_block, "FM-RAM-BLOCK", LIVE),
    rule!(rom_size, "FM-ROM-SIZE", LIVE),
    rule!(s3, "FM-S3", COLD),
    rule!(secure_boot, "FM-SECURE-BOOT", COLD),
    rule!(smm, "FM-SMM", BOOTS),
    rule!(store_auth, "FM-STORE-AUTH", COLD),
    rule!(store_full, "FM-STORE-FULL", COLD),
    rule!(store_header, "FM-STORE-HEADER", COLD),
    rule!(store_interrupted, "FM-STORE-INTERRUPTED", COLD),
    rule!(store_layout, "FM-STORE-LAYOUT", COLD),
    rule!(store_list, "FM-STORE-LIST", COLD),
    rule!(store_other, "FM-STORE-OTHER", COLD),
    rule!(store_state, "FM-STORE-STATE", COLD),
    rule!(vars_not_kept, "FM-VARS-NOT-KEPT", COLD),
    rule!(vars_padded, "FM-VARS-PADDED", COLD),
    rule!(vars_size, "FM-VARS-SIZE", LIVE),
];

/// Asks every rule that speaks of what is asked; those that speak of the reset alone look at what the others found,
/// and come last.
pub(crate) fn run(pair: &Pair<'_>, report: &mut Report) {
    for last in [false, true] {
        for rule in ALL.iter().filter(|rule| (rule.phases == RESET) == last) {
            if report.asks(rule.phases) {
                report.enter(rule);
                (rule.run)(pair, report);
            }
        }
    }
}
