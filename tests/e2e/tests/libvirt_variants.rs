//! Whichever way libvirt moves, saves or restores a guest, its firmware comes along.

use std::fs;

use fm_e2e::bed::{Bed, packaged};
use fm_e2e::stderr;
use fm_fixtures::Patience;
use fm_formats::Sha256;

fn build() -> String {
    Sha256::of(&fm_fixtures::bytes("bookworm/OVMF_CODE.fd")).to_string()
}

/// How `virsh migrate` is told to move a guest.
const MOVES: [(&str, &[&str]); 5] = [
    ("direct", &["--live"]),
    ("peer-to-peer", &["--live", "--p2p"]),
    ("tunnelled", &["--live", "--p2p", "--tunnelled"]),
    (
        "postcopy",
        &["--live", "--p2p", "--postcopy", "--postcopy-after-precopy"],
    ),
    ("paused", &["--p2p"]),
];

#[test]
fn however_virsh_migrates_a_guest_its_firmware_lands_is_stored_and_boots_again() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(true);
    for (name, words) in MOVES {
        bed.a.define(&packaged(name, ""));
        bed.a.ask(&["start", name]);
        bed.a.adopt(name);
        let uri = bed.b.uri();
        let mut command = vec!["migrate"];
        command.extend(words);
        command.extend(["--persistent", "--undefinesource", name, &uri]);
        if !words.contains(&"--tunnelled") {
            command.push("tcp://127.0.0.1");
        }
        let moved = bed.a.virsh(&command);
        assert!(moved.status.success(), "{name}: {}", stderr(&moved));
        assert_eq!(bed.b.running_code(name), build(), "{name}");
        bed.b.wait_for_harvest(&build());
        bed.b.ask(&["destroy", name]);
        bed.b.ask(&["start", "--paused", name]);
        assert_eq!(bed.b.running_code(name), build(), "{name}: cold boot");
        bed.b.ask(&["destroy", name]);
        bed.b.ask(&["undefine", "--nvram", name]);
        bed.b.forget_firmware();
    }
}

#[test]
fn a_guest_whose_variables_lie_on_shared_storage_goes_there_and_back() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(true);
    let shared = bed.a.store().with_file_name("shared_VARS.fd");
    let own = "/var/lib/libvirt/qemu/nvram/shared_VARS.fd";
    bed.a
        .define(&packaged("shared", "").replace(own, shared.to_str().unwrap()));
    bed.a.ask(&["start", "shared"]);
    bed.a.adopt("shared");
    for (from, to) in [(&bed.a, &bed.b), (&bed.b, &bed.a)] {
        from.must_migrate("shared", to, &["--persistent", "--undefinesource"]);
        assert_eq!(to.running_code("shared"), build());
        assert!(shared.exists(), "the variables are gone with the guest");
    }
    bed.a.ask(&["destroy", "shared"]);
    bed.a.ask(&["start", "--paused", "shared"]);
    assert_eq!(bed.a.running_code("shared"), build());
}

#[test]
fn a_migration_that_is_aborted_leaves_the_guest_where_it_was_and_nothing_behind() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(true);
    bed.a.define(&packaged("stays", ""));
    bed.a.ask(&["start", "stays"]);
    bed.a.adopt("stays");
    std::thread::scope(|scope| {
        let moving = scope.spawn(|| bed.a.migrate("stays", &bed.b, &["--bandwidth", "1"]));
        let mut patience = Patience::new(fm_lab::PATIENCE);
        while bed.b.waiting() == 0 || !bed.a.virsh(&["domjobabort", "stays"]).status.success() {
            patience.rest(|| "the migration does not begin".into());
        }
        let moved = moving.join().unwrap();
        assert!(!moved.status.success(), "it was aborted");
    });
    assert_eq!(bed.a.ask(&["domstate", "stays"]).trim(), "running");
    assert_eq!(bed.b.ask(&["list", "--all", "--name"]).trim(), "");
    assert_eq!(bed.b.waiting(), 0, "a landing is left behind");
    let marks = bed
        .b
        .path(&format!("{}/libvirt/arriving", bed.b.store().display()));
    assert_eq!(fs::read_dir(marks).unwrap().count(), 0);
    bed.a.must_migrate("stays", &bed.b, &[]);
    assert_eq!(bed.b.running_code("stays"), build());
}

#[test]
fn guests_whose_memory_libvirt_keeps_go_on_after_the_upgrade_whenever_they_were_adopted() {
    let bed = Bed::new();
    bed.a.install_flashmoor(true);
    let file = |name: &str| bed.a.store().with_file_name(name).display().to_string();
    for name in ["before", "after", "snapshot", "late-snapshot"] {
        bed.a.define(&packaged(name, ""));
        bed.a.ask(&["start", "--paused", name]);
    }
    bed.a.adopt("before");
    bed.a.adopt("snapshot");
    for name in ["before", "after"] {
        bed.a.ask(&["managedsave", name]);
    }
    for name in ["snapshot", "late-snapshot"] {
        let memory = format!("file={},snapshot=external", file(name));
        bed.a
            .ask(&["snapshot-create-as", name, "one", "--memspec", &memory, "--halt"]);
    }
    // One that is not running any more, but goes on with its memory at its next start.
    bed.a.adopt("after");
    bed.a.install_package("trixie");

    for name in ["before", "after"] {
        bed.a.ask(&["start", "--paused", name]);
        assert_eq!(bed.a.running_code(name), build(), "{name}");
    }
    // Its saved XML says nothing of its firmware; once it runs, the agent does.
    bed.a.ask(&["resume", "after"]);
    let mut patience = Patience::new(fm_lab::PATIENCE);
    while !bed
        .a
        .ask(&["dumpxml", "after"])
        .contains(&format!("sha256:{}", build()))
    {
        patience.rest(|| bed.a.agent_log());
    }
    let refused = bed.a.virsh(&["restore", &file("late-snapshot")]);
    assert!(
        stderr(&refused).contains("flashmoor saved adopt"),
        "{}",
        stderr(&refused)
    );
    let _ = bed.a.json(&["saved", "adopt", &file("late-snapshot")]);
    for name in ["snapshot", "late-snapshot"] {
        bed.a.ask(&["restore", "--paused", &file(name)]);
        assert_eq!(bed.a.running_code(name), build(), "{name}");
    }
}
