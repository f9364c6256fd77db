//! Comparing real builds.

use std::path::Path;

use fm_api::v1::diff::DiffModule;
use fm_api::v1::inspect::InspectDocument;
use fm_fixtures::path;
use fm_images::diff;
use fm_images::inspect::{Request, inspect};
use fm_remedy::{Action, Failure as _};

fn look(path: &Path) -> InspectDocument {
    inspect(&Request {
        path: path.to_owned(),
        tree: true,
        ..Request::default()
    })
    .unwrap()
    .into()
}

#[test]
fn a_diff_names_features_volumes_and_modules() {
    let (plain, secure) = (
        path("trixie/OVMF_CODE_4M.fd"),
        path("trixie/OVMF_CODE_4M.secboot.fd"),
    );
    let document = diff::diff(&plain, &secure, None).unwrap();
    assert!(!document.identical);
    assert!(document.features_gained.contains(&"secure-boot".to_owned()));
    assert!(document.features_gained.contains(&"smm".to_owned()));
    assert!(document.measured_changed.contains(&"DXEFV".to_owned()));
    let named =
        |name: &str, list: &[DiffModule]| list.iter().any(|module| module.name.as_deref() == Some(name));
    assert!(
        named("SecureBootConfigDxe", &document.added),
        "{:?}",
        document.added
    );
    assert!(
        named("VariableRuntimeDxe", &document.removed),
        "{:?}",
        document.removed
    );
    let total = document.unchanged + document.changed.len() + document.moved.len() + document.added.len();
    assert_eq!(total, look(&secure).image.unwrap().modules.len());

    let same = diff::diff(&plain, &plain, None).unwrap();
    assert!(same.identical && same.facts.is_empty() && same.changed.is_empty() && same.added.is_empty());
    assert_eq!(
        (document.measured.name(), same.measured.name()),
        ("changed", "same")
    );
    assert!(document.launch_measurement_changed.contains(&"tdx".to_owned()));
    assert!(same.launch_measurement_changed.is_empty());
    assert!(
        document
            .changed
            .iter()
            .all(|module| module.from_sha256 != module.to_sha256)
    );
    let fuller = document
        .volumes
        .iter()
        .find(|volume| volume.name == "DXEFV")
        .unwrap();
    assert!(fuller.from_used_bytes.is_some() && fuller.from_used_bytes != fuller.to_used_bytes);
    let back = diff::diff(&secure, &plain, None).unwrap();
    assert_eq!(back.features_lost, document.features_gained);
    assert_eq!(back.removed.len(), document.added.len());
}

#[test]
fn a_diff_says_nothing_that_it_does_not_know() {
    // Two builds for Arm, whose boot volumes differ.
    let arm = diff::diff(
        &path("bookworm/AAVMF_CODE.fd"),
        &path("trixie/AAVMF_CODE.secboot.fd"),
        None,
    )
    .unwrap();
    assert_eq!((arm.measured.name(), arm.measured_changed.len()), ("changed", 1));
    // It is damaged now, and nobody told us what RISC-V firmware measures.
    let folder = tempfile::tempdir().unwrap();
    let riscv = path("trixie/RISCV_VIRT_CODE.fd");
    let mut bytes = std::fs::read(&riscv).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let other = folder.path().join("riscv.fd");
    std::fs::write(&other, bytes).unwrap();
    let riscv = diff::diff(&riscv, &other, None).unwrap();
    assert_eq!(
        (riscv.measured.name(), riscv.measured_changed.len()),
        ("unknown", 0)
    );
    let without_tpm = diff::diff(
        &path("trixie/AAVMF_CODE.no-secboot.fd"),
        &path("trixie/QEMU_EFI.fd"),
        None,
    );
    assert_eq!(without_tpm.unwrap().measured.name(), "none");
    // Stores hold no modules; another command compares them.
    let stores = diff::diff(
        &path("trixie/OVMF_VARS_4M.fd"),
        &path("trixie/OVMF_VARS_4M.ms.fd"),
        None,
    );
    let error = stores.unwrap_err();
    let remedy = error.remedy().unwrap();
    assert!(
        matches!(remedy.actions.as_slice(), [Action::DiffVars { .. }]),
        "{remedy:?}"
    );
    // What cannot be read of one side is not lost without a word.
    let mut bytes = fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd");
    bytes[0x8_0000] ^= 1;
    let damaged = folder.path().join("damaged.fd");
    std::fs::write(&damaged, bytes).unwrap();
    let damaged = diff::diff(&path("trixie/OVMF_CODE_4M.fd"), &damaged, None).unwrap();
    assert!(!damaged.features_lost.is_empty() && damaged.measured.name() == "unknown");
    assert!(
        matches!(&damaged.damage[..], [one] if one.side.name() == "to" && one.message.contains("lzma")),
        "{:?}",
        damaged.damage
    );
}

#[test]
fn a_module_that_only_the_main_volume_holds_changes_the_launch_measurement_of_tdx() {
    for (old, new) in [
        (
            "trixie/OVMF_CODE_4M.secboot.fd",
            "trixie/OVMF_CODE_4M.secboot.strictnx.fd",
        ),
        ("bookworm-security/OVMF_CODE.fd", "bookworm/OVMF_CODE.fd"),
    ] {
        let document = diff::diff(&path(old), &path(new), None).unwrap();
        assert!(!document.measured_changed.contains(&"SECFV".to_owned()));
        let all = ["sev", "sev-es", "sev-snp", "tdx"];
        assert_eq!(document.launch_measurement_changed, all, "{old}");
    }
}

#[test]
fn other_variables_change_no_launch_measurement_of_tdx() {
    let folder = tempfile::tempdir().unwrap();
    let code = fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd");
    let combined = |name: &str, vars: &str, code: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, [&fm_fixtures::bytes(vars), code].concat()).unwrap();
        path
    };
    let plain = combined("plain.fd", "trixie/OVMF_VARS_4M.fd", &code);
    let keys = combined("keys.fd", "trixie/OVMF_VARS_4M.ms.fd", &code);
    let launched = |to: &Path| {
        let document = diff::diff(&plain, to, None).unwrap();
        assert!(!document.identical);
        document.launch_measurement_changed
    };
    // SEV measures the whole of flash unit 0.
    assert!(launched(&keys).contains(&"sev".to_owned()));
    assert!(!launched(&keys).contains(&"tdx".to_owned()));
    let mut other = code.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    let other = combined("other.fd", "trixie/OVMF_VARS_4M.fd", &other);
    assert!(launched(&other).contains(&"tdx".to_owned()));
    // A volume without its signature is none that could differ: then nothing is said to stay the same.
    let mut lost = code;
    lost[0x28] ^= 1;
    let one = combined("one.fd", "trixie/OVMF_VARS_4M.fd", &lost);
    lost[0x1000] ^= 1;
    let two = combined("two.fd", "trixie/OVMF_VARS_4M.fd", &lost);
    let document = diff::diff(&one, &two, None).unwrap();
    assert!(document.launch_measurement_changed.contains(&"tdx".to_owned()));
}

#[test]
fn the_same_image_in_another_format_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, qcow2) = (path("trixie/OVMF_CODE_4M.fd"), folder.path().join("code.qcow2"));
    let converted = std::process::Command::new("qemu-img")
        .args(["convert", "-O", "qcow2"])
        .args([&raw, &qcow2])
        .status()
        .unwrap();
    assert!(converted.success());
    let document = diff::diff(&raw, &qcow2, None).unwrap();
    assert!(document.identical);
    let facts: Vec<&str> = document
        .facts
        .iter()
        .map(|changed| changed.fact.as_str())
        .collect();
    assert_eq!(facts, ["format"]);
}
