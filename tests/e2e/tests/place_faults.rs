//! Faults of the place where a command runs: no room, no permission.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use fm_e2e::{Bench, document, flashmoor, stderr};

#[test]
fn a_disk_that_is_full_while_preparing_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let source = bench.guest_2m();
    let offer = bench
        .flashmoor()
        .args(["--json", "offer", &source.pid().to_string()])
        .output()
        .unwrap();
    assert_eq!(document(&offer)["schema"], "flashmoor/offer/1");
    fs::write(bench.path("offer.json"), &offer.stdout).unwrap();
    let small = bench.path("small");
    fs::create_dir(&small).unwrap();
    // A file system too small for VARS, that only this command sees; what is left in it afterwards is its output.
    let script = "mount -t tmpfs -o size=64k,mode=755 tmpfs \"$1\" && cd \"$1\" && shift && \"$@\"; said=$?; ls -A; exit $said";
    let inner = bench.flashmoor();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(&small)
        .arg(inner.get_program())
        .args(inner.get_args())
        .arg("prepare")
        .arg(bench.path("offer.json"))
        .args(["--vars", "vars.fd"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("No space left on device"),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "",
        "no path was printed and no file is left"
    );
    let landings = bench
        .flashmoor()
        .args(["--json", "store", "landings"])
        .output()
        .unwrap();
    assert_eq!(document(&landings)["landings"], serde_json::json!([]));
}

#[test]
fn a_guest_of_somebody_else_is_refused_with_who_may() {
    let mut bench = Bench::new();
    let guest = bench.guest_2m();
    // The program where everybody may run it.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("flashmoor");
    fs::copy(flashmoor().get_program(), &program).unwrap();
    for words in [
        ["offer", &guest.pid().to_string()],
        ["harvest", &guest.pid().to_string()],
        ["capture", &guest.pid().to_string()],
    ] {
        let output = Command::new(&program)
            .args(["--store", "/nonexistent/flashmoor"])
            .args(words)
            .env("NO_COLOR", "1")
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(
            said.contains("Permission denied") && said.contains("as root"),
            "{words:?}: {said}"
        );
    }
    let own = bench
        .flashmoor()
        .args(["offer", &guest.pid().to_string()])
        .output();
    assert!(own.unwrap().status.success());
}
