//! Engines that fail: what the failure table of docs/fleet.md says of them.

mod bed;

use std::time::Duration;

use fm_api::v1::enrolment::Role;
use fm_api::v1::fleet::{BuildState, BuildView, Mark, ReportAnswer, Use, UseReason, Why};
use fm_client::{Client, Precondition};
use fm_fixtures::Patience;
use fm_fixtures::engines::{Cluster, Registry, RegistrySetup};
use fm_formats::Sha256;

use bed::{Bed, Engines, report, send, unavailable};

/// Nothing of this takes long; a machine that does something else as well needs several times as long.
const PATIENCE: Duration = Duration::from_secs(120);

fn on(records: Option<&Cluster>, blobs: Option<&Registry>) -> Bed {
    Bed::start_on(&Engines {
        records: records.map(Cluster::address),
        blobs: blobs.map(Registry::address),
        grace: Duration::ZERO,
        ..Engines::default()
    })
}

/// What a host says: which builds it needs, and how far it has answered.
fn say(
    client: &Client,
    sequence: u64,
    needs: &[&[u8]],
    acknowledged: Option<Mark>,
) -> fm_client::Result<ReportAnswer> {
    let mut said = report("a");
    said.sequence = sequence;
    said.acknowledged = acknowledged;
    said.uses = needs
        .iter()
        .map(|code| Use {
            build: Sha256::of(code).to_string().parse().unwrap(),
            reason: UseReason::Pinned,
            guest: None,
        })
        .collect();
    send(client, "a", &said)
}

fn upload(client: &Client, bytes: &[u8]) -> fm_client::Result<BuildView> {
    let code = Sha256::of(bytes);
    client.put_bytes(&format!("/api/v1/blobs/{code}"), bytes)?;
    let layers = serde_json::json!([{
        "media_type": "application/vnd.flashmoor.code.v1", "title": "CODE.fd", "digest": code.to_string(),
    }]);
    let path = format!("/api/v1/builds/{code}");
    client.write(
        "PUT",
        &path,
        &serde_json::json!({ "layers": layers }),
        Precondition::None,
    )
}

fn why(client: &Client, bytes: &[u8]) -> Why {
    client
        .get(&format!("/api/v1/builds/{}/why", Sha256::of(bytes)))
        .unwrap()
}

/// Asks until it is so; what is asked of the host meanwhile it answers, with what it needs.
fn until(
    host: &Client,
    administrator: &Client,
    sequence: &mut u64,
    bytes: &[u8],
    is_so: impl Fn(&Why) -> bool,
) -> Why {
    let mut patience = Patience::new(PATIENCE);
    loop {
        let why = why(administrator, bytes);
        if is_so(&why) {
            return why;
        }
        let alive = "/api/v1/hosts/a/alive";
        let heard: ReportAnswer = host
            .write("POST", alive, &serde_json::json!({}), Precondition::None)
            .unwrap();
        if heard.scan.is_some() {
            *sequence += 1;
            say(host, *sequence, &[], heard.scan).unwrap();
        }
        patience.rest(|| format!("{why:#?}"));
    }
}

#[test]
fn etcd_without_a_majority_lets_nobody_in_and_loses_nothing() {
    let mut cluster = Cluster::start();
    let bed = on(Some(&cluster), None);
    // It waits longer than the server tries.
    let patient = Client::new(&bed.join(Role::Host, "a"), PATIENCE).unwrap();
    say(&patient, 1, &[b"code"], None).unwrap();
    upload(&patient, b"code").unwrap();
    cluster.kill(0);
    cluster.kill(1);
    unavailable(say(&patient, 2, &[], None));
    cluster.restart(0);
    let mut patience = Patience::new(PATIENCE);
    // The same report again, as its outbox sends it.
    while let Err(error) = say(&patient, 2, &[b"code"], None) {
        patience.rest(|| error.to_string());
    }
    let administrator = bed.client(&bed.administrator());
    let proof = why(&administrator, b"code");
    assert_eq!((proof.state, proof.need_count), (BuildState::Live, 1));
    let code = Sha256::of(b"code");
    assert_eq!(
        administrator.get_bytes(&format!("/api/v1/blobs/{code}")).unwrap(),
        b"code"
    );
}

#[test]
fn a_registry_that_is_down_or_takes_nothing_delays_what_comes_and_what_goes() {
    let mut registry = Registry::start();
    let bed = on(None, Some(&registry));
    let host = bed.client(&bed.join(Role::Host, "a"));
    let administrator = bed.client(&bed.administrator());
    say(&host, 1, &[b"first", b"second"], None).unwrap();
    upload(&host, b"first").unwrap();

    registry.kill();
    unavailable(upload(&host, b"second"));
    let first = format!("/api/v1/blobs/{}", Sha256::of(b"first"));
    unavailable(administrator.get_bytes(&first));
    // It is asked for still.
    assert_eq!(
        say(&host, 2, &[b"first", b"second"], None).unwrap().upload.len(),
        1
    );
    registry.restart(true);
    unavailable(upload(&host, b"second"));
    assert_eq!(
        administrator.get_bytes(&first).unwrap(),
        b"first",
        "reading goes on"
    );

    // What nobody needs waits, and says so, until it can go.
    let mut sequence = 3;
    say(&host, sequence, &[], None).unwrap();
    let is_deleting = |why: &Why| why.state == BuildState::Deleting;
    until(&host, &administrator, &mut sequence, b"first", is_deleting);
    registry.kill();
    registry.restart(false);
    let is_purged = |why: &Why| why.state == BuildState::Purged;
    until(&host, &administrator, &mut sequence, b"first", is_purged);
    sequence += 1;
    say(&host, sequence, &[b"second"], None).unwrap();
    assert_eq!(upload(&host, b"second").unwrap().state, BuildState::Live);
}

#[test]
fn a_registry_that_is_full_refuses_what_is_new_and_keeps_what_it_has() {
    let registry = Registry::start_with(RegistrySetup {
        room_bytes: Some(2 << 20),
        ..RegistrySetup::default()
    });
    let bed = on(None, Some(&registry));
    let host = bed.client(&bed.join(Role::Host, "a"));
    let large = vec![7; 1 << 20];
    say(&host, 1, &[b"first", &large], None).unwrap();
    upload(&host, b"first").unwrap();
    let filler = registry.data().join("filler");
    let fill = |path: &std::path::Path| {
        let mut file = std::fs::File::create(path).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    };
    fill(&filler);
    unavailable(upload(&host, &large));
    let first = format!("/api/v1/blobs/{}", Sha256::of(b"first"));
    assert_eq!(host.get_bytes(&first).unwrap(), b"first");
    let asked = say(&host, 2, &[b"first", &large], None).unwrap();
    assert_eq!(asked.upload.len(), 1, "it is wanted still");
    std::fs::remove_file(filler).unwrap();
    assert_eq!(upload(&host, &large).unwrap().state, BuildState::Live);
}
