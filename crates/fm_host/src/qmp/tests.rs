//! What the client makes of servers that behave, and of servers that do not.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Client, Error};

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "x"}, "capabilities": ["oob"]}}"#;

/// A server that greets, answers the handshake, then runs `script` on the connection.
struct Server {
    dir: tempfile::TempDir,
    thread: JoinHandle<()>,
}

impl Server {
    fn new(script: impl FnOnce(BufReader<UnixStream>, UnixStream) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("qmp")).unwrap();
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            script(BufReader::new(stream.try_clone().unwrap()), stream);
        });
        Self { dir, thread }
    }

    /// Past the handshake, each of `replies` answers one command as it stands.
    fn answering(replies: &[&str]) -> Self {
        let replies: Vec<String> = replies.iter().map(|&reply| reply.to_owned()).collect();
        Self::new(move |mut lines, mut stream| {
            writeln!(stream, "{GREETING}").unwrap();
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            writeln!(stream, r#"{{"return": {{}}, "id": 1}}"#).unwrap();
            for reply in replies {
                line.clear();
                lines.read_line(&mut line).unwrap();
                stream.write_all(reply.as_bytes()).unwrap();
            }
        })
    }

    fn connect(&self) -> Result<Client, Error> {
        Client::connect(&self.dir.path().join("qmp"), Duration::from_millis(400))
    }
}

#[test]
fn events_between_command_and_reply_are_kept_and_late_replies_passed_over() {
    let server = Server::answering(&[concat!(
        r#"{"event": "SOMETHING_NEW", "timestamp": {"seconds": 1, "microseconds": 2}}"#,
        "\r\n",
        r#"{"return": "of an older command", "id": 77}"#,
        "\n\n",
        r#"{"return": {"status": "running", "added-in-version-99": [1]}, "id": 2}"#,
        "\n"
    )]);
    let mut client = server.connect().unwrap();
    assert_eq!(client.version().to_string(), "7.2.22");
    assert_eq!(client.execute("query-status", None).unwrap()["status"], "running");
    let events = client.drain_events();
    assert_eq!(
        (events.len(), events[0].name.as_str(), &events[0].data),
        (1, "SOMETHING_NEW", &json!({}))
    );
    server.thread.join().unwrap();
}

#[test]
fn a_refusal_carries_qemus_own_words() {
    let server = Server::answering(&[concat!(
        r#"{"id": 2, "error": {"class": "GenericError", "desc": "Guest is waiting for an incoming migration"}}"#,
        "\n"
    )]);
    let mut client = server.connect().unwrap();
    let error = client
        .execute("migrate", Some(json!({"uri": "unix:x"})))
        .unwrap_err();
    let Error::Refused {
        command,
        class,
        description,
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!((command.as_str(), class.as_str()), ("migrate", "GenericError"));
    assert_eq!(description, "Guest is waiting for an incoming migration");
}

#[test]
fn a_socket_that_another_client_holds_is_said_to_be_busy() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let server = Server::new(move |_, _stream| assert!(receiver.recv().is_err())); // accepts, never greets
    assert!(matches!(server.connect(), Err(Error::Busy { .. })));
    drop(sender);
    server.thread.join().unwrap();
}

#[test]
fn a_reply_that_never_comes_ends_in_a_timeout_that_names_the_command() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let server = Server::new(move |_, mut stream| {
        writeln!(stream, "{GREETING}\n{{\"return\": {{}}, \"id\": 1}}").unwrap();
        assert!(receiver.recv().is_err()); // holds the connection until the test is over
    });
    let mut client = server.connect().unwrap();
    let error = client.execute("query-block", None).unwrap_err();
    assert!(matches!(&error, Error::Timeout { command, .. } if command == "query-block"));
    assert!(
        client
            .event(Instant::now() + Duration::from_millis(1))
            .unwrap()
            .is_none()
    );
    drop(sender);
    server.thread.join().unwrap();
}

#[test]
fn malformed_replies_are_errors_that_say_what_is_wrong() {
    for (reply, expected) in [
        ("{\"return\": \n", "malformed JSON"),
        ("not json at all\n", "malformed JSON"),
        ("[1, 2]\n", "not an object"),
        ("{\"id\": 2}\n", "neither reply, error nor event"),
    ] {
        let server = Server::answering(&[reply]);
        let mut client = server.connect().unwrap();
        let error = client.execute("query-status", None).unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{reply}: {error}");
        assert!(error.to_string().contains(expected), "{reply}: {error}");
    }
}

#[test]
fn a_line_without_end_is_cut_off_at_the_limit() {
    let server = Server::new(|_, mut stream| {
        let chunk = vec![b'x'; 1 << 20];
        while stream.write_all(&chunk).is_ok() {}
    });
    let error = Client::connect(&server.dir.path().join("qmp"), Duration::from_secs(60)).unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
    server.thread.join().unwrap();
}

#[test]
fn a_server_that_dies_is_told_apart_from_one_that_is_slow() {
    let server = Server::answering(&[]);
    let mut client = server.connect().unwrap();
    server.thread.join().unwrap();
    assert!(matches!(
        client.execute("query-status", None),
        Err(Error::Closed { .. })
    ));
}

#[test]
fn no_socket_and_no_server_are_told_with_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let error = Client::connect(&dir.path().join("nowhere"), Duration::from_millis(10)).unwrap_err();
    assert!(matches!(&error, Error::Connect { .. }) && error.to_string().contains("nowhere"));
}

#[test]
fn commands_go_out_of_band_where_that_is_offered_and_asked_for_and_in_turn_elsewhere() {
    let silent = GREETING.replace(r#"["oob"]"#, "[]");
    for (greeting, enable, how) in [
        (GREETING.to_owned(), json!(["oob"]), "exec-oob"),
        (silent, json!([]), "execute"),
    ] {
        let server = Server::new(move |mut lines, mut stream| {
            writeln!(stream, "{greeting}").unwrap();
            for wanted in [
                json!({ "execute": "qmp_capabilities", "arguments": { "enable": enable }, "id": 1 }),
                json!({ how: "migrate-pause", "id": 2 }),
            ] {
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                let came: serde_json::Value = serde_json::from_str(&line).unwrap();
                assert_eq!(came, wanted);
                let reply = json!({ "return": {}, "id": wanted["id"] });
                writeln!(stream, "{reply}").unwrap();
            }
        });
        let socket = server.dir.path().join("qmp");
        let mut client = Client::connect_out_of_band(&socket, Duration::from_millis(400)).unwrap();
        client.execute_out_of_band("migrate-pause", None).unwrap();
        server.thread.join().unwrap();
    }
}
