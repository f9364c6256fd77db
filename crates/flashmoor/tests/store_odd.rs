//! Stores that were made to be odd: what `check` foretells of each, as real firmware was seen to boot on it, and that what is
//! repaired has nothing wrong with it.
#![allow(
    clippy::ptr_arg,
    reason = "changes have one shape, and one of them makes the bytes anew"
)]

mod store_case;

use std::fs;

use fm_formats::Guid;
use fm_formats::image::Layout;
use fm_varstore::{Variable, Writer};
use serde_json::Value;
use store_case::{ARM, NEW, OLD_ARM, OLD_SMM, cold, names, run, text, vars};

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
