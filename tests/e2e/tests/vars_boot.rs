//! Converted variable stores under real firmware: the guest itself says what it found.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use fm_api::v1::vars::{ActiveCopy, VariableState};
use fm_e2e::conversion::{Build, dumped, lives_on};
use fm_e2e::speaker::{Said, Speaker};
use fm_fixtures::Patience;
use fm_formats::image::Layout;
use fm_lab::{Arch, Guest, Machine};
use fm_variables as vars;
use fm_variables::{ConvertRequest, ConvertTarget, Selection, SetRequest, StoreTarget};

const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

fn write(path: &Path) -> StoreTarget {
    StoreTarget::file(path.to_owned())
}

fn set(path: &Path, name: &str, guid: &str, data: Vec<u8>) {
    vars::set(SetRequest {
        write: write(path),
        which: Selection {
            name: name.into(),
            guid: Some(guid.parse().unwrap()),
        },
        attributes: Some(7),
        data,
    })
    .unwrap();
}

fn copy(fixture: &str, dir: &Path) -> PathBuf {
    let path = dir.join("source.fd");
    std::fs::write(&path, fm_fixtures::bytes(fixture)).unwrap();
    path
}

fn convert(input: &Path, code: &str, output: &Path) {
    vars::convert(&ConvertRequest {
        input: input.to_owned(),
        into: ConvertTarget::ForCode(fm_fixtures::path(code)),
        format: None,
        output: output.to_owned(),
        replace: false,
        even_if_in_use: false,
        journal: None,
        cache: None,
        dry_run: false,
    })
    .unwrap();
}

fn guest(code: &str, vars: &Path, run: &Path) -> Guest {
    let machine = Machine::new(Arch::X86_64, &fm_fixtures::path(code), vars);
    let mut guest = Guest::start(&machine, run).unwrap();
    guest.boot_to_shell().unwrap();
    guest
}

fn data(path: &Path, name: &str, guid: &str) -> Option<String> {
    vars::list(path, false)
        .unwrap()
        .variables
        .into_iter()
        .find(|variable| variable.name == name && variable.guid == guid)
        .map(|variable| variable.data)
}

/// Boots firmware on a converted store, and once more after it set a variable of its own.
fn converted_store_lives(source: &str, code: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (copy(source, dir.path()), dir.path().join("converted.fd"));
    set(&input, "Same", GLOBAL, b"one".to_vec());
    set(&input, "Same", SHIM, b"two".to_vec());
    convert(&input, code, &output);
    let before = vars::list(&output, false).unwrap();

    let mut first = guest(code, &output, &dir.path().join("run1"));
    assert_eq!(dumped(&mut first, "Same", GLOBAL), "6f6e65", "{source} on {code}");
    assert_eq!(dumped(&mut first, "Same", SHIM), "74776f", "{source} on {code}");
    first
        .shell(&format!("setvar Persists -guid {SHIM} -bs -rt -nv =0xabcd"))
        .unwrap();
    first.quit().unwrap();
    let after = vars::list(&output, false).unwrap();
    assert!(after.damage.is_empty(), "{:?}", after.damage);
    // Nothing was reformatted: what no boot rewrites is there as it was.
    for variable in before
        .variables
        .iter()
        .filter(|variable| is_stable(&variable.name))
    {
        let now = after
            .variables
            .iter()
            .find(|other| other.name == variable.name && other.guid == variable.guid);
        assert_eq!(
            now.map(|now| &now.data),
            Some(&variable.data),
            "{} on {code}",
            variable.name
        );
    }

    let mut second = guest(code, &output, &dir.path().join("run2"));
    assert_eq!(
        dumped(&mut second, "Persists", SHIM),
        data(&output, "Persists", SHIM).unwrap()
    );
    assert_eq!(dumped(&mut second, "Same", SHIM), "74776f");
    second.quit().unwrap();
}

/// Firmware rewrites its consoles, counters and boot entries at every boot.
fn is_stable(name: &str) -> bool {
    matches!(
        name,
        "Same" | "PK" | "KEK" | "db" | "dbx" | "SecureBootEnable" | "certdb" | "Lang" | "PlatformLang"
    )
}

#[test]
fn a_2m_store_lives_on_under_4m_firmware() {
    converted_store_lives("bookworm/OVMF_VARS.fd", "bookworm/OVMF_CODE_4M.fd");
}

#[test]
fn a_4m_store_lives_on_under_2m_firmware() {
    converted_store_lives("bookworm/OVMF_VARS_4M.fd", "bookworm/OVMF_CODE.fd");
}

#[test]
fn a_store_with_keys_lives_on_under_newer_4m_firmware() {
    converted_store_lives("bookworm/OVMF_VARS.ms.fd", "trixie/OVMF_CODE_4M.fd");
}

#[test]
fn a_4m_store_with_keys_lives_on_under_riscv_and_loongarch_firmware() {
    for code in ["trixie/RISCV_VIRT_CODE.fd", "trixie/loongarch64/QEMU_EFI.fd"] {
        let dir = tempfile::tempdir().unwrap();
        lives_on(Layout::X86Size4M, &Build::new(code), dir.path());
    }
}

#[test]
fn two_hundred_variables_and_one_of_32_kib_are_all_there_for_the_guest() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (
        copy("bookworm/OVMF_VARS_4M.fd", dir.path()),
        dir.path().join("converted.fd"),
    );
    let many: Vec<_> = (0..200)
        .map(|at| serde_json::json!({ "guid": SHIM, "name": format!("Many{at:03}"), "attr": 7, "data": format!("{at:02x}55") }))
        .chain([serde_json::json!({ "guid": SHIM, "name": "Large", "attr": 7, "data": "a5".repeat(0x8000) })])
        .collect();
    let json = dir.path().join("many.json");
    std::fs::write(
        &json,
        serde_json::json!({ "version": 2, "variables": many }).to_string(),
    )
    .unwrap();
    vars::import(&vars::ImportRequest {
        write: write(&input),
        from: json,
        only: false,
    })
    .unwrap();
    convert(&input, "bookworm/OVMF_CODE_4M.fd", &output);
    let build = Build::new("bookworm/OVMF_CODE_4M.fd");
    let speaker = Speaker::new(&build.arch, dir.path());
    let mut guest = build.start(&output, &speaker, &dir.path().join("run"));
    let said = Said::hear(&mut guest);
    for variable in &many {
        let name = variable["name"].as_str().unwrap();
        assert_eq!(said.get(SHIM, name), variable["data"].as_str(), "{name}");
    }
    assert_eq!(said.get(SHIM, "Large").map(str::len), Some(2 * 0x8000));
    guest.quit().unwrap();
}

/// The firmware and we agree on what an interrupted change left: 0x3E without its twin is valid, and the
/// spare is the truth once a reclaim got that far.
#[test]
fn an_interrupted_change_reads_the_same_to_us_and_to_the_firmware() {
    let dir = tempfile::tempdir().unwrap();
    let input = copy("bookworm/OVMF_VARS_4M.fd", dir.path());
    set(&input, "Kept", SHIM, vec![0x11, 0x22]);
    let mut bytes = std::fs::read(&input).unwrap();
    // State byte of the first variable: behind volume header 0x48 and store header 28.
    assert_eq!(bytes[0x64 + 2], 0x3f);
    bytes[0x64 + 2] = 0x3e;
    // The spare holds that store; the main one is torn, and the FTW queue says that the spare is whole.
    let (spare, working) = (0x42000, 0x41000);
    bytes.copy_within(0..0x40000, spare);
    bytes[0x48..0x1000].fill(0xff);
    let queue = working + 32;
    bytes[queue] = 0xfc;
    bytes[queue + 24..queue + 32].copy_from_slice(&1u64.to_le_bytes());
    bytes[queue + 32..queue + 40].copy_from_slice(&0u64.to_le_bytes());
    bytes[queue + 40] = 0xfd;
    for (at, value) in [
        (48, 0u64),
        (56, 0x48),
        (64, 0x3ffb8),
        (72, (-0x42000i64).cast_unsigned()),
    ] {
        bytes[queue + at..queue + at + 8].copy_from_slice(&value.to_le_bytes());
    }
    std::fs::write(&input, bytes).unwrap();
    let ours = vars::list(&input, false).unwrap();
    assert_eq!(
        (ours.truth, ours.variables[0].state),
        (Some(ActiveCopy::Spare), VariableState::InDeletedTransition)
    );
    // The boot that finds the interrupted reclaim finishes it; this build of OVMF goes no further then.
    let machine = Machine::new(
        Arch::X86_64,
        &fm_fixtures::path("bookworm/OVMF_CODE_4M.fd"),
        &input,
    );
    let first = Guest::start(&machine, &dir.path().join("run1")).unwrap();
    let mut patience = Patience::new(fm_lab::PATIENCE);
    while vars::list(&input, false).unwrap().truth != Some(ActiveCopy::Main) {
        patience.rest(|| "the firmware did not finish the reclaim".into());
    }
    first.kill();
    assert_eq!(data(&input, "Kept", SHIM), Some("1122".into()));
    let mut second = guest("bookworm/OVMF_CODE_4M.fd", &input, &dir.path().join("run2"));
    assert_eq!(dumped(&mut second, "Kept", SHIM), "1122");
    second.quit().unwrap();
}

#[test]
fn a_store_that_a_running_guest_has_open_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let input = copy("bookworm/OVMF_VARS_4M.fd", dir.path());
    let machine = Machine::new(
        Arch::X86_64,
        &fm_fixtures::path("bookworm/OVMF_CODE_4M.fd"),
        &input,
    );
    let running = Guest::start(&machine, &dir.path().join("run")).unwrap();
    let error = vars::compact(&write(&input)).unwrap_err();
    assert!(
        matches!(&error, vars::Error::InUse { holder, .. } if holder.contains(&running.pid().to_string())),
        "{error}"
    );
    running.quit().unwrap();
}
