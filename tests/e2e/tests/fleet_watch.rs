//! `fleet … --watch` shows again what changed, and goes on when the server comes back.

mod fleet_bed;

use std::process::{Child, Stdio};

use fleet_bed::Fleet;
use fm_e2e::flashmoor;
use serde_json::Value;

/// A command that goes on, and the documents that it prints.
struct Watching {
    process: Child,
    documents: Box<dyn Iterator<Item = serde_json::Result<Value>>>,
}

impl Watching {
    fn start(fleet: &Fleet, verb: &str) -> Self {
        let mut command = flashmoor();
        command.arg("--store").arg(fleet.bench.path("nobody"));
        command.args(["--json", "fleet", verb, "--watch", "--url", &fleet.url]);
        command.arg("--identity").arg(fleet.administrator());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = process.stdout.take().unwrap();
        let documents = serde_json::Deserializer::from_reader(said).into_iter::<Value>();
        Self {
            process,
            documents: Box::new(documents),
        }
    }

    /// Reads until a document is so.
    fn until(&mut self, is_so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let document = self.documents.next().expect("it goes on").unwrap();
            if is_so(&document) {
                return document;
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn what_is_watched_is_shown_again_when_something_happens_also_after_the_server_was_away() {
    let mut fleet = Fleet::start();
    fleet.join("a");
    let mut watching = ["status", "hosts", "guests", "builds"].map(|verb| Watching::start(&fleet, verb));
    let first = watching
        .each_mut()
        .map(|watching| watching.until(|_| true)["revision"].as_u64().unwrap());
    fleet.agent("a");
    let newer = |before: u64| move |document: &Value| document["revision"].as_u64().unwrap() > before;
    let [status, hosts, guests, builds] = &mut watching;
    status.until(|document| document["host_count"] == 1);
    hosts.until(|document| document["hosts"][0]["host"] == "a");
    guests.until(newer(first[2]));
    builds.until(newer(first[3]));

    fleet.end_server();
    fleet.restart_server();
    fleet.join("b");
    fleet.agent("b");
    status.until(|document| document["host_count"] == 2);
    hosts.until(|document| document["hosts"][1]["host"] == "b");
    for watching in [guests, builds] {
        watching.until(|document| document["revision"].as_u64().is_some());
    }
}

#[test]
fn who_watches_a_fleet_that_is_not_there_is_told_so_at_once() {
    let mut fleet = Fleet::start();
    fleet.end_server();
    let refused = fleet.ask(&["status", "--watch"]);
    assert_eq!(refused.status.code(), Some(1), "{}", fm_e2e::stderr(&refused));
}
