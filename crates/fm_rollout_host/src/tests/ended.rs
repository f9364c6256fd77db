//! Agents that end in the middle.

use super::*;

/// One whole life: it takes the build, does not boot, goes back. An agent that ends at any of its steps, before it was
/// done or after, is followed by another one that comes to the same end.
#[test]
fn an_agent_that_ends_at_any_step_goes_on_or_undoes() {
    for converts in [false, true] {
        for fails_after in [false, true] {
            let mut number = 1;
            loop {
                let host = Fake::new();
                *host.judged.borrow_mut() = Judged::Well { converts };
                host.left.set(number);
                host.fails_after.set(fails_after);
                let before = (
                    host.guest.borrow().build.clone(),
                    host.guest.borrow().vars.clone(),
                    host.vars(),
                );
                let mut work = Work::default();
                let mut until = |wanted: S, targets: &[GuestTarget]| {
                    for _ in 0..12 {
                        let left = host.left.get();
                        let told = host.step(&mut work, targets);
                        if left > 0 && host.left.get() <= 0 {
                            // This agent is gone, and with it what it had in memory.
                            work = Work::default();
                        }
                        if told.as_ref().is_some_and(|told| told.state == wanted) {
                            return;
                        }
                    }
                    panic!("step {number}: it does not become {wanted:?}");
                };
                if converts {
                    until(S::Waiting, &take());
                }
                host.stop();
                until(S::Armed, &take());
                host.power_on(Some(3));
                until(S::Booting, &take());
                until(S::Reverting, &back(OldVariables::Ask));
                host.stop();
                until(S::Reverted, &back(OldVariables::Ask));
                let after = (
                    host.guest.borrow().build.clone(),
                    host.guest.borrow().vars.clone(),
                    host.vars(),
                );
                assert!(before == after, "step {number}, converts {converts}");
                for _ in 0..3 {
                    host.step(&mut work, &[]);
                }
                assert_eq!(host.records(), 0, "step {number}");
                assert!(host.pins.borrow().is_empty(), "step {number}");
                if host.left.get() > 0 {
                    assert!(number > 6, "it failed at every step");
                    break;
                }
                number += 1;
            }
        }
    }
}
