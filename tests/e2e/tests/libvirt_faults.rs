//! What of ours may fail does not take a guest down.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use fm_e2e::bed::{Bed, Host, packaged};
use fm_e2e::stderr;

/// A guest of the 2M build, which B lacks, and one of a 4M build, which fits B's own.
fn guests(bed: &Bed) {
    for (name, suffix) in [("two", ""), ("four", "_4M")] {
        bed.a.define(&packaged(name, suffix));
        bed.a.ask(&["start", "--paused", name]);
        bed.a.adopt(name);
    }
}

fn refused(from: &Host, to: &Host, domain: &str) -> String {
    let output = from.migrate(domain, to, &[]);
    assert!(!output.status.success(), "{domain} moved");
    assert_eq!(
        from.ask(&["domstate", domain]).trim(),
        "paused",
        "{domain} is gone"
    );
    assert!(!to.ask(&["list", "--all", "--name"]).contains(domain));
    stderr(&output)
}

/// Running: QEMU 7.2 aborts when a guest that never ran after a migration migrates again.
fn back(bed: &Bed, domain: &str) {
    bed.b.ask(&["resume", domain]);
    bed.b.must_migrate(domain, &bed.a, &[]);
    bed.a.ask(&["suspend", domain]);
}

#[test]
fn with_a_store_that_cannot_be_written_only_what_would_fail_anyway_is_refused() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(false);
    guests(&bed);
    let store = bed.b.store();
    let mount = |words: &[&str]| {
        let mut command = bed.b.command("mount");
        assert!(command.args(words).arg(store).status().unwrap().success());
    };
    // The disk is full.
    mount(&["-t", "tmpfs", "-o", "size=1m,mode=0755", "tmpfs"]);
    let fill = format!(
        "mkdir {0}/libvirt; cat /dev/zero >{0}/libvirt/fill 2>/dev/null",
        store.display()
    );
    let _ = bed.b.command("sh").args(["-c", &fill]).status().unwrap();
    let said = refused(&bed.a, &bed.b, "two");
    assert!(said.contains("No space left on device"), "{said}");
    bed.a.must_migrate("four", &bed.b, &[]);
    back(&bed, "four");
    let left = fs::read_dir(bed.b.path(&format!("{}/landings", store.display())));
    assert_eq!(left.map_or(0, Iterator::count), 0, "a landing is left behind");
    // The disk has failed.
    mount(&["-o", "remount,ro"]);
    let said = refused(&bed.a, &bed.b, "two");
    assert!(said.contains("no firmware of the right size"), "{said}");
    bed.a.must_migrate("four", &bed.b, &[]);
}

#[test]
fn a_hook_that_crashes_or_is_gone_stops_no_guest_and_a_killed_daemon_finds_all_again() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(true);
    guests(&bed);
    bed.a.must_migrate("two", &bed.b, &["--persistent"]);

    // libvirt runs the hook for each guest that it finds again, and kills the guest if the hook fails.
    bed.b.stop_libvirtd("-KILL");
    bed.b.start_libvirtd();
    assert_eq!(bed.b.ask(&["domstate", "two"]).trim(), "paused");

    let hook = bed.b.root().join("etc/libvirt/hooks/qemu.d/flashmoor");
    let text = fs::read_to_string(&hook).unwrap();
    let program = fm_e2e::flashmoor().get_program().to_str().unwrap().to_owned();
    let crash = bed.b.root().join("crash");
    fs::write(&crash, "#!/bin/sh\nkill -SEGV $$\n").unwrap();
    fs::set_permissions(&crash, fs::Permissions::from_mode(0o755)).unwrap();
    for broken in [crash.to_str().unwrap(), "/nowhere/flashmoor"] {
        fs::write(&hook, text.replace(&program, broken)).unwrap();
        bed.b.stop_libvirtd("-KILL");
        bed.b.start_libvirtd();
        assert_eq!(bed.b.ask(&["domstate", "two"]).trim(), "paused", "{broken}");
        bed.a.must_migrate("four", &bed.b, &[]);
        back(&bed, "four");
    }
}
