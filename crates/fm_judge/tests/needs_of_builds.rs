//! What a build needs of its machine and its file, and what the guest's secrets are bound to.

#[expect(dead_code, reason = "a part of it is enough here")]
mod sides;

use fm_formats::Sha256;
use fm_formats::image::{Arch, Feature, Layout};
use fm_judge::{Effect, Facts, Features, Known, MachineType, Outcome, Phase, judge};
use sides::{known, with};

fn features(list: &[Feature]) -> Known<Features> {
    Known::new(list.iter().copied().collect(), "modules")
}

#[test]
fn management_mode_and_protection_of_flash_are_held_to_the_build_that_meets_them() {
    use Effect::{DeadUntouched, Volatile};
    use Outcome::{Caution, Compatible, Incompatible, Unknown};
    let mode = "system management mode";
    let flash = "secure flash";
    let on = Some(true);
    let off = Some(false);
    let (cold, warm) = (Phase::ColdBoot, Phase::WarmReset);
    let dead = Some(DeadUntouched);
    for (is_smm, smm, secure, phase, subject, expected, words) in [
        (
            true,
            on,
            on,
            cold,
            mode,
            (Compatible, None),
            "has what the build needs",
        ),
        (
            true,
            on,
            on,
            warm,
            mode,
            (Compatible, None),
            "has what the build needs",
        ),
        (
            true,
            off,
            on,
            cold,
            mode,
            (Incompatible, dead),
            "does not come up",
        ),
        (
            true,
            off,
            on,
            warm,
            mode,
            (Incompatible, None),
            "does not come up",
        ),
        (true, None, on, cold, mode, (Unknown, None), "is not known"),
        (
            false,
            off,
            off,
            cold,
            mode,
            (Compatible, None),
            "has what the build needs",
        ),
        (
            false,
            None,
            off,
            cold,
            mode,
            (Compatible, None),
            "has what the build needs",
        ),
        (
            true,
            on,
            on,
            cold,
            flash,
            (Compatible, None),
            "as the build expects",
        ),
        (true, on, off, cold, flash, (Caution, None), "past Secure Boot"),
        (
            true,
            on,
            None,
            cold,
            flash,
            (Unknown, None),
            "whether it does is not known",
        ),
        (
            false,
            on,
            off,
            cold,
            flash,
            (Compatible, None),
            "as the build expects",
        ),
        (
            false,
            on,
            None,
            cold,
            flash,
            (Compatible, None),
            "as the build expects",
        ),
        (
            false,
            on,
            on,
            cold,
            flash,
            (Incompatible, Some(Volatile)),
            "silently volatile",
        ),
        (false, on, on, warm, flash, (Caution, None), "silently volatile"),
    ] {
        let switch = |on: Option<bool>| on.map_or_else(Known::default, |on| Known::new(on, "-machine"));
        let side = with(&known(Layout::X86Size4M), |facts| {
            facts.code.features = features(if is_smm { &[Feature::Smm] } else { &[] });
            facts.smm = switch(smm);
            facts.secure_flash = switch(secure);
        });
        let verdict = judge(&side, &side);
        let mut all = verdict.phase(phase).findings().iter();
        let finding = all.find(|finding| finding.code == "FM-SMM" && finding.subject == subject);
        let finding = finding.expect(subject);
        let seen = (finding.outcome, finding.effect);
        assert_eq!(seen, expected, "{is_smm} {smm:?} {secure:?} {phase} {subject}");
        assert!(finding.why.contains(words), "{}", finding.why);
        assert_eq!(finding.remedy.is_some(), finding.outcome != Compatible);
    }
    let i440fx = |is_smm: bool| {
        with(&known(Layout::X86Size4M), |facts| {
            facts.code.features = features(if is_smm { &[Feature::Smm] } else { &[] });
            facts.machine = Known::new(MachineType::new("pc-i440fx-7.2", None), "-machine");
        })
    };
    assert_eq!(
        judge(&i440fx(true), &i440fx(true)).phase(warm).outcome(),
        Incompatible
    );
    assert_eq!(
        judge(&i440fx(false), &i440fx(false)).phase(warm).outcome(),
        Compatible
    );
}

#[test]
fn a_build_that_is_64_bit_throughout_and_needs_management_mode_meets_suspend_as_its_age_is() {
    use Outcome::{Compatible, Incompatible, Unknown};
    let flag = |flag: Option<bool>| flag.map_or_else(Known::default, |flag| Known::new(flag, "-global"));
    let dead = Some(Effect::DeadUntouched);
    for (is_smm, early, s3, is_recent, expected) in [
        (
            true,
            Arch::X86_64,
            Some(false),
            Some(false),
            Some((Compatible, None, "does not offer S3")),
        ),
        (
            true,
            Arch::X86_64,
            Some(false),
            Some(true),
            Some((Compatible, None, "does not offer S3")),
        ),
        (
            true,
            Arch::X86_64,
            Some(true),
            Some(true),
            Some((Compatible, None, "young enough")),
        ),
        (
            true,
            Arch::X86_64,
            None,
            Some(true),
            Some((Compatible, None, "young enough")),
        ),
        (
            true,
            Arch::X86_64,
            Some(true),
            Some(false),
            Some((Incompatible, dead, "of its age hang")),
        ),
        (
            true,
            Arch::X86_64,
            Some(true),
            None,
            Some((Unknown, None, "is not known")),
        ),
        (
            true,
            Arch::X86_64,
            None,
            Some(false),
            Some((Unknown, None, "is not known")),
        ),
        (true, Arch::Ia32, Some(true), Some(false), None),
        (false, Arch::X86_64, Some(true), Some(false), None),
    ] {
        let side = with(&known(Layout::X86Size4M), |facts| {
            facts.code.features = features(if is_smm { &[Feature::Smm] } else { &[] });
            facts.code.early_arch = Known::new(early, "CODE");
            facts.code.is_recent = flag(is_recent);
            facts.s3 = flag(s3);
        });
        let verdict = judge(&side, &side);
        let mut all = verdict.phase(Phase::ColdBoot).findings().iter();
        let finding = all.find(|finding| finding.code == "FM-S3");
        let Some((outcome, effect, words)) = expected else {
            assert_eq!(finding, None);
            continue;
        };
        let finding = finding.expect("it speaks");
        assert_eq!(
            (finding.outcome, finding.effect),
            (outcome, effect),
            "{s3:?} {is_recent:?}"
        );
        assert!(finding.why.contains(words), "{}", finding.why);
        assert_eq!(finding.remedy.is_some(), outcome != Compatible);
    }
}

#[test]
fn a_firmware_file_that_is_not_whole_says_what_that_means_in_each_phase() {
    use Outcome::{Compatible, Incompatible, Unknown};
    use fm_judge::Soundness;
    let untrue = "it is not what the guest runs";
    for (soundness, live, cold, words) in [
        (
            Soundness::Whole,
            Compatible,
            Compatible,
            ["nothing in the image is damaged"; 2],
        ),
        (
            Soundness::Damaged,
            Unknown,
            Unknown,
            [untrue, "whether it boots is not known"],
        ),
        (
            Soundness::Foreign,
            Unknown,
            Unknown,
            [untrue, "whether it boots is not known"],
        ),
        (
            Soundness::Undecodable,
            Unknown,
            Incompatible,
            [untrue, "stops before it starts anything"],
        ),
        (
            Soundness::NoResetVector,
            Unknown,
            Incompatible,
            [untrue, "finds nothing to run where it starts"],
        ),
    ] {
        let side = with(&known(Layout::X86Size4M), |facts| {
            facts.code.soundness = Known::new(soundness, "CODE");
        });
        let verdict = judge(&side, &side);
        for (phase, outcome, words) in [
            (Phase::LiveMigration, live, words[0]),
            (Phase::ColdBoot, cold, words[1]),
        ] {
            let mut all = verdict.phase(phase).findings().iter();
            let finding = all.find(|finding| finding.code == "FM-CODE-DAMAGED").unwrap();
            assert_eq!(finding.outcome, outcome, "{soundness} {phase}");
            assert!(finding.why.contains(words), "{}", finding.why);
            // What the source is said to be is the source's, what a cold boot reads the destination's.
            assert_eq!(finding.source.is_some(), phase == Phase::LiveMigration);
            assert_eq!(finding.destination.is_some(), phase == Phase::ColdBoot);
        }
    }
}

/// What the finding on measured boot says of a guest with a TPM.
fn measured(from: &Facts, to: &Facts) -> (Outcome, String) {
    let verdict = judge(from, to);
    let findings = verdict.phase(Phase::ColdBoot).findings();
    let finding = findings.iter().find(|finding| finding.code == "FM-MEASURED-BOOT");
    let finding = finding.expect("a guest with a TPM hears of it");
    (finding.outcome, finding.why.clone())
}

#[test]
fn the_pcrs_that_change_are_named_and_no_others() {
    let from = known(Layout::X86Size4M);
    let machine =
        |facts: &mut Facts| facts.machine = Known::new(MachineType::new("pc-q35-7.1", None), "-machine");
    let keys = |facts: &mut Facts| facts.vars.secure_boot = Known::new(Sha256::of(b"keys"), "VARS");
    let support = |facts: &mut Facts| facts.code.features = features(&[Feature::Tpm2]);
    let build = |facts: &mut Facts| {
        facts.code.sha256 = Known::new(Sha256::of(b"other"), "CODE");
        facts.code.measured = Known::new(vec![("PEIFV".into(), Sha256::of(b"other"))], "CODE");
    };
    type Change<'a> = &'a dyn Fn(&mut Facts);
    let changes: [(&str, Change<'_>); 4] = [
        ("PCR 0 (", &build),
        ("PCR 1 (", &machine),
        ("PCR 7 (whether", &support),
        ("PCR 7 (the Secure Boot keys", &keys),
    ];
    for (name, change) in changes {
        let (outcome, why) = measured(&from, &with(&from, change));
        assert_eq!(outcome, Outcome::Caution);
        for (other, _) in changes {
            assert_eq!(why.contains(other), other == name, "{why}");
        }
    }
    assert_eq!(measured(&from, &from).0, Outcome::Compatible);
}

#[test]
fn measurements_matter_as_long_as_one_of_the_builds_takes_any() {
    let side = |list: &[Feature], build: &[u8]| {
        with(&known(Layout::X86Size4M), |facts| {
            facts.code.features = features(list);
            facts.code.sha256 = Known::new(Sha256::of(build), "CODE");
            facts.code.measured = Known::new(vec![("PEIFV".into(), Sha256::of(build))], "CODE");
        })
    };
    let unknown = |build: &[u8]| with(&side(&[], build), |facts| facts.code.features = Known::default());
    let spoken = |from: &Facts, to: &Facts| {
        let verdict = judge(from, to);
        let mut all = verdict.phase(Phase::ColdBoot).findings().iter();
        all.any(|finding| finding.code == "FM-MEASURED-BOOT")
    };
    for (from, to, expected) in [
        (side(&[], b"a"), side(&[], b"b"), false),
        (side(&[Feature::Tls], b"a"), side(&[Feature::Shell], b"b"), false),
        (side(&[Feature::Tpm2], b"a"), side(&[], b"b"), true),
        (side(&[], b"a"), side(&[Feature::Tpm2], b"b"), true),
        (side(&[Feature::Tpm1], b"a"), side(&[], b"b"), true),
        (unknown(b"a"), side(&[], b"b"), true),
    ] {
        assert_eq!(spoken(&from, &to), expected, "{:?} {:?}", from.code, to.code);
        let without = with(&from, |facts| facts.tpm = Known::new(false, "--no-tpm"));
        assert!(!spoken(&without, &to));
    }
    let (from, to) = (side(&[Feature::Tpm2], b"a"), side(&[Feature::Tpm2], b"b"));
    assert!(
        measured(&from, &to)
            .1
            .starts_with("PCR 0 (the firmware's volumes) changes, and PCR 2 and 4 may")
    );
    let moved = with(&from, |facts| {
        facts.machine = Known::new(MachineType::new("pc-q35-7.1", None), "-machine")
    });
    assert!(
        measured(&from, &moved)
            .1
            .starts_with("PCR 1 (the machine) changes: ")
    );
    let both = with(&to, |facts| facts.machine = moved.machine.clone());
    assert!(
        measured(&from, &both)
            .1
            .starts_with("PCR 0 (the firmware's volumes), PCR 1 (the machine) change, ")
    );
}

#[test]
fn an_encrypted_guest_attests_what_the_build_supports_and_whether_it_is_the_same() {
    use Outcome::{Caution, Compatible, Incompatible, Unknown};
    use fm_judge::Confidential;
    let sev: Option<&[Feature]> = Some(&[Feature::Sev]);
    let none: Option<&[Feature]> = Some(&[]);
    for (kind, able, build, expected, words) in [
        (
            Confidential::Sev,
            sev,
            Some("same"),
            Compatible,
            "the same launch measurement",
        ),
        (
            Confidential::Sev,
            None,
            Some("same"),
            Compatible,
            "the same launch measurement",
        ),
        (
            Confidential::Sev,
            sev,
            Some("other"),
            Caution,
            "until the new value is known",
        ),
        (Confidential::Sev, sev, None, Unknown, "is not known"),
        (Confidential::Sev, None, Some("other"), Unknown, "is not known"),
        (
            Confidential::Sev,
            none,
            Some("other"),
            Incompatible,
            "no support for this encryption",
        ),
        (
            Confidential::Sev,
            none,
            Some("same"),
            Incompatible,
            "no support for this encryption",
        ),
        (
            Confidential::Tdx,
            sev,
            Some("other"),
            Incompatible,
            "no support for this encryption",
        ),
    ] {
        let digest = |build: &str| Known::new(Sha256::of(build.as_bytes()), "CODE");
        let from = with(&known(Layout::X86Size4M), |facts| {
            facts.confidential = Known::new(kind, "-machine");
            facts.code.sha256 = digest("same");
        });
        let to = with(&from, |facts| {
            facts.code.features = able.map_or_else(Known::default, features);
            facts.code.sha256 = build.map_or_else(Known::default, digest);
        });
        let verdict = judge(&from, &to);
        let mut all = verdict.phase(Phase::ColdBoot).findings().iter();
        let finding = all
            .find(|finding| finding.subject == "launch measurement")
            .unwrap();
        assert_eq!(finding.outcome, expected, "{kind} {able:?} {build:?}");
        assert!(finding.why.contains(words), "{}", finding.why);
        assert_eq!(finding.remedy.is_some(), expected != Compatible);
    }
}

#[test]
fn what_is_gained_is_told_only_where_nothing_is_lost() {
    let side = |list: &[Feature]| {
        with(&known(Layout::X86Size4M), |facts| {
            facts.code.features = features(list)
        })
    };
    for (from, to, expected) in [
        (
            side(&[Feature::Tls]),
            side(&[Feature::Tls]),
            Some("nothing is lost; gained: none"),
        ),
        (
            side(&[]),
            side(&[Feature::Tls]),
            Some("nothing is lost; gained: tls"),
        ),
        (side(&[Feature::Tls]), side(&[Feature::Shell]), None),
        // A guest that is not encrypted misses no encryption.
        (
            side(&[Feature::Sev]),
            side(&[]),
            Some("nothing is lost; gained: none"),
        ),
    ] {
        let verdict = judge(&from, &to);
        let mut all = verdict.phase(Phase::ColdBoot).findings().iter();
        let finding = all.find(|finding| finding.subject == "the features of the firmware");
        assert_eq!(finding.map(|finding| finding.why.as_str()), expected);
    }
}
