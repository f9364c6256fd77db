//! Every code is documented, and is seen with each outcome that it can have.

mod sides;

use std::collections::BTreeSet;

use fm_formats::Sha256;
use fm_formats::image::{Arch, Feature, Layout};
use fm_judge::{
    Confidential, Facts, Features, Firmware, Format, Known, MachineType, Outcome, Phase, QemuVersion,
    Soundness, StoreState, VarsAccess, codes, judge, page,
};
use fm_remedy::{Action, ConvertTarget, Input, Setting};
use fm_varstore::{Damage, DamageKind, Interrupted};
use sides::{known, running, with};

use Outcome::{Caution, Incompatible, Unknown};

/// What a code can say other than `compatible`.
const OUTCOMES: &[(&str, &[Outcome])] = &[
    ("FM-ARCH", &[Unknown, Incompatible]),
    ("FM-ARRIVAL", &[Unknown, Incompatible]),
    ("FM-BUILD", &[Unknown]),
    ("FM-CODE-DAMAGED", &[Unknown, Incompatible]),
    ("FM-CONFIDENTIAL", &[Caution, Unknown, Incompatible]),
    ("FM-CPU-MODE", &[Incompatible]),
    ("FM-DESCRIPTOR", &[Caution]),
    ("FM-DEVICE-STATE", &[Caution, Incompatible]),
    ("FM-DRIFT", &[Caution]),
    ("FM-FEATURE-LOST", &[Caution, Unknown]),
    ("FM-FIRMWARE-KIND", &[Caution, Unknown, Incompatible]),
    ("FM-FLASH-FILE", &[Incompatible]),
    ("FM-FLASH-SIZE", &[Unknown, Incompatible]),
    ("FM-FLASH-UNITS", &[Caution, Unknown, Incompatible]),
    ("FM-IMAGE-FORMAT", &[Caution, Incompatible]),
    ("FM-ISA-BIOS", &[Incompatible]),
    ("FM-MACHINE-SUPPORT", &[Unknown, Incompatible]),
    ("FM-MACHINE-TYPE", &[Caution, Unknown, Incompatible]),
    ("FM-MEASURED-BOOT", &[Caution]),
    ("FM-PV-VARS", &[Caution, Incompatible]),
    ("FM-QEMU-MIDWRITE", &[Caution]),
    // It informs: docs/findings/FM-QEMU-ROMD.md says why.
    ("FM-QEMU-ROMD", &[]),
    ("FM-QEMU-VERSION", &[Unknown]),
    ("FM-RAM-BLOCK", &[Incompatible]),
    ("FM-ROM-SIZE", &[Unknown, Incompatible]),
    ("FM-S3", &[Unknown, Incompatible]),
    ("FM-SECURE-BOOT", &[Caution]),
    ("FM-SMM", &[Caution, Unknown, Incompatible]),
    ("FM-STORE-AUTH", &[Caution, Unknown, Incompatible]),
    ("FM-STORE-FULL", &[Caution, Unknown, Incompatible]),
    ("FM-STORE-HEADER", &[Unknown, Incompatible]),
    ("FM-STORE-INTERRUPTED", &[Caution, Unknown, Incompatible]),
    ("FM-STORE-LAYOUT", &[Unknown, Incompatible]),
    ("FM-STORE-LIST", &[Caution, Unknown, Incompatible]),
    ("FM-STORE-OTHER", &[Caution]),
    ("FM-STORE-STATE", &[Caution, Unknown, Incompatible]),
    ("FM-VARS-NOT-KEPT", &[Caution, Unknown, Incompatible]),
    ("FM-VARS-PADDED", &[Incompatible]),
    ("FM-VARS-SIZE", &[Unknown, Incompatible]),
];

fn features(list: &[Feature]) -> Known<Features> {
    Known::new(list.iter().copied().collect(), "modules")
}

fn qemu(major: u16, minor: u16, micro: u16) -> Known<QemuVersion> {
    Known::new(QemuVersion::new(major, minor, micro), "-version")
}

/// Pairs that differ in one thing, or in what one outcome needs.
fn scenarios() -> Vec<(Facts, Facts)> {
    let base = known(Layout::X86Size4M);
    let virt = known(Layout::ArmVirt);
    let change = |change: fn(&mut Facts)| (base.clone(), with(&base, change));
    let both = |change: fn(&mut Facts)| (with(&base, change), with(&base, change));
    let blank = Facts::default();
    let mut list = vec![
        (base.clone(), blank.clone()),
        (blank.clone(), base.clone()),
        (base.clone(), known(Layout::X86Size2M)),
        (running(0x4_0000), running(0x8_0000)),
        (running(0x4_0000), base.clone()),
        change(|facts| facts.code.arch = Known::new(Arch::Aarch64, "CODE")),
        change(|facts| facts.code.present = Known::new(false, "descriptor")),
        change(|facts| facts.code.soundness = Known::new(Soundness::Foreign, "CODE")),
        change(|facts| facts.code.soundness = Known::new(Soundness::NoResetVector, "CODE")),
        change(|facts| facts.code.promised_keys = Known::new(true, "descriptor")),
        change(|facts| {
            facts.code.sha256 = Known::new(Sha256::of(b"other"), "CODE");
            facts.code.measured = Known::default();
        }),
        change(|facts| facts.code.features = Known::new(Features::default(), "modules")),
        change(|facts| facts.firmware = Known::new(Firmware::Bios, "-bios")),
        both(|facts| facts.firmware = Known::new(Firmware::Bios, "-bios")),
        change(|facts| facts.code.size_bytes = Known::new(77, "CODE")),
        change(|facts| facts.vars.present = Known::new(false, "--no-vars")),
        change(|facts| facts.code.format = Known::new(Format::Qcow2, "magic")),
        change(|facts| {
            facts.code.format = Known::new(Format::Qcow2, "magic");
            facts.code.declared_format = Known::new(Format::Qcow2, "the command line");
        }),
        change(|facts| facts.machine = Known::new(MachineType::new("pc-q35-9.1", None), "-machine")),
        both(|facts| facts.machine = Known::new(MachineType::new("pc-q35-noble", None), "-machine")),
        change(|facts| facts.vars.layout = Known::new(Layout::X86Size2M, "VARS")),
        change(|facts| facts.vars.layout = Known::default()),
        change(|facts| facts.vars.sha256 = Known::new(Sha256::of(b"others"), "VARS")),
        change(|facts| facts.vars.state = Known::new(StoreState::Zeros, "VARS")),
        change(|facts| facts.vars.state = Known::default()),
        change(|facts| facts.vars.landing = Known::new(StoreState::Zeros, "VARS")),
        change(|facts| facts.vars.size_bytes = Known::new(0x2_0000, "VARS")),
        change(|facts| facts.vars.authenticated = Known::new(false, "VARS")),
    ];
    // The virt machines have both chips, whether a file is behind them or not.
    list.push((
        virt.clone(),
        with(&virt, |facts| facts.vars.present = Known::new(false, "--no-vars")),
    ));
    let large = with(&base, |facts| facts.vars.used_bytes = Known::new(0xe000, "VARS"));
    list.push((large, known(Layout::X86Size2M)));
    for kind in [Confidential::Sev, Confidential::Tdx] {
        let able = with(&base, |facts| {
            facts.confidential = Known::new(kind, "-machine");
            facts.code.features = features(&[Feature::Sev]);
            facts.code.early_arch = Known::new(Arch::Ia32, "CODE");
        });
        let other = with(&able, |facts| {
            facts.code.sha256 = Known::new(Sha256::of(b"other"), "CODE")
        });
        let blind = with(&other, |facts| facts.code.features = Known::default());
        list.extend([(able.clone(), other), (able, blind)]);
    }
    let smm = with(&base, |facts| {
        facts.code.features = features(&[Feature::Smm]);
        facts.s3 = Known::new(true, "-global");
    });
    list.push((smm.clone(), smm.clone()));
    for smm_is in [Known::new(false, "-machine"), Known::default()] {
        let other = with(&smm, |facts| facts.smm = smm_is);
        list.push((smm.clone(), other));
    }
    list.push((smm.clone(), with(&smm, |facts| facts.s3 = Known::default())));
    list.extend(odd_stores(&base));
    let pv = with(&base, |facts| facts.code.features = features(&[Feature::PvVars]));
    list.push((pv.clone(), base.clone()));
    for (from, to) in [((10, 0, 2), (7, 2, 22)), ((10, 0, 2), (11, 1, 0))] {
        let on = |(major, minor, micro)| with(&pv, |facts| facts.qemu = qemu(major, minor, micro));
        list.push((on(from), on(to)));
    }
    list.push((with(&base, |facts| facts.qemu = qemu(10, 0, 2)), base.clone()));
    for guest in [base.clone(), running(0x4_0000)] {
        list.push((
            with(&guest, |facts| facts.qemu = qemu(10, 0, 13)),
            with(&guest, |facts| facts.qemu = qemu(11, 1, 3)),
        ));
    }
    let no_blocks = with(&running(0x4_0000), |facts| {
        facts.blocks = Known::new(Vec::new(), "QMP")
    });
    list.push((running(0x4_0000), no_blocks));
    list
}

/// A store that no firmware leaves so, one for each answer that there is.
fn odd_stores(base: &Facts) -> Vec<(Facts, Facts)> {
    let damaged = |kind| {
        move |facts: &mut Facts| {
            let damage = Damage {
                kind,
                offset: 0x164,
                len_bytes: 0x4000,
            };
            facts.vars.damage = Known::new(vec![damage], "VARS");
        }
    };
    let mut list: Vec<Facts> = [
        DamageKind::NameUnterminated,
        DamageKind::NameEmpty,
        DamageKind::NameOdd,
        DamageKind::NameSplit,
        DamageKind::NameBlank,
        DamageKind::BlockMap,
        DamageKind::VolumeField,
        DamageKind::VolumeAttributes,
        DamageKind::NameTwice,
        DamageKind::CertRecord,
        DamageKind::SizesUnwritten,
        DamageKind::SpareDamaged,
        DamageKind::FtwForeign,
        DamageKind::Truncated,
    ]
    .into_iter()
    .map(|kind| with(base, damaged(kind)))
    .collect();
    list.push(with(base, |facts| {
        facts.vars.behind_damage = Known::new(2, "VARS")
    }));
    list.push(with(base, |facts| {
        facts.vars.used_bytes = Known::new(0x3_ff00, "VARS")
    }));
    for walks in [Known::new(true, "CODE"), Known::default()] {
        list.push(with(&known(Layout::ArmVirt), |facts| {
            facts.vars.authenticated = Known::new(false, "VARS");
            facts.code.checks_list = walks;
        }));
    }
    for how_far in [
        Interrupted::MainOld,
        Interrupted::MainErased,
        Interrupted::MainHeaders,
        Interrupted::MainFull,
        Interrupted::MainWritten,
    ] {
        list.push(with(base, |facts| {
            facts.vars.interrupted = Known::new(Some(how_far), "VARS");
        }));
    }
    list.push(with(base, |facts| {
        facts.vars.interrupted = Known::new(Some(Interrupted::MainFull), "VARS");
        facts.code.is_recent = Known::new(true, "CODE");
    }));
    list.push(with(base, |facts| {
        facts.vars.size_bytes = Known::new(0x10_0000, "VARS")
    }));
    list.push(with(base, |facts| {
        facts.vars.access = Known::new(VarsAccess::ReadOnly, "the command line");
    }));
    for layout in [Layout::ArmVirt, Layout::Riscv] {
        list.push(with(&known(layout), |facts| {
            facts.code.arch = Known::new(
                if layout == Layout::Riscv {
                    Arch::Riscv64
                } else {
                    Arch::Aarch64
                },
                "CODE",
            );
            facts.vars.access = Known::new(VarsAccess::ReadOnly, "the command line");
        }));
    }
    let beyond = with(&known(Layout::ArmVirt), |facts| {
        facts.vars.largest_bytes = Known::new(0x3000, "VARS");
        facts.vars.layout = Known::new(Layout::X86Size4M, "VARS");
    });
    list.push(beyond);
    list.into_iter().map(|facts| (facts.clone(), facts)).collect()
}

#[test]
fn every_code_has_a_page_and_is_seen_with_each_outcome_it_can_have() {
    let mut seen: BTreeSet<(&str, Outcome)> = BTreeSet::new();
    for (from, to) in scenarios() {
        let verdict = judge(&from, &to);
        for phase in verdict.phases() {
            seen.extend(
                phase
                    .findings()
                    .iter()
                    .map(|finding| (finding.code, finding.outcome)),
            );
        }
    }
    for code in codes() {
        let page = page(code).expect("a code has a page");
        assert!(page.starts_with(&format!("# {code}: ")), "the page of {code}");
        assert!(
            page.contains("\n## Why it matters\n") && page.contains("\n## What to do\n"),
            "{code}"
        );
        let (_, wanted) = OUTCOMES
            .iter()
            .find(|(known, _)| *known == code)
            .unwrap_or_else(|| panic!("{code} has no line in OUTCOMES"));
        let met: Vec<Outcome> = Outcome::ALL
            .into_iter()
            .filter(|outcome| *outcome != Outcome::Compatible && seen.contains(&(code, *outcome)))
            .collect();
        assert_eq!(met, *wanted, "{code}");
        assert!(
            seen.iter().any(|(known, _)| *known == code),
            "{code} is never met"
        );
    }
    assert_eq!(OUTCOMES.len(), codes().count());
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

#[test]
fn no_text_of_a_rule_names_a_command_or_an_option_of_ours() {
    for (from, to) in scenarios() {
        for finding in judge(&from, &to).phases().flat_map(|phase| phase.findings()) {
            let advice = finding.remedy.iter().map(|remedy| remedy.advice.as_ref());
            for text in advice.chain([finding.why.as_str(), finding.subject.as_str()]) {
                assert!(!text.contains("flashmoor") && !text.contains("--"), "{text}");
                assert!(!text.ends_with([':', '.', ';']), "{text}");
            }
        }
    }
}

/// What each rule tells people to do, with its subject where the facts have it.
#[test]
fn remedies_have_the_subjects_that_are_known() {
    let base = known(Layout::X86Size4M);
    let code = || Some("/usr/share/OVMF/CODE.fd".to_owned());
    let vars = || Some("/var/lib/guest_VARS.fd".to_owned());
    let change = |change: fn(&mut Facts)| (base.clone(), with(&base, change));
    let smaller = with(&base, |facts| {
        facts.code.size_bytes = Known::new(0x1e_0000, "CODE")
    });
    for (code_of_rule, phase, (from, to), actions) in [
        (
            "FM-FLASH-SIZE",
            Phase::LiveMigration,
            (base.clone(), smaller),
            vec![
                Action::MakeOffer { guest: None },
                Action::Prepare {
                    offer: None,
                    with_vars: false,
                },
            ],
        ),
        (
            "FM-VARS-SIZE",
            Phase::LiveMigration,
            change(|facts| facts.vars.size_bytes = Known::new(0x2_0000, "VARS")),
            vec![Action::Prepare {
                offer: None,
                with_vars: true,
            }],
        ),
        (
            "FM-STORE-LAYOUT",
            Phase::ColdBoot,
            change(|facts| facts.vars.layout = Known::new(Layout::X86Size2M, "VARS")),
            vec![Action::ConvertVars {
                vars: vars(),
                target: Some(ConvertTarget::Layout("4M".into())),
            }],
        ),
        (
            "FM-STORE-AUTH",
            Phase::ColdBoot,
            change(|facts| facts.vars.authenticated = Known::new(false, "VARS")),
            vec![Action::ConvertVars {
                vars: vars(),
                target: Some(ConvertTarget::For(code())),
            }],
        ),
        (
            "FM-STORE-STATE",
            Phase::ColdBoot,
            change(|facts| facts.vars.state = Known::new(StoreState::StoreDamaged, "VARS")),
            vec![Action::RepairVars { vars: vars() }],
        ),
        (
            "FM-STORE-STATE",
            Phase::ColdBoot,
            change(|facts| facts.vars.state = Known::new(StoreState::Zeros, "VARS")),
            vec![Action::CopyTemplate {
                template: None,
                vars: vars(),
            }],
        ),
        (
            "FM-STORE-OTHER",
            Phase::ColdBoot,
            change(|facts| facts.vars.sha256 = Known::new(Sha256::of(b"others"), "VARS")),
            vec![Action::DiffVars {
                from: vars(),
                to: vars(),
            }],
        ),
        (
            "FM-CODE-DAMAGED",
            Phase::ColdBoot,
            change(|facts| facts.code.soundness = Known::new(Soundness::Foreign, "CODE")),
            vec![Action::Inspect { path: code() }],
        ),
        (
            "FM-MACHINE-TYPE",
            Phase::LiveMigration,
            change(|facts| facts.machine = Known::new(MachineType::new("pc-q35-6.2", None), "-machine")),
            vec![Action::Configure(Setting::MachineType("pc-q35-7.2".into()))],
        ),
        (
            "FM-IMAGE-FORMAT",
            Phase::ColdBoot,
            change(|facts| {
                facts.code.format = Known::new(Format::Qcow2, "magic");
                facts.code.declared_format = Known::new(Format::Raw, "the command line");
            }),
            vec![
                Action::Configure(Setting::FileFormat("qcow2")),
                Action::ConvertImage {
                    image: code(),
                    format: "raw",
                },
            ],
        ),
        (
            "FM-QEMU-VERSION",
            Phase::LiveMigration,
            change(|facts| facts.qemu = Known::default()),
            vec![
                Action::Give(Input::SourceQemu),
                Action::Give(Input::DestinationQemu),
                Action::ShowQemuVersion,
            ],
        ),
        (
            "FM-FLASH-UNITS",
            Phase::LiveMigration,
            change(|facts| facts.vars.present = Known::default()),
            vec![
                Action::Give(Input::SourceVars),
                Action::Give(Input::DestinationVars),
                Action::Give(Input::NoVars),
            ],
        ),
    ] {
        let verdict = judge(&from, &to);
        let mut findings = verdict.phase(phase).findings().iter();
        let finding = findings.find(|finding| finding.code == code_of_rule && finding.remedy.is_some());
        let remedy = finding.and_then(|finding| finding.remedy.as_ref());
        let given = remedy.map(|remedy| remedy.actions.as_slice());
        assert_eq!(given, Some(actions.as_slice()), "{code_of_rule}");
    }
}

#[test]
fn known_troubles_begin_and_end_with_their_releases() {
    let on = |version: (u16, u16, u16)| {
        with(&known(Layout::X86Size4M), |facts| {
            facts.qemu = qemu(version.0, version.1, version.2);
        })
    };
    let says = |from, to, code| {
        judge(&on(from), &on(to))
            .phases()
            .any(|phase| phase.findings().iter().any(|finding| finding.code == code))
    };
    for (to, loses_mode) in [
        ((7, 2, 22), true),
        ((10, 0, 12), true),
        ((10, 0, 13), false),
        ((10, 1, 0), true),
        ((11, 1, 0), true),
        ((11, 1, 1), false),
        ((11, 2, 0), false),
    ] {
        assert_eq!(says((7, 2, 22), to, "FM-QEMU-ROMD"), loses_mode, "{to:?}");
    }
    for (from, to, breaks) in [
        ((10, 0, 12), (11, 1, 0), false),
        ((10, 0, 13), (11, 1, 0), true),
        ((10, 0, 99), (11, 1, 9), true),
        ((10, 1, 0), (11, 1, 0), false),
        ((10, 0, 13), (11, 0, 9), false),
        ((10, 0, 13), (11, 2, 0), false),
        ((11, 1, 3), (10, 0, 13), false),
        ((7, 2, 22), (11, 1, 3), false),
    ] {
        assert_eq!(says(from, to, "FM-DEVICE-STATE"), breaks, "{from:?} {to:?}");
    }
    for (from, to, refuses) in [
        ((9, 0, 0), (8, 2, 9), true),
        ((8, 2, 9), (8, 2, 9), false),
        ((8, 2, 9), (9, 0, 0), false),
        ((10, 0, 2), (9, 0, 0), false),
    ] {
        assert_eq!(says(from, to, "FM-QEMU-MIDWRITE"), refuses, "{from:?} {to:?}");
    }
}

#[test]
fn a_device_at_another_address_is_moved_and_gets_no_other_file() {
    let from = running(0x4_0000);
    let to = with(&from, |facts| {
        let mut blocks = facts.blocks.value().unwrap().clone();
        for block in &mut blocks {
            block.name = block.name.replace("0000:00:02.0", "0000:00:03.0");
        }
        facts.blocks = Known::new(blocks, "QMP");
    });
    let verdict = judge(&from, &to);
    let finding = verdict
        .phase(Phase::LiveMigration)
        .findings()
        .iter()
        .find(|finding| finding.code == "FM-ROM-SIZE" && finding.outcome == Outcome::Incompatible)
        .unwrap();
    assert_eq!(
        finding.remedy.as_ref().unwrap().actions,
        [Action::Configure(Setting::DeviceAddress("02.0".into()))]
    );
    assert_eq!(
        finding.qemu_message.as_deref(),
        Some("Unknown ramblock \"0000:00:02.0/virtio-net-pci.rom\", cannot accept migration")
    );
}
