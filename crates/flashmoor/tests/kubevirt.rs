//! `flashmoor kubevirt` as KubeVirt's shim calls it: all of the definition on standard output, or nothing and a failure.

use std::path::Path;
use std::process::{Command, Output};

const DOMAIN: &str = "<domain type=\"kvm\"><name>default_web</name><os><type arch=\"x86_64\" machine=\"q35\">hvm</type>\
    <loader readonly=\"yes\" type=\"pflash\">/usr/share/OVMF/OVMF_CODE.fd</loader></os></domain>";

fn run(store: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flashmoor"));
    command.env_remove("FLASHMOOR_COMPUTE_STORE");
    command.arg("--store").arg(store).args(words).output().unwrap()
}

fn define(store: &Path, build: &str, more: &[&str]) -> Output {
    let vmi = format!(r#"{{"metadata":{{"annotations":{{"flashmoor.github.io/build":"{build}"}}}}}}"#);
    let words = ["kubevirt", "on-define-domain", "--vmi", &vmi, "--domain", DOMAIN];
    run(store, &[&words[..], more].concat())
}

#[test]
fn the_shim_gets_the_whole_definition_or_a_failure_and_nothing_to_define() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let code = fm_fixtures::path("bookworm/OVMF_CODE_4M.fd");
    let imported = run(
        &store,
        &[
            "store",
            "import",
            code.to_str().unwrap(),
            "--name",
            "edk2-2022.11",
        ],
    );
    assert!(
        imported.status.success(),
        "{}",
        String::from_utf8_lossy(&imported.stderr)
    );

    let defined = define(&store, "edk2-2022.11", &["--compute-store", "/var/run/firmware"]);
    let xml = String::from_utf8(defined.stdout).unwrap();
    let digest = fm_formats::Sha256::of(&std::fs::read(&code).unwrap());
    assert!(
        xml.contains(&format!(
            ">/var/run/firmware/builds/sha256-{digest}/CODE.fd</loader>"
        )),
        "{xml}"
    );
    assert!(xml.ends_with("</domain>"), "{xml}");

    let here = define(&store, "edk2-2022.11", &[]);
    assert!(
        String::from_utf8(here.stdout)
            .unwrap()
            .contains(store.to_str().unwrap())
    );

    let lacking = define(&store, "edk2-2025.02", &[]);
    assert!(!lacking.status.success() && lacking.stdout.is_empty());
    let said = String::from_utf8(lacking.stderr).unwrap();
    assert!(said.contains("edk2-2025.02"), "{said}");

    let plain = run(
        &store,
        &["kubevirt", "on-define-domain", "--vmi", "{}", "--domain", DOMAIN],
    );
    assert_eq!(plain.stdout, DOMAIN.as_bytes());
}
