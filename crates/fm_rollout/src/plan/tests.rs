//! Plans of guests as hosts report them.

use fm_api::v1::fleet::{CertificateSet, Certificates, DayWindow, OwnerWish, Rest};

use super::*;

fn digest(digit: &str) -> Digest {
    digit.repeat(64).parse().unwrap()
}

/// What the agent reports of Debian's builds without SMM.
fn build(layout: &str) -> KnownBuild {
    KnownBuild {
        size_bytes: Some(match layout {
            "2M" => 0x1e_0000,
            _ => 0x37_c000,
        }),
        facts: BuildFacts {
            arch: Some("x86-64".into()),
            early_arch: Some("x86-64".into()),
            layout: Some(layout.into()),
            features: Some(vec!["tpm2".into()]),
            is_whole: Some(true),
            finishes_reclaim: Some(true),
            is_recent: Some(true),
            checks_list: Some(true),
        },
    }
}

fn builds() -> BTreeMap<Digest, KnownBuild> {
    [
        (digest("a"), build("2M")),
        (digest("b"), build("4M")),
        (digest("c"), build("4M")),
    ]
    .into()
}

fn guest(uuid: &str, build: &str, layout: &str) -> GuestRow {
    GuestRow {
        uuid: uuid.into(),
        name: Some(format!("name of {uuid}")),
        build: Some(digest(build)),
        next_build: None,
        next_reset: None,
        layout: Some(layout.into()),
        vars_free_bytes: None,
        secure_boot: Some(false),
        certificates: None,
        machine: Some("pc-q35-7.2".into()),
        qemu: Some("7.2.0".into()),
        facts: Some(GuestFacts {
            vars_size_bytes: Some(if layout == "2M" { 0x2_0000 } else { 0x8_4000 }),
            vars_used_bytes: Some(0x1000),
            vars_largest_bytes: Some(0x100),
            vars_sound: Some(true),
            vars_authenticated: Some(true),
            vars_keys: Some(false),
            vars_kept: Some(true),
            smm: Some(true),
            secure_flash: Some(false),
            s3: Some(false),
            tpm: Some(false),
            confidential: Some("none".into()),
            adopted: Some(true),
            owner: None,
            rest: Rest::new(),
        }),
        state: GuestState::Running,
        rest: Rest::new(),
    }
}

fn plan_with(spec: &RolloutSpec, guests: &[GuestRow], pinned: &[&str], taken: &[&str]) -> Planned {
    let builds = builds();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let (pinned, taken): (BTreeSet<String>, BTreeSet<String>) = (set(pinned), set(taken));
    let labels = BTreeMap::new();
    let mut planner = Planner::new("r", spec, &builds, &pinned, &taken)
        .unwrap()
        .with_members();
    for (number, guest) in guests.iter().enumerate() {
        let host = format!("host-{}", number % 3).parse().unwrap();
        planner.add_guest(&ReportedGuest {
            host: &host,
            labels: &labels,
            guest,
        });
    }
    planner.finish(7)
}

fn plan(guests: &[GuestRow]) -> RolloutPlan {
    plan_with(&RolloutSpec::new(vec![digest("c")], "all"), guests, &[], &[]).plan
}

#[test]
fn a_guest_of_the_same_layout_is_moved_and_one_of_the_smaller_is_converted() {
    let plan = plan(&[guest("u", "b", "4M"), guest("v", "a", "2M")]);
    let actions: Vec<PlanAction> = plan.classes.iter().map(|class| class.action).collect();
    assert_eq!(
        actions,
        [PlanAction::Move, PlanAction::Convert],
        "{:#?}",
        plan.classes
    );
    assert_eq!(
        (plan.moved_count, plan.converted_count, plan.left_out_count),
        (1, 1, 0)
    );
}

#[test]
fn guests_that_differ_in_nothing_that_matters_are_one_class_with_one_that_goes_first() {
    let mut guests: Vec<GuestRow> = (0..200).map(|n| guest(&format!("g{n}"), "b", "4M")).collect();
    for (number, guest) in guests.iter_mut().enumerate() {
        guest.facts.as_mut().unwrap().vars_used_bytes = Some(0x1001 + number as u64);
    }
    let spec = RolloutSpec::new(vec![digest("c")], "all");
    let planned = plan_with(&spec, &guests, &[], &[]);
    assert_eq!(planned.plan.classes.len(), 1);
    let first: Vec<&PlannedMember> = planned.members.iter().filter(|member| member.wave == 0).collect();
    assert_eq!(first.len(), 1);
    let counted: Vec<u64> = (0..5)
        .map(|wave| {
            planned
                .members
                .iter()
                .filter(|member| member.wave == wave)
                .count() as u64
        })
        .collect();
    let told: Vec<u64> = planned.plan.waves.iter().map(|wave| wave.guest_count).collect();
    assert_eq!(counted, told);
    assert_eq!(told.iter().sum::<u64>(), 200);
}

#[test]
fn who_is_left_out_is_told_why() {
    type Change = fn(&mut GuestRow);
    let cases: [(LeaveReason, Change); 8] = [
        (LeaveReason::SameBuild, |guest| guest.build = Some(digest("c"))),
        (LeaveReason::SameBuild, |guest| {
            guest.next_build = Some(digest("c"))
        }),
        (LeaveReason::NotAdopted, |guest| {
            guest.facts.as_mut().unwrap().adopted = None
        }),
        (LeaveReason::UnknownBuild, |guest| guest.build = Some(digest("d"))),
        (LeaveReason::UnknownBuild, |guest| guest.build = None),
        (LeaveReason::Moving, |guest| guest.state = GuestState::Arriving),
        (LeaveReason::Unknown, |guest| {
            guest.facts.as_mut().unwrap().vars_sound = None
        }),
        (LeaveReason::Incompatible, |guest| {
            guest.facts.as_mut().unwrap().vars_used_bytes = Some(0x10_0000);
        }),
    ];
    for (reason, change) in cases {
        let mut one = guest("u", "b", "4M");
        change(&mut one);
        let plan = plan(&[one]);
        assert_eq!(plan.classes[0].reason, Some(reason), "{:#?}", plan.classes);
        assert_eq!(plan.left_out_count, 1);
        assert_eq!(plan.waves.iter().map(|wave| wave.guest_count).sum::<u64>(), 0);
    }
    let spec = RolloutSpec::new(vec![digest("c")], "all");
    let guests = [guest("u", "b", "4M"), guest("v", "b", "4M")];
    let planned = plan_with(&spec, &guests, &["u"], &["v"]);
    let reasons: Vec<Option<LeaveReason>> = planned.plan.classes.iter().map(|class| class.reason).collect();
    assert_eq!(
        reasons,
        [Some(LeaveReason::Pinned), Some(LeaveReason::OtherRollout)]
    );
    assert!(planned.members.is_empty());
}

#[test]
fn with_a_build_of_each_layout_everybody_gets_the_one_that_needs_no_conversion() {
    let spec = RolloutSpec::new(vec![digest("c"), digest("a")], "all");
    let planned = plan_with(&spec, &[guest("u", "b", "4M"), guest("v", "a", "2M")], &[], &[]);
    assert_eq!(planned.members.len(), 1, "the 2M guest has its build");
    assert_eq!(planned.members[0].build, digest("c"));
}

#[test]
fn what_was_measured_asks_for_keys_where_there_is_a_tpm() {
    let mut with_tpm = guest("u", "b", "4M");
    with_tpm.facts.as_mut().unwrap().tpm = Some(true);
    let plan = plan(&[with_tpm, guest("v", "b", "4M")]);
    let asks: Vec<(Option<bool>, bool)> = plan
        .classes
        .iter()
        .map(|class| (class.tpm, class.asks_for_keys))
        .collect();
    assert!(asks.contains(&(Some(true), true)), "{asks:?}");
    assert!(asks.contains(&(Some(false), false)), "{asks:?}");
}

#[test]
fn only_who_runs_the_build_that_is_to_go_and_is_selected_is_looked_at() {
    let spec = RolloutSpec {
        from: Some(digest("b")),
        ..RolloutSpec::new(vec![digest("c")], "host=host-0")
    };
    let guests = [
        guest("u", "b", "4M"),
        guest("v", "b", "4M"),
        guest("w", "b", "4M"),
        guest("x", "a", "2M"),
    ];
    let planned = plan_with(&spec, &guests, &[], &[]);
    assert_eq!(planned.plan.selected_count, 1);
    assert_eq!(planned.members[0].guest, "u");
}

fn with_keys(uuid: &str, kek: &[&str], db: &[&str]) -> GuestRow {
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    GuestRow {
        secure_boot: Some(true),
        certificates: Some(Certificates {
            pk: vec!["enrolled".into()],
            kek: texts(kek),
            db: texts(db),
            ..Certificates::default()
        }),
        ..guest(uuid, "b", "4M")
    }
}

fn certificates(guests: &[GuestRow]) -> Planned {
    let spec = RolloutSpec::of_certificates(CertificateSet::Microsoft2023, "layout=4M");
    plan_with(&spec, guests, &[], &[])
}

#[test]
fn certificates_go_to_guests_that_trust_the_old_ones_and_their_build_stays() {
    let planned = certificates(&[
        with_keys("u", &["2011"], &["2011"]),
        with_keys("v", &["2011"], &["2011", "2023"]),
    ]);
    assert_eq!(planned.plan.enrolled_count, 2, "{:#?}", planned.plan.classes);
    assert_eq!(
        planned.plan.classes.len(),
        2,
        "keys that differ are classes of their own"
    );
    for member in &planned.members {
        assert_eq!((&member.from, &member.build), (&digest("b"), &digest("b")));
        assert_eq!(member.wave, 0, "one of each goes first");
    }
}

#[test]
fn whose_keys_stay_as_they_are_is_told_why() {
    type Change = fn(&mut GuestRow);
    let cases: [(LeaveReason, Change); 6] = [
        (LeaveReason::SecureBootOff, |guest| {
            guest.secure_boot = Some(false)
        }),
        (LeaveReason::UnknownKeys, |guest| guest.certificates = None),
        (LeaveReason::UnknownKeys, |guest| guest.secure_boot = None),
        (LeaveReason::OwnKeys, |guest| {
            let keys = guest.certificates.as_mut().unwrap();
            (keys.kek, keys.db) = (Vec::new(), Vec::new());
        }),
        (LeaveReason::SameCertificates, |guest| {
            let keys = guest.certificates.as_mut().unwrap();
            keys.kek.push("2023".into());
            keys.db.push("2023".into());
        }),
        (LeaveReason::NotAdopted, |guest| {
            guest.facts.as_mut().unwrap().adopted = Some(false);
        }),
    ];
    for (reason, change) in cases {
        let mut one = with_keys("u", &["2011"], &["2011"]);
        change(&mut one);
        let planned = certificates(&[one]);
        assert_eq!(planned.plan.classes[0].reason, Some(reason));
        assert!(planned.members.is_empty());
    }
}

#[test]
fn keys_that_change_ask_for_recovery_keys_unless_there_is_no_tpm() {
    for (tpm, asks) in [(Some(true), 1), (None, 1), (Some(false), 0)] {
        let mut one = with_keys("u", &["2011"], &["2011"]);
        one.facts.as_mut().unwrap().tpm = tpm;
        let plan = certificates(&[one]).plan;
        assert_eq!(plan.asked_for_keys_count, asks, "{tpm:?}");
        assert_eq!(plan.classes[0].findings.len() as u64, asks, "{tpm:?}");
    }
}

#[test]
fn a_guest_whose_reset_cannot_bring_the_build_is_left_out_and_told_why() {
    let spec = RolloutSpec {
        at: TakesAt::Reset,
        ..RolloutSpec::new(vec![digest("c")], "all")
    };
    let mut sleeps = guest("s", "b", "4M");
    sleeps.facts.as_mut().unwrap().s3 = Some(true);
    for (one, reasons) in [
        (guest("u", "b", "4M"), Vec::new()),
        (guest("v", "a", "2M"), vec!["size_differs"]),
        (sleeps, vec!["may_suspend"]),
    ] {
        let planned = plan_with(&spec, &[one], &[], &[]);
        let class = &planned.plan.classes[0];
        let found: Vec<&str> = class.refusals.iter().map(|one| one.reason.name()).collect();
        assert_eq!(found, reasons);
        let left_out = class.reason == Some(LeaveReason::NotAtReset);
        assert_eq!(left_out, !reasons.is_empty());
        assert_eq!(
            planned.members.is_empty(),
            left_out,
            "never to a cold boot instead"
        );
    }
}

#[test]
fn an_owner_keeps_a_guest_out_or_chooses_its_hours() {
    let with_wish = |uuid: &str, owner: OwnerWish| {
        let mut one = guest(uuid, "b", "4M");
        one.facts.as_mut().unwrap().owner = Some(owner);
        one
    };
    let pinned = OwnerWish {
        pin: Some(String::new()),
        ..OwnerWish::default()
    };
    let own_hours = OwnerWish {
        window: Some(DayWindow {
            from_minute: 60,
            to_minute: 120,
        }),
        ..OwnerWish::default()
    };
    let plan = plan(&[with_wish("u", pinned), with_wish("v", own_hours)]);
    assert_eq!((plan.moved_count, plan.own_window_count), (1, 1));
    let reasons: Vec<Option<LeaveReason>> = plan.classes.iter().map(|class| class.reason).collect();
    assert_eq!(reasons, [None, Some(LeaveReason::PinnedByOwner)]);
}

#[test]
fn of_each_class_the_guest_with_the_lowest_position_goes_first_wherever_it_is_seen() {
    let spec = RolloutSpec::new(vec![digest("c")], "all");
    let guests: Vec<GuestRow> = (0..20).map(|n| guest(&format!("g{n}"), "b", "4M")).collect();
    let wanted = guests
        .iter()
        .min_by_key(|guest| position("r", &guest.uuid))
        .unwrap();
    for turn in 0..guests.len() {
        let mut guests = guests.clone();
        guests.rotate_left(turn);
        let members = plan_with(&spec, &guests, &[], &[]).members;
        let first: Vec<&str> = members
            .iter()
            .filter(|member| member.wave == 0)
            .map(|member| member.guest.as_str())
            .collect();
        assert_eq!(first, [&wanted.uuid]);
    }
}

#[test]
fn guests_that_differ_in_what_is_judged_are_classes_of_their_own_and_others_are_not() {
    type Change = fn(&mut GuestRow);
    fn facts(guest: &mut GuestRow) -> &mut GuestFacts {
        guest.facts.as_mut().unwrap()
    }
    let apart: [Change; 23] = [
        |guest| guest.build = Some(digest("c")),
        |guest| guest.build = None,
        // It gets the build already, and runs the same one.
        |guest| guest.next_build = Some(digest("c")),
        |guest| guest.layout = None,
        |guest| guest.machine = Some("pc-q35-7.1".into()),
        |guest| guest.machine = None,
        |guest| guest.qemu = Some("7.2.1".into()),
        |guest| guest.secure_boot = Some(true),
        |guest| guest.secure_boot = None,
        |guest| guest.facts = None,
        |guest| facts(guest).confidential = Some("sev".into()),
        |guest| facts(guest).vars_sound = None,
        |guest| facts(guest).vars_authenticated = Some(false),
        |guest| facts(guest).vars_keys = Some(true),
        |guest| facts(guest).vars_kept = Some(false),
        |guest| facts(guest).smm = Some(false),
        |guest| facts(guest).secure_flash = None,
        |guest| facts(guest).s3 = None,
        |guest| facts(guest).tpm = Some(true),
        |guest| facts(guest).adopted = Some(false),
        |guest| facts(guest).vars_size_bytes = Some(0x8_4001),
        |guest| facts(guest).vars_used_bytes = Some(0x1001),
        |guest| facts(guest).vars_largest_bytes = None,
    ];
    let alike: [Change; 6] = [
        |guest| guest.name = None,
        |guest| guest.vars_free_bytes = Some(1),
        |guest| facts(guest).vars_used_bytes = Some(1),
        |guest| facts(guest).vars_largest_bytes = Some(1),
        |guest| facts(guest).vars_largest_bytes = Some(0x400),
        |guest| drop(facts(guest).rest.insert("newer".into(), true.into())),
    ];
    let changes = apart.map(|change| (change, 2)).into_iter();
    for (number, (change, count)) in changes.chain(alike.map(|change| (change, 1))).enumerate() {
        let mut other = guest("v", "b", "4M");
        change(&mut other);
        let classes = plan(&[guest("u", "b", "4M"), other]).classes;
        assert_eq!(classes.len(), count, "change {number}: {classes:#?}");
    }
}

#[test]
fn a_size_counts_as_the_most_that_its_class_may_have_whoever_of_it_is_seen_first() {
    // More than 0x3bf9c bytes are nearly full, and a step is 0x1000.
    for (used_bytes, reason) in [
        (0x3_afff, None),
        (0x3_b000, None),
        (0x3_b001, Some(LeaveReason::Unknown)),
        (0x3_bf00, Some(LeaveReason::Unknown)),
    ] {
        let mut one = guest("u", "b", "4M");
        one.facts.as_mut().unwrap().vars_used_bytes = Some(used_bytes);
        assert_eq!(plan(&[one]).classes[0].reason, reason, "{used_bytes:#x}");
    }
}

#[test]
fn every_mixture_of_old_and_new_keys_is_a_class_of_its_own() {
    let generations: [&[&str]; 4] = [&[], &["2011"], &["2023"], &["2011", "2023"]];
    let mut guests = vec![guest("none", "b", "4M")];
    for (number, kek) in generations.iter().enumerate() {
        for (other, db) in generations.iter().enumerate() {
            guests.push(with_keys(&format!("u{number}{other}"), kek, db));
        }
    }
    for guest in &mut guests {
        // The reasons to leave them out would tell some of them apart.
        guest.facts.as_mut().unwrap().adopted = None;
        guest.secure_boot = None;
    }
    let classes = certificates(&guests).plan.classes;
    assert_eq!(classes.len(), 17, "{classes:#?}");
}

#[test]
fn a_plan_counts_hosts_that_do_something_and_names_a_few_guests_of_each_class() {
    for count in [4, 5, 6] {
        let guests: Vec<GuestRow> = (0..count).map(|n| guest(&format!("g{n}"), "b", "4M")).collect();
        let plan = plan(&guests);
        let class = &plan.classes[0];
        assert_eq!(
            (class.guest_count, class.guests.len() as u64),
            (count, count.min(5))
        );
        assert_eq!(plan.host_count, 3);
    }
    assert_eq!(plan(&[guest("u", "b", "4M")]).host_count, 1);
    assert_eq!(plan(&[guest("u", "c", "4M")]).host_count, 0, "it has the build");
}
