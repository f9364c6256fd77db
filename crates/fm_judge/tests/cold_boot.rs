//! What the rules say of cold boots.

mod sides;

use fm_formats::Sha256;
use fm_formats::image::{Arch, Feature, Layout};
use fm_judge::{Confidential, Effect, Facts, Features, Known, Outcome, Phase, StoreState, judge};
use fm_remedy::Action;
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
    let on_smm = with(&large, |facts| {
        facts.vars = small.vars.clone();
        facts.code.features = features(&[Feature::SecureBoot, Feature::Smm]);
    });
    let virt = known(Layout::ArmVirt);
    let on_virt = with(&virt, |facts| {
        facts.vars.layout = Known::new(Layout::X86Size4M, "VARS")
    });
    for (from, to, words, effect) in [
        (&small, &on_large, "silently volatile", Effect::Volatile),
        (
            &large,
            &on_small,
            "the variables before it stay whole",
            Effect::DeadWritten,
        ),
        (
            &small,
            &on_smm,
            "leaves the store as it is",
            Effect::DeadUntouched,
        ),
        (&virt, &on_virt, "all variables lost", Effect::Recreated),
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
            .iter()
            .find(|finding| finding.code == "FM-STORE-LAYOUT")
            .expect("there is one");
        assert!(finding.why.contains(words), "{finding:?}");
        assert_eq!(finding.effect, Some(effect));
        assert_eq!(verdict.phase(Phase::ColdBoot).effect(), Some(effect));
        assert!(
            finding
                .remedy
                .as_ref()
                .is_some_and(|remedy| matches!(remedy.actions[..], [Action::ConvertVars { .. }]))
        );
    }
}

#[test]
fn blank_and_damaged_stores_end_as_edk2_ends_them() {
    for (state, x86, virt) in [
        (StoreState::Good, Outcome::Compatible, Outcome::Compatible),
        (StoreState::WithoutFtw, Outcome::Compatible, Outcome::Compatible),
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
        // What each ends in is held to real runs by the atlas.
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
fn plain_sev_runs_below_a_32_bit_pei_phase_and_the_other_kinds_do_not() {
    let base = with(&known(Layout::X86Size4M), |facts| {
        facts.code.early_arch = Known::new(Arch::Ia32, "CODE");
    });
    for (kind, outcome) in [
        (Confidential::No, Outcome::Compatible),
        (Confidential::Sev, Outcome::Compatible),
        (Confidential::SevEs, Outcome::Incompatible),
        (Confidential::SevSnp, Outcome::Incompatible),
        (Confidential::Tdx, Outcome::Incompatible),
    ] {
        let facts = with(&base, |facts| facts.confidential = Known::new(kind, "-machine"));
        says(&facts, &facts, Phase::ColdBoot, "FM-CPU-MODE", outcome);
    }
}

#[test]
fn a_landing_is_the_guests_own_store_only_once_the_guest_has_arrived() {
    let from = known(Layout::X86Size4M);
    let to = with(&from, |facts| {
        facts.vars.landing = Known::new(StoreState::Zeros, "VARS")
    });
    let verdict = judge(&from, &to);
    assert_eq!(verdict.phase(Phase::LiveMigration).outcome(), Outcome::Compatible);
    says(&from, &to, Phase::ColdBoot, "FM-STORE-STATE", Outcome::Caution);
}

#[test]
fn variables_in_the_uefi_vars_device_need_no_flash() {
    let facts = with(&known(Layout::X86Size4M), |facts| {
        facts.code.features = features(&[Feature::PvVars]);
        facts.vars = fm_judge::VarsUnit::default();
        facts.vars.present = Known::new(false, "the command line");
    });
    says(
        &facts,
        &facts,
        Phase::ColdBoot,
        "FM-FLASH-UNITS",
        Outcome::Compatible,
    );
    let bios = with(&facts, |facts| {
        facts.firmware = Known::new(fm_judge::Firmware::Bios, "-bios")
    });
    says(
        &bios,
        &bios,
        Phase::ColdBoot,
        "FM-FIRMWARE-KIND",
        Outcome::Compatible,
    );
}

#[test]
fn variables_in_json_go_with_builds_that_read_them_and_no_others() {
    let flash = known(Layout::X86Size4M);
    let brought = with(&flash, |facts| {
        facts.vars = fm_judge::VarsUnit {
            in_device: Known::new(true, "JSON"),
            present: Known::new(false, "JSON"),
            ..fm_judge::VarsUnit::default()
        };
    });
    says(
        &brought,
        &flash,
        Phase::ColdBoot,
        "FM-PV-VARS",
        Outcome::Incompatible,
    );
    let device = with(&brought, |facts| {
        facts.code.features = features(&[Feature::PvVars])
    });
    says(
        &brought,
        &device,
        Phase::ColdBoot,
        "FM-PV-VARS",
        Outcome::Compatible,
    );
}

#[test]
fn a_descriptor_is_held_to_its_keys_and_machines() {
    let from = known(Layout::X86Size4M);
    let keys = with(&from, |facts| {
        facts.code.promised_keys = Known::new(true, "descriptor")
    });
    says(&from, &keys, Phase::ColdBoot, "FM-DESCRIPTOR", Outcome::Caution);
    for (patterns, outcome) in [
        (vec!["pc-q35-*"], Outcome::Compatible),
        (vec!["pc-*-7.2"], Outcome::Compatible),
        (vec!["*"], Outcome::Compatible),
        (vec!["pc-i440fx-*", "pc-q35-7"], Outcome::Caution),
        (vec!["*-7.1"], Outcome::Caution),
    ] {
        let to = with(&from, |facts| {
            let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            facts.code.promised_machines = Known::new(patterns, "descriptor");
        });
        assert_eq!(cold(&from, &to), outcome, "{patterns:?}");
    }
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
    assert_eq!(
        subjects,
        [
            "the feature shell",
            "the feature tls",
            "measured boot",
            "Secure Boot"
        ]
    );
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
