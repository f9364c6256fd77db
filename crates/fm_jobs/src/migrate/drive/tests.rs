//! Monitors that fall silent or end when no QEMU can be made to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::{self, JoinHandle};

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

fn driving<'a>(source: &'a mut Client, destination: &'a mut Client, options: &'a Options) -> Drive<'a> {
    Drive {
        source,
        destination,
        options,
        was_running: true,
        variables: None,
        switched: false,
        resumed: false,
    }
}

fn nothing_changed() -> Before {
    let settings = || Settings {
        enabled: Vec::new(),
        parameters: Map::new(),
    };
    Before {
        source: settings(),
        destination: settings(),
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
    let mut at_source = Client::connect(&here, Duration::from_secs(10)).unwrap();
    let mut at_destination = Client::connect(&there, Duration::from_millis(300)).unwrap();
    let options = Options::default();
    let mut drive = driving(&mut at_source, &mut at_destination, &options);
    let failed = match unfollowed {
        None => drive.failure(&Value::Null),
        Some(error) => {
            drive.switched = true;
            error.into()
        }
    };
    let said = drive.recover(failed, &nothing_changed());
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

/// What is said, and what the source was told, when it fails during the switch to postcopy and is then in this run state:
/// in QEMU that is a matter of microseconds.
fn failed_in_switch(
    here: &'static str,
    destination: impl FnOnce(&Path) -> JoinHandle<Vec<String>>,
) -> (Error, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let [source, there] = ["here", "there"].map(|name| folder.path().join(name));
    let state = move |command: &str| match command {
        "query-migrate" => "failed",
        _ => here,
    };
    let at_source = saying(&source, "", state, usize::MAX);
    let at_destination = destination(&there);
    let mut source = Client::connect(&source, Duration::from_secs(10)).unwrap();
    let mut there = Client::connect(&there, Duration::from_millis(300)).unwrap();
    let options = Options::default();
    let mut drive = driving(&mut source, &mut there, &options);
    drive.switched = true;
    let failed = drive
        .follow("unix:stream", &AtomicBool::new(false), &mut |_| ())
        .unwrap_err();
    let said = drive.recover(failed, &nothing_changed());
    drop((source, there));
    at_destination.join().unwrap();
    (said, at_source.join().unwrap())
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
            let (said, told) = failed_in_switch(here, destination);
            assert!(matches!(said, Error::PostcopyFailed { .. }), "{said:?}");
            assert!(told.iter().any(|command| command == "stop"), "{told:?}");
            assert!(!told.iter().any(|command| command == "cont"), "{told:?}");
        }
    }
}

#[test]
fn a_guest_that_never_ran_there_goes_on_at_the_source_when_the_switch_to_postcopy_fails() {
    let (said, told) = failed_in_switch("postmigrate", |path| ending(path, ""));
    assert!(matches!(said, Error::Failed { .. }), "{said:?}");
    assert!(told.iter().any(|command| command == "cont"), "{told:?}");
}

#[test]
fn a_connection_is_made_again_by_one_word_to_each_end() {
    let folder = tempfile::tempdir().unwrap();
    let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
    let ends = [&here, &there].map(|path| monitor(path, "postcopy-paused", usize::MAX));
    let [mut source, mut destination] =
        [here, there].map(|path| Client::connect(&path, Duration::from_secs(10)).unwrap());
    let options = Options::default();
    let mut drive = driving(&mut source, &mut destination, &options);
    drive.switched = true;
    // It stays as it was, as if it connected still, until somebody ends it: time enough for another word or two.
    let cancel = AtomicBool::new(false);
    let said = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(REPORT_EVERY * 5);
            cancel.store(true, Ordering::Relaxed);
        });
        drive.follow("tcp:there:4444", &cancel, &mut |_| ()).unwrap_err()
    });
    assert!(
        matches!(said, Error::PostcopyBroken { refused: None }),
        "{said:?}"
    );
    drop((source, destination));
    let [told_here, told_there] = ends.map(|end| end.join().unwrap());
    // QEMU that is told so while it notices by itself crashes.
    assert_eq!(told_there, ["qmp_capabilities", "migrate-recover"]);
    let told = told_here.iter().filter(|command| *command == "migrate");
    assert_eq!(told.count(), 1, "{told_here:?}");
}

#[test]
fn a_connection_that_cannot_be_made_again_can_be_given_up_while_it_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
    // As QEMU from 9.1 on: it connects in a state of its own, and is paused again when that fails.
    let mut asked = 0;
    let states = std::sync::Mutex::new(move || {
        asked += 1;
        if asked % 2 == 1 {
            "postcopy-paused"
        } else {
            "postcopy-recover-setup"
        }
    });
    let at_source = saying(
        &here,
        "",
        move |command| match command {
            "query-migrate" => states.lock().unwrap()(),
            _ => "",
        },
        usize::MAX,
    );
    let at_destination = monitor(&there, "inmigrate", usize::MAX);
    let [mut source, mut destination] =
        [here, there].map(|path| Client::connect(&path, Duration::from_secs(10)).unwrap());
    let options = Options::default();
    let mut drive = driving(&mut source, &mut destination, &options);
    drive.switched = true;
    let said = drive
        .follow("unix:stream", &AtomicBool::new(true), &mut |_| ())
        .unwrap_err();
    assert!(matches!(said, Error::PostcopyBroken { .. }), "{said:?}");
    drop((source, destination));
    at_destination.join().unwrap();
    let told = at_source.join().unwrap();
    let tried = told.iter().filter(|command| *command == "migrate");
    assert_eq!(tried.count(), 1, "{told:?}");
}

#[test]
fn the_source_is_told_to_connect_only_where_the_destination_listens() {
    for (refusal, tries) in [
        ("!Migrate recovery is triggered already", 1),
        ("!Failed to bind socket: No such file or directory", 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
        let at_source = monitor(&here, "postcopy-paused", usize::MAX);
        let state = move |command: &str| {
            if command == "migrate-recover" {
                refusal
            } else {
                "inmigrate"
            }
        };
        let at_destination = saying(&there, "", state, usize::MAX);
        let [mut source, mut destination] =
            [here, there].map(|path| Client::connect(&path, Duration::from_secs(10)).unwrap());
        let options = Options::default();
        let mut drive = driving(&mut source, &mut destination, &options);
        drive.switched = true;
        let said = drive
            .follow("unix:stream", &AtomicBool::new(true), &mut |_| ())
            .unwrap_err();
        let Error::PostcopyBroken { refused } = said else {
            panic!("{said:?}")
        };
        assert_eq!(refused.is_some(), tries == 0, "{refused:?}");
        drop((source, destination));
        at_destination.join().unwrap();
        let told = at_source.join().unwrap();
        let tried = told.iter().filter(|command| *command == "migrate");
        assert_eq!(tried.count(), tries, "{told:?}");
    }
}
