//! A running guest as the source of variables: read from its memory, without its noticing.

use fm_e2e::{Bench, document, stderr};
use fm_lab::Guest;

const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";

fn vars(bench: &Bench, words: &[&str]) -> std::process::Output {
    bench.flashmoor().arg("vars").args(words).output().unwrap()
}

fn set_in_guest(guest: &mut Guest, name: &str, digits: &str) {
    guest
        .shell(&format!("setvar {name} -guid {SHIM} -bs -rt -nv ={digits}"))
        .unwrap();
}

#[test]
fn every_verb_that_only_reads_takes_a_running_guest() {
    let mut bench = Bench::new();
    let name = Bench::name_2m();
    let name = name.as_str();
    let mut guest = bench.guest_2m();
    set_in_guest(&mut guest, "Running", "cafe");
    let pid = guest.pid().to_string();
    let socket = guest.qmp_socket();
    // By name, by pid, by socket: one guest.
    for named in [name, pid.as_str(), socket.to_str().unwrap()] {
        let list = document(&vars(&bench, &["--json", "list", named]));
        assert_eq!(list["source"], format!("guest {name} (pid {pid})"));
        assert_eq!((&list["layout"], &list["truth"]), (&"2M".into(), &"main".into()));
        let found = list["variables"].as_array().unwrap();
        assert!(
            found.iter().any(|variable| variable["name"] == "Running"),
            "{list}"
        );
    }
    let output = vars(&bench, &["get", name, "Running"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "cafe");
    let text = vars(&bench, &["show", name, "BootOrder"]);
    assert!(
        String::from_utf8_lossy(&text.stdout).contains("means"),
        "{text:?}"
    );
    // A copy of its state, in another layout and as JSON, and the comparison of both with the guest.
    let (copy, json) = (bench.path("copy.fd"), bench.path("copy.json"));
    let (copy, json) = (copy.to_str().unwrap(), json.to_str().unwrap());
    let _ = document(&vars(
        &bench,
        &["--json", "convert", name, "--layout", "4M", "-o", copy],
    ));
    let _ = document(&vars(&bench, &["--json", "export", name, "-o", json]));
    let same = |left, right| document(&vars(&bench, &["--json", "diff", left, right]))["identical"] == true;
    assert!(same(name, copy));
    // edk2's record of certificates means nothing to QEMU; all else is in the JSON.
    let diff = document(&vars(&bench, &["--json", "diff", name, json]));
    let lost = diff["only_left"].as_array().unwrap();
    assert!(
        lost.len() == 1 && lost[0]["name"] == "certdb" && diff["changed"] == serde_json::json!([]),
        "{diff}"
    );
    set_in_guest(&mut guest, "Running", "beef");
    assert!(!same(name, copy));
    let forecast = document(&vars(&bench, &["--json", "secure-boot", "forecast", name]));
    assert_eq!(forecast["limit_bytes"], 0x2800);
    let trust = document(&vars(&bench, &["--json", "secure-boot", "status", "--guests"]));
    let own = trust.as_array().unwrap().iter().find(|status| {
        status["source"]
            .as_str()
            .unwrap()
            .ends_with(&format!("(pid {pid})"))
    });
    assert_eq!(own.unwrap()["setup_mode"], true);
    assert_eq!(guest.status().unwrap(), "running");
}

#[test]
fn a_verb_that_writes_refuses_a_running_guest_and_names_its_file() {
    let mut bench = Bench::new();
    let name = Bench::name_2m();
    let name = name.as_str();
    let _guest = bench.guest_2m();
    let output = vars(&bench, &["set", name, "Timeout", "--hex", "0500"]);
    let said = stderr(&output);
    assert!(!output.status.success());
    assert!(
        said.contains("is running") && said.contains("vars-2m.fd"),
        "{said}"
    );
    let output = vars(&bench, &["list", "no-such-guest"]);
    let said = stderr(&output);
    assert!(said.contains("neither a file nor a running guest"), "{said}");
    // The file that it has open is refused as an output as well.
    let file = bench.path("vars-2m.fd");
    let output = vars(
        &bench,
        &[
            "convert",
            name,
            "--layout",
            "2M",
            "--replace",
            "-o",
            file.to_str().unwrap(),
        ],
    );
    assert!(
        stderr(&output).contains("open for writing"),
        "{}",
        stderr(&output)
    );
}
