//! Builds that guests take at their own next reset.

use super::*;

fn at_reset() -> Vec<GuestTarget> {
    vec![target(TargetAction::TakeAtReset)]
}

/// The guest resets: its firmware counts a boot of what its memory holds.
fn reset(host: &Fake) {
    host.booted(4);
    if let Some((_, update)) = host.given.borrow_mut().as_mut() {
        *update = Update::Done;
    }
}

#[test]
fn a_guest_takes_the_build_at_its_own_reset_without_ever_being_off() {
    let host = Fake::new();
    let process = host.guest.borrow().running.clone().unwrap().id;
    let mut work = Work::default();
    assert_eq!(state(host.step(&mut work, &at_reset())), S::Armed);
    assert_eq!(host.guest.borrow().build, digest("b"), "a cold boot agrees");
    assert_eq!(
        state(host.step(&mut work, &at_reset())),
        S::Armed,
        "that its memory has the build is no boot of it"
    );
    reset(&host);
    assert_eq!(state(host.step(&mut work, &at_reset())), S::Healthy);
    assert_eq!(host.guest.borrow().running.as_ref().unwrap().id, process);
}

#[test]
fn a_guest_that_cannot_is_refused_with_every_reason_and_gets_no_cold_boot_instead() {
    let host = Fake::new();
    *host.refuses.borrow_mut() = Some(Given::Not("its processors are emulated".into()));
    let mut work = Work::default();
    let refused = host.step(&mut work, &at_reset()).unwrap();
    assert_eq!(refused.state, S::Refused);
    assert_eq!(refused.evidence.as_deref(), Some("its processors are emulated"));
    assert_eq!(host.guest.borrow().build, digest("a"));
    // Nobody wants it any more: nothing is left of it.
    assert!(host.step(&mut work, &[]).is_none());
    assert!(host.pins.borrow().is_empty());

    let host = Fake::new();
    *host.refuses.borrow_mut() = Some(Given::Later("it boots".into()));
    let mut work = Work::default();
    assert_eq!(state(host.step(&mut work, &at_reset())), S::Waiting);
    *host.refuses.borrow_mut() = None;
    assert_eq!(state(host.step(&mut work, &at_reset())), S::Armed);

    let host = Fake::new();
    host.stop();
    assert_eq!(
        state(host.step(&mut Work::default(), &at_reset())),
        S::Waiting,
        "one that is off does not reset"
    );
    assert_eq!(host.guest.borrow().build, digest("a"));
}

#[test]
fn before_its_reset_it_is_taken_back_at_once_and_after_it_at_its_next_start() {
    for withdraws in [true, false] {
        let host = Fake::new();
        let mut work = Work::default();
        host.step(&mut work, &at_reset());
        if withdraws {
            assert!(host.step(&mut work, &[]).is_none());
        } else {
            assert_eq!(state(host.step(&mut work, &back(OldVariables::Ask))), S::Reverted);
        }
        let guest = host.guest.borrow();
        assert_eq!(guest.build, digest("a"));
        assert_eq!(guest.running.as_ref().unwrap().code, Some(digest("a")));
    }
    let host = Fake::new();
    let mut work = Work::default();
    host.step(&mut work, &at_reset());
    reset(&host);
    host.step(&mut work, &at_reset());
    assert_eq!(
        state(host.step(&mut work, &back(OldVariables::Ask))),
        S::Reverting
    );
    assert_eq!(
        host.guest.borrow().running.as_ref().unwrap().code,
        Some(digest("b")),
        "what runs is left alone"
    );
    host.stop();
    assert_eq!(state(host.step(&mut work, &back(OldVariables::Ask))), S::Reverted);
}

#[test]
fn one_that_resets_while_it_is_withdrawn_is_watched_and_not_forgotten() {
    let host = Fake::new();
    let mut work = Work::default();
    host.step(&mut work, &at_reset());
    reset(&host);
    assert_eq!(state(host.step(&mut work, &[])), S::Booting);
    assert_eq!(state(host.step(&mut work, &[])), S::Healthy);
}

#[test]
fn what_it_writes_before_its_reset_is_in_the_way_back() {
    let host = Fake::new();
    let mut work = Work::default();
    host.step(&mut work, &at_reset());
    let own = Guid::literal("4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11");
    let written = with_variable(&host.vars(), "Own", own, &[1]);
    host.files.borrow_mut().insert(VARS.into(), written.clone());
    host.step(&mut work, &at_reset());
    reset(&host);
    host.step(&mut work, &at_reset());
    let told = host.step(&mut work, &back(OldVariables::Ask)).unwrap();
    assert_eq!((told.state, told.written.len()), (S::Reverting, 0));
    host.stop();
    host.step(&mut work, &back(OldVariables::Ask));
    assert!(host.vars() == written);
}

#[test]
fn an_agent_that_ends_at_any_step_of_it_goes_on_or_undoes() {
    for fails_after in [false, true] {
        for number in 1.. {
            let host = Fake::new();
            host.left.set(number);
            host.fails_after.set(fails_after);
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
            until(S::Armed, &at_reset());
            until(S::Reverted, &back(OldVariables::Ask));
            let guest = host.guest.borrow().clone();
            assert_eq!(guest.build, digest("a"), "step {number}");
            assert_eq!(guest.running.unwrap().code, Some(digest("a")), "step {number}");
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
