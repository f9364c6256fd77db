//! Monitors that fall silent or end when no QEMU can be made to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use fm_host::qmp::RunState;
use serde_json::{Value, json};

use super::settings::Settings;
use super::*;

const GREETING: &str =
    r#"{"QMP":{"version":{"qemu":{"micro":2,"minor":0,"major":10},"package":""},"capabilities":[]}}"#;

/// A monitor in this run state that falls silent after so many commands; at its end, the commands that came.
fn monitor(path: &Path, state: &'static str, answers: usize) -> JoinHandle<Vec<String>> {
    saying(path, "", move |_| state, answers)
}

/// The same, with words after its first answer, and the state that each command is told; `!` refuses it with the rest.
fn saying(
    path: &Path,
    words: &'static str,
    state: impl Fn(&str) -> &'static str + Send + 'static,
    answers: usize,
) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        writeln!(stream, "{GREETING}").unwrap();
        let mut came = Vec::new();
        while let Some(Ok(line)) = lines.next() {
            let command: Value = serde_json::from_str(&line).unwrap();
            came.push(command["execute"].as_str().unwrap().to_owned());
            if came.len() <= answers {
                let state = state(&came[came.len() - 1]);
                let reply = match state.strip_prefix('!') {
                    Some(why) => {
                        json!({ "error": { "class": "GenericError", "desc": why }, "id": command["id"] })
                    }
                    None => json!({ "return": { "status": state }, "id": command["id"] }),
                };
                writeln!(stream, "{reply}").unwrap();
            }
            if came.len() == 1 {
                stream.write_all(words.as_bytes()).unwrap();
            }
        }
        came
    })
}

/// A monitor whose QEMU ends after the handshake, with these words.
fn ending(path: &Path, words: &'static str) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        writeln!(stream, "{GREETING}").unwrap();
        let command: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        write!(
            stream,
            "{}\n{words}",
            json!({ "return": {}, "id": command["id"] })
        )
        .unwrap();
        Vec::new()
    })
}

const RESUME: &str = "{\"event\": \"RESUME\"}\n";

fn driving<'a>(
    source: &'a mut Client,
    destination: &'a mut Client,
    options: &'a Options,
    uri: &'a str,
    cancel: &'a AtomicBool,
) -> MigrationDriver<'a> {
    MigrationDriver {
        source,
        destination,
        options,
        uri,
        source_uri: None,
        cancel,
        cancel_timeout: PATIENT,
        was_running: true,
        variables: None,
        exchanged_of: None,
        seen: Seen::default(),
    }
}

fn nothing_changed() -> Before {
    Before {
        source: Settings::default(),
        destination: Settings::default(),
    }
}

/// What recovering says, and what the source was told, from a failed migration or from a monitor that failed after
/// the switch to postcopy; a QEMU that hangs or ends just then cannot be had for the asking.
fn recovering(
    unfollowed: Option<qmp::Error>,
    source_state: &'static str,
    destination: impl FnOnce(&Path) -> JoinHandle<Vec<String>>,
) -> (Error, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
    let source = monitor(&here, source_state, usize::MAX);
    let destination = destination(&there);
    let mut at_source = Client::connect(&here, PATIENT).unwrap();
    let mut at_destination = Client::connect(&there, HASTY).unwrap();
    let options = Options::default();
    let never = AtomicBool::new(false);
    let mut driver = driving(
        &mut at_source,
        &mut at_destination,
        &options,
        "unix:stream",
        &never,
    );
    let failed = match unfollowed {
        None => driver.failure(None),
        Some(error) => {
            driver.seen.in_postcopy = true;
            error.into()
        }
    };
    let said = driver.make_safe(failed, &nothing_changed());
    drop((at_source, at_destination));
    destination.join().unwrap();
    (said, source.join().unwrap())
}

/// What recovering from a failed migration says, and whether the guest was told to go on at the source.
fn recovered(
    source_state: &'static str,
    destination: impl FnOnce(&Path) -> JoinHandle<Vec<String>>,
) -> (Error, bool) {
    let (said, commands) = recovering(None, source_state, destination);
    (said, commands.iter().any(|command| command == "cont"))
}

#[test]
fn the_guest_does_not_go_on_at_the_source_while_a_silent_destination_may_run_it() {
    let answers = |most| move |path: &Path| monitor(path, "inmigrate", most);
    // The handshake is a command.
    assert!(matches!(
        recovered("postmigrate", answers(1)),
        (Error::Unsettled, false)
    ));
    assert!(matches!(
        recovered("postmigrate", answers(usize::MAX)),
        (Error::Failed { .. }, true)
    ));
    // The end of the stream was never sent.
    assert!(matches!(
        recovered("paused", answers(1)),
        (Error::Failed { .. }, true)
    ));
}

#[test]
fn the_guest_does_not_go_on_at_the_source_after_it_has_run_at_a_destination_that_then_ended() {
    let ended = |words| recovered("postmigrate", move |path: &Path| ending(path, words));
    assert!(matches!(ended(RESUME), (Error::DestinationDied, false)));
    assert!(matches!(
        ended("{\"event\": \"MIGRATION\"}\n"),
        (Error::Failed { .. }, true)
    ));
}

#[test]
fn a_guest_that_was_switched_to_postcopy_is_left_to_it_when_a_monitor_fails() {
    let failed = || qmp::Error::Timeout {
        socket: "there".into(),
        command: "query-status".into(),
        timeout: Duration::from_secs(1),
    };
    let (said, commands) = recovering(Some(failed()), "postmigrate", |path| {
        monitor(path, "inmigrate", usize::MAX)
    });
    assert!(matches!(said, Error::Unfollowed(_)));
    assert_eq!(commands, ["qmp_capabilities"]);
}

/// Longer than an answer takes on a busy machine, and so long that silence is known for what it is.
const PATIENT: Duration = Duration::from_secs(10);
const HASTY: Duration = Duration::from_millis(300);

/// What following a guest that was switched to postcopy ends with, and what both ends were told. The destination is
/// waited for so long.
fn switched(
    patience: Duration,
    source: impl FnOnce(&Path) -> JoinHandle<Vec<String>>,
    destination: impl FnOnce(&Path) -> JoinHandle<Vec<String>>,
    uri: &str,
    cancel: &AtomicBool,
) -> (Error, [Vec<String>; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
    let ends = [source(&here), destination(&there)];
    let mut at_source = Client::connect(&here, PATIENT).unwrap();
    let mut at_destination = Client::connect(&there, PATIENT).unwrap();
    at_destination.set_timeout(patience);
    let options = Options::default();
    let mut driver = driving(&mut at_source, &mut at_destination, &options, uri, cancel);
    driver.seen.in_postcopy = true;
    let failed = driver.follow(&mut |_| ()).unwrap_err();
    let said = driver.make_safe(failed, &nothing_changed());
    drop((at_source, at_destination));
    (said, ends.map(|end| end.join().unwrap()))
}

/// How often the source was told to connect.
fn tries(told: &[String]) -> usize {
    told.iter().filter(|command| *command == "migrate").count()
}

/// What is said, and what the source was told, when it fails during the switch to postcopy and is then in this run state:
/// in QEMU that is a matter of microseconds.
fn failed_in_switch(
    here: &'static str,
    patience: Duration,
    destination: impl FnOnce(&Path) -> JoinHandle<Vec<String>>,
) -> (Error, Vec<String>) {
    let state = move |command: &str| match command {
        "query-migrate" => "failed",
        _ => here,
    };
    let source = |path: &Path| saying(path, "", state, usize::MAX);
    let (said, [told, _]) = switched(
        patience,
        source,
        destination,
        "unix:stream",
        &AtomicBool::new(false),
    );
    (said, told)
}

type Destination = fn(&Path) -> JoinHandle<Vec<String>>;

#[test]
fn a_guest_that_began_to_run_as_the_switch_to_postcopy_failed_does_not_go_on_at_the_source() {
    let silent = |path: &Path| saying(path, RESUME, |_| "running", 1);
    let answering = |path: &Path| monitor(path, "running", usize::MAX);
    let mute = |path: &Path| monitor(path, "running", 1);
    let ended = |path: &Path| ending(path, RESUME);
    for here in ["postmigrate", "running"] {
        let ways: [Destination; 4] = [silent, answering, mute, ended];
        for destination in ways {
            let (said, told) = failed_in_switch(here, HASTY, destination);
            assert!(matches!(said, Error::PostcopyFailed { .. }), "{said:?}");
            assert!(told.iter().any(|command| command == "stop"), "{told:?}");
            assert!(!told.iter().any(|command| command == "cont"), "{told:?}");
        }
    }
}

#[test]
fn a_guest_that_never_ran_there_goes_on_at_the_source_when_the_switch_to_postcopy_fails() {
    let (said, told) = failed_in_switch("postmigrate", PATIENT, |path| ending(path, ""));
    assert!(matches!(said, Error::Failed { .. }), "{said:?}");
    assert!(told.iter().any(|command| command == "cont"), "{told:?}");
}

#[test]
fn a_connection_is_made_again_by_one_word_to_each_end() {
    let paused = |path: &Path| monitor(path, "postcopy-paused", usize::MAX);
    let (hear, heard) = mpsc::channel();
    let source = move |path: &Path| {
        let state = move |command: &str| {
            let _ = hear.send(command.to_owned());
            "postcopy-paused"
        };
        saying(path, "", state, usize::MAX)
    };
    let cancel = AtomicBool::new(false);
    let end = &cancel;
    let (said, [here, there]) = thread::scope(|scope| {
        scope.spawn(move || {
            while heard.recv_timeout(PATIENT).expect("it is told to connect") != "migrate" {}
            // It stays as it was, as if it connected still: whoever told it again would do so by the next report.
            let next = heard.recv_timeout(REPORT_EVERY * 5);
            end.store(true, Ordering::Relaxed);
            assert_eq!(next, Err(mpsc::RecvTimeoutError::Timeout));
        });
        switched(PATIENT, source, paused, "tcp:there:4444", &cancel)
    });
    assert!(
        matches!(said, Error::PostcopyBroken { refused: None }),
        "{said:?}"
    );
    // QEMU that is told so while it notices by itself crashes.
    assert_eq!(there, ["qmp_capabilities", "migrate-recover"]);
    assert_eq!(tries(&here), 1, "{here:?}");
}

#[test]
fn a_connection_that_cannot_be_made_again_can_be_given_up_while_it_is_tried() {
    // As QEMU from 9.1 on: it connects in a state of its own, and is paused again when that fails.
    let asked = AtomicUsize::new(0);
    let state = move |command: &str| match command {
        "query-migrate" if asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => "postcopy-paused",
        _ => "postcopy-recover-setup",
    };
    let (said, [here, _]) = switched(
        PATIENT,
        |path| saying(path, "", state, usize::MAX),
        |path| monitor(path, "inmigrate", usize::MAX),
        "unix:stream",
        &AtomicBool::new(true),
    );
    assert!(matches!(said, Error::PostcopyBroken { .. }), "{said:?}");
    assert_eq!(tries(&here), 1, "{here:?}");
}

#[test]
fn the_source_is_told_to_connect_only_where_the_destination_listens() {
    for (refusal, expected) in [
        ("!Migrate recovery is triggered already", 1),
        ("!Failed to bind socket: No such file or directory", 0),
    ] {
        let state = move |command: &str| match command {
            "migrate-recover" => refusal,
            _ => "inmigrate",
        };
        let (said, [here, _]) = switched(
            PATIENT,
            |path| monitor(path, "postcopy-paused", usize::MAX),
            |path| saying(path, "", state, usize::MAX),
            "unix:stream",
            &AtomicBool::new(true),
        );
        let Error::PostcopyBroken { refused } = said else {
            panic!("{said:?}")
        };
        assert_eq!(refused.is_some(), expected == 0, "{refused:?}");
        assert_eq!(tries(&here), expected, "{here:?}");
    }
}

/// What is said, and what the source was told, when somebody asks for the end and the source stays in this state.
fn never_ending(state: &'static str, in_postcopy: bool) -> (Error, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
    let source = monitor(&here, state, usize::MAX);
    let destination = monitor(&there, "inmigrate", usize::MAX);
    let mut at_source = Client::connect(&here, PATIENT).unwrap();
    let mut at_destination = Client::connect(&there, PATIENT).unwrap();
    let options = Options::default();
    let asked = AtomicBool::new(true);
    let mut driver = driving(
        &mut at_source,
        &mut at_destination,
        &options,
        "unix:stream",
        &asked,
    );
    driver.cancel_timeout = HASTY;
    driver.seen.in_postcopy = in_postcopy;
    let failed = driver.follow(&mut |_| ()).unwrap_err();
    let said = driver.make_safe(failed, &nothing_changed());
    drop((at_source, at_destination));
    destination.join().unwrap();
    (said, source.join().unwrap())
}

#[test]
fn a_source_that_is_never_cancelled_is_given_up_with_the_state_of_both_ends() {
    for state in ["active", "cancelling", "pre-switchover", "setup", "a-new-word"] {
        let (said, told) = never_ending(state, false);
        let Error::NotCancelled { ends, because: None } = said else {
            panic!("{state}: {said:?}")
        };
        assert_eq!(ends.migration, Some(state.into()));
        assert_eq!(ends.destination, Some(RunState::InMigrate));
        assert!(told.iter().any(|command| command == "migrate_cancel"), "{told:?}");
        // It may still send the guest.
        assert!(!told.iter().any(|command| command == "cont"), "{told:?}");
    }
}

#[test]
fn a_postcopy_that_never_ends_is_left_to_qemu_and_not_cancelled() {
    let (said, told) = never_ending("postcopy-active", false);
    assert!(matches!(said, Error::LeftInPostcopy { .. }), "{said:?}");
    assert!(
        !told.iter().any(|command| command == "migrate_cancel"),
        "{told:?}"
    );
    let (said, _) = never_ending("active", true);
    assert!(matches!(said, Error::LeftInPostcopy { .. }), "{said:?}");
}

#[test]
fn a_migration_that_is_to_end_and_does_not_is_told_with_the_reason_for_ending_it() {
    let folder = tempfile::tempdir().unwrap();
    let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
    let ends = [&here, &there].map(|path| monitor(path, "active", usize::MAX));
    let mut at_source = Client::connect(&here, PATIENT).unwrap();
    let mut at_destination = Client::connect(&there, PATIENT).unwrap();
    let options = Options::default();
    let never = AtomicBool::new(false);
    let mut driver = driving(&mut at_source, &mut at_destination, &options, "", &never);
    driver.cancel_timeout = HASTY;
    let said = driver.make_safe(Error::VariablesWritten, &nothing_changed());
    let Error::NotCancelled {
        because: Some(because),
        ..
    } = said
    else {
        panic!("{said:?}")
    };
    assert!(matches!(*because, Error::VariablesWritten));
    drop((at_source, at_destination));
    for end in ends {
        let told = end.join().unwrap();
        assert!(!told.iter().any(|command| command == "cont"), "{told:?}");
    }
}

#[test]
fn what_both_qemus_say_of_a_failure_is_told_as_its_reason() {
    let failing = |why: &'static str| {
        move |path: &Path| {
            let listener = UnixListener::bind(path).unwrap();
            thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                writeln!(stream, "{GREETING}").unwrap();
                while let Some(Ok(line)) = lines.next() {
                    let command: Value = serde_json::from_str(&line).unwrap();
                    let said = json!({ "status": "failed", "error-desc": why });
                    writeln!(stream, "{}", json!({ "return": said, "id": command["id"] })).unwrap();
                }
            })
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
    let ends = [
        failing("Unable to write to socket")(&here),
        failing("Length mismatch: system.flash0")(&there),
    ];
    let mut at_source = Client::connect(&here, PATIENT).unwrap();
    let mut at_destination = Client::connect(&there, PATIENT).unwrap();
    let options = Options::default();
    let never = AtomicBool::new(false);
    let mut driver = driving(&mut at_source, &mut at_destination, &options, "", &never);
    let failed = driver.follow(&mut |_| ()).unwrap_err();
    let Error::Failed {
        reason: Some(source), ..
    } = failed
    else {
        panic!("{failed:?}")
    };
    assert_eq!(
        (source.end, source.words.as_str()),
        ("source", "Unable to write to socket")
    );
    let destination = source.other.expect("what the other end says");
    assert_eq!(
        (destination.end, destination.words.as_str()),
        ("destination", "Length mismatch: system.flash0")
    );
    drop((at_source, at_destination));
    for end in ends {
        end.join().unwrap();
    }
}
