//! A build that this host lacks and its agent can have.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;

use super::*;
use crate::supply::{SOCKET, Wanted};

/// An agent that answers once: it has the build fetched, or not.
fn agent(host: &Host, has: bool) -> std::thread::JoinHandle<Wanted> {
    let store = host.store();
    fs::create_dir_all(store.join("libvirt")).unwrap();
    let _ = fs::remove_file(store.join(SOCKET));
    let listener = UnixListener::bind(store.join(SOCKET)).unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        if has {
            let import = Import {
                code: CODE,
                ..Import::default()
            };
            Store::open(&store).unwrap().import(&import).unwrap();
        }
        let answer = if has { "have\n" } else { "lack\n" };
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
        Wanted::parse(&line).unwrap().0
    })
}

fn ask(host: &Host, operation: &str, xml: &str) -> Answer {
    let definitions = host.path("definitions");
    let patient = Call {
        deadline: Duration::from_secs(3600),
        ..call(operation, xml, Policy::Refuse, &definitions)
    };
    answer(&host.store(), &patient)
}

#[test]
fn a_guest_that_arrives_runs_what_the_agent_fetched_and_lands_if_it_could_not() {
    for has in [true, false] {
        let host = Host::new();
        let supplier = agent(&host, has);
        let loader = loader(&ask(
            &host,
            "migrate",
            &host.xml(Path::new("/nowhere/CODE.fd"), true),
        ));
        let wanted = Wanted {
            build: Sha256::of(CODE),
            code_bytes: Some(4096),
            peer: None,
        };
        assert_eq!(supplier.join().unwrap(), wanted);
        assert_eq!(loader.starts_with(host.store().join("builds")), has, "{loader:?}");
        assert_eq!(
            loader.starts_with(host.store().join("landings")),
            !has,
            "{loader:?}"
        );
    }
}

#[test]
fn a_guest_that_starts_on_a_placeholder_or_without_its_build_gets_what_the_agent_fetched() {
    let host = Host::new();
    let landing = loader(&host.ask("migrate", &host.xml(Path::new("/nowhere/CODE.fd"), true)));
    // The guest did not come, and is to start here.
    host.ask("release", &host.xml(Path::new("/nowhere/CODE.fd"), true));
    let xml = host.xml(&landing, true);
    let lacking = agent(&host, false);
    assert!(matches!(ask(&host, "prepare", &xml), Answer::Refuse(_)));
    lacking.join().unwrap();
    let having = agent(&host, true);
    assert!(matches!(ask(&host, "prepare", &xml), Answer::Pass));
    having.join().unwrap();
    assert_eq!(fs::read(&landing).unwrap(), CODE, "the landing has settled");

    let stored = host.stored(None);
    overwrite(&stored, b"damaged");
    let having = agent(&host, true);
    assert!(matches!(
        ask(&host, "prepare", &host.xml(&stored, true)),
        Answer::Pass
    ));
    having.join().unwrap();
    assert_eq!(fs::read(&stored).unwrap(), CODE, "healed");
}

#[test]
fn what_is_here_is_not_asked_for_and_neither_is_anything_on_trial() {
    let host = Host::new();
    let stored = host.stored(None);
    // An agent that is asked would say so.
    let listener = UnixListener::bind({
        fs::create_dir_all(host.store().join("libvirt")).unwrap();
        host.store().join(SOCKET)
    })
    .unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(
        loader(&ask(
            &host,
            "migrate",
            &host.xml(Path::new("/nowhere/CODE.fd"), true)
        )),
        stored
    );
    assert!(matches!(
        ask(&host, "prepare", &host.xml(&stored, true)),
        Answer::Pass
    ));
    fs::remove_dir_all(host.store().join("builds")).unwrap();
    host.decide("migrate", &host.xml(Path::new("/nowhere/CODE.fd"), true));
    assert!(listener.accept().is_err(), "nobody asked");
}
