//! Stores that people reported, or nearly: what `check` foretells of them, and what `vars` makes of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fm_formats::Guid;
use fm_formats::image::Layout;
use fm_formats::varstore::{Variable, Writer};
use serde_json::Value;

const OLD: &str = "bookworm/OVMF_CODE_4M.fd";
const OLD_SMM: &str = "bookworm/OVMF_CODE_4M.secboot.fd";
const NEW: &str = "trixie/OVMF_CODE_4M.fd";
const ARM: &str = "trixie/AAVMF_CODE.no-secboot.fd";
const OLD_ARM: &str = "bookworm/AAVMF_CODE.fd";

/// A store and a build, and what the finding of this code is to say.
struct Case {
    store: &'static str,
    code: &'static str,
    finding: &'static str,
    outcome: &'static str,
    effect: Option<&'static str>,
}

const fn case(
    store: &'static str,
    code: &'static str,
    finding: &'static str,
    outcome: &'static str,
    effect: Option<&'static str>,
) -> Case {
    Case {
        store,
        code,
        finding,
        outcome,
        effect,
    }
}

const INTERRUPTED: &str = "FM-STORE-INTERRUPTED";
const LIST: &str = "FM-STORE-LIST";
const HEADER: &str = "FM-STORE-HEADER";

const CASES: &[Case] = &[
    case(
        "ftw-spare-complete-main-erased",
        OLD,
        INTERRUPTED,
        "incompatible",
        Some("dead_erased"),
    ),
    case(
        "ftw-spare-complete-main-erased",
        OLD_SMM,
        INTERRUPTED,
        "incompatible",
        Some("dead_erased"),
    ),
    case(
        "ftw-spare-complete-main-half",
        NEW,
        INTERRUPTED,
        "incompatible",
        Some("recreated"),
    ),
    case(
        "ftw-spare-complete-main-half",
        OLD_SMM,
        INTERRUPTED,
        "compatible",
        Some("kept"),
    ),
    case(
        "ftw-spare-complete-main-old",
        NEW,
        INTERRUPTED,
        "caution",
        Some("first_boot_lost"),
    ),
    case(
        "ftw-spare-complete-main-old",
        OLD_SMM,
        INTERRUPTED,
        "compatible",
        Some("kept"),
    ),
    case(
        "ftw-work-zero-main-erased-spare-whole",
        OLD,
        "FM-STORE-STATE",
        "incompatible",
        Some("dead_erased"),
    ),
    case(
        "ftw-work-zero-main-ok",
        OLD,
        "FM-STORE-STATE",
        "compatible",
        Some("kept"),
    ),
    case("torn-header-then-records", OLD, LIST, "caution", Some("kept")),
    case("name-unterminated", ARM, LIST, "incompatible", Some("recreated")),
    case("name-short", ARM, LIST, "incompatible", Some("recreated")),
    case("state-odd", ARM, LIST, "incompatible", Some("recreated")),
    case("state-odd", OLD_ARM, LIST, "unknown", None),
    case("name-unterminated-4M", NEW, LIST, "caution", Some("kept")),
    case("state-odd-4M", NEW, LIST, "caution", Some("kept")),
    case("state-7e-4M", NEW, LIST, "caution", Some("kept")),
    case(
        "zero-page-in-list",
        OLD,
        LIST,
        "incompatible",
        Some("partly_lost"),
    ),
    case(
        "hdr-blockmap-2000",
        OLD,
        HEADER,
        "incompatible",
        Some("dead_erased"),
    ),
    case(
        "hdr-blockmap-2000",
        NEW,
        HEADER,
        "incompatible",
        Some("dead_erased"),
    ),
    case("hdr-size-large", OLD, HEADER, "compatible", Some("kept")),
    case(
        "dbx-over-limit-2M",
        "bookworm/OVMF_CODE.fd",
        "FM-STORE-FULL",
        "compatible",
        None,
    ),
    case("uefivars-zero-free", OLD, LIST, "caution", Some("kept")),
    case(
        "uefivars-zero-free",
        OLD,
        "FM-STORE-STATE",
        "compatible",
        Some("kept"),
    ),
];

fn unpacked(folder: &Path, name: &str) -> PathBuf {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/cases")
        .join(format!("{name}.fd.gz"));
    let output = Command::new("gzip")
        .arg("-dc")
        .arg(&packed)
        .output()
        .expect("gzip");
    assert!(output.status.success(), "{}", packed.display());
    let path = folder.join(format!("{name}.fd"));
    fs::write(&path, output.stdout).expect("written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn run(words: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_flashmoor"))
        .args(words)
        .output()
        .expect("it runs")
}

fn vars(words: &[&str]) -> Value {
    let output = run(&[&["--json", "vars"], words].concat());
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("a document")
}

fn names(path: &Path) -> Vec<String> {
    let list = vars(&["list", text(path)]);
    let all = list["variables"].as_array().expect("a list");
    all.iter()
        .map(|variable| variable["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// The findings of a cold boot of this build on this store, and the outcome of all.
fn cold(folder: &Path, code: &str, store: &Path) -> (Vec<Value>, String) {
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

#[test]
fn each_reported_store_gets_the_answer_that_real_firmware_gave() {
    let folder = tempfile::tempdir().expect("a folder");
    for case in CASES {
        let store = unpacked(folder.path(), case.store);
        let (findings, outcome) = cold(folder.path(), case.code, &store);
        let label = format!("{} on {}", case.code, case.store);
        let said: Vec<&Value> = findings
            .iter()
            .filter(|finding| finding["code"] == case.finding && finding["outcome"] == case.outcome)
            .collect();
        let effects: Vec<Option<&str>> = said.iter().map(|finding| finding["effect"].as_str()).collect();
        assert!(effects.contains(&case.effect), "{label}: {findings:#?}");
        if case.outcome != "compatible" {
            let remedy = said[0]["remedy"].as_str().expect("a remedy");
            assert!(remedy.contains("vars repair"), "{label}: {remedy}");
            assert_ne!(outcome, "compatible", "{label}");
        }
    }
}

#[test]
fn headers_that_do_not_matter_are_compatible() {
    let folder = tempfile::tempdir().expect("a folder");
    for store in ["hdr-attr-odd", "hdr-size-large", "ftw-work-zero-main-ok"] {
        let (findings, outcome) = cold(folder.path(), NEW, &unpacked(folder.path(), store));
        assert_eq!(outcome, "compatible", "{store}: {findings:#?}");
    }
}

#[test]
fn a_store_size_that_is_too_small_is_never_compatible_with_the_build_that_dies_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, outcome) = cold(folder.path(), OLD, &unpacked(folder.path(), "hdr-size-small"));
    assert_ne!(outcome, "compatible");
    assert_ne!(outcome, "caution");
}

#[test]
fn a_repaired_store_is_sound_and_has_every_variable_that_was_to_be_had() {
    let folder = tempfile::tempdir().expect("a folder");
    for store in CASES.iter().map(|case| case.store) {
        let path = unpacked(folder.path(), store);
        let before = names(&path);
        vars(&["repair", text(&path)]);
        let list = vars(&["list", text(&path)]);
        assert_eq!(list["damage"], Value::Array(Vec::new()), "{store}");
        assert_eq!(list["truth"], "main", "{store}");
        assert!(list["firmware_finds"].is_null(), "{store}");
        assert_eq!(names(&path), before, "{store}");
    }
}

#[test]
fn what_firmware_finds_is_told_beside_what_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    for (store, there, interrupted, finds) in [
        ("ftw-spare-complete-main-erased", 4, Some("main_erased"), Some(0)),
        ("ftw-spare-complete-main-half", 4, Some("main_headers"), Some(0)),
        ("ftw-work-zero-main-ok", 4, None, None),
        ("zero-page-in-list", 51, None, Some(24)),
    ] {
        let list = vars(&["list", text(&unpacked(folder.path(), store))]);
        let count = list["variables"].as_array().expect("a list").len();
        assert_eq!(count, there, "{store}");
        assert_eq!(list["interrupted"].as_str(), interrupted, "{store}");
        assert_eq!(list["firmware_finds"].as_u64(), finds, "{store}");
    }
}

#[test]
fn a_variable_beyond_the_limit_is_carried_and_the_guest_is_said_not_to_write_it_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = unpacked(folder.path(), "dbx-over-limit-2M");
    let to = folder.path().join("to.fd");
    let change = vars(&["convert", text(&store), "--layout", "2M", "-o", text(&to)]);
    assert_eq!(vars(&["diff", text(&store), text(&to)])["identical"], true);
    let notes = change["notes"].to_string();
    assert!(
        notes.contains("-dbx") && notes.contains("cannot write it again"),
        "{notes}"
    );
    // Keys that have nothing to do with it are enrolled.
    vars(&["secure-boot", "enroll", text(&to), "--microsoft", "2023"]);
    let dbx = |path: &Path| vars(&["show", text(path), "dbx"])["variables"].to_string();
    assert_eq!(dbx(&store).len(), dbx(&to).len());
    assert!(names(&to).contains(&"PK".to_owned()));
    // One that would be too large only now is refused still.
    let output = run(&["vars", "secure-boot", "enroll", text(&to), "--microsoft-dbx"]);
    assert!(!output.status.success());
}

#[test]
fn a_padded_store_is_named_with_the_length_that_qemu_is_to_be_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("padded.fd");
    fs::write(&path, fm_fixtures::bytes("bookworm/OVMF_VARS_4M.fd")).expect("written");
    for len_bytes in [1 << 20, 4 << 20] {
        let file = fs::File::options().write(true).open(&path).expect("open");
        file.set_len(len_bytes).expect("padded");
        let (findings, outcome) = cold(folder.path(), NEW, &path);
        let said = findings
            .iter()
            .find(|finding| finding["code"] == "FM-VARS-PADDED")
            .unwrap_or_else(|| panic!("{findings:#?}"));
        assert_eq!(outcome, "incompatible");
        assert!(said["remedy"].to_string().contains("size=540672"), "{said}");
    }
}

/// Where the first record lies, and how long each is here: header, name and data.
const FIRST: usize = 0x64;
const RECORD: usize = 60 + 8 + 200;
const STORE_SIZE: usize = 0x58;
const SPARE: usize = 0x4_2000;
const SMM: &str = "trixie/OVMF_CODE_4M.secboot.fd";

fn variables() -> Vec<Variable> {
    let named = |index: u8| {
        let name = format!("V{index:02}").parse().expect("a name");
        Variable::new(Guid::ZERO, name, 7, vec![index; 200])
    };
    (0..40).map(named).collect()
}

fn made(layout: Layout) -> Vec<u8> {
    Writer::new(layout).emit(&variables()).expect("it fits")
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// Makes the sum of the volume header's words zero again.
fn seal(bytes: &mut [u8]) {
    put(bytes, 0x32, &[0, 0]);
    let sum = bytes[..0x48].chunks(2).fold(0u16, |sum, pair| {
        sum.wrapping_add(u16::from_le_bytes([pair[0], pair[1]]))
    });
    put(bytes, 0x32, &sum.wrapping_neg().to_le_bytes());
}

/// A reclaim in the queue whose copy is said to be whole in the spare, and `spare` there.
fn pending(bytes: &mut [u8], layout: Layout, spare: &[u8], write_offset: u64) {
    let (queue, at) = match layout {
        Layout::ArmVirt => (0x4_0020, 0x8_0000),
        _ => (0x4_1020, SPARE),
    };
    put(bytes, at, spare);
    put(bytes, queue, &[0xfc]);
    put(bytes, queue + 24, &1u64.to_le_bytes());
    put(bytes, queue + 32, &[0; 8]);
    put(bytes, queue + 40, &[0xfd]);
    put(bytes, queue + 48, &0u64.to_le_bytes());
    put(bytes, queue + 56, &write_offset.to_le_bytes());
    put(bytes, queue + 64, &0x3_ffb8u64.to_le_bytes());
    let distance = -i64::try_from(at).expect("it is small");
    put(bytes, queue + 72, &distance.to_le_bytes());
}

fn layout_of(code: &str) -> Layout {
    if code.contains("AAVMF") {
        Layout::ArmVirt
    } else {
        Layout::X86Size4M
    }
}

/// A store with a change, what `check` says of it with this build, and whether repair leaves all 40 variables.
struct Odd {
    name: &'static str,
    code: &'static str,
    change: fn(&mut Vec<u8>, Layout),
    outcome: &'static str,
    repaired: usize,
}

const fn odd(
    name: &'static str,
    code: &'static str,
    change: fn(&mut Vec<u8>, Layout),
    outcome: &'static str,
    repaired: usize,
) -> Odd {
    Odd {
        name,
        code,
        change,
        outcome,
        repaired,
    }
}

fn erased_gap(bytes: &mut Vec<u8>, _: Layout) {
    bytes[FIRST + 10 * RECORD..FIRST + 13 * RECORD].fill(0xff);
}

fn spare_of_zeros(bytes: &mut Vec<u8>, layout: Layout) {
    pending(bytes, layout, &[0; 0x4_0000], 0x48);
}

fn foreign_write(bytes: &mut Vec<u8>, layout: Layout) {
    let spare = made(layout)[..0x4_0000].to_vec();
    pending(bytes, layout, &spare, 0x1000);
}

/// The copy whole, and the main area with `change`.
fn copied(bytes: &mut Vec<u8>, layout: Layout, change: fn(&mut [u8])) {
    let spare = made(layout)[..0x4_0000].to_vec();
    pending(bytes, layout, &spare, 0x48);
    change(&mut bytes[..0x4_0000]);
}

fn cut_in_name(bytes: &mut Vec<u8>, layout: Layout) {
    copied(bytes, layout, |main| main[FIRST + 5 * RECORD + 64..].fill(0xff));
}

fn cut_in_header(bytes: &mut Vec<u8>, layout: Layout) {
    copied(bytes, layout, |main| main[FIRST + 5 * RECORD + 40..].fill(0xff));
}

fn cut_behind_record(bytes: &mut Vec<u8>, layout: Layout) {
    copied(bytes, layout, |main| main[FIRST + 5 * RECORD..].fill(0xff));
}

fn copied_with_state(bytes: &mut Vec<u8>, layout: Layout) {
    copied(bytes, layout, |main| main[FIRST + 5 * RECORD + 2] = 0x1f);
}

fn copied_with_size(bytes: &mut Vec<u8>, layout: Layout) {
    copied(bytes, layout, |main| main[STORE_SIZE] ^= 0x10);
}

fn copied_with_block_map(bytes: &mut Vec<u8>, layout: Layout) {
    copied(bytes, layout, |main| {
        put(main, 0x38, &0x42u32.to_le_bytes());
        put(main, 0x3c, &0x2000u32.to_le_bytes());
        seal(main);
    });
}

fn copied_with_zeros(bytes: &mut Vec<u8>, layout: Layout) {
    copied(bytes, layout, |main| main[0x1000..0x2000].fill(0));
}

fn twice(bytes: &mut Vec<u8>, _: Layout) {
    let name = bytes[FIRST + 60..FIRST + 68].to_vec();
    put(bytes, FIRST + 2 * RECORD + 60, &name);
}

fn unwritten_with_state(bytes: &mut Vec<u8>, _: Layout) {
    let end = FIRST + 40 * RECORD;
    put(bytes, end, &[0xaa, 0x55, 0x7f, 0xff, 7, 0, 0, 0]);
}

fn unwritten_and_valid(bytes: &mut Vec<u8>, _: Layout) {
    let end = FIRST + 40 * RECORD;
    put(bytes, end, &[0xaa, 0x55, 0x3f, 0xff, 7, 0, 0, 0]);
}

fn size_of_ones(bytes: &mut Vec<u8>, _: Layout) {
    put(bytes, STORE_SIZE, &[0xff; 4]);
}

fn size_beyond_all(bytes: &mut Vec<u8>, _: Layout) {
    put(bytes, STORE_SIZE, &0x7fff_ffffu32.to_le_bytes());
}

fn size_beyond(bytes: &mut Vec<u8>, _: Layout) {
    put(bytes, STORE_SIZE, &0x5_0000u32.to_le_bytes());
}

fn no_attributes(bytes: &mut Vec<u8>, _: Layout) {
    put(bytes, 0x2c, &[0; 4]);
    seal(bytes);
}

fn full(bytes: &mut Vec<u8>, layout: Layout) {
    let mut variables = variables();
    let name = |index: usize| format!("Z{index:02}").parse().expect("a name");
    for index in 0..31 {
        variables.push(Variable::new(Guid::ZERO, name(index), 7, vec![1; 8000]));
    }
    *bytes = Writer::new(layout).emit(&variables).expect("it fits");
}

const ODD: &[Odd] = &[
    odd("erased gap", NEW, erased_gap, "incompatible", 37),
    odd("erased gap", ARM, erased_gap, "incompatible", 37),
    odd("spare of zeros", NEW, spare_of_zeros, "incompatible", 40),
    odd("spare of zeros", SMM, spare_of_zeros, "incompatible", 40),
    odd("spare of zeros", ARM, spare_of_zeros, "incompatible", 40),
    odd("foreign write", NEW, foreign_write, "incompatible", 40),
    odd("cut in a name", ARM, cut_in_name, "incompatible", 40),
    odd("cut in a name", OLD_ARM, cut_in_name, "unknown", 40),
    odd("cut in a name", OLD_SMM, cut_in_name, "compatible", 40),
    odd("cut in a header", ARM, cut_in_header, "incompatible", 40),
    odd("cut behind a record", ARM, cut_behind_record, "compatible", 40),
    odd(
        "a copy, and an odd state",
        ARM,
        copied_with_state,
        "incompatible",
        40,
    ),
    odd(
        "a copy, and an odd size",
        ARM,
        copied_with_size,
        "incompatible",
        40,
    ),
    odd(
        "a copy, and a block map",
        SMM,
        copied_with_block_map,
        "incompatible",
        40,
    ),
    odd("a copy, and zeros", NEW, copied_with_zeros, "incompatible", 40),
    odd("a name twice", NEW, twice, "incompatible", 39),
    odd("a name twice", ARM, twice, "incompatible", 39),
    odd("no sizes", ARM, unwritten_with_state, "incompatible", 40),
    odd("no sizes", NEW, unwritten_with_state, "unknown", 40),
    odd("valid, no sizes", NEW, unwritten_and_valid, "incompatible", 40),
    odd("valid, no sizes", ARM, unwritten_and_valid, "incompatible", 40),
    odd("a size of ones", NEW, size_of_ones, "incompatible", 40),
    odd("a size of ones", ARM, size_of_ones, "incompatible", 40),
    odd("a size beyond all", NEW, size_beyond_all, "incompatible", 40),
    odd("a size beyond all", SMM, size_beyond_all, "incompatible", 40),
    odd("a size beyond", SMM, size_beyond, "incompatible", 40),
    odd("a size beyond", NEW, size_beyond, "compatible", 40),
    odd("no attributes", SMM, no_attributes, "incompatible", 40),
    odd("no attributes", NEW, no_attributes, "unknown", 40),
    odd("full", NEW, full, "unknown", 71),
];

#[test]
fn no_odd_store_is_compatible_with_a_build_that_loses_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("odd.fd");
    let mut wrong = Vec::new();
    for case in ODD {
        let layout = layout_of(case.code);
        let mut bytes = made(layout);
        (case.change)(&mut bytes, layout);
        let label = format!("{} on {}", case.name, case.code);
        fs::write(&path, &bytes).expect("written");
        let (findings, outcome) = cold(folder.path(), case.code, &path);
        if outcome != case.outcome {
            wrong.push(format!("{label}: {outcome}, {findings:#?}"));
        }
        fs::write(&path, &bytes).expect("written");
        let before = vars(&["list", text(&path)]);
        let is_full = case.name == "full";
        assert_eq!(
            before["damage"] == Value::Array(Vec::new()),
            is_full || before["interrupted"].is_string(),
            "{label}"
        );
        vars(&["repair", text(&path)]);
        let list = vars(&["list", text(&path)]);
        assert_eq!(list["damage"], Value::Array(Vec::new()), "{label}");
        assert_eq!(list["truth"], "main", "{label}");
        assert_eq!(names(&path).len(), case.repaired, "{label}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn of_a_name_that_is_there_twice_repair_keeps_the_one_that_firmware_reads_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("twice.fd");
    let mut bytes = made(Layout::X86Size4M);
    twice(&mut bytes, Layout::X86Size4M);
    fs::write(&path, &bytes).expect("written");
    let refused = run(&["vars", "compact", text(&path)]);
    assert!(!refused.status.success());
    let change = vars(&["repair", text(&path)]);
    assert!(change["notes"].to_string().contains("more than once"), "{change}");
    let list = vars(&["list", text(&path)]);
    let first = &list["variables"][0];
    assert_eq!(first["name"], "V00");
    assert_eq!(first["data"], "00".repeat(200));
}

#[test]
fn a_plain_store_is_not_for_firmware_of_virt_machines() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plain.fd");
    let mut bytes = made(Layout::ArmVirt);
    // gEfiVariableGuid
    put(
        &mut bytes,
        0x48,
        &[
            0x16, 0x36, 0xcf, 0xdd, 0x75, 0x32, 0x64, 0x41, 0x98, 0xb6, 0xfe, 0x85, 0x70, 0x7f, 0xfe, 0x7d,
        ],
    );
    bytes[FIRST..0x4_0000].fill(0xff);
    // VARIABLE_HEADER: start, state, attributes, both sizes, namespace; then name and data.
    put(
        &mut bytes,
        FIRST,
        &[0xaa, 0x55, 0x3f, 0, 7, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0],
    );
    put(&mut bytes, FIRST + 16, &[0; 16]);
    put(&mut bytes, FIRST + 32, &[b'A', 0, 0, 0, 1, 1, 1, 1]);
    for (code, expected) in [(ARM, "incompatible"), (OLD_ARM, "unknown")] {
        fs::write(&path, &bytes).expect("written");
        let (findings, outcome) = cold(folder.path(), code, &path);
        assert_eq!(outcome, expected, "{code}: {findings:#?}");
    }
}
