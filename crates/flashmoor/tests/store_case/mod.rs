//! Stores in files of their own, and what the program says of a cold boot on them.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

pub(crate) const OLD: &str = "bookworm/OVMF_CODE_4M.fd";
pub(crate) const OLD_SMM: &str = "bookworm/OVMF_CODE_4M.secboot.fd";
pub(crate) const NEW: &str = "trixie/OVMF_CODE_4M.fd";
pub(crate) const ARM: &str = "trixie/AAVMF_CODE.no-secboot.fd";
pub(crate) const OLD_ARM: &str = "bookworm/AAVMF_CODE.fd";

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

pub(crate) fn run(words: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_flashmoor"))
        .args(words)
        .output()
        .expect("it runs")
}

pub(crate) fn vars(words: &[&str]) -> Value {
    let output = run(&[&["--json", "vars"], words].concat());
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("a document")
}

pub(crate) fn names(path: &Path) -> Vec<String> {
    let list = vars(&["list", text(path)]);
    let all = list["variables"].as_array().expect("a list");
    all.iter()
        .map(|variable| variable["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// The findings of a cold boot of this build on this store, and the outcome of all.
pub(crate) fn cold(folder: &Path, code: &str, store: &Path) -> (Vec<Value>, String) {
    let code_file = fm_fixtures::path(code);
    let arm = code.contains("AAVMF");
    let machine = if arm { "virt-7.2" } else { "pc-q35-7.2" };
    if arm {
        let file = fs::File::options().write(true).open(store).expect("open");
        file.set_len(64 << 20).expect("padded to the chip");
    }
    let smm = if code.contains("secboot") { "on" } else { "off" };
    let words = [
        "--store",
        text(folder),
        "--json",
        "check",
        "--from-code",
        text(&code_file),
        "--to-code",
        text(&code_file),
        "--from-vars",
        text(store),
        "--machine",
        machine,
        "--qemu-from",
        "7.2",
        "--qemu-to",
        "7.2",
        "--tpm",
        "off",
        "--s3",
        "off",
        "--smm",
        smm,
        "--secure-flash",
        smm,
    ];
    let words: Vec<&str> = match arm {
        true => words.iter().copied().take(16).collect(),
        false => words.to_vec(),
    };
    let output = run(&words);
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let phase = &document["phases"]["cold_boot"];
    (
        phase["findings"].as_array().expect("findings").clone(),
        phase["outcome"].as_str().expect("an outcome").to_owned(),
    )
}
