//! What virt-firmware reads of the same stores, and why it differs where it does.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fm_formats::Guid;
use fm_formats::image::Layout;
use fm_varstore::{Variable, Writer};
use serde_json::Value;

const GLOBAL: Guid = Guid::literal("8be4df61-93ca-11d2-aa0d-00e098032b8c");
const OTHER: Guid = Guid::literal("605dab50-e046-4300-abb6-3dd810dd8b23");
/// Where the first variable's state lies.
const FIRST_STATE: usize = 0x64 + 2;

/// The folder with virt-firmware's programs.
fn peer() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([own])
        .find(|folder| folder.join("virt-fw-vars").is_file())
        .expect("virt-fw-vars is not installed; `make tools` does it")
}

/// The names that virt-firmware lost or changed, or what it said when it failed.
fn lost_by_peer(store: &Path, folder: &Path) -> Result<Vec<String>, String> {
    let json = folder.join("peer.json");
    let programs = peer();
    let output = Command::new(programs.join("python3"))
        .arg(programs.join("virt-fw-vars"))
        .arg("--input")
        .arg(store)
        .arg("--output-json")
        .arg(&json)
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let output = Command::new(env!("CARGO_BIN_EXE_flashmoor"))
        .args(["--json", "vars", "diff"])
        .args([store, &json])
        .output()
        .unwrap();
    let diff: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        diff["only_right"],
        Value::Array(Vec::new()),
        "{}: only virt-firmware sees it",
        store.display()
    );
    let names = |field: &str| diff[field].as_array().unwrap().clone();
    Ok(names("only_left")
        .iter()
        .map(|variable| &variable["name"])
        .chain(names("changed").iter().map(|change| &change["left"]["name"]))
        .map(|name| name.as_str().unwrap().to_owned())
        .collect())
}

fn built(folder: &Path, variables: &[Variable], spoil: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = Writer::new(Layout::X86Size4M).emit(variables).unwrap();
    spoil(&mut bytes);
    let path = folder.join("built.fd");
    fs::write(&path, bytes).unwrap();
    path
}

fn variable(guid: Guid, name: &str) -> Variable {
    Variable::new(guid, name.parse().unwrap(), 7, vec![1, 2])
}

#[test]
fn on_every_store_of_debian_virt_firmware_reads_the_same_but_for_the_one_it_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    for store in fm_fixtures::of_kind(fm_fixtures::Kind::Vars) {
        let lost = lost_by_peer(&store.path(), folder.path());
        if store.name == "bookworm/AAVMF_VARS.fd" {
            // 64 MiB of zeros, which firmware takes for a blank store.
            assert!(lost.unwrap_err().contains("struct.error"), "{}", store.name);
        } else {
            assert_eq!(lost, Ok(Vec::new()), "{}", store.name);
        }
    }
}

#[test]
fn of_two_variables_with_one_name_virt_firmware_keeps_one() {
    let folder = tempfile::tempdir().unwrap();
    let pair = [variable(GLOBAL, "Same"), variable(OTHER, "Same")];
    let store = built(folder.path(), &pair, |_| {});
    assert_eq!(lost_by_peer(&store, folder.path()).unwrap(), ["Same"]);
}

#[test]
fn a_variable_whose_replacement_was_interrupted_is_lost_to_virt_firmware() {
    let folder = tempfile::tempdir().unwrap();
    let store = built(
        folder.path(),
        &[variable(GLOBAL, "Kept"), variable(OTHER, "B")],
        |bytes| bytes[FIRST_STATE] = 0x3e,
    );
    assert_eq!(lost_by_peer(&store, folder.path()).unwrap(), ["Kept"]);
}

#[test]
fn a_store_whose_truth_is_in_the_spare_is_refused_by_virt_firmware() {
    let folder = tempfile::tempdir().unwrap();
    let store = built(folder.path(), &[variable(GLOBAL, "Whole")], |bytes| {
        let (working, spare) = (0x4_1000, 0x4_2000);
        bytes.copy_within(0..0x4_0000, spare);
        bytes[0x48..0x1000].fill(0xff);
        let queue = working + 32;
        bytes[queue] = 0xfc;
        bytes[queue + 24..queue + 32].copy_from_slice(&1u64.to_le_bytes());
        bytes[queue + 32..queue + 40].fill(0);
        bytes[queue + 40] = 0xfd;
        for (at, value) in [
            (48, 0u64),
            (56, 0x48),
            (64, 0x3_ffb8),
            (72, (-0x4_2000i64).cast_unsigned()),
        ] {
            bytes[queue + at..queue + at + 8].copy_from_slice(&value.to_le_bytes());
        }
    });
    let said = lost_by_peer(&store, folder.path()).unwrap_err();
    assert!(said.contains("unknown varstore guid"), "{said}");
}

/// Stores of the size, number and fullness that real ones do not reach.
fn extremes() -> Vec<(&'static str, Layout, Vec<Variable>)> {
    let named = |name: String, data: Vec<u8>| Variable::new(OTHER, name.parse().unwrap(), 7, data);
    let many = (0..200).map(|at| named(format!("Many{at:03}"), vec![at as u8; 40]));
    // 57244 bytes are there for variables in a 2M store, and each of these takes 4072.
    let full = (0..14).map(|at| named(format!("Fill{at:02}"), vec![at as u8; 4000 - 2]));
    vec![
        ("200", Layout::X86Size2M, many.collect()),
        (
            "32 KiB",
            Layout::X86Size4M,
            vec![named("Large".into(), vec![0xa5; 0x8000])],
        ),
        ("nearly full", Layout::X86Size2M, full.collect()),
    ]
}

#[test]
fn virt_firmware_reads_what_we_write_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    for (about, layout, variables) in extremes() {
        let store = folder.path().join("store.fd");
        fs::write(&store, Writer::new(layout).emit(&variables).unwrap()).unwrap();
        assert_eq!(lost_by_peer(&store, folder.path()), Ok(Vec::new()), "{about}");
        for to in Layout::ALL {
            let made = folder.path().join("made.fd");
            let output = Command::new(env!("CARGO_BIN_EXE_flashmoor"))
                .args(["vars", "convert"])
                .arg(&store)
                .args(["--layout", to.name(), "--replace", "--output"])
                .arg(&made)
                .output()
                .unwrap();
            if about == "32 KiB" && to != Layout::X86Size4M {
                // No other layout's firmware takes so large a variable.
                assert_eq!(output.status.code(), Some(1), "{to}");
                continue;
            }
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{about} to {to}: {said}");
            assert_eq!(
                lost_by_peer(&made, folder.path()),
                Ok(Vec::new()),
                "{about} to {to}"
            );
        }
    }
}
