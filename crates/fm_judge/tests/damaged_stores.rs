//! What becomes of a guest on a store that is damaged, field by field: the answers, and what they foretell.

mod foretold;
#[expect(dead_code, reason = "a part of it is enough here")]
mod sides;

use fm_formats::image::{Feature, Layout};
use fm_judge::{Effect, Facts, Firmware, Known, Outcome, Phase, judge};
use fm_varstore::{Damage, DamageKind as Kind, Geometry, Interrupted};
use foretold::{findings, foretold, is, smm};
use sides::{known, with};

use Effect::{DeadErased, DeadUntouched, DeadWritten, FirstBootLost, Kept, PartlyLost, Recreated};
use Interrupted::{MainErased, MainFull, MainHalf, MainHeaders, MainOld, MainWritten};
use Outcome::{Caution, Compatible, Incompatible, Unknown};

fn damage(kind: Kind, len_bytes: u64) -> Damage {
    Damage {
        kind,
        offset: 0x164,
        len_bytes,
    }
}

/// The side with these kinds of damage in its list or queue, and so many variables behind it.
fn damaged(base: &Facts, kinds: &[Kind], behind: Known<u64>) -> Facts {
    with(base, |facts| {
        let all = kinds.iter().map(|&kind| damage(kind, 0x40)).collect();
        facts.vars.damage = Known::new(all, "VARS");
        facts.vars.behind_damage = behind;
    })
}

const X86: Layout = Layout::X86Size4M;

#[test]
fn a_size_in_the_store_header_ends_as_far_as_it_leads() {
    let own = u64::from(Geometry::of(X86).store_size_bytes());
    for (named_bytes, is_smm, is_recent, expected) in [
        (
            own - 1,
            Some(false),
            Some(false),
            (Incompatible, Some(DeadWritten)),
        ),
        (own, Some(false), Some(false), (Incompatible, Some(DeadWritten))),
        (own - 1, Some(false), Some(true), (Unknown, None)),
        (own - 1, Some(false), None, (Unknown, None)),
        (own + 1, Some(false), Some(false), (Compatible, Some(Kept))),
        (own + 0x1_0048, Some(false), Some(false), (Compatible, Some(Kept))),
        (own + 0x1_0049, Some(false), Some(false), (Unknown, None)),
        (own + 0x0fff_ffff, Some(false), Some(false), (Unknown, None)),
        (own + 0x1000_0000, Some(false), Some(false), (Incompatible, None)),
        (
            own + 1,
            Some(true),
            Some(false),
            (Incompatible, Some(DeadUntouched)),
        ),
        (
            own - 1,
            Some(true),
            Some(false),
            (Incompatible, Some(DeadWritten)),
        ),
        (own + 1, None, Some(false), (Unknown, None)),
    ] {
        let to = with(&known(X86), |facts| {
            facts.vars.damage = Known::new(vec![damage(Kind::StoreSize, named_bytes)], "VARS");
            facts.code.features = smm(is_smm);
            facts.code.is_recent = is(is_recent);
        });
        let seen = foretold(&to, "FM-STORE-HEADER");
        assert_eq!(seen, [expected], "{named_bytes:#x} {is_smm:?} {is_recent:?}");
        let blind = with(&to, |facts| facts.code.layout = Known::default());
        let expected = match is_recent {
            Some(false) => (Incompatible, Some(DeadWritten)),
            _ => (Unknown, None),
        };
        assert_eq!(
            foretold(&blind, "FM-STORE-HEADER"),
            [expected],
            "{named_bytes:#x}"
        );
    }
    for named_bytes in [0, own - 1, own + 1, own + 0x1000_0000] {
        let to = with(&known(Layout::ArmVirt), |facts| {
            facts.vars.damage = Known::new(vec![damage(Kind::StoreSize, named_bytes)], "VARS");
        });
        let seen = foretold(&to, "FM-STORE-HEADER");
        assert_eq!(seen, [(Incompatible, Some(Recreated))], "{named_bytes:#x}");
    }
}

#[test]
fn attributes_and_block_maps_end_as_each_board_and_build_end_them() {
    for (written, is_smm, expected) in [
        (0, Some(true), (Incompatible, None)),
        (0, Some(false), (Unknown, None)),
        (0, None, (Unknown, None)),
        (1, Some(true), (Unknown, None)),
    ] {
        let to = with(&known(X86), |facts| {
            facts.vars.damage = Known::new(vec![damage(Kind::VolumeAttributes, written)], "VARS");
            facts.code.features = smm(is_smm);
        });
        let seen = foretold(&to, "FM-STORE-HEADER");
        assert_eq!(seen, [expected], "{written} {is_smm:?}");
    }
    for (layout, expected) in [
        (X86, (Incompatible, Some(DeadErased))),
        (Layout::ArmVirt, (Compatible, Some(Kept))),
        (Layout::Riscv, (Unknown, None)),
        (Layout::Loongarch, (Unknown, None)),
    ] {
        let to = damaged(&known(layout), &[Kind::BlockMap], Known::new(0, "VARS"));
        assert_eq!(foretold(&to, "FM-STORE-HEADER"), [expected], "{layout}");
        let nameless = with(&to, |facts| facts.code.arch = Known::default());
        assert_eq!(
            foretold(&nameless, "FM-STORE-HEADER"),
            [(Unknown, None)],
            "{layout}"
        );
    }
    let to = damaged(&known(X86), &[Kind::VolumeField], Known::new(0, "VARS"));
    assert_eq!(foretold(&to, "FM-STORE-HEADER"), [(Unknown, None)]);
}

#[test]
fn headers_of_the_main_area_count_beside_a_whole_copy_as_long_as_there_are_any() {
    for (how_far, spoken) in [(MainOld, 1), (MainErased, 0)] {
        let to = with(&known(X86), |facts| {
            facts.vars.interrupted = Known::new(Some(how_far), "VARS");
            facts.vars.main_damage = Known::new(vec![damage(Kind::BlockMap, 0)], "VARS");
        });
        assert_eq!(findings(&to, "FM-STORE-HEADER").len(), spoken, "{how_far:?}");
        let blind = with(&to, |facts| facts.vars.main_damage = Known::default());
        assert_eq!(findings(&blind, "FM-STORE-HEADER").len(), 0, "{how_far:?}");
    }
}

/// Damage that ends the same wherever it is met, and that for which what lies behind it decides.
#[test]
fn a_damaged_list_ends_as_firmware_for_pcs_ends_it() {
    let (none, some) = (|| Known::new(0, "VARS"), || Known::new(1, "VARS"));
    for (kinds, behind, expected) in [
        (vec![Kind::NameUnterminated], none(), vec![(Caution, Some(Kept))]),
        (vec![Kind::StateImpossible], none(), vec![(Caution, Some(Kept))]),
        (vec![Kind::HeaderTorn], none(), vec![(Caution, Some(Kept))]),
        (vec![Kind::Gap], none(), vec![(Caution, Some(Kept))]),
        (vec![Kind::Gap], some(), vec![(Incompatible, Some(PartlyLost))]),
        (
            vec![Kind::Gap],
            Known::default(),
            vec![(Incompatible, Some(PartlyLost))],
        ),
        (
            vec![Kind::NameEmpty],
            none(),
            vec![(Incompatible, Some(DeadWritten))],
        ),
        (
            vec![Kind::NameEmpty, Kind::HeaderTorn],
            none(),
            vec![(Incompatible, Some(DeadWritten)), (Caution, Some(Kept))],
        ),
        (
            vec![Kind::NameEmpty, Kind::Gap],
            none(),
            vec![(Caution, None), (Caution, Some(Kept))],
        ),
        (vec![Kind::NameTwice], none(), vec![(Incompatible, None)]),
        (vec![Kind::CertRecord], none(), vec![(Unknown, None)]),
        (
            vec![Kind::VariableCut],
            none(),
            vec![(Incompatible, Some(DeadUntouched))],
        ),
        (vec![Kind::NameOdd], none(), vec![(Caution, Some(Kept))]),
        (vec![Kind::NameSplit], none(), vec![(Caution, Some(Kept))]),
        (
            vec![Kind::NameBlank],
            none(),
            vec![(Incompatible, Some(DeadWritten))],
        ),
        // There the list ends: nobody gets to the name.
        (
            vec![Kind::NameBlank, Kind::Gap],
            some(),
            vec![(Incompatible, Some(PartlyLost)), (Caution, None)],
        ),
        (vec![Kind::SizesUnwritten], none(), vec![(Unknown, None)]),
        (vec![Kind::FtwAbandoned], none(), vec![]),
        // Variables that nothing in the list keeps firmware from, and that it does not reach.
        (vec![], none(), vec![]),
        (vec![], some(), vec![(Unknown, None)]),
        (
            vec![Kind::NameOdd],
            some(),
            vec![(Unknown, None), (Caution, Some(Kept))],
        ),
        (
            vec![Kind::VariableCut],
            some(),
            vec![(Incompatible, Some(DeadUntouched))],
        ),
    ] {
        let to = damaged(&known(X86), &kinds, behind);
        assert_eq!(foretold(&to, "FM-STORE-LIST"), expected, "{kinds:?}");
    }
    let nameless = with(&damaged(&known(X86), &[Kind::Gap], none()), |facts| {
        facts.code.arch = Known::default();
    });
    assert_eq!(foretold(&nameless, "FM-STORE-LIST"), [(Unknown, None)]);
}

#[test]
fn a_name_with_a_terminator_in_its_midst_hangs_builds_with_system_management_mode_alone() {
    for (is_smm, expected) in [
        (Some(true), (Incompatible, Some(DeadWritten))),
        (Some(false), (Caution, Some(Kept))),
        (None, (Unknown, None)),
    ] {
        let base = with(&known(X86), |facts| facts.code.features = smm(is_smm));
        let to = damaged(&base, &[Kind::NameSplit], Known::new(0, "VARS"));
        assert_eq!(foretold(&to, "FM-STORE-LIST"), [expected], "{is_smm:?}");
    }
}

#[test]
fn a_damaged_list_ends_as_firmware_for_virt_machines_ends_it() {
    for (kind, behind, walks, expected) in [
        (Kind::CertRecord, 0, Some(true), (Unknown, None)),
        (Kind::CertRecord, 0, Some(false), (Unknown, None)),
        (Kind::NameTwice, 0, Some(true), (Incompatible, None)),
        (Kind::NameTwice, 0, None, (Incompatible, None)),
        (Kind::Gap, 1, Some(true), (Incompatible, Some(PartlyLost))),
        (Kind::Gap, 0, Some(true), (Caution, Some(Kept))),
        (Kind::Gap, 1, Some(false), (Unknown, None)),
        (Kind::Gap, 1, None, (Unknown, None)),
        (Kind::HeaderTorn, 0, Some(true), (Caution, Some(Kept))),
        (Kind::HeaderTorn, 0, None, (Unknown, None)),
        (Kind::NameEmpty, 0, Some(true), (Incompatible, Some(Recreated))),
        (Kind::NameEmpty, 0, Some(false), (Unknown, None)),
        (Kind::NameOdd, 0, Some(true), (Incompatible, Some(Recreated))),
        (Kind::NameOdd, 0, Some(false), (Unknown, None)),
        // The check looks at the last unit of a name.
        (Kind::NameSplit, 0, Some(true), (Caution, Some(Kept))),
        (Kind::NameSplit, 0, None, (Caution, Some(Kept))),
        (Kind::NameBlank, 0, Some(true), (Incompatible, Some(DeadWritten))),
        (Kind::NameBlank, 0, None, (Incompatible, Some(DeadWritten))),
        (Kind::VariableCut, 0, Some(true), (Incompatible, Some(Recreated))),
    ] {
        let base = with(&known(Layout::ArmVirt), |facts| {
            facts.code.checks_list = is(walks)
        });
        let to = damaged(&base, &[kind], Known::new(behind, "VARS"));
        assert_eq!(
            foretold(&to, "FM-STORE-LIST"),
            [expected],
            "{kind:?} {behind} {walks:?}"
        );
    }
    let to = damaged(
        &known(Layout::ArmVirt),
        &[Kind::CertRecord],
        Known::new(0, "VARS"),
    );
    let remedy = findings(&to, "FM-STORE-LIST").remove(0).remedy.unwrap();
    assert_eq!(
        remedy.actions,
        [],
        "no repair is one for a record of certificates"
    );
    let to = damaged(&known(Layout::ArmVirt), &[Kind::NameTwice], Known::new(0, "VARS"));
    let remedy = findings(&to, "FM-STORE-LIST").remove(0).remedy.unwrap();
    assert_eq!(remedy.actions.len(), 1);
}

fn interrupted(base: &Facts, how_far: Option<Interrupted>) -> Facts {
    with(base, |facts| facts.vars.interrupted = Known::new(how_far, "VARS"))
}

#[test]
fn a_reclaim_that_was_interrupted_ends_as_far_as_it_had_come() {
    let pc = |finishes, is_recent| {
        with(&known(X86), |facts| {
            facts.code.finishes_reclaim = Known::new(finishes, "CODE");
            facts.code.is_recent = is(is_recent);
        })
    };
    let (arm, riscv) = (known(Layout::ArmVirt), known(Layout::Riscv));
    for (base, how_far, expected) in [
        (
            pc(false, Some(false)),
            MainErased,
            (Incompatible, Some(DeadErased)),
        ),
        (
            pc(false, Some(false)),
            MainHeaders,
            (Incompatible, Some(Recreated)),
        ),
        (pc(false, Some(false)), MainHalf, (Incompatible, Some(PartlyLost))),
        (
            pc(false, Some(false)),
            MainFull,
            (Incompatible, Some(DeadWritten)),
        ),
        (pc(false, Some(true)), MainFull, (Unknown, None)),
        (pc(false, None), MainFull, (Unknown, None)),
        (pc(false, Some(false)), MainOld, (Caution, Some(FirstBootLost))),
        (pc(false, Some(false)), MainWritten, (Compatible, Some(Kept))),
        (
            pc(true, Some(false)),
            MainErased,
            (Incompatible, Some(DeadErased)),
        ),
        (pc(true, Some(false)), MainHeaders, (Compatible, Some(Kept))),
        (pc(true, Some(false)), MainHalf, (Compatible, Some(Kept))),
        (pc(true, Some(false)), MainFull, (Compatible, Some(Kept))),
        (pc(true, Some(false)), MainOld, (Compatible, Some(Kept))),
        (pc(true, Some(false)), MainWritten, (Compatible, Some(Kept))),
        (arm.clone(), MainErased, (Incompatible, Some(Recreated))),
        (arm.clone(), MainHeaders, (Compatible, Some(Kept))),
        (arm, MainOld, (Compatible, Some(Kept))),
        (riscv.clone(), MainErased, (Incompatible, Some(Recreated))),
        (riscv, MainOld, (Incompatible, Some(DeadUntouched))),
    ] {
        let to = interrupted(&base, Some(how_far));
        let seen = foretold(&to, "FM-STORE-INTERRUPTED");
        assert_eq!(seen, [expected], "{how_far:?} {:?}", base.code);
        assert!(foretold(&interrupted(&base, None), "FM-STORE-INTERRUPTED").is_empty());
        for forget in [
            (|facts| facts.code.arch = Known::default()) as fn(&mut Facts),
            |facts| facts.code.finishes_reclaim = Known::default(),
        ] {
            let blind = with(&to, forget);
            assert_eq!(foretold(&blind, "FM-STORE-INTERRUPTED"), [(Unknown, None)]);
        }
    }
    // It is in its place already, whoever reads it.
    for finishes in [false, true] {
        let to = interrupted(&pc(finishes, None), Some(MainWritten));
        let why = findings(&to, "FM-STORE-INTERRUPTED").remove(0).why;
        assert!(why.starts_with("the copy is in its place already"), "{why}");
    }
}

#[test]
fn a_damaged_list_in_the_main_area_counts_where_it_is_read_before_the_copy() {
    let pc = |finishes, is_recent| {
        with(&known(X86), |facts| {
            facts.code.finishes_reclaim = Known::new(finishes, "CODE");
            facts.code.is_recent = Known::new(is_recent, "CODE");
        })
    };
    let arm = |walks| {
        with(&known(Layout::ArmVirt), |facts| {
            facts.code.checks_list = is(walks)
        })
    };
    let riscv = || known(Layout::Riscv);
    let first_lost = (Caution, Some(FirstBootLost));
    let kept = (Compatible, Some(Kept));
    for (base, how_far, kind, expected) in [
        (pc(false, false), MainOld, Kind::NameUnterminated, first_lost),
        (pc(false, false), MainOld, Kind::StateImpossible, first_lost),
        (pc(false, false), MainOld, Kind::HeaderTorn, first_lost),
        (pc(false, false), MainOld, Kind::Gap, (Incompatible, None)),
        (pc(false, false), MainOld, Kind::NameEmpty, (Incompatible, None)),
        (pc(false, false), MainOld, Kind::NameTwice, (Incompatible, None)),
        (pc(false, false), MainOld, Kind::VariableCut, (Incompatible, None)),
        (pc(false, false), MainOld, Kind::NameOdd, (Unknown, None)),
        (pc(false, false), MainOld, Kind::CertRecord, (Unknown, None)),
        (pc(false, false), MainOld, Kind::BlockMap, first_lost),
        (pc(false, true), MainFull, Kind::Gap, (Incompatible, None)),
        (pc(false, false), MainWritten, Kind::Gap, kept),
        (
            pc(false, false),
            MainHalf,
            Kind::Gap,
            (Incompatible, Some(PartlyLost)),
        ),
        (pc(true, false), MainOld, Kind::Gap, kept),
        (pc(true, false), MainFull, Kind::Gap, kept),
        (arm(Some(true)), MainOld, Kind::HeaderTorn, kept),
        (arm(Some(true)), MainOld, Kind::NameTwice, kept),
        (arm(Some(true)), MainOld, Kind::CertRecord, kept),
        (arm(Some(true)), MainOld, Kind::BlockMap, kept),
        (arm(Some(true)), MainOld, Kind::Gap, (Unknown, None)),
        (
            arm(Some(true)),
            MainOld,
            Kind::NameEmpty,
            (Incompatible, Some(Recreated)),
        ),
        (arm(Some(false)), MainOld, Kind::NameEmpty, (Unknown, None)),
        (arm(None), MainOld, Kind::NameEmpty, (Unknown, None)),
        (
            arm(None),
            MainErased,
            Kind::NameEmpty,
            (Incompatible, Some(Recreated)),
        ),
        (
            riscv(),
            MainOld,
            Kind::NameEmpty,
            (Incompatible, Some(DeadUntouched)),
        ),
    ] {
        let to = with(&interrupted(&base, Some(how_far)), |facts| {
            facts.vars.main_damage = Known::new(vec![damage(kind, 0x40)], "VARS");
        });
        let seen = foretold(&to, "FM-STORE-INTERRUPTED");
        assert_eq!(seen, [expected], "{how_far:?} {kind:?} {:?}", base.code);
    }
    // Without a volume header there is no list to walk.
    let erased = with(&interrupted(&arm(Some(true)), Some(MainErased)), |facts| {
        facts.vars.main_damage = Known::new(vec![damage(Kind::NameEmpty, 0x40)], "VARS");
    });
    let why = findings(&erased, "FM-STORE-INTERRUPTED").remove(0).why;
    assert!(
        why.starts_with("the flash driver finds no volume header"),
        "{why}"
    );
    for (base, how_far, expected) in [
        (pc(false, false), MainOld, (Unknown, None)),
        (pc(false, false), MainWritten, (Unknown, None)),
        (arm(Some(true)), MainOld, (Unknown, None)),
        (pc(false, false), MainErased, (Incompatible, Some(DeadErased))),
        (riscv(), MainOld, (Incompatible, Some(DeadUntouched))),
    ] {
        let to = with(&interrupted(&base, Some(how_far)), |facts| {
            facts.vars.main_damage = Known::default();
        });
        assert_eq!(
            foretold(&to, "FM-STORE-INTERRUPTED"),
            [expected],
            "{how_far:?}, the main area not known"
        );
    }
}

#[test]
fn a_queue_that_says_what_is_not_so_costs_what_it_lies_over() {
    let whole = "it is no store";
    let part = "a part of the variables";
    for (layout, is_smm, kind, effect, words) in [
        (Layout::ArmVirt, None, Kind::SpareDamaged, Some(DeadErased), whole),
        (X86, Some(true), Kind::SpareDamaged, Some(DeadErased), whole),
        (X86, Some(false), Kind::SpareDamaged, Some(Recreated), whole),
        (X86, None, Kind::SpareDamaged, None, whole),
        (Layout::Riscv, Some(true), Kind::SpareDamaged, None, whole),
        (Layout::Riscv, Some(false), Kind::SpareDamaged, None, whole),
        (X86, Some(false), Kind::FtwForeign, Some(PartlyLost), part),
        (X86, Some(true), Kind::FtwForeign, None, part),
        (Layout::ArmVirt, Some(false), Kind::FtwForeign, None, part),
    ] {
        let base = with(&known(layout), |facts| facts.code.features = smm(is_smm));
        let to = damaged(&base, &[kind], Known::new(0, "VARS"));
        let found = findings(&to, "FM-STORE-INTERRUPTED");
        let seen: Vec<_> = found
            .iter()
            .map(|finding| (finding.outcome, finding.effect))
            .collect();
        assert_eq!(seen, [(Incompatible, effect)], "{kind:?} {layout} {is_smm:?}");
        assert!(found[0].why.contains(words), "{}", found[0].why);
    }
    let healed = damaged(
        &known(X86),
        &[Kind::FtwAbandoned, Kind::Gap],
        Known::new(0, "VARS"),
    );
    assert!(findings(&healed, "FM-STORE-INTERRUPTED").is_empty());
}

#[test]
fn damage_that_the_state_of_a_store_does_not_show_is_unknown_beside_it() {
    for (kind, expected) in [
        (Kind::Truncated, vec![(Unknown, None), (Compatible, Some(Kept))]),
        (Kind::MainLost, vec![(Unknown, None), (Compatible, Some(Kept))]),
        (Kind::Ftw, vec![(Compatible, Some(Kept))]),
        (Kind::Gap, vec![(Compatible, Some(Kept))]),
        (Kind::FtwForeign, vec![(Compatible, Some(Kept))]),
    ] {
        let to = damaged(&known(X86), &[kind], Known::new(0, "VARS"));
        assert_eq!(foretold(&to, "FM-STORE-STATE"), expected, "{kind:?}");
    }
}

#[test]
fn what_is_wrong_with_a_store_is_no_matter_to_firmware_that_uses_none() {
    let base = with(&known(X86), |facts| {
        let kinds = [Kind::Truncated, Kind::BlockMap, Kind::Gap, Kind::SpareDamaged];
        let all = kinds.iter().map(|&kind| damage(kind, 0x40)).collect();
        facts.vars.damage = Known::new(all, "VARS");
        facts.vars.interrupted = Known::new(Some(MainOld), "VARS");
        facts.vars.access = Known::new(fm_judge::VarsAccess::ReadOnly, "the command line");
        facts.vars.size_bytes = Known::new(0x8_5000, "VARS");
    });
    let spoken = |to: &Facts| {
        let verdict = judge(to, to);
        let codes = verdict.phase(Phase::ColdBoot).findings().iter();
        let mut codes: Vec<_> = codes
            .map(|finding| finding.code)
            .filter(|code| {
                code.starts_with("FM-STORE-") || matches!(*code, "FM-VARS-NOT-KEPT" | "FM-VARS-PADDED")
            })
            .collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    };
    assert_eq!(
        spoken(&base),
        [
            "FM-STORE-AUTH",
            "FM-STORE-FULL",
            "FM-STORE-HEADER",
            "FM-STORE-INTERRUPTED",
            "FM-STORE-LAYOUT",
            "FM-STORE-LIST",
            "FM-STORE-OTHER",
            "FM-STORE-STATE",
            "FM-VARS-NOT-KEPT",
            "FM-VARS-PADDED"
        ]
    );
    for forget in [
        (|facts| facts.vars.present = Known::new(false, "the command line")) as fn(&mut Facts),
        |facts| facts.vars.present = Known::default(),
        |facts| facts.firmware = Known::new(Firmware::Bios, "-bios"),
        |facts| facts.firmware = Known::default(),
        |facts| facts.code.features = Known::new([Feature::PvVars].into_iter().collect(), "modules"),
    ] {
        assert_eq!(spoken(&with(&base, forget)), [""; 0]);
    }
}

#[test]
fn how_far_a_reclaim_had_come_is_shown_in_words() {
    for (how_far, words) in [
        (MainWritten, "the whole copy in the spare, the main area the same"),
        (MainOld, "the whole copy in the spare, the main area old"),
        (
            MainFull,
            "the whole copy in the spare, the main area old and full",
        ),
        (
            MainHalf,
            "the whole copy in the spare, the main area half written",
        ),
        (
            MainHeaders,
            "the whole copy in the spare, the main area with its headers and no variable",
        ),
        (MainErased, "the whole copy in the spare, the main area erased"),
    ] {
        let to = interrupted(&known(X86), Some(how_far));
        let shown = findings(&to, "FM-STORE-INTERRUPTED")
            .remove(0)
            .destination
            .unwrap();
        assert_eq!(shown.value, words);
    }
}
