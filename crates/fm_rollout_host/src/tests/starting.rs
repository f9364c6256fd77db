//! Guests whose QEMU is only just starting: nobody can tell yet what they run.

use super::*;

#[test]
fn a_guest_that_only_starts_is_left_alone_until_it_is_certain_what_it_runs() {
    // Its flash is not there yet; it is being filled.
    for looks in [vec![None], vec![Some(digest("c")), Some(digest("d"))]] {
        let host = Fake::new();
        *host.judged.borrow_mut() = Judged::Well { converts: true };
        let mut work = Work::default();
        host.step(&mut work, &take());
        host.stop();
        assert_eq!(state(host.step(&mut work, &take())), S::Armed);
        let (guest, files) = (host.guest.borrow().clone(), host.files.borrow().clone());
        host.power_on(Some(3));
        for wanted in [&take()[..], &[]] {
            host.looks.borrow_mut().extend(looks.clone());
            assert_eq!(state(host.step(&mut work, wanted)), S::Armed, "{looks:?}");
            let now = host.guest.borrow().clone();
            assert_eq!((now.build, now.vars), (guest.build.clone(), guest.vars.clone()));
            assert!(*host.files.borrow() == files, "{looks:?}");
        }
        assert_eq!(state(host.step(&mut work, &take())), S::Booting);
        host.power_on(Some(3));
        host.looks.borrow_mut().extend(looks.clone());
        assert_eq!(state(host.step(&mut work, &take())), S::Booting, "{looks:?}");
        host.booted(4);
        assert_eq!(state(host.step(&mut work, &take())), S::Healthy);
    }
}

#[test]
fn a_guest_that_stays_on_another_build_has_failed_and_one_that_cannot_be_looked_at_when_its_time_is_over() {
    for (code, time_s, expected) in [
        (Some(digest("c")), 0, S::Failed),
        (None, 59, S::Booting),
        (None, 60, S::Failed),
    ] {
        let host = Fake::new();
        let mut work = Work::default();
        host.step(&mut work, &take());
        host.stop();
        host.step(&mut work, &take());
        host.power_on(Some(3));
        assert_eq!(state(host.step(&mut work, &take())), S::Booting);
        host.guest.borrow_mut().running.as_mut().unwrap().code = code.clone();
        host.now.set(Duration::from_secs(time_s));
        assert_eq!(state(host.step(&mut work, &take())), expected, "{code:?}");
    }
}
