//! A fleet as its users have it: a server, two hosts and real guests on one of them, over the network of this machine.

mod fleet_bed;

use fleet_bed::{Fleet, arrival};
use fm_e2e::{document, stderr};
use fm_lab::{Arch, Machine};

/// What the fleet says of a guest of ours; the machine may run those of other tests.
fn row(guests: &serde_json::Value, uuid: &str) -> serde_json::Value {
    let rows = guests["guests"].as_array().unwrap();
    let row = rows.iter().find(|row| row["uuid"] == uuid);
    row.unwrap_or_else(|| panic!("{uuid} is not in {guests}")).clone()
}

#[test]
fn a_guest_and_its_build_are_known_cluster_wide_and_the_build_is_brought_and_kept() {
    let mut fleet = Fleet::start();
    fleet.join("a");
    fleet.join("b");
    let vars = fleet.bench.copy("bookworm/OVMF_VARS.fd", "vars.fd");
    let uuid = "6d2b0f4e-33f1-4a51-9a43-2f2a3b8f1c01";
    let code = fm_fixtures::path("bookworm/OVMF_CODE.fd");
    let machine = Machine::new(Arch::X86_64, &code, &vars).with(&["-uuid", uuid]);
    // What was there when a host joined has not appeared.
    fleet.agent("a");
    let guest = fleet.bench.start(&machine);
    fleet.agent("a");

    let guests = document(&fleet.ask(&["guests", "--host", "a", "--json"]));
    let seen = row(&guests, uuid);
    let build = seen["build"].as_str().unwrap().to_owned();
    assert_eq!(seen["host"], "a");
    assert_eq!(seen["layout"], "2M");
    assert!(seen.get("next_build").is_none(), "{seen}");

    let why = document(&fleet.ask(&["why", &build[..12], "--json"]));
    assert_eq!(
        why["state"], "live",
        "the agent brought what the fleet lacked: {why}"
    );
    let needs = why["needed_by"].as_array().unwrap();
    assert!(
        needs
            .iter()
            .any(|need| need["host"] == "a" && need["guest"] == uuid && need["reason"] == "runs")
    );

    // What was brought is what the guest runs.
    let stored = fleet.server_blob(&build);
    assert_eq!(stored, std::fs::read(&code).unwrap());

    let events = document(&fleet.ask(&["events", "--guest", uuid, "--json"]));
    assert!(
        events["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["kind"] == "guest_appeared")
    );

    drop(guest);
    fleet.agent("a");
    let guests = document(&fleet.ask(&["guests", "--host", "a", "--json"]));
    assert!(
        guests["guests"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["uuid"] != uuid)
    );
    // It may be on its way: nobody has said that it arrived.
    let why = document(&fleet.ask(&["why", &build, "--json"]));
    let needs = why["needed_by"].as_array().unwrap();
    assert!(
        needs
            .iter()
            .any(|need| need["guest"] == uuid && need["reason"] == "departing"),
        "{why}"
    );
}

#[test]
fn a_guest_that_reaches_a_host_without_its_build_gets_it_from_the_fleet_and_lands_when_that_is_down() {
    let mut fleet = Fleet::start();
    fleet.join("a");
    fleet.join("b");
    let vars = fleet.bench.copy("bookworm/OVMF_VARS.fd", "vars.fd");
    let code = fm_fixtures::path("bookworm/OVMF_CODE.fd");
    let uuid = "6d2b0f4e-33f1-4a51-9a43-2f2a3b8f1c02";
    let machine = Machine::new(Arch::X86_64, &code, &vars).with(&["-uuid", uuid]);
    let guest = fleet.bench.start(&machine);
    fleet.agent("a");
    let guests = document(&fleet.ask(&["guests", "--host", "a", "--json"]));
    let build = row(&guests, uuid)["build"].as_str().unwrap().to_owned();
    let bytes = std::fs::read(&code).unwrap();
    // All hosts of this test see the processes of this machine; from now on there is none to capture it from.
    drop(guest);
    let stored = fleet.bench.path(&format!("b/builds/sha256-{build}/CODE.fd"));
    assert!(!stored.exists());

    let agent = fleet.running_agent("b");
    let xml = arrival(&build, bytes.len(), std::path::Path::new("/nowhere/CODE.fd"));
    let answer = fleet.hook("b", "migrate", &xml);
    assert!(answer.contains(stored.to_str().unwrap()), "{answer}");
    assert_eq!(std::fs::read(&stored).unwrap(), bytes);

    // A cold boot of a domain whose build has gone from the store.
    std::fs::remove_dir_all(stored.parent().unwrap()).unwrap();
    let starts = fleet.hook("b", "prepare", &arrival(&build, bytes.len(), &stored));
    assert_eq!(starts, "", "libvirt goes on as it is");
    assert_eq!(std::fs::read(&stored).unwrap(), bytes);

    // What the fleet does not have, and without the server, and without the agent: it is as it was without a fleet.
    let xml = arrival(&"5".repeat(64), 4096, std::path::Path::new("/nowhere/CODE.fd"));
    let answer = fleet.hook("b", "migrate", &xml);
    assert!(answer.contains("/b/landings/"), "{answer}");
    fleet.end_server();
    for _ in 0..2 {
        let answer = fleet.hook("b", "migrate", &xml);
        assert!(answer.contains("/b/landings/"), "{answer}");
    }
    drop(agent);
    let answer = fleet.hook("b", "migrate", &xml);
    assert!(answer.contains("/b/landings/"), "{answer}");
}

#[test]
fn a_guest_gets_its_build_from_the_host_that_it_comes_from_also_when_no_server_answers() {
    let mut fleet = Fleet::start();
    fleet.join("a");
    fleet.join("b");
    let code = fm_fixtures::bytes("bookworm/OVMF_CODE.fd");
    let build = fm_formats::Sha256::of(&code).to_string();
    let import = fleet.flashmoor(
        "a",
        &[
            "store",
            "import",
            fm_fixtures::path("bookworm/OVMF_CODE.fd").to_str().unwrap(),
        ],
    );
    assert!(import.status.success(), "{}", stderr(&import));
    let (giver, address) = fleet.giving_agent("a");
    let taker = fleet.running_agent("b");
    fleet.end_server();
    let nowhere = std::path::Path::new("/nowhere/CODE.fd");
    let xml = arrival(&build, code.len(), nowhere);
    let from = xml.replace("code-bytes=", &format!("peer='{address}' code-bytes="));
    let stored = fleet.bench.path(&format!("b/builds/sha256-{build}/CODE.fd"));
    let answer = fleet.hook("b", "migrate", &from);
    assert!(answer.contains(stored.to_str().unwrap()), "{answer}");
    assert_eq!(std::fs::read(&stored).unwrap(), code);

    // Without the server and without that host it lands.
    drop(giver);
    for what in ["builds", "blobs"] {
        std::fs::remove_dir_all(fleet.bench.path(&format!("b/{what}"))).unwrap();
    }
    for what in ["index.json", "oci-layout"] {
        std::fs::remove_file(fleet.bench.path(&format!("b/{what}"))).unwrap();
    }
    let answer = fleet.hook("b", "migrate", &from);
    assert!(answer.contains("/b/landings/"), "{answer}");
    drop(taker);
}

#[test]
fn a_token_is_used_once_and_a_name_is_nobody_elses() {
    let fleet = Fleet::start();
    let token = fleet.token(&[]);
    assert!(fleet.try_join("a", &token).status.success());
    let again = fleet.try_join("b", &token);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("token"), "{}", stderr(&again));
    let taken = fleet.try_join_as("c", "a", &fleet.token(&[]));
    assert!(!taken.status.success(), "the name of a host that has joined");
    let replaced = fleet.try_join_as("d", "whatever", &fleet.token(&["--name", "a"]));
    assert!(replaced.status.success(), "{}", stderr(&replaced));
    // The first one's certificate was revoked with that, at once.
    let refused = fleet.agent_output("a");
    assert!(stderr(&refused).contains("revoked"), "{}", stderr(&refused));
}

#[test]
fn a_token_of_another_fleet_is_not_given_away() {
    let (one, other) = (Fleet::start(), Fleet::start());
    let token = one.token(&[]).replace(&one.url, &other.url);
    let refused = other.try_join("a", &token);
    assert!(!refused.status.success());
    // It was not spent either: the server that it is for takes it.
    assert!(one.try_join("a", &one.token(&[])).status.success());
}

#[test]
fn certificates_of_another_fleet_are_refused_and_revoked_ones_at_once() {
    let (one, other) = (Fleet::start(), Fleet::start());
    let foreign = one.ask_as(&other.administrator(), &["status"]);
    assert!(!foreign.status.success());
    one.join("a");
    let keys = document(&one.ask(&["keys", "--json"]));
    let serial = keys["certificates"][0]["serial"].as_str().unwrap().to_owned();
    assert!(one.ask(&["keys", "--revoke", &serial]).status.success());
    let refused = one.ask_as(&one.host_identity("a"), &["builds"]);
    assert!(stderr(&refused).contains("revoked"), "{}", stderr(&refused));
}

#[test]
fn a_host_sees_and_writes_its_own_and_cannot_rule() {
    let fleet = Fleet::start();
    fleet.join("a");
    fleet.join("b");
    for who in ["a", "b"] {
        fleet.agent(who);
    }
    let identity = fleet.host_identity("a");
    let guests = document(&fleet.ask_as(&identity, &["guests", "--host", "b", "--json"]));
    assert!(
        guests["guests"]
            .as_array()
            .unwrap()
            .iter()
            .all(|guest| guest["host"] == "a")
    );
    for verb in [&["hosts"][..], &["retire", "b"], &["token"], &["keys"]] {
        let refused = fleet.ask_as(&identity, verb);
        assert!(!refused.status.success(), "{verb:?}");
    }
    // With the certificate of one and the name of the other.
    fleet.rename_identity("a", "b");
    let refused = fleet.agent_output("a");
    assert!(stderr(&refused).contains("another host"), "{}", stderr(&refused));
}
