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
mod store_full;
mod store_layout;
mod store_other;
mod store_state;
mod vars_size;

use alloc::string::String;

use crate::Known;
use crate::finding::Told;
use crate::report::{Pair, Report};

/// A rule: the code of its findings, the page that explains them, and the function itself.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) code: &'static str,
    pub(crate) page: &'static str,
    run: fn(&Pair<'_>, &mut Report),
}

/// The rule in `$module`, with its page.
macro_rules! rule {
    ($module:ident, $code:literal) => {
        Rule {
            code: $code,
            page: include_str!(concat!("../../../../docs/findings/", $code, ".md")),
            run: $module::run,
        }
    };
}

/// All rules, by code.
pub(crate) const ALL: &[Rule] = &[
    rule!(arch, "FM-ARCH"),
    rule!(arrival, "FM-ARRIVAL"),
    rule!(build, "FM-BUILD"),
    rule!(code_damaged, "FM-CODE-DAMAGED"),
    rule!(confidential, "FM-CONFIDENTIAL"),
    rule!(cpu_mode, "FM-CPU-MODE"),
    rule!(descriptor, "FM-DESCRIPTOR"),
    rule!(drift, "FM-DRIFT"),
    rule!(feature_lost, "FM-FEATURE-LOST"),
    rule!(kind, "FM-FIRMWARE-KIND"),
    rule!(flash_file, "FM-FLASH-FILE"),
    rule!(flash_size, "FM-FLASH-SIZE"),
    rule!(flash_units, "FM-FLASH-UNITS"),
    rule!(image_format, "FM-IMAGE-FORMAT"),
    rule!(isa_bios, "FM-ISA-BIOS"),
    rule!(machine_support, "FM-MACHINE-SUPPORT"),
    rule!(machine_type, "FM-MACHINE-TYPE"),
    rule!(measured_boot, "FM-MEASURED-BOOT"),
    rule!(pv_vars, "FM-PV-VARS"),
    rule!(qemu_midwrite, "FM-QEMU-MIDWRITE"),
    rule!(qemu_romd, "FM-QEMU-ROMD"),
    rule!(qemu_version, "FM-QEMU-VERSION"),
    rule!(ram_block, "FM-RAM-BLOCK"),
    rule!(rom_size, "FM-ROM-SIZE"),
    rule!(s3, "FM-S3"),
    rule!(secure_boot, "FM-SECURE-BOOT"),
    rule!(smm, "FM-SMM"),
    rule!(store_auth, "FM-STORE-AUTH"),
    rule!(store_full, "FM-STORE-FULL"),
    rule!(store_layout, "FM-STORE-LAYOUT"),
    rule!(store_other, "FM-STORE-OTHER"),
    rule!(store_state, "FM-STORE-STATE"),
    rule!(vars_size, "FM-VARS-SIZE"),
];

/// The rule that looks at what the others found.
const LAST: &str = "FM-ARRIVAL";

/// Asks every rule; the one that looks at what the others found comes last.
pub(crate) fn run(pair: &Pair<'_>, report: &mut Report) {
    let is_last = |rule: &&Rule| rule.code == LAST;
    for rule in ALL
        .iter()
        .filter(|rule| !is_last(rule))
        .chain(ALL.iter().filter(is_last))
    {
        report.enter(rule.code);
        (rule.run)(pair, report);
    }
}

/// What a rule says when facts that it needs are missing on one side or both.
fn missing(subject: &'static str, at_source: bool, at_destination: bool) -> Told {
    let side = match (at_source, at_destination) {
        (true, true) => "on either side",
        (true, false) => "at the source",
        _ => "at the destination",
    };
    Told::about(
        subject,
        alloc::format!("not known {side}: {subject}; nothing is promised without it"),
    )
}

/// A file as a shell takes it: by its path, or by a word that says which file is meant.
fn named(path: &Known<String>, word: &str) -> String {
    let Some(path) = path.value() else {
        return String::from(word);
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,".contains(c);
    if path.chars().all(plain) && !path.starts_with('-') {
        path.clone()
    } else {
        alloc::format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// A size as QEMU's messages print it.
fn hex(size_bytes: &u64) -> String {
    alloc::format!("{size_bytes:#x}")
}

/// Any value that has a text.
fn text(value: &impl alloc::string::ToString) -> String {
    value.to_string()
}
