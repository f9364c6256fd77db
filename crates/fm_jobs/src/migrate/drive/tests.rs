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
                let reply = json!({ "return": { "status": state }, "id": command["id"] });
                writeln!(stream, "{reply}").unwrap();
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
    let [mut at_source, mut at_destination] =
        [here, there].map(|path| Client::connect(&path, Duration::from_millis(300)).unwrap());
    let before = || Settings {
        enabled: Vec::new(),
        parameters: Map::new(),
    };
    let mut drive = Drive {
        source: &mut at_source,
        destination: &mut at_destination,
        options: &Options::default(),
        was_running: true,
        variables: None,
        switched: false,
        resumed: false,
    };
    let failed = match unfollowed {
        None => drive.failure(&Value::Null),
        Some(error) => {
            drive.switched = true;
            error.into()
        }
    };
    let said = drive.recover(
        failed,
        &Before {
            source: before(),
            destination: before(),
        },
    );
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
    let resume = "{\"event\": \"RESUME\"}\n";
    assert!(matches!(ended(resume), (Error::DestinationDied, false)));
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
