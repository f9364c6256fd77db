//! Stores that no firmware leaves: what is named of them, and what is still read.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use fm_formats::Guid;
use fm_formats::image::Layout;
use fm_varstore::{ActiveCopy, DamageKind, Interrupted, State, VarStore, Variable, Writer};

const GLOBAL: Guid = Guid::literal("8be4df61-93ca-11d2-aa0d-00e098032b8c");
/// Where the second variable's header lies: each takes 60 bytes, 4 of name and 8 of data.
const SECOND: usize = 0x64 + 72;

fn store() -> Vec<u8> {
    let variable = |name: &str| Variable::new(GLOBAL, name.parse().unwrap(), 7, vec![1; 8]);
    let variables = ["A", "B", "C"].map(variable);
    Writer::new(Layout::X86Size4M).emit(&variables).unwrap()
}

fn kinds(bytes: &[u8]) -> Vec<DamageKind> {
    let store = VarStore::parse(bytes).unwrap();
    store.damage_found().iter().map(|damage| damage.kind).collect()
}

fn found(bytes: &[u8]) -> Vec<String> {
    let store = VarStore::parse(bytes).unwrap();
    store
        .found_by_firmware()
        .map(|entry| entry.name.to_string())
        .collect()
}

#[test]
fn a_name_without_its_terminator_is_read_and_what_follows_too() {
    let mut bytes = store();
    bytes[SECOND + 36] = 2;
    bytes[SECOND + 40] = 10;
    assert_eq!(kinds(&bytes), [DamageKind::NameUnterminated]);
    assert_eq!(found(&bytes), ["A", "B", "C"]);
    assert!(VarStore::parse(&bytes).unwrap().first_lossy_damage().is_none());
}

#[test]
fn an_empty_name_and_a_name_of_odd_size_are_not_carried_and_end_nothing() {
    let mut empty = store();
    empty[SECOND + 60] = 0;
    let mut none = store();
    none[SECOND + 36] = 0;
    none[SECOND + 40] = 12;
    let mut odd = store();
    odd[SECOND + 36] = 5;
    odd[SECOND + 40] = 7;
    for (bytes, kind) in [
        (empty, DamageKind::NameBlank),
        (none, DamageKind::NameEmpty),
        (odd, DamageKind::NameOdd),
    ] {
        assert_eq!(kinds(&bytes), [kind]);
        assert_eq!(found(&bytes), ["A", "C"]);
        assert!(VarStore::parse(&bytes).unwrap().first_lossy_damage().is_some());
    }
}

#[test]
fn a_name_with_a_terminator_where_none_belongs_is_not_carried_and_ends_nothing() {
    let named = |state: u8, units: &[u16]| {
        let mut bytes = store();
        let name: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        bytes[SECOND + 2] = state;
        bytes[SECOND + 36] = name.len() as u8;
        bytes[SECOND + 40] = 12 - name.len() as u8;
        bytes[SECOND + 60..SECOND + 60 + name.len()].copy_from_slice(&name);
        bytes
    };
    let (a, live, deleted) = (u16::from(b'a'), 0x3f, 0x3d);
    for (units, kind) in [
        (&[a, 0, a, 0][..], DamageKind::NameSplit),
        (&[a, 0, 0], DamageKind::NameSplit),
        (&[0, a, 0], DamageKind::NameBlank),
        (&[0, 0], DamageKind::NameBlank),
        (&[0, a], DamageKind::NameEmpty),
    ] {
        let bytes = named(live, units);
        assert_eq!(kinds(&bytes), [kind], "{units:?}");
        assert_eq!(found(&bytes), ["A", "C"], "{units:?}");
        assert!(VarStore::parse(&bytes).unwrap().first_lossy_damage().is_some());
    }
    // The check of the whole list looks at a name's last unit; what is deleted nobody asks for.
    assert_eq!(kinds(&named(deleted, &[a, 0, a, 0])), []);
    assert_eq!(kinds(&named(deleted, &[0, a, 0])), []);
    assert_eq!(kinds(&named(deleted, &[a, 0, a])), [DamageKind::NameUnterminated]);
    assert_eq!(kinds(&named(live, &[a, 0, a])), [DamageKind::NameOdd]);
}

#[test]
fn a_state_that_edk2_never_writes_costs_that_variable_alone() {
    for state in [0x1f, 0x7d, 0x00] {
        let mut bytes = store();
        bytes[SECOND + 2] = state;
        assert_eq!(kinds(&bytes), [DamageKind::StateImpossible], "{state:#x}");
        assert_eq!(found(&bytes), ["A", "C"]);
    }
    for state in [0x3c, 0x3d, 0x7f] {
        let mut bytes = store();
        bytes[SECOND + 2] = state;
        assert_eq!(kinds(&bytes), [], "{state:#x}");
    }
}

#[test]
fn a_state_without_sizes_is_damage_and_the_state_says_which() {
    for (state, field, found_kinds) in [
        (0x3f, 32, vec![DamageKind::NameEmpty]),
        (0x3e, 40, vec![DamageKind::NameEmpty]),
        (0x7f, 36, vec![DamageKind::SizesUnwritten]),
        (0x3c, 36, vec![DamageKind::SizesUnwritten]),
        (0x1f, 36, vec![DamageKind::SizesUnwritten]),
        (0xff, 36, vec![]),
    ] {
        let mut bytes = store();
        let third = SECOND + 72;
        bytes[third + 2] = state;
        bytes[third + field.min(36)..third + 44].fill(0xff);
        bytes[third + 44..third + 60].fill(0xff);
        bytes[third + 60..third + 72].fill(0xff);
        assert_eq!(kinds(&bytes), found_kinds, "{state:#x}");
        assert_eq!(found(&bytes), ["A", "B"]);
    }
}

#[test]
fn a_header_without_content_whose_name_was_to_be_none_is_damage() {
    let mut bytes = store();
    bytes[SECOND + 2] = 0x7f;
    assert_eq!(kinds(&bytes), []);
    // Not written yet: what a power cut leaves.
    bytes[SECOND + 60..SECOND + 72].fill(0xff);
    assert_eq!(kinds(&bytes), []);
    bytes[SECOND + 36] = 2;
    bytes[SECOND + 40] = 10;
    assert_eq!(kinds(&bytes), [DamageKind::NameUnterminated]);
}

#[test]
fn a_second_valid_variable_of_one_name_is_damage_and_the_first_counts() {
    let variable = |name: &str, byte| Variable::new(GLOBAL, name.parse().unwrap(), 7, vec![byte; 8]);
    let variables = [
        variable("A", 1),
        variable("B", 1),
        variable("X", 2),
        variable("C", 1),
    ];
    let mut bytes = Writer::new(Layout::X86Size4M).emit(&variables).unwrap();
    let third = SECOND + 72;
    bytes[third + 60] = b'A';
    assert_eq!(kinds(&bytes), [DamageKind::NameTwice]);
    let store = VarStore::parse(&bytes).unwrap();
    let first = store.variable(GLOBAL, &"A".parse().unwrap()).unwrap();
    assert_eq!((first.data, found(&bytes).len()), (&[1u8; 8][..], 3));
    assert!(store.first_lossy_damage().is_some());
    // One that is about to be replaced has its twin lawfully.
    bytes[0x64 + 2] = 0x3e;
    assert_eq!(kinds(&bytes), []);
}

#[test]
fn erased_bytes_with_variables_behind_them_are_a_gap() {
    let mut bytes = store();
    bytes[SECOND..SECOND + 72].fill(0xff);
    assert_eq!(kinds(&bytes), [DamageKind::Gap]);
    assert_eq!(found(&bytes), ["A"]);
    let store = VarStore::parse(&bytes).unwrap();
    assert_eq!(store.variables().count(), 2);
}

#[test]
fn a_store_size_of_all_ones_is_a_size_like_any_other() {
    let mut bytes = store();
    bytes[0x58..0x5c].fill(0xff);
    assert_eq!(kinds(&bytes), [DamageKind::StoreSize]);
    assert_eq!(found(&bytes), ["A", "B", "C"]);
}

fn with_attributes(attributes: u32) -> Vec<u8> {
    let mut bytes = store();
    bytes[0x2c..0x30].copy_from_slice(&attributes.to_le_bytes());
    bytes[0x32..0x34].fill(0);
    let sum = bytes[..0x48].chunks(2).fold(0u16, |sum, pair| {
        sum.wrapping_add(u16::from_le_bytes([pair[0], pair[1]]))
    });
    bytes[0x32..0x34].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
    bytes
}

#[test]
fn attributes_of_the_volume_that_no_build_writes_are_named() {
    for attributes in [0x4_feff, 0x8004_feff, 0xe36, 0x4_0c36] {
        assert_eq!(kinds(&with_attributes(attributes)), [], "{attributes:#x}");
    }
    for attributes in [0, 0x4_fedf, u32::MAX] {
        let kinds = kinds(&with_attributes(attributes));
        assert_eq!(kinds, [DamageKind::VolumeAttributes], "{attributes:#x}");
    }
}

#[test]
fn a_torn_header_is_named_only_with_variables_behind_it() {
    let mut bytes = store();
    let rest = bytes[SECOND..SECOND + 144].to_vec();
    bytes[SECOND..SECOND + 60].fill(0xff);
    bytes[SECOND..SECOND + 2].copy_from_slice(&[0xaa, 0x55]);
    bytes[SECOND + 60..SECOND + 60 + 144].copy_from_slice(&rest);
    assert_eq!(kinds(&bytes), [DamageKind::HeaderTorn]);
    assert_eq!(found(&bytes), ["A", "B", "C"]);
    // At the end it is what a power cut leaves, and the firmware goes on from there.
    bytes[SECOND + 60..SECOND + 60 + 144].fill(0xff);
    assert_eq!(kinds(&bytes), []);
}

#[test]
fn every_odd_field_of_the_volume_header_is_named() {
    for (at, kind) in [
        (0x00, DamageKind::VolumeField),
        (0x34, DamageKind::VolumeField),
        (0x36, DamageKind::VolumeField),
        (0x37, DamageKind::VolumeField),
        (0x38, DamageKind::BlockMap),
        (0x3d, DamageKind::BlockMap),
        (0x2c, DamageKind::VolumeChecksum),
    ] {
        let mut bytes = store();
        bytes[at] ^= 0x10;
        if kind != DamageKind::VolumeChecksum {
            let low = u16::from_le_bytes([bytes[0x32], bytes[0x33]]);
            let word = if at.is_multiple_of(2) { 0x10 } else { 0x1000 };
            let was_set = bytes[at] & 0x10 == 0;
            let sum = if was_set {
                low.wrapping_add(word)
            } else {
                low.wrapping_sub(word)
            };
            bytes[0x32..0x34].copy_from_slice(&sum.to_le_bytes());
        }
        assert_eq!(kinds(&bytes), [kind], "{at:#x}");
    }
}

/// A whole copy of a newer store in the spare, and the queue that says so.
fn interrupted(main: &[u8]) -> Vec<u8> {
    let mut bytes = store();
    let more = Variable::new(GLOBAL, "New".parse().unwrap(), 7, vec![2; 0x3000]);
    let spare = Writer::new(Layout::X86Size4M).emit(&[more]).unwrap();
    bytes[0x4_2000..0x8_2000].copy_from_slice(&spare[..0x4_0000]);
    match main.len() {
        0 => {}
        len => bytes[..len].copy_from_slice(main),
    }
    let queue = 0x4_1020;
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
    bytes
}

#[test]
fn how_far_an_interrupted_reclaim_had_come_shows_in_the_main_area() {
    let spare = interrupted(&[])[0x4_2000..0x8_2000].to_vec();
    let mut half = spare.clone();
    half[0x1000..].fill(0xff);
    let mut headers = half.clone();
    headers[0x80..].fill(0xff);
    let mut full = interrupted(&[])[..0x4_0000].to_vec();
    let end = full.iter().rposition(|byte| *byte != 0xff).unwrap() + 1;
    full[end..].fill(0);
    for (main, how_far, alone) in [
        (Vec::new(), Interrupted::MainOld, 3),
        (full, Interrupted::MainFull, 3),
        (spare, Interrupted::MainWritten, 1),
        (half, Interrupted::MainHalf, 1),
        (headers, Interrupted::MainHeaders, 0),
        (vec![0xff; 0x4_0000], Interrupted::MainErased, 0),
    ] {
        let bytes = interrupted(&main);
        let store = VarStore::parse(&bytes).unwrap();
        assert_eq!(store.interrupted(), Some(how_far));
        assert_eq!(
            (store.active_copy(), store.variables().count()),
            (ActiveCopy::Spare, 1)
        );
        let main = VarStore::parse_main(&bytes, bytes.len() as u64).unwrap();
        assert_eq!((main.active_copy(), main.interrupted()), (ActiveCopy::Main, None));
        assert_eq!(main.found_by_firmware().count(), alone, "{how_far:?}");
    }
    let mut other_length = interrupted(&[])[..0x4_0000].to_vec();
    other_length[0x21] ^= 0x10;
    other_length[0x33] = other_length[0x33].wrapping_sub(0x10);
    let bytes = interrupted(&other_length);
    let found = VarStore::parse(&bytes).unwrap().interrupted();
    assert_eq!(found, Some(Interrupted::MainErased));
    let sound = store();
    assert_eq!(VarStore::parse(&sound).unwrap().interrupted(), None);
}

#[test]
fn a_main_area_that_is_cut_inside_a_record_is_damaged_and_one_that_is_cut_behind_it_is_not() {
    let main = interrupted(&[])[0x4_2000..0x8_2000].to_vec();
    for (cut, found_kinds) in [
        (0x64 + 40, vec![DamageKind::NameEmpty]),
        (0x64 + 64, vec![DamageKind::NameUnterminated]),
        (0x64 + 0x100, vec![]),
        (0x64, vec![]),
    ] {
        let mut main = main.clone();
        main[cut..].fill(0xff);
        let bytes = interrupted(&main);
        assert_eq!(kinds(&bytes), [], "{cut:#x}");
        let main = VarStore::parse_main(&bytes, bytes.len() as u64).unwrap();
        let kinds: Vec<_> = main.damage_found().iter().map(|damage| damage.kind).collect();
        assert_eq!(kinds, found_kinds, "{cut:#x}");
    }
}

#[test]
fn what_lies_behind_a_page_of_zeros_is_recovered_and_not_found_by_firmware() {
    let mut bytes = store();
    bytes[SECOND..SECOND + 72].fill(0);
    let store = VarStore::parse(&bytes).unwrap();
    let states: Vec<State> = store.variables().map(|entry| entry.state).collect();
    assert_eq!(states, [State::Live, State::Recovered]);
    assert_eq!(found(&bytes), ["A"]);
}

#[test]
fn a_record_of_certificates_is_sound_to_its_end_or_damage() {
    let guid = fm_formats::Guid::literal("d9bee56e-75dc-49d9-b4d7-b534210f637a");
    let entry = |len: u32, units: u32, cert: u32, bytes: usize| -> Vec<u8> {
        let numbers = [len, units, cert].map(u32::to_le_bytes).concat();
        [vec![7; 16], numbers, vec![0x41; bytes.saturating_sub(28)]].concat()
    };
    let record = |len: Option<u32>, entries: &[Vec<u8>]| -> Vec<u8> {
        let body = entries.concat();
        let len = len.unwrap_or(u32::try_from(body.len()).unwrap() + 4);
        [len.to_le_bytes().to_vec(), body].concat()
    };
    let kinds = |data: &[u8], guid: &fm_formats::Guid| {
        let mut bytes = store();
        // Behind the third variable, which ends the list.
        let at = SECOND + 144;
        let name: Vec<u8> = "certdb\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let sizes = [name.len(), data.len()].map(|size| u32::try_from(size).unwrap().to_le_bytes());
        let header = [
            &[0xaa, 0x55, 0x3f, 0, 7, 0, 0, 0][..],
            &[0; 28],
            &sizes.concat(),
            &guid.to_bytes(),
        ]
        .concat();
        let whole = [header, name, data.to_vec()].concat();
        bytes[at..at + whole.len()].copy_from_slice(&whole);
        kinds(&bytes)
    };
    let sound = entry(28 + 4 + 10, 2, 10, 42);
    for data in [
        record(None, &[]),
        record(None, std::slice::from_ref(&sound)),
        record(None, &[sound.clone(), sound.clone()]),
    ] {
        assert_eq!(kinds(&data, &guid), [], "{data:?}");
    }
    for data in [
        // An entry of length 0, one that is shorter than what it holds, one that leaves the record, one that is cut.
        record(None, &[entry(0, 0, 0, 40)]),
        record(None, &[entry(41, 2, 10, 41)]),
        record(None, &[sound.clone(), entry(43, 2, 10, 42)]),
        record(None, &[sound.clone(), vec![7; 27]]),
        // A length that is not its own.
        record(Some(5), &[]),
        record(Some(45), std::slice::from_ref(&sound)),
        record(Some(u32::MAX), &[entry(u32::MAX, u32::MAX, u32::MAX, 42)]),
        vec![4, 0, 0],
    ] {
        assert_eq!(kinds(&data, &guid), [DamageKind::CertRecord], "{data:?}");
        // Of another's namespace it is what its owner makes of it.
        let other = fm_formats::Guid::literal("d9bee56e-75dc-49d9-b4d7-b534210f637b");
        assert_eq!(kinds(&data, &other), []);
    }
}

#[test]
fn a_write_that_is_no_reclaim_of_the_variables_is_not_taken_for_one() {
    let queue = 0x4_1020;
    let (offset, len, relative) = (56, 64, 72);
    for (at, value, is_reclaim) in [
        (offset, 0x48_u64, true),
        (offset, 0x49, false),
        // Behind the headers it goes as far as the variables do, or further.
        (len, 0x3_ffb7, false),
        (len, 0x3_ffb9, true),
        (len, u64::MAX, false),
        (relative, (-0x4_2001_i64).cast_unsigned(), false),
        (relative, (-0x4_1fff_i64).cast_unsigned(), false),
        (relative, 0x4_2000, false),
    ] {
        let mut bytes = interrupted(&[]);
        bytes[queue + at..queue + at + 8].copy_from_slice(&value.to_le_bytes());
        let store = VarStore::parse(&bytes).unwrap();
        let (copy, kinds_found) = match is_reclaim {
            true => (ActiveCopy::Spare, vec![]),
            false => (ActiveCopy::Main, vec![DamageKind::FtwForeign]),
        };
        assert_eq!(store.active_copy(), copy, "{at} {value:#x}");
        assert_eq!(kinds(&bytes), kinds_found, "{at} {value:#x}");
    }
    // What the queue says of a spare that is no store is damage as well.
    let mut bytes = interrupted(&[]);
    bytes[0x4_2048] ^= 1;
    assert_eq!(kinds(&bytes), [DamageKind::SpareDamaged]);
    assert_eq!(found(&bytes), ["A", "B", "C"]);
}

#[test]
fn a_main_area_is_full_where_a_boot_finds_no_room_and_headers_end_where_a_variable_begins() {
    let main = interrupted(&[])[..0x4_0000].to_vec();
    for (erased_bytes, how_far) in [
        (0x3fff, Interrupted::MainFull),
        (0x4000, Interrupted::MainOld),
        (0x4001, Interrupted::MainOld),
    ] {
        let mut main = main.clone();
        let end = main.len() - erased_bytes;
        main[end - 1] = 0;
        main[end..].fill(0xff);
        let bytes = interrupted(&main);
        let store = VarStore::parse(&bytes).unwrap();
        assert_eq!(store.interrupted(), Some(how_far), "{erased_bytes:#x}");
    }
    // 0x48 bytes of the volume's header, 28 of the store's, 60 of the first variable's.
    let spare = interrupted(&[])[0x4_2000..0x8_2000].to_vec();
    for (written_bytes, how_far) in [(0x9f, Interrupted::MainHeaders), (0xa0, Interrupted::MainHalf)] {
        let mut main = spare.clone();
        main[written_bytes..].fill(0xff);
        let bytes = interrupted(&main);
        let store = VarStore::parse(&bytes).unwrap();
        assert_eq!(store.interrupted(), Some(how_far), "{written_bytes:#x}");
    }
}

#[test]
fn of_two_places_of_one_variable_the_one_that_firmware_shows_is_valid() {
    use State::{InDeletedTransition as Leaving, Live, Superseded};
    let variable = |name: &str, byte| Variable::new(GLOBAL, name.parse().unwrap(), 7, vec![byte; 8]);
    let named = [variable("A", 1), variable("B", 1), variable("C", 1)];
    for (states, expected) in [
        ([0x3f, 0x3e], [Live, Superseded]),
        ([0x3e, 0x3f], [Superseded, Live]),
        ([0x3e, 0x3e], [Superseded, Leaving]),
        ([0x3f, 0x3f], [Live, Superseded]),
        ([0x3e, 0x3d], [Leaving, State::Deleted]),
        ([0x3d, 0x3e], [State::Deleted, Leaving]),
    ] {
        let mut bytes = Writer::new(Layout::X86Size4M).emit(&named).unwrap();
        bytes[SECOND + 60] = b'A';
        bytes[0x64 + 2] = states[0];
        bytes[SECOND + 2] = states[1];
        let store = VarStore::parse(&bytes).unwrap();
        let seen: Vec<State> = store.entries().iter().map(|entry| entry.state).collect();
        assert_eq!(seen, [expected[0], expected[1], Live], "{states:02x?}");
    }
    // Behind damage it counts only where the firmware has none of that name.
    for (state, expected) in [
        (0x3f, [Live, Superseded]),
        (0x3e, [Leaving, Superseded]),
        (0x3d, [State::Deleted, State::Recovered]),
    ] {
        let mut bytes = Writer::new(Layout::X86Size4M).emit(&named).unwrap();
        bytes[SECOND..SECOND + 72].fill(0);
        bytes[SECOND + 72 + 60] = b'A';
        bytes[0x64 + 2] = state;
        let store = VarStore::parse(&bytes).unwrap();
        let seen: Vec<State> = store.entries().iter().map(|entry| entry.state).collect();
        assert_eq!(seen, expected, "{state:#x}");
    }
}

#[test]
fn each_size_and_the_attributes_alone_show_that_a_header_was_not_finished() {
    let third = SECOND + 72;
    for field in [4, 36, 40] {
        for (state, kinds_found) in [
            (0x3f, vec![DamageKind::NameEmpty]),
            (0x7f, vec![DamageKind::SizesUnwritten]),
            (0xff, vec![]),
        ] {
            let mut bytes = store();
            bytes[third + 2] = state;
            bytes[third + field..third + field + 4].fill(0xff);
            bytes[third + 60..third + 72].fill(0xff);
            assert_eq!(kinds(&bytes), kinds_found, "{field} {state:#x}");
            assert_eq!(found(&bytes), ["A", "B"], "{field} {state:#x}");
        }
    }
}

#[test]
fn behind_damage_only_what_looks_whole_is_taken_for_a_variable() {
    let third = SECOND + 72;
    let recovered = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = store();
        bytes[SECOND..SECOND + 8].fill(0);
        change(&mut bytes[third..]);
        let store = VarStore::parse(&bytes).unwrap();
        let recovered = store.entries().iter().skip(1);
        recovered.map(|entry| entry.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(recovered(&|_| {}), ["C"]);
    for state in [0x3c, 0x3d, 0x3e, 0x3f] {
        assert_eq!(recovered(&|at| at[2] = state), ["C"], "{state:#x}");
    }
    for state in [0x3b, 0x40, 0x7f, 0xff] {
        assert_eq!(recovered(&|at| at[2] = state), [""; 0], "{state:#x}");
    }
    for (attributes, expected) in [(0x7f, &["C"][..]), (0x80, &[])] {
        assert_eq!(recovered(&|at| at[4] = attributes), expected, "{attributes:#x}");
    }
    // Names are searched for up to 1024 bytes.
    for (name_len, expected) in [(1024, 1), (1026, 0)] {
        let long = |at: &mut [u8]| {
            at[36..40].copy_from_slice(&u32::try_from(name_len).unwrap().to_le_bytes());
            at[60..60 + name_len].fill(b'x');
            at[60 + name_len - 2..60 + name_len].fill(0);
        };
        assert_eq!(recovered(&long).len(), expected, "{name_len}");
    }
}

#[test]
fn an_older_copy_in_the_spare_is_read_where_nothing_else_is_left() {
    let older = interrupted(&[])[0x4_2000..0x8_2000].to_vec();
    let with_spare = |main: &[Variable]| {
        let mut bytes = Writer::new(Layout::X86Size4M).emit(main).unwrap();
        bytes[0x4_2000..0x8_2000].copy_from_slice(&older);
        bytes
    };
    // A store without variables is a store.
    let empty = with_spare(&[]);
    assert_eq!((kinds(&empty), found(&empty).len()), (vec![], 0));
    let one = Variable::new(GLOBAL, "A".parse().unwrap(), 7, vec![1; 8]);
    for (main, copy, count) in [(&[one][..], ActiveCopy::Main, 1), (&[], ActiveCopy::Spare, 1)] {
        let mut bytes = with_spare(main);
        bytes[0x48..0x64].fill(0xff);
        let store = VarStore::parse(&bytes).unwrap();
        assert_eq!((store.active_copy(), store.variables().count()), (copy, count));
        let is_lost = kinds(&bytes).contains(&DamageKind::MainLost);
        assert_eq!(is_lost, copy == ActiveCopy::Spare);
        assert_eq!(store.first_lossy_damage().is_some(), is_lost);
    }
}
