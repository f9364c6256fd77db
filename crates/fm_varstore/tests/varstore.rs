//! Variable stores built field by field: every state, the spare, damage, and what is emitted.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use std::collections::BTreeMap;

use fm_formats::Guid;
use fm_formats::efi::{Name, Time};
use fm_formats::image::Layout;
use fm_varstore::{
    ActiveCopy, Checks, DamageKind, EmitError, Format, Ftw, Geometry, State, VarStore, Variable, Writer,
};
use proptest::prelude::*;

const GLOBAL: Guid = Guid::literal("8be4df61-93ca-11d2-aa0d-00e098032b8c");
const OTHER: Guid = Guid::literal("605dab50-e046-4300-abb6-3dd810dd8b23");
/// Where the first variable's header lies, and its state byte in it.
const FIRST: usize = 0x64;

fn variable(guid: Guid, name: &str, data: &[u8]) -> Variable {
    Variable::new(guid, name.parse().unwrap(), 7, data.to_vec())
}

fn store(variables: &[Variable]) -> Vec<u8> {
    Writer::new(Layout::X86Size2M).emit(variables).unwrap()
}

fn names(bytes: &[u8]) -> Vec<(String, State, Vec<u8>)> {
    VarStore::parse(bytes)
        .unwrap()
        .entries()
        .iter()
        .map(|entry| (entry.name.to_string(), entry.state, entry.data.to_vec()))
        .collect()
}

fn damage(bytes: &[u8]) -> Vec<DamageKind> {
    VarStore::parse(bytes)
        .unwrap()
        .damage_found()
        .iter()
        .map(|damage| damage.kind)
        .collect()
}

#[test]
fn a_variable_in_deleted_transition_is_valid_unless_it_has_a_live_twin() {
    let mut bytes = store(&[variable(GLOBAL, "A", b"old!"), variable(GLOBAL, "A1", b"x")]);
    bytes[FIRST + 2] = 0x3e;
    assert_eq!(
        names(&bytes)[0],
        ("A".into(), State::InDeletedTransition, b"old!".to_vec())
    );

    let mut twins = store(&[variable(GLOBAL, "A", b"old!"), variable(OTHER, "A", b"new!")]);
    twins[FIRST + 2] = 0x3e;
    // Same name, other namespace: no twin.
    assert_eq!(names(&twins)[0].1, State::InDeletedTransition);
    // 60 bytes of header, 4 of name, 4 of data later lies the second; its GUID is at 44.
    let second = FIRST + 68;
    twins[second + 44..second + 60].copy_from_slice(&GLOBAL.to_bytes());
    assert_eq!(names(&twins)[0].1, State::Superseded);
    let view = VarStore::parse(&twins).unwrap();
    assert_eq!(view.variables().count(), 1);
    assert_eq!(
        view.variable(GLOBAL, &"A".parse().unwrap()).unwrap().data,
        b"new!"
    );
    assert_eq!(view.reclaimable_bytes(), 68);
}

#[test]
fn deleted_and_unfinished_variables_are_seen_but_not_live() {
    for (byte, state) in [
        (0x3d, State::Deleted),
        (0x3c, State::Deleted),
        (0x7f, State::HeaderOnly),
        (0x11, State::Unknown),
    ] {
        let mut bytes = store(&[variable(GLOBAL, "A", b"1"), variable(GLOBAL, "B", b"2")]);
        bytes[FIRST + 2] = byte;
        let view = VarStore::parse(&bytes).unwrap();
        assert_eq!(view.entries()[0].state, state);
        assert_eq!(view.entries()[0].raw_state, byte);
        assert_eq!(view.variables().count(), 1);
    }
}

#[test]
fn an_interrupted_header_write_counts_no_name_and_no_data() {
    let mut bytes = store(&[variable(GLOBAL, "A", b"1")]);
    let end = FIRST + 60 + 4 + 4;
    bytes[end..end + 2].copy_from_slice(&[0xaa, 0x55]);
    let view = VarStore::parse(&bytes).unwrap();
    assert_eq!(view.entries()[1].state, State::HeaderOnly);
    assert_eq!(view.used_bytes(), 28 + 68 + 60);
    assert_eq!(view.free_bytes(), 0xdfb8 - view.used_bytes());
}

#[test]
fn a_header_of_which_only_the_first_byte_was_written_is_no_damage() {
    let mut bytes = store(&[variable(GLOBAL, "A", b"1")]);
    let end = FIRST + 60 + 4 + 4;
    bytes[end] = 0xaa;
    assert_eq!(damage(&bytes), []);
    assert_eq!(names(&bytes).len(), 1);
    assert_eq!(VarStore::parse(&bytes).unwrap().used_bytes(), 28 + 68);
    // Anything behind it was not written by firmware in that order.
    bytes[end + 8] = 0;
    assert_eq!(damage(&bytes), [DamageKind::Gap]);
}

#[test]
fn a_variable_that_was_written_in_part_before_it_got_a_state_is_no_damage() {
    let mut bytes = store(&[variable(GLOBAL, "A", b"1"), variable(GLOBAL, "B", &[7; 64])]);
    let second = FIRST + 60 + 4 + 4;
    bytes[second + 2] = 0xff;
    bytes[second + 100..second + 60 + 4 + 64].fill(0xff);
    assert_eq!(damage(&bytes), []);
    let view = VarStore::parse(&bytes).unwrap();
    assert_eq!(view.entries()[1].state, State::HeaderOnly);
    assert_eq!(view.to_variables(), [variable(GLOBAL, "A", b"1")]);
    // The firmware's next variable goes right behind that header.
    assert_eq!(view.used_bytes(), 28 + 68 + 60);
    // What lies further than it would have reached is somebody else's.
    bytes[second + 60 + 4 + 64 + 4] = 0;
    assert_eq!(damage(&bytes), [DamageKind::Gap]);
}

#[test]
fn one_name_under_two_guids_is_two_variables() {
    let bytes = store(&[variable(GLOBAL, "Same", b"g"), variable(OTHER, "Same", b"o")]);
    let view = VarStore::parse(&bytes).unwrap();
    let name = "Same".parse().unwrap();
    assert_eq!(view.variable(GLOBAL, &name).unwrap().data, b"g");
    assert_eq!(view.variable(OTHER, &name).unwrap().data, b"o");
}

/// A store whose reclaim was interrupted after the spare was written: FTW record set as edk2 does.
fn interrupted_reclaim(
    layout: Layout,
    main: &[Variable],
    spare: &[Variable],
    queue_state: u8,
    record_state: u8,
) -> Vec<u8> {
    let geometry = Geometry::of(layout);
    let mut bytes = Writer::new(layout).emit(main).unwrap();
    let fresh = Writer::new(layout).emit(spare).unwrap();
    let (spare_at, len) = (
        geometry.spare.offset as usize,
        geometry.variables.len_bytes as usize,
    );
    bytes[spare_at..spare_at + len].copy_from_slice(&fresh[..len]);
    let queue = geometry.working.offset as usize + 32;
    bytes[queue] = queue_state;
    bytes[queue + 24..queue + 32].copy_from_slice(&1u64.to_le_bytes());
    bytes[queue + 32..queue + 40].copy_from_slice(&0u64.to_le_bytes());
    let record = queue + 40;
    bytes[record] = record_state;
    bytes[record + 8..record + 16].copy_from_slice(&0u64.to_le_bytes());
    bytes[record + 16..record + 24].copy_from_slice(&0x48u64.to_le_bytes());
    bytes[record + 24..record + 32].copy_from_slice(&u64::from(geometry.store_size_bytes()).to_le_bytes());
    bytes[record + 32..record + 40].copy_from_slice(&(-i64::from(geometry.spare.offset)).to_le_bytes());
    bytes
}

#[test]
fn after_an_interrupted_reclaim_the_spare_is_the_truth() {
    for layout in [Layout::X86Size2M, Layout::X86Size4M, Layout::ArmVirt] {
        let main = [variable(GLOBAL, "Half", b"main")];
        let spare = [variable(GLOBAL, "Whole", b"spare")];
        let mut bytes = interrupted_reclaim(layout, &main, &spare, 0xfc, 0xfd);
        // The main store is torn in the middle of the copy back.
        bytes[0x48..0x200].fill(0xff);
        let view = VarStore::parse(&bytes).unwrap();
        assert_eq!(view.active_copy(), ActiveCopy::Spare, "{layout}");
        assert!(matches!(view.ftw(), Ftw::Pending(_)));
        assert_eq!(view.to_variables(), spare);
        assert!(view.damage_found().is_empty());
    }
}

#[test]
fn a_finished_or_never_started_reclaim_leaves_the_truth_in_main() {
    let main = [variable(GLOBAL, "Main", b"main")];
    let spare = [variable(GLOBAL, "Old", b"spare")];
    for (queue, record, expected) in [
        (0xf8, 0xf9, Ftw::Idle { finished_writes: 1 }),
        (0xfc, 0xf9, Ftw::Idle { finished_writes: 1 }),
        (0xfc, 0xff, Ftw::Abandoned),
        (0xff, 0xff, Ftw::Idle { finished_writes: 0 }),
    ] {
        let bytes = interrupted_reclaim(Layout::X86Size4M, &main, &spare, queue, record);
        let view = VarStore::parse(&bytes).unwrap();
        assert_eq!((view.active_copy(), view.ftw()), (ActiveCopy::Main, expected));
        assert_eq!(view.to_variables(), main);
    }
}

#[test]
fn blank_stores_of_every_layout_are_blank_not_errors() {
    for layout in [
        Layout::X86Size2M,
        Layout::X86Size4M,
        Layout::ArmVirt,
        Layout::Riscv,
        Layout::Loongarch,
    ] {
        for fill in [0x00, 0xff] {
            let prefix = vec![fill; VarStore::PREFIX_BYTES.min(layout.vars_size_bytes() as usize)];
            let view = VarStore::parse_file(&prefix, layout.vars_size_bytes()).unwrap();
            assert_eq!((view.layout(), view.format()), (Some(layout), Format::Blank));
            assert_eq!(view.variables().count(), 0);
        }
    }
}

#[test]
fn a_store_without_authentication_fields_reads_back() {
    let plain = Writer {
        format: Format::Plain,
        ..Writer::new(Layout::X86Size4M)
    };
    let variables = [variable(GLOBAL, "A", b"1"), variable(OTHER, "Bcd", b"12345")];
    let bytes = plain.emit(&variables).unwrap();
    let view = VarStore::parse(&bytes).unwrap();
    assert_eq!(view.format(), Format::Plain);
    assert_eq!(view.to_variables(), variables);
    let mut signed = variables[0].clone();
    signed.timestamp = Time::utc(2020, 1, 1, 0, 0, 0);
    assert!(matches!(plain.emit(&[signed]), Err(EmitError::NotPlain { .. })));
}

#[test]
fn with_its_headers_gone_a_store_gives_up_its_variables() {
    let variables: Vec<_> = (0..20)
        .map(|i| variable(GLOBAL, &format!("Var{i}"), &[i; 9]))
        .collect();
    let mut bytes = store(&variables);
    bytes[..0x64].fill(0xff);
    let view = VarStore::parse(&bytes).unwrap();
    assert_eq!(view.to_variables(), variables);
    assert_eq!(
        damage(&bytes),
        [DamageKind::VolumeHeader, DamageKind::StoreHeader]
    );
}

#[test]
fn variables_behind_damage_are_recovered() {
    let variables: Vec<_> = (0..5)
        .map(|i| variable(GLOBAL, &format!("Var{i}"), &[i; 9]))
        .collect();
    let mut bytes = store(&variables);
    let second = FIRST + (60 + 10 + 9usize).next_multiple_of(4);
    bytes[second..second + 8].fill(0);
    let view = VarStore::parse(&bytes).unwrap();
    assert_eq!(view.variables().count(), 4);
    assert_eq!(view.entries()[1].state, State::Recovered);
    assert!(damage(&bytes).contains(&DamageKind::Gap));

    let mut huge = store(&variables);
    huge[second + 40..second + 44].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    let view = VarStore::parse(&huge).unwrap();
    assert_eq!(view.variables().count(), 4);
    assert_eq!(damage(&huge)[0], DamageKind::VariableCut);
}

#[test]
fn a_variable_that_lost_its_state_costs_none_of_the_others() {
    let variables: Vec<_> = (0..5)
        .map(|i| variable(GLOBAL, &format!("Var{i}"), &[i; 9]))
        .collect();
    let step = (60 + 10 + 9usize).next_multiple_of(4);
    for lost in 0..variables.len() - 1 {
        for damage in [0xff, 0x7f] {
            let mut bytes = store(&variables);
            bytes[FIRST + lost * step + 2] = damage;
            // A second gap behind the first.
            if lost == 0 {
                bytes[FIRST + 2 * step..FIRST + 2 * step + 8].fill(0);
            }
            let found = VarStore::parse(&bytes).unwrap().to_variables();
            let kept = |index: &usize| *index != lost && (lost != 0 || *index != 2);
            let expected: Vec<_> = (0..5)
                .filter(kept)
                .map(|index| variables[index].clone())
                .collect();
            assert_eq!(found, expected, "{lost} with state {damage:#x}");
        }
    }
    // All that lies behind the second gap is shorter than what the lost one holds.
    let mut long = variables.clone();
    long[0] = variable(GLOBAL, "Var0", &[7; 600]);
    let mut bytes = store(&long);
    bytes[FIRST + 2] = 0xff;
    let third = FIRST + (60 + 10 + 600usize).next_multiple_of(4) + step;
    bytes[third..third + 8].fill(0);
    let found = VarStore::parse(&bytes).unwrap().to_variables();
    assert_eq!(found, [long[1].clone(), long[3].clone(), long[4].clone()]);
    // Without a state and with a size that no store has.
    let mut bytes = store(&variables);
    bytes[FIRST + 2] = 0xff;
    bytes[FIRST + 40..FIRST + 44].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    assert_eq!(VarStore::parse(&bytes).unwrap().to_variables(), variables[1..]);
    assert!(damage(&bytes).contains(&DamageKind::Gap));
}

#[test]
fn a_file_of_another_kind_is_refused() {
    for bytes in [
        &b""[..],
        b"\x7fELF",
        &[0; 4096],
        &[0xff; 0x1000],
        &[7; 0x20000],
        &[7; 0x84000],
    ] {
        let error = VarStore::parse(bytes).unwrap_err();
        assert!(error.to_string().contains("variable store"), "{error}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_its_name_and_limit() {
    let large = variable(GLOBAL, "Large", &vec![1; 0x2000]);
    let Err(EmitError::VariableTooLarge {
        name, limit_bytes, ..
    }) = Writer::new(Layout::X86Size2M).check(std::slice::from_ref(&large))
    else {
        panic!("a variable of 0x2000 bytes has no place in a 2M store");
    };
    assert_eq!((name.to_string().as_str(), limit_bytes), ("Large", 0x2000));
    Writer::new(Layout::X86Size4M).check(&[large]).unwrap();
    let many: Vec<_> = (0..8)
        .map(|i| variable(GLOBAL, &format!("V{i}"), &vec![1; 0x1f00]))
        .collect();
    assert!(matches!(
        Writer::new(Layout::X86Size2M).check(&many),
        Err(EmitError::StoreTooSmall { .. })
    ));
    let twice = [variable(GLOBAL, "A", b"1"), variable(GLOBAL, "A", b"2")];
    assert!(matches!(
        Writer::new(Layout::X86Size4M).check(&twice),
        Err(EmitError::Twice { .. })
    ));
}

#[test]
fn attributes_that_edk2_forbids_are_refused_for_new_variables() {
    for attributes in [0, 1, 2, 5, 0x80 | 7, 0x30 | 7, 0x47] {
        let bad = Variable {
            attributes,
            ..variable(GLOBAL, "A", b"1")
        };
        assert!(
            matches!(
                Writer::new(Layout::X86Size4M).check(std::slice::from_ref(&bad)),
                Err(EmitError::Attributes { .. })
            ),
            "{attributes:#x}"
        );
        let lenient = Writer {
            checks: Checks::Sizes,
            ..Writer::new(Layout::X86Size4M)
        };
        lenient.check(&[bad]).unwrap();
    }
}

#[test]
fn a_store_cut_anywhere_is_refused_or_read_as_far_as_it_goes() {
    let bytes = store(
        &(0..30)
            .map(|i| variable(GLOBAL, &format!("V{i}"), &[i; 33]))
            .collect::<Vec<_>>(),
    );
    for end in (0..0x1200).chain((0x1200..bytes.len()).step_by(509)) {
        if let Ok(view) = VarStore::parse(&bytes[..end]) {
            assert!(
                view.damage_found()
                    .iter()
                    .any(|damage| damage.kind == DamageKind::Truncated),
                "{end:#x}"
            );
        }
    }
}

#[test]
fn a_flipped_byte_outside_the_sizes_costs_only_the_variable_it_hits() {
    let variables: Vec<_> = (0..8)
        .map(|i| variable(GLOBAL, &format!("{i}{i}"), &[i; 33]))
        .collect();
    let bytes = store(&variables);
    for at in (0..FIRST + 700).chain(0xf000..0xf080) {
        for mask in [0x01, 0x80, 0xff] {
            let mut flipped = bytes.clone();
            flipped[at] ^= mask;
            let Ok(view) = VarStore::parse(&flipped) else {
                continue;
            };
            let found = view.to_variables();
            // A variable is 100 bytes here; the sizes in its header are at 36..44. A larger size swallows neighbours.
            let in_sizes = (FIRST..0xf000).contains(&at) && (36..44).contains(&((at - FIRST) % 100));
            let kept = variables
                .iter()
                .filter(|variable| found.contains(variable))
                .count();
            assert!(
                kept + 1 >= variables.len() || in_sizes,
                "byte {at:#x} ^ {mask:#x}: {kept} kept, {:?}",
                view.damage_found()
            );
        }
    }
}

fn any_variable() -> impl Strategy<Value = Variable> {
    (
        any::<[u8; 16]>(),
        proptest::collection::vec(1u16.., 1..12),
        prop_oneof![Just(3u32), Just(7), Just(0x27), Just(0x23)],
        proptest::collection::vec(any::<u8>(), 1..80),
        any::<[u8; 16]>(),
        any::<u64>(),
        any::<u32>(),
    )
        .prop_map(
            |(guid, name, attributes, data, time, monotonic_count, public_key_index)| Variable {
                guid: Guid::from_bytes(guid),
                name: Name::from_units(name),
                attributes,
                timestamp: Time(time),
                monotonic_count,
                public_key_index,
                data,
            },
        )
}

fn any_variables() -> impl Strategy<Value = Vec<Variable>> {
    proptest::collection::vec(any_variable(), 0..40).prop_map(|variables| {
        let mut seen = std::collections::BTreeSet::new();
        variables
            .into_iter()
            .filter(|variable| seen.insert((variable.guid, variable.name.clone())))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_was_emitted_reads_back_field_by_field(variables in any_variables(), layout in proptest::sample::select(Layout::ALL.as_slice())) {
        let bytes = Writer::new(layout).emit(&variables).unwrap();
        prop_assert_eq!(bytes.len() as u64, layout.vars_volume_size_bytes());
        let view = VarStore::parse(&bytes).unwrap();
        prop_assert_eq!(view.damage_found(), &[]);
        prop_assert_eq!(view.reclaimable_bytes(), 0);
        prop_assert_eq!(view.ftw(), Ftw::Idle { finished_writes: 0 });
        prop_assert_eq!(view.to_variables(), variables.clone());
        // Emitting what was parsed gives the same bytes.
        prop_assert_eq!(Writer::new(layout).emit(&view.to_variables()).unwrap(), bytes);
    }

    #[test]
    fn four_to_two_to_four_is_the_identity(variables in any_variables()) {
        let four = Writer::new(Layout::X86Size4M).emit(&variables).unwrap();
        let two = Writer::new(Layout::X86Size2M).emit(&VarStore::parse(&four).unwrap().to_variables()).unwrap();
        let back = Writer::new(Layout::X86Size4M).emit(&VarStore::parse(&two).unwrap().to_variables()).unwrap();
        prop_assert_eq!(four, back);
    }

    #[test]
    fn noise_in_a_store_never_panics(seed in proptest::collection::vec((0usize..0x20000, any::<u8>()), 0..200)) {
        let mut bytes = store(&[variable(GLOBAL, "A", b"1"), variable(GLOBAL, "B", b"2")]);
        for (at, value) in seed {
            // Most of it where the structures are.
            bytes[if at % 3 == 0 { at } else { at % 0x200 }] = value;
        }
        let _ = VarStore::parse(&bytes).map(|view| view.to_variables());
    }

    #[test]
    fn set_and_delete_behave_as_on_a_plain_map(steps in proptest::collection::vec((0u8..8, any::<bool>(), proptest::collection::vec(any::<u8>(), 1..20)), 0..30)) {
        let mut model: BTreeMap<(Guid, Name), Vec<u8>> = BTreeMap::new();
        let mut bytes = store(&[]);
        for (which, set, data) in steps {
            let guid = if which % 2 == 0 { GLOBAL } else { OTHER };
            let name: Name = format!("N{}", which / 2).parse().unwrap();
            let mut variables = VarStore::parse(&bytes).unwrap().to_variables();
            if set {
                model.insert((guid, name.clone()), data.clone());
                fm_varstore::set(&mut variables, Variable::new(guid, name, 7, data));
            } else {
                let had = model.remove(&(guid, name.clone())).is_some();
                prop_assert_eq!(fm_varstore::delete(&mut variables, guid, &name).is_some(), had);
            }
            bytes = store(&variables);
        }
        let found: BTreeMap<_, _> = VarStore::parse(&bytes).unwrap().variables()
            .map(|entry| ((entry.guid, entry.name.clone()), entry.data.to_vec())).collect();
        prop_assert_eq!(found, model);
    }
}
