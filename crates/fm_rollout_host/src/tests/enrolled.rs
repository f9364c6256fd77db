//! Keys that gain certificates, and what owners say.

use super::*;

fn gain() -> Vec<GuestTarget> {
    vec![GuestTarget {
        certificates: Some(CertificateSet::Microsoft2023),
        ..target(TargetAction::Enroll)
    }]
}

fn undo(variables: OldVariables) -> Vec<GuestTarget> {
    vec![GuestTarget {
        certificates: Some(CertificateSet::Microsoft2023),
        ..back(variables).remove(0)
    }]
}

const NEW: &str = "/vars/web.fd.fm-keys-2023";

#[test]
fn keys_gain_certificates_in_a_file_beside_while_it_is_off_and_the_old_file_is_the_way_back() {
    let host = Fake::new();
    let before = host.vars();
    let mut work = Work::default();
    let waits = host.step(&mut work, &gain()).unwrap();
    assert_eq!(waits.state, S::Waiting);
    assert!(waits.evidence.unwrap().contains("once it is off"));
    host.stop();
    assert_eq!(state(host.step(&mut work, &gain())), S::Armed);
    assert_eq!(host.guest.borrow().vars, Path::new(NEW));
    assert_eq!(host.guest.borrow().build, digest("a"), "its build stays");
    host.power_on(Some(3));
    assert_eq!(state(host.step(&mut work, &gain())), S::Booting);
    host.booted(4);
    assert_eq!(state(host.step(&mut work, &gain())), S::Healthy);
    assert!(host.files.borrow()[Path::new(VARS)] == before);

    let kept = host.step(&mut work, &undo(OldVariables::Keep)).unwrap();
    assert_eq!(kept.state, S::Undecided);
    // The certificates are none that the guest wrote.
    assert_eq!(
        state(host.step(&mut work, &undo(OldVariables::Ask))),
        S::Reverting
    );
    assert_eq!(host.guest.borrow().vars, Path::new(VARS));
    host.stop();
    assert_eq!(state(host.step(&mut work, &undo(OldVariables::Ask))), S::Reverted);
    assert!(host.vars() == before, "byte for byte");
}

#[test]
fn what_it_wrote_after_it_had_gained_them_is_its_own() {
    let host = Fake::new();
    let mut work = Work::default();
    host.stop();
    host.step(&mut work, &gain());
    host.power_on(Some(4));
    assert_eq!(state(host.step(&mut work, &gain())), S::Healthy);
    let own = Guid::literal("4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11");
    let written = with_variable(&host.vars(), "Own", own, &[1]);
    host.files.borrow_mut().insert(NEW.into(), written);
    let asked = host.step(&mut work, &undo(OldVariables::Ask)).unwrap();
    assert_eq!(asked.state, S::Undecided);
    assert_eq!(asked.written, ["4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11-Own"]);
    assert_eq!(
        state(host.step(&mut work, &undo(OldVariables::Old))),
        S::Reverting
    );
}

#[test]
fn a_guest_started_before_its_definition_changed_is_not_taken_for_one_with_the_certificates() {
    let host = Fake::new();
    let mut work = Work::default();
    host.stop();
    assert_eq!(state(host.step(&mut work, &gain())), S::Armed);
    // The same build on the variables of before.
    host.power_on(Some(4));
    host.guest.borrow_mut().running.as_mut().unwrap().vars = Some(VARS.into());
    assert_eq!(state(host.step(&mut work, &gain())), S::Waiting);
    assert_eq!(host.guest.borrow().vars, Path::new(VARS));
}

#[test]
fn keys_that_have_them_or_are_the_owners_or_full_stay_as_they_are() {
    let host = Fake::new();
    *host.keys.borrow_mut() = Keys::Have;
    assert_eq!(state(host.step(&mut Work::default(), &gain())), S::Healthy);

    let host = Fake::new();
    *host.keys.borrow_mut() = Keys::Not("its keys are its owner's".into());
    let refused = host.step(&mut Work::default(), &gain()).unwrap();
    assert_eq!(refused.state, S::Refused);
    assert_eq!(refused.evidence.as_deref(), Some("its keys are its owner's"));

    let host = Fake::new();
    host.cannot_enroll.set(true);
    host.stop();
    assert_eq!(state(host.step(&mut Work::default(), &gain())), S::Refused);
    assert_eq!(host.guest.borrow().vars, Path::new(VARS));
}

#[test]
fn certificates_of_a_newer_version_change_nothing() {
    let host = Fake::new();
    host.stop();
    let mut targets = gain();
    targets[0].certificates = Some(CertificateSet::Unknown);
    assert_eq!(state(host.step(&mut Work::default(), &targets)), S::Waiting);
    assert_eq!(host.files.borrow().len(), 1);
}

#[test]
fn an_agent_that_ends_while_keys_change_goes_on_or_undoes() {
    for fails_after in [false, true] {
        for number in 1.. {
            let host = Fake::new();
            host.left.set(number);
            host.fails_after.set(fails_after);
            let before = host.vars();
            let mut work = Work::default();
            let mut until = |wanted: S, targets: &[GuestTarget]| {
                for _ in 0..12 {
                    let left = host.left.get();
                    let told = host.step(&mut work, targets);
                    if left > 0 && host.left.get() <= 0 {
                        work = Work::default();
                    }
                    if told.as_ref().is_some_and(|told| told.state == wanted) {
                        return;
                    }
                }
                panic!("step {number}: it does not become {wanted:?}");
            };
            host.stop();
            until(S::Armed, &gain());
            host.power_on(Some(3));
            until(S::Booting, &gain());
            until(S::Reverting, &undo(OldVariables::Ask));
            host.stop();
            until(S::Reverted, &undo(OldVariables::Ask));
            assert!(host.vars() == before, "step {number}");
            for _ in 0..3 {
                host.step(&mut work, &[]);
            }
            assert_eq!(host.records(), 0, "step {number}");
            assert!(host.pins.borrow().is_empty(), "step {number}");
            if host.left.get() > 0 {
                assert!(number > 4, "it failed at every step");
                break;
            }
        }
    }
}

#[test]
fn an_owner_who_has_pinned_a_guest_keeps_it_as_it_is() {
    for targets in [take(), gain(), vec![target(TargetAction::TakeAtReset)]] {
        let host = Fake::new();
        *host.owner.borrow_mut() = Some(Owner {
            pin: Some("certified".into()),
            window: None,
        });
        let refused = host.step(&mut Work::default(), &targets).unwrap();
        assert_eq!(refused.state, S::Refused);
        assert!(refused.evidence.unwrap().contains("certified"));
        assert_eq!(host.guest.borrow().build, digest("a"));
    }
}

#[test]
fn a_guest_is_restarted_in_its_owners_hours_and_not_in_the_rollouts() {
    // It is noon. The rollout's hours are open, the owner's are not; and the other way round.
    for (rollouts, owners, restarts) in [((700, 800), (0, 60), false), ((0, 60), (700, 800), true)] {
        let host = Fake::new();
        *host.owner.borrow_mut() = Some(Owner {
            pin: None,
            window: Some(owners),
        });
        let mut targets = take();
        targets[0].restart = Some(RestartWindow {
            from_minute: rollouts.0,
            to_minute: rollouts.1,
            shutdown_timeout_s: 30,
        });
        let mut work = Work::default();
        host.step(&mut work, &targets);
        host.step(&mut work, &targets);
        assert_eq!(host.guest.borrow().running.is_none(), restarts);
    }
}
