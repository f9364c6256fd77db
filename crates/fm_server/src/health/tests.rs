//! A real Prometheus, and a webhook that answers what a test wants.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use fm_api::v1::rollout::RolloutSpec;
use fm_fixtures::engines::Prometheus;

use super::*;

/// A webhook that answers one question with these bytes; what it was asked.
fn webhook(answer: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut asked, mut part) = (Vec::new(), [0; 4096]);
        loop {
            let read = stream.read(&mut part).unwrap();
            asked.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&asked);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().unwrap())
            });
            if length.is_none_or(|length| body.len() >= length) {
                tell.send(text.into_owned()).unwrap();
                break;
            }
        }
        stream.write_all(answer.as_bytes()).unwrap();
    });
    (url, told)
}

fn question(words: HealthWords) -> HealthQuestion {
    let mut spec = RolloutSpec::new(vec!["a".repeat(64).parse().unwrap()], "all");
    spec.health = words;
    HealthQuestion {
        schema: fm_api::Schema::default(),
        rollout: "r".into(),
        spec,
        wave: 1,
        healthy_count: 7,
        failed_count: 1,
    }
}

fn health(webhook: Option<&str>, prometheus: Option<&str>) -> Health {
    let options = HealthOptions {
        webhook: webhook.map(str::to_owned),
        prometheus: prometheus.map(str::to_owned),
        ca: None,
    };
    Health::new(&options).unwrap().unwrap()
}

fn said_by_webhook(answer: &'static str) -> HealthWord {
    let (url, _told) = webhook(answer);
    health(Some(&url), None).ask_all(&question(HealthWords {
        webhook: true,
        query: None,
    }))
}

#[test]
fn a_webhook_is_asked_with_the_rollout_and_its_word_counts() {
    let (url, told) = webhook("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"healthy\":true}");
    let words = HealthWords {
        webhook: true,
        query: None,
    };
    assert_eq!(
        health(Some(&url), None).ask_all(&question(words)),
        HealthWord::Well
    );
    let asked = told.recv().unwrap();
    assert!(asked.starts_with("POST /hook HTTP/1.1"), "{asked}");
    let (_, body) = asked.split_once("\r\n\r\n").unwrap();
    let body: HealthQuestion = serde_json::from_str(body).unwrap();
    assert_eq!(
        (body.rollout.as_str(), body.wave, body.healthy_count),
        ("r", 1, 7)
    );

    let ill = said_by_webhook(
        "HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n{\"healthy\":false,\"why\":\"disks fail\"}  ",
    );
    assert_eq!(
        ill,
        HealthWord::Ill {
            why: "the webhook: disks fail".into()
        }
    );
}

#[test]
fn whatever_is_no_clear_answer_of_a_webhook_is_none() {
    for answer in [
        "HTTP/1.1 500 Oops\r\nContent-Length: 16\r\n\r\n{\"healthy\":true}",
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{\"healthy\":true}",
        "",
    ] {
        let said = said_by_webhook(answer);
        assert!(matches!(said, HealthWord::Missing { .. }), "{answer:?}: {said:?}");
    }
}

#[test]
fn a_query_says_well_with_1_and_not_with_0_and_nothing_with_anything_else() {
    let prometheus = Prometheus::start();
    let url = prometheus.url();
    let said = |query: &str| {
        health(None, Some(&url)).ask_all(&question(HealthWords {
            webhook: false,
            query: Some(query.into()),
        }))
    };
    for query in [
        "1 < bool 2",
        "vector(1)",
        "vector(0.001) < bool 0.01",
        "label_replace(vector(1), \"a\", \"b\", \"\", \"\") or vector(1)",
    ] {
        assert_eq!(said(query), HealthWord::Well, "{query}");
    }
    for query in [
        "2 < bool 1",
        "vector(0)",
        "label_replace(vector(0), \"a\", \"b\", \"\", \"\") or vector(1)",
    ] {
        assert!(matches!(said(query), HealthWord::Ill { .. }), "{query}");
    }
    for query in [
        "flashmoor_nobody_has_this",
        // A filter, whose value is the number and not the word.
        "vector(0.001) < 0.01",
        "vector(0/0)",
        "\"text\"",
        "flashmoor_nobody_has_this[5m]",
        "1 +",
    ] {
        let found = said(query);
        assert!(matches!(found, HealthWord::Missing { .. }), "{query}: {found:?}");
    }
    drop(prometheus);
    let gone = said("vector(1)");
    assert!(matches!(gone, HealthWord::Missing { .. }), "{gone:?}");
}

#[test]
fn of_two_who_are_asked_the_worse_word_counts() {
    let nobody = "http://127.0.0.1:1";
    let (url, _told) = webhook("HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"healthy\":false}");
    let both = HealthWords {
        webhook: true,
        query: Some("vector(1)".into()),
    };
    let said = health(Some(&url), Some(nobody)).ask_all(&question(both.clone()));
    assert!(matches!(said, HealthWord::Ill { .. }), "{said:?}");
    let (url, _told) = webhook("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"healthy\":true}");
    let said = health(Some(&url), Some(nobody)).ask_all(&question(both));
    assert!(matches!(said, HealthWord::Missing { .. }), "{said:?}");
}

#[test]
fn who_is_not_known_cannot_be_asked() {
    let only = health(Some("http://127.0.0.1:1"), None);
    let words = |webhook, query: Option<&str>| HealthWords {
        webhook,
        query: query.map(str::to_owned),
    };
    assert_eq!(only.can_ask(&words(true, None)), Ok(()));
    assert_eq!(only.can_ask(&words(true, Some("1"))), Err("Prometheus"));
    let options = HealthOptions::default();
    assert!(Health::new(&options).unwrap().is_none());
    let plain = HealthOptions {
        webhook: Some("http://elsewhere.example/hook".into()),
        ..options
    };
    assert!(Health::new(&plain).is_err(), "not without TLS");
}
