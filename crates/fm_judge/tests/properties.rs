//! What holds for any facts whatever.

#[allow(dead_code)] // each test file uses its part of the sides
mod sides;

use fm_formats::Sha256;
use fm_formats::image::{Feature, Layout};
use fm_judge::{
    Block, Confidential, Facts, Firmware, Format, Known, MachineType, Phase, PhaseVerdict, QemuVersion,
    Soundness, StoreState, arrival, cold_boot, judge,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use sides::{known, running};

/// A change for the worse that a rule knows of.
type Spoil = fn(&mut Facts);

/// Each with the phases that it makes worse where two equal sides had nothing wrong.
const SPOILS: [(Spoil, &[Phase]); 13] = [
    (
        |facts| facts.machine = Known::new(MachineType::new("pc-q35-99.0", None), "bad"),
        &[Phase::LiveMigration, Phase::ColdBoot],
    ),
    (
        |facts| facts.code.size_bytes = Known::new(0x1000, "bad"),
        &[Phase::LiveMigration],
    ),
    (
        |facts| facts.code.present = Known::new(false, "bad"),
        &[Phase::LiveMigration, Phase::ColdBoot],
    ),
    (
        |facts| facts.code.soundness = Known::new(Soundness::Undecodable, "bad"),
        &[Phase::ColdBoot],
    ),
    (
        |facts| facts.code.declared_format = Known::new(Format::Qcow2, "bad"),
        &[Phase::LiveMigration, Phase::ColdBoot],
    ),
    (
        |facts| facts.vars.size_bytes = Known::new(0x1000, "bad"),
        &[Phase::LiveMigration],
    ),
    (
        |facts| facts.vars.state = Known::new(StoreState::StoreDamaged, "bad"),
        &[Phase::ColdBoot],
    ),
    (
        |facts| facts.vars.landing = Known::new(StoreState::Erased, "bad"),
        &[Phase::ColdBoot],
    ),
    (
        |facts| facts.vars.layout = Known::new(Layout::X86Size1M, "bad"),
        &[],
    ),
    (
        |facts| facts.confidential = Known::new(Confidential::Tdx, "bad"),
        &[Phase::LiveMigration],
    ),
    (
        |facts| facts.secure_flash = Known::new(true, "bad"),
        &[Phase::ColdBoot],
    ),
    (
        |facts| facts.qemu = Known::new(QemuVersion::new(1, 0, 0), "bad"),
        &[Phase::LiveMigration, Phase::ColdBoot],
    ),
    (
        |facts| {
            facts.blocks = Known::new(
                vec![Block {
                    name: "odd".into(),
                    size_bytes: 1,
                }],
                "bad",
            );
        },
        &[],
    ),
];

/// The same by saying less. Where it was this fact that proved an incompatibility, none is proven without it.
const LACKS: [(Spoil, &[Phase]); 3] = [
    (|facts| facts.code.sha256 = Known::default(), &[Phase::ColdBoot]),
    (|facts| facts.qemu = Known::default(), &[Phase::LiveMigration]),
    (|facts| facts.code.arch = Known::default(), &[Phase::ColdBoot]),
];

/// Forgets a fact.
const FORGETS: [Spoil; 10] = [
    |facts| facts.qemu = Known::default(),
    |facts| facts.machine = Known::default(),
    |facts| facts.firmware = Known::default(),
    |facts| facts.code.size_bytes = Known::default(),
    |facts| facts.code.sha256 = Known::default(),
    |facts| facts.code.features = Known::default(),
    |facts| facts.code.layout = Known::default(),
    |facts| facts.vars.present = Known::default(),
    |facts| facts.vars.size_bytes = Known::default(),
    |facts| facts.vars.state = Known::default(),
];

/// Needed facts of which each alone makes an answer impossible.
const NEEDED: [Spoil; 6] = [
    |facts| facts.qemu = Known::default(),
    |facts| facts.machine = Known::default(),
    |facts| facts.firmware = Known::default(),
    |facts| facts.code.size_bytes = Known::default(),
    |facts| facts.vars.present = Known::default(),
    |facts| facts.vars.size_bytes = Known::default(),
];

fn base() -> impl Strategy<Value = Facts> {
    select(vec![
        known(Layout::X86Size2M),
        known(Layout::X86Size4M),
        known(Layout::ArmVirt),
        known(Layout::Riscv),
        running(0x4_0000),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_bad_fact_never_improves_an_outcome(
        from in base(), to in base(), forgets in subsequence(FORGETS.to_vec(), 0..3),
        spoil in select(SPOILS.to_vec()), at_source in any::<bool>(),
    ) {
        let side = |change: &dyn Fn(&mut Facts)| {
            let (mut from, mut to) = (from.clone(), to.clone());
            change(if at_source { &mut from } else { &mut to });
            (from, to)
        };
        let (poor_from, poor_to) = side(&|facts| forgets.iter().for_each(|forget| forget(facts)));
        let before = judge(&poor_from, &poor_to);
        // Forgotten last: a fact that nobody had is not spoilt but learnt.
        let (mut bad_from, bad_to) = side(&|facts| {
            spoil.0(facts);
            forgets.iter().for_each(|forget| forget(facts));
        });
        // A source that says less of its blocks, or arrives from an older QEMU, may have fewer findings.
        (bad_from.blocks, bad_from.qemu) = (poor_from.blocks, poor_from.qemu);
        let after = judge(&bad_from, &bad_to);
        // A spoilt firmware can hide a finding of another, so what is promised is the outcome over all.
        prop_assert!(after.outcome() >= before.outcome(), "{before:#?} became {after:#?}");
    }

    #[test]
    fn a_bad_fact_of_one_of_two_equal_sides_shows_in_its_phase(
        base in base(), spoil in select([SPOILS.as_slice(), &LACKS].concat()),
    ) {
        let before = judge(&base, &base);
        let mut worse = base.clone();
        spoil.0(&mut worse);
        let after = judge(&base, &worse);
        for phase in Phase::ALL {
            prop_assert!(after.phase(phase).outcome() >= before.phase(phase).outcome());
        }
        // What runs has taken its files, and shows its own sizes.
        if !base.blocks.is_known() {
            for &phase in spoil.1 {
                prop_assert!(after.phase(phase).outcome() > before.phase(phase).outcome(), "{phase}: {after:#?}");
            }
        }
    }

    #[test]
    fn a_fact_that_is_forgotten_never_improves_its_phase_on_either_side(
        base in base(), forgets in subsequence(FORGETS.to_vec(), 1..4), at_source in any::<bool>(),
    ) {
        let before = judge(&base, &base);
        let mut poor = base.clone();
        forgets.iter().for_each(|forget| forget(&mut poor));
        let after = if at_source { judge(&poor, &base) } else { judge(&base, &poor) };
        for phase in Phase::ALL {
            prop_assert!(after.phase(phase).outcome() >= before.phase(phase).outcome(), "{phase}: {after:#?}");
        }
    }

    #[test]
    fn a_needed_fact_that_is_missing_is_never_compatible(whole in base(), forget in select(NEEDED.to_vec())) {
        let mut poor = whole.clone();
        forget(&mut poor);
        poor.blocks = Known::default();
        prop_assert!(judge(&whole, &poor).outcome() >= fm_judge::Outcome::Unknown);
        prop_assert!(judge(&poor, &whole).outcome() >= fm_judge::Outcome::Unknown);
    }

    #[test]
    fn outcomes_without_words_are_those_with_words(
        from in base(), to in base(), spoils in subsequence(SPOILS.to_vec(), 0..4),
        forgets in subsequence(FORGETS.to_vec(), 0..3),
    ) {
        let mut to = to;
        spoils.iter().map(|spoil| &spoil.0).chain(&forgets).for_each(|change| change(&mut to));
        let verdict = judge(&from, &to);
        let quick = [arrival(&from, &to).to_vec(), vec![cold_boot(&from, &to)]].concat();
        let outcomes: Vec<_> = verdict.phases().map(PhaseVerdict::outcome).collect();
        prop_assert_eq!(outcomes, quick);
    }

    #[test]
    fn findings_do_not_depend_on_the_order_in_which_facts_are_learnt(order in Just((0..8).collect::<Vec<_>>()).prop_shuffle()) {
        let learn = |order: &[usize]| {
            let mut facts = Facts::default();
            for step in order {
                match step {
                    0 => facts.qemu.learn("qemu", QemuVersion::new(7, 2, 0), "b"),
                    1 => facts.qemu.learn("qemu", QemuVersion::new(7, 2, 0), "a"),
                    2 => facts.firmware.learn("firmware", Firmware::Flash, "x"),
                    3 => facts.code.size_bytes.learn("size", 0x37_c000, "second"),
                    4 => facts.code.size_bytes.learn("size", 0x37_c000, "first"),
                    5 => facts.code.sha256.learn("digest", Sha256::of(b"x"), "x"),
                    6 => facts.vars.present.learn("vars", true, "x"),
                    _ => facts.code.features.learn("features", [Feature::Tls].into_iter().collect(), "x"),
                }.expect("the sources agree");
            }
            facts
        };
        let straight: Vec<usize> = (0..8).collect();
        let to = known(Layout::X86Size2M);
        prop_assert_eq!(judge(&learn(&order), &to), judge(&learn(&straight), &to));
    }
}
