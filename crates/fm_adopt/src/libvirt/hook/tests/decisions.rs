//! Decisions as a table: facts in, steps and outcome out, and no file anywhere.

use fm_libvirt::Identity;

use super::super::decide::decide;
use super::super::facts::{
    ArrivalFacts, CodeFacts, Facts, FileState, LandingFacts, StoreFacts, VarsFacts, VarsState,
};
use super::*;
use fm_remedy::Misuse;

const ABSENT: FileState = FileState {
    len_bytes: None,
    is_right: false,
};
const RIGHT: FileState = FileState {
    len_bytes: Some(4096),
    is_right: true,
};
/// Of the right length, with other bytes.
const OTHER: FileState = FileState {
    len_bytes: Some(4096),
    is_right: false,
};

fn domain() -> (Domain, Identity) {
    let xml = format!(
        "<domain><name>web</name><uuid>u1</uuid><metadata><f:firmware xmlns:f='{}' build='sha256:{}' \
         code-bytes='4096' vars-bytes='512'/></metadata><os><loader type='pflash'>/c</loader>\
         <nvram template='/t'>/v</nvram></os></domain>",
        fm_libvirt::METADATA_URI,
        Sha256::of(CODE)
    );
    let domain = Domain::parse(&xml).unwrap();
    let identity = domain.identity.clone().unwrap();
    (domain, identity)
}

/// A decision in a word, with its steps.
fn in_short(decision: &Decision) -> (&'static str, Vec<&'static str>) {
    let steps = decision.steps.iter().map(|step| match step {
        Step::MakeLanding { .. } => "landing",
        Step::MakeBlankTemplate { .. } => "blank",
        Step::MarkArrival => "mark",
        Step::PackTemplate { .. } => "pack",
        Step::NoteBlankVars { .. } => "note",
        Step::ClearMark => "unmark",
        Step::SettleLanding { .. } => "settle",
        Step::PutBackCode { .. } => "put back",
        Step::NotifyAgent => "wake",
        _ => "other",
    });
    let outcome = match decision.outcome {
        Outcome::Pass => "pass",
        Outcome::Remark(_) => "remark",
        Outcome::Replace { .. } => "replace",
        Outcome::Refuse(_) => "refuse",
    };
    (outcome, steps.collect())
}

#[test]
fn an_arrival_gets_what_is_missing_and_is_refused_only_where_nothing_fits() {
    let whole = |is_whole| {
        Ok(StoreFacts {
            build: Some((PathBuf::from("/s"), is_whole)),
            template: None,
        })
    };
    let broken = || {
        Err(crate::Error::Usage(Misuse {
            message: "no store".into(),
            remedy: "".into(),
        }))
    };
    let here = VarsState::Present { len_bytes: 512 };
    let table = [
        (RIGHT, here, Ok(StoreFacts::EMPTY), "pass", vec![]),
        (RIGHT, VarsState::Misnamed, Ok(StoreFacts::EMPTY), "pass", vec![]),
        (OTHER, here, whole(true), "replace", vec!["mark"]),
        (
            ABSENT,
            here,
            Ok(StoreFacts::EMPTY),
            "replace",
            vec!["landing", "mark"],
        ),
        (
            RIGHT,
            VarsState::Absent,
            Ok(StoreFacts::EMPTY),
            "replace",
            vec!["blank", "mark", "note"],
        ),
        // Who made it is known already, or never will be.
        (
            RIGHT,
            VarsState::Leftover,
            Ok(StoreFacts::EMPTY),
            "replace",
            vec!["blank", "mark"],
        ),
        (
            RIGHT,
            VarsState::Present { len_bytes: 9 },
            Ok(StoreFacts::EMPTY),
            "refuse",
            vec![],
        ),
        (OTHER, here, broken(), "remark", vec![]),
        (ABSENT, here, broken(), "refuse", vec![]),
        (OTHER, VarsState::Absent, broken(), "refuse", vec![]),
        (OTHER, here, whole(false), "remark", vec![]),
        (ABSENT, here, whole(false), "refuse", vec![]),
    ];
    for (code, vars, store, outcome, steps) in table {
        let what = format!("{code:?} {vars:?} {store:?}");
        let (domain, identity) = domain();
        let facts = ArrivalFacts {
            loader: "/c".into(),
            code,
            vars,
            template: ABSENT,
            store,
        };
        let decision = decide(Facts::Arrives(domain, identity, Box::new(facts)), Policy::Refuse);
        assert_eq!(in_short(&decision), (outcome, steps), "{what}");
    }
}

#[test]
fn a_start_from_a_landing_waits_for_its_bytes() {
    let waiting = |is_stored| LandingFacts::Waiting {
        id: "web".into(),
        build: Sha256::of(CODE),
        is_stored,
    };
    for (facts, outcome, steps) in [
        (LandingFacts::Announced, "pass", vec!["unmark"]),
        (LandingFacts::Settled, "pass", vec!["unmark"]),
        (LandingFacts::Gone, "refuse", vec!["unmark"]),
        (waiting(false), "refuse", vec!["unmark"]),
        (waiting(true), "pass", vec!["unmark", "settle"]),
    ] {
        let what = format!("{facts:?}");
        let facts = Facts::StartsOnLanding(domain().0, "/c".into(), facts);
        assert_eq!(
            in_short(&decide(facts, Policy::Refuse)),
            (outcome, steps),
            "{what}"
        );
    }
}

#[test]
fn what_is_refused_by_one_policy_is_a_remark_by_the_other() {
    let facts = || Facts::Starts {
        domain: domain().0,
        code: CodeFacts::Wrong {
            path: "/c".into(),
            build: Sha256::of(CODE),
            is_there: false,
            is_stored: false,
            before: None,
        },
        vars: VarsFacts::Here,
        is_announced: false,
    };
    assert_eq!(in_short(&decide(facts(), Policy::Refuse)).0, "refuse");
    assert_eq!(in_short(&decide(facts(), Policy::Pass)).0, "remark");
    assert_eq!(
        in_short(&decide(Facts::Nothing, Policy::Refuse)),
        ("pass", vec!["wake"])
    );
}
