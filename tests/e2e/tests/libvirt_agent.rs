//! What the agent stores, says and removes, and what it makes up for when it comes back.

use std::fs;

use fm_e2e::bed::{Bed, Host, packaged};
use fm_e2e::{digest, stderr};
use fm_fixtures::Patience;

fn wait_until(host: &Host, what: &str, is_so: impl Fn() -> bool) {
    let mut patience = Patience::new(fm_lab::PATIENCE);
    while !is_so() {
        patience.rest(|| format!("{what}: {}", host.agent_log()));
    }
}

#[test]
fn of_a_guest_that_comes_slowly_only_what_it_came_with_is_stored() {
    let bed = Bed::new();
    bed.b.install_flashmoor(true);
    bed.a.define(&packaged("slow", "_4M"));
    bed.a.ask(&["start", "slow"]);
    let _ = bed.a.booted_serial("slow");
    // Nobody adopted it: it starts from a file of B's of the same size, and A's bytes come in their time.
    bed.a.must_migrate("slow", &bed.b, &["--bandwidth", "4"]);
    let build = digest("bookworm/OVMF_CODE_4M.fd");
    assert_eq!(bed.b.running_code("slow"), build);
    wait_until(&bed.b, "its build is not stored", || {
        bed.b.builds().contains(&build)
    });
    assert_eq!(bed.b.builds(), [build], "{}", bed.b.agent_log());
}

#[test]
fn an_agent_that_was_down_makes_up_for_it_and_until_then_a_placeholder_never_boots() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(false);
    let build = digest("bookworm/OVMF_CODE.fd");
    for name in ["waits", "lost"] {
        bed.a.define(&packaged(name, ""));
        bed.a.ask(&["start", "--paused", name]);
        bed.a.adopt(name);
        bed.a
            .must_migrate(name, &bed.b, &["--persistent", "--undefinesource"]);
        assert_eq!(bed.b.running_code(name), build);
    }
    assert_eq!(bed.b.waiting(), 2);
    bed.b.ask(&["destroy", "lost"]);
    let refused = bed.b.virsh(&["start", "lost"]);
    assert!(!refused.status.success());
    assert!(
        stderr(&refused).contains("flashmoor store import"),
        "{}",
        stderr(&refused)
    );
    let said = bed.b.agent_once(&[]);
    assert!(said.contains("brought build"), "{said}");
    bed.b.wait_for_harvest_of(&build, 1);
    bed.b.ask(&["start", "--paused", "lost"]);
    assert_eq!(
        bed.b.running_code("lost"),
        build,
        "another guest brought its build"
    );
    bed.b.ask(&["destroy", "waits"]);
    bed.b.ask(&["start", "--paused", "waits"]);
    assert_eq!(bed.b.running_code("waits"), build);
}

#[test]
fn what_guests_run_is_stored_and_said_and_goes_when_nobody_is_left_who_needs_it() {
    let bed = Bed::new();
    let host = &bed.a;
    host.install_flashmoor(true);
    let (old, new) = (
        digest("bookworm/OVMF_CODE_4M.fd"),
        digest("trixie/OVMF_CODE_4M.fd"),
    );
    host.define(&packaged("edited", "_4M"));
    host.adopt("edited");
    host.install_package("trixie");
    // Somebody points the definition elsewhere and leaves our words in it.
    let xml = host.ask(&["dumpxml", "--inactive", "edited"]);
    let (at, end) = (
        xml.find("type='pflash'>").unwrap(),
        xml.find("</loader>").unwrap(),
    );
    let edited = format!(
        "{}type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd{}",
        &xml[..at],
        &xml[end..]
    );
    host.define(&edited);
    host.ask(&["start", "--paused", "edited"]);
    wait_until(host, "it is not captured", || host.builds().contains(&new));
    wait_until(host, "its domain is not told", || {
        host.ask(&["dumpxml", "edited"])
            .contains(&format!("sha256:{new}"))
    });
    // The next agent goes on where this one was.
    host.kill_agent();
    host.ask(&["destroy", "edited"]);
    let collect = || host.agent_once(&["--keep-days", "0"]);
    let _ = collect();
    assert!(host.builds().contains(&old), "a domain is adopted with it");
    host.ask(&["undefine", "--nvram", "edited"]);
    wait_until(host, "builds stay that nobody needs", || {
        let _ = collect();
        host.builds().is_empty()
    });
}

#[test]
fn a_running_domain_says_where_other_hosts_get_its_build_and_its_definition_does_not() {
    let bed = Bed::new();
    let host = &bed.a;
    host.install_flashmoor(false);
    host.define(&packaged("gives", ""));
    host.ask(&["start", "--paused", "gives"]);
    host.adopt("gives");
    let mut agent = host.flashmoor();
    agent.args([
        "agent",
        "--connect",
        &host.uri(),
        "--interval",
        "1",
        "--peers-listen",
        "127.0.0.1:0",
    ]);
    agent.args(["--peers-address", "node-a.example:7118"]);
    let mut agent = agent.spawn().unwrap();
    wait_until(host, "it does not say so", || {
        host.ask(&["dumpxml", "gives"]).contains("peer=")
    });
    let says = |xml: &str| {
        xml.contains("peer='node-a.example:7118'") || xml.contains("peer=\"node-a.example:7118\"")
    };
    assert!(says(&host.ask(&["dumpxml", "gives"])));
    assert!(!host.ask(&["dumpxml", "--inactive", "gives"]).contains("peer="));
    host.kill_agent();
    agent.wait().unwrap();
}

#[test]
fn a_domain_whose_metadata_somebody_wrote_anew_is_told_again_what_it_runs() {
    let bed = Bed::new();
    let host = &bed.a;
    host.install_flashmoor(false);
    host.define(&packaged("instance", ""));
    host.ask(&["start", "--paused", "instance"]);
    host.adopt("instance");
    host.ask(&["destroy", "instance"]);
    // As OpenStack's compute service defines its instances: everything but its own metadata is gone.
    let xml = host.ask(&["dumpxml", "--inactive", "instance"]);
    let (head, rest) = xml.split_once("<metadata>").unwrap();
    let (_, tail) = rest.split_once("</metadata>").unwrap();
    host.define(&format!("{head}{tail}"));
    host.ask(&["start", "--paused", "instance"]);
    let own = format!("build=\"sha256:{}\"", digest("bookworm/OVMF_CODE.fd"));
    let says = || {
        host.ask(&["dumpxml", "instance"])
            .replace('\'', "\"")
            .contains(&own)
    };
    assert!(!says());
    let said = host.agent_once(&[]);
    assert!(says(), "{said}");
    // Who never was adopted is none of ours.
    host.define(&packaged("plain", ""));
    host.ask(&["start", "--paused", "plain"]);
    host.agent_once(&[]);
    assert!(!host.ask(&["dumpxml", "plain"]).contains("sha256:"));
}

#[test]
fn a_build_that_somebody_imported_stays_whatever_becomes_of_its_domains() {
    let bed = Bed::new();
    let host = &bed.a;
    host.install_flashmoor(false);
    let code = fm_fixtures::path("bookworm/OVMF_CODE_4M.fd");
    let _ = host.json(&["store", "import", code.to_str().unwrap()]);
    host.define(&packaged("passing", "_4M"));
    host.adopt("passing");
    host.ask(&["undefine", "passing"]);
    for _ in 0..2 {
        let _ = host.agent_once(&["--keep-days", "0"]);
    }
    assert_eq!(host.builds(), [digest("bookworm/OVMF_CODE_4M.fd")]);
}

#[test]
fn a_definition_that_could_not_start_any_more_is_not_given_back_unless_forced() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(true);
    let build = digest("bookworm/OVMF_CODE.fd");
    bed.a.define(&packaged("two", ""));
    bed.a.ask(&["start", "--paused", "two"]);
    bed.a.adopt("two");
    bed.a
        .must_migrate("two", &bed.b, &["--persistent", "--undefinesource"]);
    bed.b.wait_for_harvest(&build);
    let unadopt = |more: &[&str]| {
        let mut command = bed.b.flashmoor();
        command.args(["libvirt", "unadopt", "two", "--connect", &bed.b.uri()]);
        command.args(more).output().unwrap()
    };
    bed.b.adopt("two");
    let before = bed.b.ask(&["dumpxml", "--inactive", "two"]);
    let refused = unadopt(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("OVMF_CODE.fd is not on this host"));
    assert_eq!(bed.b.ask(&["dumpxml", "--inactive", "two"]), before);
    bed.b.ask(&["destroy", "two"]);
    bed.b.ask(&["start", "--paused", "two"]);
    assert!(unadopt(&["--force"]).status.success());
    let pins = &bed.b.json(&["store", "list"])["builds"][0]["pins"];
    assert_eq!(pins.as_array().unwrap().len(), 1, "the only copy is let go");
}

#[test]
fn a_guest_that_somebody_elses_hook_refuses_runs_on_and_its_landing_serves_the_next_try() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(false);
    let other = bed.b.root().join("etc/libvirt/hooks/qemu.d/zz");
    fs::write(&other, "#!/bin/sh\n[ $2 != migrate ]\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&other, mode).unwrap();
    bed.b.stop_libvirtd("-TERM");
    bed.b.start_libvirtd();
    bed.a.define(&packaged("two", ""));
    bed.a.ask(&["start", "--paused", "two"]);
    bed.a.adopt("two");
    assert!(!bed.a.migrate("two", &bed.b, &[]).status.success());
    assert_eq!(bed.a.ask(&["domstate", "two"]).trim(), "paused");
    assert_eq!(bed.b.waiting(), 1, "nobody told us that it does not come");
    fs::remove_file(other).unwrap();
    bed.b.stop_libvirtd("-TERM");
    bed.b.start_libvirtd();
    bed.a.must_migrate("two", &bed.b, &[]);
    let _ = bed.b.agent_once(&[]);
    bed.b.wait_for_harvest(&digest("bookworm/OVMF_CODE.fd"));
    assert_eq!(
        bed.b.json(&["store", "landings"])["landings"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn an_impostor_with_a_domains_uuid_does_not_speak_for_it() {
    let bed = Bed::new();
    let host = &bed.a;
    host.install_flashmoor(false);
    host.define(&packaged("victim", "_4M"));
    host.ask(&["start", "--paused", "victim"]);
    host.adopt("victim");
    let uuid = host.ask(&["domuuid", "victim"]).trim().to_owned();
    let theirs = fm_fixtures::path("trixie/OVMF_CODE_4M.fd");
    // Somebody's own QEMU, which says that it is the victim's.
    let mut impostor = host
        .command("setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--pdeathsig",
            "KILL",
            "--",
        ])
        .args([
            "qemu-system-x86_64",
            "-S",
            "-machine",
            "q35",
            "-accel",
            "tcg",
            "-m",
            "16",
            "-nodefaults",
        ])
        .args(["-display", "none", "-name", "victim", "-uuid", &uuid, "-drive"])
        .arg(format!(
            "if=pflash,unit=0,format=raw,readonly=on,file={}",
            theirs.display()
        ))
        .args(["-monitor", "stdio"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0];
    std::io::Read::read_exact(impostor.stdout.as_mut().unwrap(), &mut first).unwrap();
    let said = host.agent_once(&[]);
    let stamped = host.ask(&["dumpxml", "victim"]);
    impostor.kill().unwrap();
    impostor.wait().unwrap();
    let (own, foreign) = (
        digest("bookworm/OVMF_CODE_4M.fd"),
        digest("trixie/OVMF_CODE_4M.fd"),
    );
    assert!(
        said.contains(&foreign[..12]) || host.builds().contains(&foreign),
        "it was seen: {said}"
    );
    assert!(stamped.contains(&own) && !stamped.contains(&foreign), "{said}");
}
