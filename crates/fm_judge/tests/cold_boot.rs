//! What the rules say of cold boots, and that every code is documented and can be met.

mod sides;

use std::collections::BTreeSet;

use fm_formats::Sha256;
use fm_formats::image::{Arch, Feature, Layout};
use fm_judge::{
    Confidential, Facts, Features, Firmware, Format, Known, MachineType, Outcome, Phase, QemuVersion,
    StoreState, codes, judge, page,
};
use sides::{known, running, with};

fn cold(source: &Facts, destination: &Facts) -> Outcome {
    judge(source, destination).phase(Phase::ColdBoot).outcome()
}

fn says(source: &Facts, destination: &Facts, phase: Phase, code: &str, outcome: Outcome) {
    let verdict = judge(source, destination);
    assert!(
        verdict
            .phase(phase)
            .findings()
            .iter()
            .any(|finding| finding.code == code && finding.outcome == outcome),
        "{code} {outcome} in {:#?}",
        verdict.phase(phase)
    );
}

fn features(list: &[Feature]) -> Known<Features> {
    Known::new(list.iter().copied().collect(), "modules")
}

#[test]
fn a_fully_known_side_against_itself_is_compatible_in_every_phase() {
    for facts in [
        known(Layout::X86Size4M),
        known(Layout::X86Size2M),
        running(0x4_0000),
    ] {
        let verdict = judge(&facts, &facts);
        assert_eq!(verdict.outcome(), Outcome::Compatible, "{verdict:#?}");
    }
}

#[test]
fn a_store_of_another_layout_ends_as_edk2_ends_it() {
    let (small, large) = (known(Layout::X86Size2M), known(Layout::X86Size4M));
    let on_large = with(&large, |facts| facts.vars = small.vars.clone());
    let on_small = with(&small, |facts| facts.vars = large.vars.clone());
    for (from, to, words) in [
        (&small, &on_large, "silently volatile"),
        (&large, &on_small, "guest dead, store damaged"),
    ] {
        says(
            from,
            to,
            Phase::ColdBoot,
            "FM-STORE-LAYOUT",
            Outcome::Incompatible,
        );
        let verdict = judge(from, to);
        let finding = verdict
            .phase(Phase::ColdBoot)
            .findings()
            .first()
            .expect("there is one");
        assert!(finding.why.contains(words), "{finding:?}");
        assert!(
            finding
                .remedy
                .as_deref()
                .is_some_and(|remedy| remedy.contains("vars convert"))
        );
    }
}

#[test]
fn blank_and_damaged_stores_end_as_edk2_ends_them() {
    for (state, x86, virt) in [
        (StoreState::Good, Outcome::Compatible, Outcome::Compatible),
        (StoreState::WithoutFtw, Outcome::Compatible, Outcome::Incompatible),
        (StoreState::Erased, Outcome::Incompatible, Outcome::Caution),
        (StoreState::Zeros, Outcome::Incompatible, Outcome::Caution),
        (
            StoreState::VolumeDamaged,
            Outcome::Incompatible,
            Outcome::Incompatible,
        ),
        (
            StoreState::StoreDamaged,
            Outcome::Incompatible,
            Outcome::Incompatible,
        ),
    ] {
        for (base, outcome) in [(known(Layout::X86Size4M), x86), (known(Layout::ArmVirt), virt)] {
            let to = with(&base, |facts| facts.vars.state = Known::new(state, "VARS"));
            says(&base, &to, Phase::ColdBoot, "FM-STORE-STATE", outcome);
        }
    }
}

#[test]
fn smm_builds_need_their_machine_and_others_must_not_meet_secure_flash() {
    let smm = with(&known(Layout::X86Size4M), |facts| {
        facts.code.features = features(&[Feature::SecureBoot, Feature::Smm]);
        facts.smm = Known::new(true, "-machine");
        facts.secure_flash = Known::new(true, "-global");
    });
    assert_eq!(cold(&smm, &smm), Outcome::Compatible);
    let without = with(&smm, |facts| facts.smm = Known::new(false, "-machine"));
    says(&smm, &without, Phase::ColdBoot, "FM-SMM", Outcome::Incompatible);
    let unknown = with(&smm, |facts| facts.smm = Known::default());
    says(&smm, &unknown, Phase::ColdBoot, "FM-SMM", Outcome::Unknown);
    let open = with(&smm, |facts| facts.secure_flash = Known::new(false, "-global"));
    says(&smm, &open, Phase::ColdBoot, "FM-SMM", Outcome::Caution);
    let plain = with(&known(Layout::X86Size4M), |facts| {
        facts.secure_flash = Known::new(true, "-global");
    });
    says(&plain, &plain, Phase::ColdBoot, "FM-SMM", Outcome::Incompatible);
}

#[test]
fn another_build_changes_measurements_unless_there_is_no_tpm() {
    let from = with(&known(Layout::X86Size4M), |facts| {
        facts.code.features = features(&[Feature::Tpm2]);
    });
    let to = with(&from, |facts| {
        facts.code.sha256 = Known::new(Sha256::of(b"other"), "CODE");
        facts.code.path = Known::new("/srv/other.fd".into(), "the command line");
        facts.code.measured = Known::new(vec![("PEIFV".into(), Sha256::of(b"other PEI"))], "CODE");
    });
    says(&from, &to, Phase::ColdBoot, "FM-MEASURED-BOOT", Outcome::Caution);
    let without = with(&from, |facts| facts.tpm = Known::new(false, "--no-tpm"));
    assert_eq!(cold(&without, &to), Outcome::Compatible);
    let padded = with(&to, |facts| facts.code.measured = from.code.measured.clone());
    says(
        &from,
        &padded,
        Phase::ColdBoot,
        "FM-MEASURED-BOOT",
        Outcome::Compatible,
    );
}

#[test]
fn each_lost_feature_is_named() {
    let from = with(&known(Layout::X86Size4M), |facts| {
        facts.code.features = features(&[Feature::Tls, Feature::Shell, Feature::Tpm2, Feature::SecureBoot]);
    });
    let to = with(&from, |facts| facts.code.features = features(&[Feature::Tpm2]));
    let verdict = judge(&from, &to);
    let subjects: Vec<_> = verdict
        .phase(Phase::ColdBoot)
        .findings()
        .iter()
        .filter(|finding| finding.outcome == Outcome::Caution)
        .map(|finding| finding.subject.as_str())
        .collect();
    assert_eq!(subjects, ["the feature shell", "the feature tls", "Secure Boot"]);
}

#[test]
fn variables_that_do_not_fit_the_smaller_layout_are_refused() {
    let from = with(&known(Layout::X86Size4M), |facts| {
        facts.vars.used_bytes = Known::new(0xe000, "VARS");
        facts.vars.largest_bytes = Known::new(0x3000, "VARS");
    });
    let to = known(Layout::X86Size2M);
    says(
        &from,
        &to,
        Phase::ColdBoot,
        "FM-STORE-FULL",
        Outcome::Incompatible,
    );
    says(&to, &from, Phase::ColdBoot, "FM-STORE-FULL", Outcome::Compatible);
}

/// One pair for each code that makes its rule say something that is not `compatible`, where it can.
fn scenarios() -> Vec<(Facts, Facts)> {
    let base = known(Layout::X86Size4M);
    let change = |change: fn(&mut Facts)| (base.clone(), with(&base, change));
    let mut list = vec![
        change(|facts| facts.code.arch = Known::new(Arch::Aarch64, "CODE")),
        change(|facts| facts.code.sha256 = Known::default()),
        change(|facts| facts.confidential = Known::new(Confidential::Sev, "-machine")),
        change(|facts| {
            facts.code.promised = Known::new([Feature::Tdx].into_iter().collect(), "descriptor");
        }),
        change(|facts| {
            facts.code.sha256 = Known::new(Sha256::of(b"other"), "CODE");
            facts.code.measured = Known::default();
        }),
        change(|facts| facts.code.features = Known::new(Features::default(), "modules")),
        change(|facts| facts.firmware = Known::new(Firmware::Bios, "-bios")),
        change(|facts| facts.code.size_bytes = Known::new(77, "CODE")),
        change(|facts| facts.vars.present = Known::new(false, "--no-vars")),
        change(|facts| facts.code.format = Known::new(Format::Qcow2, "magic")),
        change(|facts| facts.machine = Known::new(MachineType::new("pc-q35-9.1", None), "-machine")),
        change(|facts| facts.vars.layout = Known::new(Layout::X86Size2M, "VARS")),
        change(|facts| facts.vars.sha256 = Known::new(Sha256::of(b"others"), "VARS")),
        change(|facts| facts.vars.state = Known::new(StoreState::Zeros, "VARS")),
        change(|facts| facts.vars.size_bytes = Known::new(0x2_0000, "VARS")),
        change(|facts| facts.vars.authenticated = Known::new(false, "VARS")),
        (known(Layout::X86Size4M), known(Layout::X86Size2M)),
        (running(0x4_0000), running(0x8_0000)),
    ];
    let smm = with(&base, |facts| {
        facts.code.features = Known::new([Feature::Smm].into_iter().collect(), "modules");
        facts.s3 = Known::new(true, "-global");
    });
    list.push((smm.clone(), smm));
    let pv = with(&base, |facts| {
        facts.code.features = Known::new([Feature::PvVars].into_iter().collect(), "modules");
    });
    list.push((pv, base.clone()));
    let newer = with(&base, |facts| {
        facts.qemu = Known::new(QemuVersion::new(10, 0, 2), "-version")
    });
    list.push((newer, base.clone()));
    let no_ram = with(&running(0x4_0000), |facts| {
        facts.blocks = Known::new(Vec::new(), "QMP")
    });
    list.push((running(0x4_0000), no_ram));
    list
}

#[test]
fn every_code_has_a_page_and_is_met() {
    let met: BTreeSet<_> = scenarios()
        .iter()
        .flat_map(|(from, to)| {
            let verdict = judge(from, to);
            let codes: Vec<_> = verdict
                .phases()
                .flat_map(|phase| phase.findings().iter().map(|finding| finding.code))
                .collect();
            codes
        })
        .collect();
    for code in codes() {
        let page = page(code).expect("a code has a page");
        assert!(page.starts_with(&format!("# {code}: ")), "the page of {code}");
        assert!(
            page.contains("\n## Why it matters\n") && page.contains("\n## What to do\n"),
            "{code}"
        );
        assert!(met.contains(code), "no scenario meets {code}");
    }
    assert_eq!(page("fm-smm"), page("FM-SMM"));
    assert_eq!(page("FM-NOTHING"), None);
}

#[test]
fn whatever_is_not_compatible_says_what_to_do() {
    for (from, to) in scenarios() {
        for phase in judge(&from, &to).phases() {
            for finding in phase.findings() {
                assert!(
                    !finding.why.is_empty() && !finding.subject.is_empty(),
                    "{finding:?}"
                );
                assert!(
                    finding.outcome == Outcome::Compatible || finding.remedy.is_some(),
                    "{finding:?}"
                );
            }
        }
    }
}
