//! What facts and effects are called: in documents, in messages and in the evidence of a finding.

#[expect(dead_code, reason = "a part of it is enough here")]
mod sides;

use fm_formats::image::{Arch, Feature, Layout};
use fm_judge::{
    Block, Confidential, DisplayValue as _, Effect, Facts, Features, Finding, Firmware, Format, Known,
    Outcome, Phase, Soundness, StoreState, VarsAccess, judge,
};

#[test]
fn effects_are_called_as_documents_call_them() {
    for (effect, name) in [
        (Effect::Kept, "kept"),
        (Effect::FirstBootLost, "first_boot_lost"),
        (Effect::Volatile, "volatile"),
        (Effect::PartlyLost, "partly_lost"),
        (Effect::Recreated, "recreated"),
        (Effect::DeadUntouched, "dead_untouched"),
        (Effect::DeadWritten, "dead_written"),
        (Effect::DeadErased, "dead_erased"),
    ] {
        assert_eq!((effect.name(), effect.to_string().as_str()), (name, name));
    }
}

#[test]
fn facts_are_called_as_people_call_them() {
    assert_eq!(Firmware::Flash.display_value(), "flash");
    assert_eq!(Firmware::Bios.to_string(), "-bios");
    assert_eq!(
        (Format::Raw.to_string().as_str(), Format::Qcow2.name()),
        ("raw", "qcow2")
    );
    for (kind, name) in [
        (Confidential::No, "none"),
        (Confidential::Sev, "sev"),
        (Confidential::SevEs, "sev-es"),
        (Confidential::SevSnp, "sev-snp"),
        (Confidential::Tdx, "tdx"),
    ] {
        assert_eq!(
            (kind.display_value().as_str(), kind.to_string().as_str()),
            (name, name)
        );
    }
    for (soundness, words) in [
        (Soundness::Whole, "whole"),
        (Soundness::Damaged, "damaged in places"),
        (Soundness::Foreign, "something else before its first volume"),
        (
            Soundness::Undecodable,
            "cut off, or its main volume does not decompress",
        ),
        (Soundness::NoResetVector, "nothing at its reset vector"),
    ] {
        assert_eq!(soundness.to_string(), words);
    }
    for (access, words) in [
        (VarsAccess::Written, "written to its file"),
        (VarsAccess::ReadOnly, "read-only"),
        (VarsAccess::Dropped, "a snapshot that is dropped"),
    ] {
        assert_eq!(access.to_string(), words);
    }
    // Formatted: variables can be in it. Blank: none ever were.
    for (state, words, is_formatted, is_blank) in [
        (StoreState::Good, "a formatted store", true, false),
        (StoreState::WithoutFtw, "a store without FTW header", true, false),
        (StoreState::Erased, "erased, all 0xff", false, true),
        (StoreState::Zeros, "blank, all zeros", false, true),
        (StoreState::VolumeDamaged, "a damaged volume header", false, false),
        (StoreState::StoreDamaged, "a damaged store header", false, false),
    ] {
        assert_eq!(
            (state.to_string().as_str(), state.is_formatted(), state.is_blank()),
            (words, is_formatted, is_blank)
        );
    }
}

#[test]
fn qemus_words_are_its_own() {
    let said = fm_judge::messages::no_such_file("/srv/CODE.fd");
    assert_eq!(said, "Could not open '/srv/CODE.fd': No such file or directory");
}

#[test]
fn sets_of_features_do_what_sets_do() {
    let set = |features: &[Feature]| features.iter().copied().collect::<Features>();
    let one = set(&[Feature::Smm, Feature::SecureBoot]);
    assert_eq!(one.with(Feature::Smm), one, "twice is once");
    assert_eq!(one.and(set(&[Feature::Smm, Feature::Tpm2])), set(&[Feature::Smm]));
    assert_eq!(one.and(Features::default()), Features::default());
    assert_eq!(
        one.without(set(&[Feature::Smm, Feature::Tpm2])),
        set(&[Feature::SecureBoot])
    );
    assert_eq!(format!("{one:?}"), one.to_string());
    assert_eq!(Features::default().to_string(), "none");
}

#[test]
fn qemu_stops_at_the_first_block_of_the_stream_and_not_at_the_first_of_our_rules() {
    let block = |name: &str, size_bytes| Block {
        name: name.into(),
        size_bytes,
    };
    let to = sides::known(Layout::X86Size2M);
    let message = |from: &Facts| {
        let verdict = judge(from, &to);
        verdict
            .phase(Phase::LiveMigration)
            .qemu_message()
            .unwrap()
            .to_owned()
    };
    let from = sides::known(Layout::X86Size4M);
    assert!(
        message(&from).contains("system.flash0"),
        "QEMU sorts the largest to the front"
    );
    for (first, second) in [
        ("system.flash0", "system.flash1"),
        ("system.flash1", "system.flash0"),
    ] {
        let size = |name: &str| match name {
            "system.flash0" => 0x37_c000,
            _ => 0x8_4000,
        };
        let table = vec![
            block("pc.ram", 1 << 28),
            block(first, size(first)),
            block(second, size(second)),
        ];
        let from = sides::with(&from, |facts| facts.blocks = Known::new(table, "the stream"));
        assert!(message(&from).contains(first), "{}", message(&from));
    }
}

/// The finding of this code on this subject at a cold boot.
fn cold_finding(from: &Facts, to: &Facts, code: &str, subject: &str) -> Option<Finding> {
    let verdict = judge(from, to);
    let mut all = verdict.phase(Phase::ColdBoot).findings().iter();
    all.find(|finding| finding.code == code && finding.subject == subject)
        .cloned()
}

#[test]
fn what_each_side_has_is_shown_in_words() {
    let base = sides::with(&sides::known(Layout::X86Size4M), |facts| {
        facts.code.features = Known::new([Feature::Smm].into_iter().collect(), "modules");
    });
    type Change = fn(&mut Facts);
    let changes: [(&str, &str, Change, [&str; 2]); 11] = [
        (
            "FM-S3",
            "suspend to RAM",
            |facts| facts.s3 = Known::new(true, ""),
            ["smm", "S3 on"],
        ),
        (
            "FM-S3",
            "suspend to RAM",
            |facts| facts.s3 = Known::new(false, ""),
            ["smm", "S3 off"],
        ),
        (
            "FM-SMM",
            "system management mode",
            |facts| facts.smm = Known::new(true, ""),
            ["smm", "on"],
        ),
        (
            "FM-SMM",
            "system management mode",
            |facts| facts.smm = Known::new(false, ""),
            ["smm", "off"],
        ),
        (
            "FM-SMM",
            "secure flash",
            |facts| facts.secure_flash = Known::new(true, ""),
            ["smm", "on"],
        ),
        (
            "FM-STORE-AUTH",
            "the form of the variables",
            |_| {},
            ["authenticated", "smm"],
        ),
        (
            "FM-STORE-AUTH",
            "the form of the variables",
            |facts| facts.vars.authenticated = Known::new(false, ""),
            ["plain", "smm"],
        ),
        (
            "FM-FLASH-UNITS",
            "the flash devices",
            |_| {},
            ["CODE and VARS"; 2],
        ),
        (
            "FM-FLASH-UNITS",
            "the flash devices",
            |facts| facts.vars.present = Known::new(false, ""),
            ["CODE only"; 2],
        ),
        (
            "FM-STORE-FULL",
            "the room for all variables",
            |_| {},
            ["0x800", "0x3ff9c in layout 4M"],
        ),
        (
            "FM-STORE-FULL",
            "the room for the largest variable",
            |_| {},
            ["0x200", "0x8400 in layout 4M"],
        ),
    ];
    for (code, subject, change, [source, destination]) in changes {
        let side = sides::with(&base, change);
        let finding = cold_finding(&side, &side, code, subject).expect(subject);
        let shown = [finding.source, finding.destination].map(|side| side.map(|side| side.value));
        assert_eq!(shown, [Some(source.into()), Some(destination.into())], "{code}");
    }
}

#[test]
fn what_is_missing_names_the_side_that_it_is_missing_on() {
    let whole = sides::known(Layout::X86Size4M);
    let poor = sides::with(&whole, |facts| facts.code.sha256 = Known::default());
    for (from, to, side) in [
        (&poor, &whole, "at the source"),
        (&whole, &poor, "at the destination"),
        (&poor, &poor, "on either side"),
    ] {
        let finding = cold_finding(from, to, "FM-BUILD", "the firmware's digest").unwrap();
        assert!(
            finding.why.starts_with(&format!("not known {side}: ")),
            "{}",
            finding.why
        );
    }
}

#[test]
fn support_for_secure_boot_is_told_by_what_changes_and_whether_keys_are_enrolled() {
    let side = |has: bool, keys: bool| {
        sides::with(&sides::known(Layout::X86Size4M), |facts| {
            let features = [(Feature::SecureBoot, has), (Feature::Tpm2, true)];
            let features = features.into_iter().filter(|(_, has)| *has);
            facts.code.features = Known::new(features.map(|(feature, _)| feature).collect(), "modules");
            facts.vars.keys = Known::new(keys, "VARS");
        })
    };
    for (had, has, keys, why) in [
        (
            true,
            false,
            true,
            "keys are enrolled, but this build does not verify what it boots",
        ),
        (true, false, false, "this build cannot verify what it boots"),
        (
            false,
            true,
            true,
            "this build can verify what it boots, once keys are enrolled",
        ),
        (true, true, true, "support for Secure Boot does not change"),
        (false, false, true, "support for Secure Boot does not change"),
    ] {
        let (from, to) = (side(had, keys), side(has, keys));
        let finding = cold_finding(&from, &to, "FM-SECURE-BOOT", "Secure Boot").unwrap();
        assert!(finding.why.starts_with(why), "{}", finding.why);
        let is_lost = had && !has;
        assert_eq!(finding.outcome == Outcome::Caution, is_lost);
        assert_eq!(finding.remedy.is_some(), is_lost);
    }
    for (arch, file) in [
        (Arch::X86_64, "OVMF_CODE_4M.secboot.fd"),
        (Arch::Aarch64, "AAVMF_CODE.secboot.fd"),
        (Arch::Arm, "AAVMF_CODE.secboot.fd"),
    ] {
        let from = sides::with(&side(true, false), |facts| {
            facts.code.arch = Known::new(arch, "CODE")
        });
        let finding = cold_finding(&from, &side(false, false), "FM-SECURE-BOOT", "Secure Boot").unwrap();
        assert!(finding.remedy.unwrap().advice.contains(file), "{arch}");
    }
}

#[test]
fn phases_and_outcomes_are_called_as_documents_call_them() {
    let names = Phase::ALL.map(|phase| phase.to_string());
    assert_eq!(names, ["live_migration", "warm_reset", "cold_boot"]);
    assert_eq!(names, Phase::ALL.map(Phase::name));
    let names = Outcome::ALL.map(|outcome| outcome.to_string());
    assert_eq!(names, ["compatible", "caution", "unknown", "incompatible"]);
    assert_eq!(names, Outcome::ALL.map(Outcome::name));
}
