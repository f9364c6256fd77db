//! What damage and states are called, and where the limits of stores and variables lie.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use fm_formats::Guid;
use fm_formats::image::Layout;
use fm_varstore::{
    ActiveCopy, Checks, Damage, DamageKind as Kind, EmitError, Format, Geometry, Interrupted, State,
    VarStore, Variable, Writer,
};

const GLOBAL: Guid = Guid::literal("8be4df61-93ca-11d2-aa0d-00e098032b8c");

fn variable(name: &str, data_len: usize) -> Variable {
    Variable::new(GLOBAL, name.parse().unwrap(), 7, vec![1; data_len])
}

#[test]
fn damage_is_named_in_documents_and_told_with_its_place() {
    // Kind, name, a part of the sentence, whether it heals itself, whether variables may be lost with it.
    for (kind, name, words, heals, loses) in [
        (
            Kind::Truncated,
            "truncated",
            "the file ends at 0x164, 64 bytes before",
            false,
            true,
        ),
        (
            Kind::VolumeHeader,
            "volume_header",
            "no volume header at 0x164",
            false,
            false,
        ),
        (
            Kind::VolumeChecksum,
            "volume_checksum",
            "at 0x164 has a wrong checksum",
            false,
            false,
        ),
        (
            Kind::VolumeLength,
            "volume_length",
            "at 0x164 names a length of 0x40",
            false,
            false,
        ),
        (
            Kind::BlockMap,
            "block_map",
            "at 0x164 names blocks of 0x40 bytes",
            false,
            false,
        ),
        (
            Kind::VolumeField,
            "volume_field",
            "at 0x164 says what no build writes",
            false,
            false,
        ),
        (
            Kind::VolumeAttributes,
            "volume_attributes",
            "at 0x164 has attributes that no build writes: 0x40",
            false,
            false,
        ),
        (
            Kind::StoreHeader,
            "store_header",
            "no variable store header at 0x164",
            false,
            false,
        ),
        (
            Kind::StoreSize,
            "store_size",
            "at 0x164 names a size of 0x40",
            false,
            false,
        ),
        (
            Kind::VariableCut,
            "variable_cut",
            "at 0x164 leaves the store",
            false,
            true,
        ),
        (
            Kind::NameOdd,
            "variable_name",
            "at 0x164 has a name of an odd size",
            false,
            true,
        ),
        (
            Kind::NameSplit,
            "name_split",
            "at 0x164 has a name with a terminator in its midst",
            false,
            true,
        ),
        (
            Kind::NameBlank,
            "name_blank",
            "at 0x164 has a name that begins with its terminator",
            false,
            true,
        ),
        (
            Kind::NameEmpty,
            "name_empty",
            "at 0x164 has an empty name",
            false,
            true,
        ),
        (
            Kind::NameUnterminated,
            "name_unterminated",
            "at 0x164 has a name without its terminator",
            false,
            false,
        ),
        (
            Kind::StateImpossible,
            "state_impossible",
            "at 0x164 has a state that edk2 never writes",
            false,
            false,
        ),
        (
            Kind::SizesUnwritten,
            "sizes_unwritten",
            "at 0x164 has a state, and sizes",
            false,
            false,
        ),
        (
            Kind::NameTwice,
            "name_twice",
            "at 0x164 has the name of a valid one before it",
            false,
            true,
        ),
        (
            Kind::CertRecord,
            "cert_record",
            "(certdb) at 0x164 names lengths",
            false,
            false,
        ),
        (
            Kind::HeaderTorn,
            "header_torn",
            "at 0x164 was never written beyond the start",
            false,
            false,
        ),
        (Kind::Gap, "gap", "64 bytes at 0x164 are no variable", false, true),
        (
            Kind::Ftw,
            "ftw",
            "no valid FTW working block at 0x164",
            true,
            false,
        ),
        (
            Kind::FtwAbandoned,
            "ftw_abandoned",
            "at 0x164 never reached the spare",
            true,
            false,
        ),
        (
            Kind::FtwForeign,
            "ftw_foreign",
            "at 0x164 is not a reclaim",
            false,
            false,
        ),
        (
            Kind::SpareDamaged,
            "spare_damaged",
            "the spare at 0x164 holds the valid store, but there is none",
            false,
            true,
        ),
        (
            Kind::MainLost,
            "main_lost",
            "the copy in the spare at 0x164 is read",
            false,
            true,
        ),
    ] {
        let damage = Damage {
            kind,
            offset: 0x164,
            len_bytes: 0x40,
        };
        assert_eq!(kind.name(), name);
        assert!(damage.to_string().contains(words), "{damage}");
        assert_eq!(damage.heals_itself(), heals, "{name}");
        assert_eq!(damage.loses_variables(), loses, "{name}");
    }
}

#[test]
fn forms_copies_and_states_are_called_as_documents_call_them() {
    let forms = [Format::Authenticated, Format::Plain, Format::Blank].map(Format::name);
    assert_eq!(forms, ["authenticated", "plain", "blank"]);
    let copies = [ActiveCopy::Main, ActiveCopy::Spare].map(ActiveCopy::name);
    assert_eq!(copies, ["main", "spare"]);
    for (how_far, name) in [
        (Interrupted::MainWritten, "main_written"),
        (Interrupted::MainOld, "main_old"),
        (Interrupted::MainFull, "main_full"),
        (Interrupted::MainHalf, "main_half"),
        (Interrupted::MainHeaders, "main_headers"),
        (Interrupted::MainErased, "main_erased"),
    ] {
        assert_eq!(how_far.name(), name);
    }
    for (state, name, is_live) in [
        (State::Live, "live", true),
        (State::InDeletedTransition, "in_deleted_transition", true),
        (State::Superseded, "superseded", false),
        (State::Deleted, "deleted", false),
        (State::HeaderOnly, "header_only", false),
        (State::Unknown, "unknown", false),
        (State::Recovered, "recovered", true),
    ] {
        assert_eq!((state.name(), state.is_live()), (name, is_live));
    }
}

#[test]
fn a_store_says_how_large_it_is_and_where_its_log_lies() {
    for (layout, size_bytes, log_bytes) in [
        (Layout::X86Size2M, 0xdfb8, Some(0x1000)),
        (Layout::X86Size4M, 0x3_ffb8, Some(0x1000)),
        (Layout::ArmVirt, 0x3_ffb8, None),
    ] {
        let mut bytes = Writer::new(layout).emit(&[variable("A", 4)]).unwrap();
        if let Some(area) = Geometry::of(layout).event_log {
            bytes[area.offset as usize] = 7;
        }
        let store = VarStore::parse(&bytes).unwrap();
        assert_eq!(store.layout(), Some(layout));
        assert_eq!((store.size_bytes(), store.used_bytes()), (size_bytes, 28 + 68));
        assert_eq!(store.free_bytes(), size_bytes - 96);
        assert_eq!(store.reclaimable_bytes(), 0);
        assert_eq!(store.volume_len_bytes(), layout.vars_volume_size_bytes());
        let log = store.event_log();
        assert_eq!(log.map(<[u8]>::len), log_bytes);
        assert!(log.is_none_or(|log| log[0] == 7 && log[1] == 0xff));
        assert!(store.first_lossy_damage().is_none());
    }
}

#[test]
fn a_bare_volume_is_known_by_its_length_and_a_file_by_the_boards_chip() {
    let bytes = Writer::new(Layout::ArmVirt).emit(&[]).unwrap();
    for (file_len_bytes, layout) in [
        (0xc_0000, Layout::ArmVirt),
        (64 << 20, Layout::ArmVirt),
        (Layout::Riscv.vars_size_bytes(), Layout::Riscv),
        (Layout::Loongarch.vars_size_bytes(), Layout::Loongarch),
        (Layout::Riscv.vars_size_bytes() - 1, Layout::ArmVirt),
    ] {
        let store = VarStore::parse_file(&bytes, file_len_bytes).unwrap();
        assert_eq!(store.layout(), Some(layout), "{file_len_bytes:#x}");
    }
    // A volume says what it is, however long the file behind it goes on.
    for layout in [Layout::X86Size2M, Layout::X86Size4M] {
        let bytes = Writer::new(layout).emit(&[]).unwrap();
        let file_len_bytes = layout.vars_volume_size_bytes();
        for more in [0, 1, 0x1_0000] {
            let store = VarStore::parse_file(&bytes, file_len_bytes + more).unwrap();
            assert_eq!((store.layout(), store.damage_found().len()), (Some(layout), 0));
        }
    }
    // Without a header the length of the file alone tells.
    let blank = vec![0xff; 0xc_0000];
    for (file_len_bytes, layout) in [
        (0xc_0000, Some(Layout::ArmVirt)),
        (0xc_0001, None),
        (0xb_ffff, None),
    ] {
        let store = VarStore::parse_file(&blank, file_len_bytes).ok();
        assert_eq!(
            store.and_then(|store| store.layout()),
            layout,
            "{file_len_bytes:#x}"
        );
    }
}

#[test]
fn a_variable_may_be_as_large_as_its_layout_and_kind_allow_and_not_a_byte_larger() {
    for (layout, attributes, limit_bytes) in [
        (Layout::X86Size2M, 0x07, 0x2000),
        (Layout::X86Size2M, 0x27, 0x2800),
        (Layout::X86Size4M, 0x07, 0x8400),
        (Layout::X86Size4M, 0x27, 0x8400),
        (Layout::ArmVirt, 0x07, 0x2000),
        (Layout::ArmVirt, 0x27, 0x2800),
    ] {
        let writer = Writer::new(layout);
        assert_eq!(Geometry::of(layout).limit_bytes(attributes), limit_bytes);
        let sized = |bytes: u32| Variable {
            attributes,
            ..variable("A", bytes as usize - 64)
        };
        writer.check(&[sized(limit_bytes)]).unwrap();
        let refused = writer.check(&[sized(limit_bytes + 1)]).unwrap_err();
        let EmitError::VariableTooLarge { needed_bytes, .. } = refused else {
            panic!("{refused}");
        };
        assert_eq!(needed_bytes, u64::from(limit_bytes) + 1);
        let mending = Writer {
            checks: Checks::Representable,
            ..writer
        };
        mending.check(&[sized(limit_bytes + 1)]).unwrap();
    }
    assert_eq!(Geometry::of(Layout::X86Size2M).limit_bytes(0x17), 0x2800);
}

#[test]
fn all_variables_together_fill_the_store_and_no_more() {
    let writer = Writer {
        checks: Checks::Representable,
        ..Writer::new(Layout::X86Size2M)
    };
    let capacity_bytes = 0xe000 - 0x48 - 28;
    assert_eq!(writer.capacity_bytes(), capacity_bytes);
    let filling = |bytes: u64| [variable("A", 4), variable("B", bytes as usize - 68 - 64)];
    let whole = writer.emit(&filling(capacity_bytes)).unwrap();
    let store = VarStore::parse(&whole).unwrap();
    assert_eq!((store.free_bytes(), store.variables().count()), (0, 2));
    // Sizes count as they are aligned.
    assert_eq!(writer.needed_bytes(&filling(capacity_bytes - 3)), capacity_bytes);
    writer.check(&filling(capacity_bytes - 3)).unwrap();
    let refused = writer.check(&filling(capacity_bytes + 1)).unwrap_err();
    let EmitError::StoreTooSmall {
        needed_bytes,
        limit_bytes,
        name,
        largest_bytes,
        ..
    } = refused
    else {
        panic!("{refused}");
    };
    assert_eq!((needed_bytes, limit_bytes), (capacity_bytes + 4, capacity_bytes));
    assert_eq!(
        (name.to_string().as_str(), largest_bytes),
        ("B", capacity_bytes + 1 - 68)
    );
    let plain = Writer {
        format: Format::Plain,
        ..writer
    };
    assert_eq!(writer.variable_len_bytes(&variable("A", 5)), 60 + 4 + 5);
    assert_eq!(plain.variable_len_bytes(&variable("A", 5)), 32 + 4 + 5);
}

#[test]
fn each_level_of_checks_asks_what_it_says() {
    let empty = variable("A", 0);
    let odd = Variable {
        attributes: 1,
        ..variable("A", 1)
    };
    let nameless = Variable {
        name: fm_formats::efi::Name::from_bytes(&[]),
        ..variable("A", 1)
    };
    let writer = Writer::new(Layout::X86Size4M);
    assert!(matches!(
        writer.check(std::slice::from_ref(&empty)),
        Err(EmitError::NoData { .. })
    ));
    assert!(matches!(
        writer.check(std::slice::from_ref(&odd)),
        Err(EmitError::Attributes { .. })
    ));
    for checks in [Checks::Sizes, Checks::Representable] {
        let lenient = Writer { checks, ..writer };
        lenient.check(std::slice::from_ref(&empty)).unwrap();
        lenient.check(std::slice::from_ref(&odd)).unwrap();
        assert!(matches!(
            lenient.check(std::slice::from_ref(&nameless)),
            Err(EmitError::NoName { .. })
        ));
    }
    for signed in [
        Variable {
            monotonic_count: 1,
            ..variable("A", 1)
        },
        Variable {
            public_key_index: 1,
            ..variable("A", 1)
        },
    ] {
        let plain = Writer {
            format: Format::Plain,
            ..writer
        };
        assert!(matches!(
            plain.check(std::slice::from_ref(&signed)),
            Err(EmitError::NotPlain { .. })
        ));
        writer.check(&[signed]).unwrap();
    }
}

#[test]
fn attributes_are_refused_for_what_is_wrong_with_them() {
    for (attributes, words) in [
        (0x07, None),
        (0x03, None),
        (0x27, None),
        (0x87, Some("bits above 0x40")),
        (0x06, Some("without NON_VOLATILE")),
        (0x05, Some("RUNTIME (0x04) needs")),
        (0x01, Some("alone gives nobody access")),
        (0x37, Some("exclude each other")),
        (0x17, Some("is deprecated")),
        (0x47, Some("is a request")),
        (0x0f, Some("HARDWARE_ERROR_RECORD (0x08) is for")),
    ] {
        let fault = Variable {
            attributes,
            ..variable("A", 1)
        }
        .attribute_fault();
        assert_eq!(fault.is_some(), words.is_some(), "{attributes:#x}: {fault:?}");
        assert!(
            fault
                .zip(words)
                .is_none_or(|(fault, words)| fault.contains(words)),
            "{fault:?}"
        );
    }
}

#[test]
fn a_variable_is_set_in_its_place_and_taken_out_by_namespace_and_name() {
    use fm_varstore::{delete, set, set_all};
    let other = Guid::literal("605dab50-e046-4300-abb6-3dd810dd8b23");
    let named = |guid, name: &str, byte| Variable::new(guid, name.parse().unwrap(), 7, vec![byte]);
    let all = || vec![named(GLOBAL, "A", 1), named(other, "A", 2), named(GLOBAL, "B", 3)];
    for (incoming, place, count) in [
        (named(GLOBAL, "A", 9), 0, 3),
        (named(other, "A", 9), 1, 3),
        (named(GLOBAL, "B", 9), 2, 3),
        (named(other, "B", 9), 3, 4),
    ] {
        let (mut one, mut many) = (all(), all());
        set(&mut one, incoming.clone());
        set_all(&mut many, vec![incoming.clone()]);
        assert_eq!((one.len(), &one[place]), (count, &incoming));
        assert_eq!(many, one);
    }
    let mut left = all();
    let name = "A".parse().unwrap();
    assert_eq!(delete(&mut left, other, &name), Some(named(other, "A", 2)));
    assert_eq!(left, [named(GLOBAL, "A", 1), named(GLOBAL, "B", 3)]);
    assert_eq!(delete(&mut left, other, &name), None);
    assert_eq!(left.len(), 2);
}
