//! What facts and effects are called: in documents, in messages and in the evidence of a finding.

#[expect(dead_code, reason = "a part of it is enough here")]
mod sides;

use fm_formats::image::{Feature, Layout};
use fm_judge::{
    Block, Confidential, DisplayValue as _, Effect, Facts, Features, Firmware, Format, Known, Phase,
    Soundness, StoreState, VarsAccess, judge,
};

#[test]
fn effects_are_called_as_documents_call_them() {
    for (effect, name) in [
        (Effect::Kept, "kept"),
        (Effect::FirstBootLost, "first_boot_lost"),
        (Effect::Volatile, "volatile"),
        (Effect::PartlyLost, "partly_lost"),
        (Effect::Recreated, "recreated"),
        (Effect::DeadUntouched, "dead_untouched"),
        (Effect::DeadWritten, "dead_written"),
        (Effect::DeadErased, "dead_erased"),
    ] {
        assert_eq!((effect.name(), effect.to_string().as_str()), (name, name));
    }
}

#[test]
fn facts_are_called_as_people_call_them() {
    assert_eq!(Firmware::Flash.display_value(), "flash");
    assert_eq!(Firmware::Bios.to_string(), "-bios");
    assert_eq!(
        (Format::Raw.to_string().as_str(), Format::Qcow2.name()),
        ("raw", "qcow2")
    );
    for (kind, name) in [
        (Confidential::No, "none"),
        (Confidential::Sev, "sev"),
        (Confidential::SevEs, "sev-es"),
        (Confidential::SevSnp, "sev-snp"),
        (Confidential::Tdx, "tdx"),
    ] {
        assert_eq!(
            (kind.display_value().as_str(), kind.to_string().as_str()),
            (name, name)
        );
    }
    for (soundness, words) in [
        (Soundness::Whole, "whole"),
        (Soundness::Damaged, "damaged in places"),
        (Soundness::Foreign, "something else before its first volume"),
        (
            Soundness::Undecodable,
            "cut off, or its main volume does not decompress",
        ),
        (Soundness::NoResetVector, "nothing at its reset vector"),
    ] {
        assert_eq!(soundness.to_string(), words);
    }
    for (access, words) in [
        (VarsAccess::Written, "written to its file"),
        (VarsAccess::ReadOnly, "read-only"),
        (VarsAccess::Dropped, "a snapshot that is dropped"),
    ] {
        assert_eq!(access.to_string(), words);
    }
    // Formatted: variables can be in it. Blank: none ever were.
    for (state, words, is_formatted, is_blank) in [
        (StoreState::Good, "a formatted store", true, false),
        (StoreState::WithoutFtw, "a store without FTW header", true, false),
        (StoreState::Erased, "erased, all 0xff", false, true),
        (StoreState::Zeros, "blank, all zeros", false, true),
        (StoreState::VolumeDamaged, "a damaged volume header", false, false),
        (StoreState::StoreDamaged, "a damaged store header", false, false),
    ] {
        assert_eq!(
            (state.to_string().as_str(), state.is_formatted(), state.is_blank()),
            (words, is_formatted, is_blank)
        );
    }
}

#[test]
fn qemus_words_are_its_own() {
    let said = fm_judge::messages::no_such_file("/srv/CODE.fd");
    assert_eq!(said, "Could not open '/srv/CODE.fd': No such file or directory");
}

#[test]
fn sets_of_features_do_what_sets_do() {
    let set = |features: &[Feature]| features.iter().copied().collect::<Features>();
    let one = set(&[Feature::Smm, Feature::SecureBoot]);
    assert_eq!(one.with(Feature::Smm), one, "twice is once");
    assert_eq!(one.and(set(&[Feature::Smm, Feature::Tpm2])), set(&[Feature::Smm]));
    assert_eq!(one.and(Features::default()), Features::default());
    assert_eq!(
        one.without(set(&[Feature::Smm, Feature::Tpm2])),
        set(&[Feature::SecureBoot])
    );
    assert_eq!(format!("{one:?}"), one.to_string());
    assert_eq!(Features::default().to_string(), "none");
}

#[test]
fn qemu_stops_at_the_first_block_of_the_stream_and_not_at_the_first_of_our_rules() {
    let block = |name: &str, size_bytes| Block {
        name: name.into(),
        size_bytes,
    };
    let to = sides::known(Layout::X86Size2M);
    let message = |from: &Facts| {
        let verdict = judge(from, &to);
        verdict
            .phase(Phase::LiveMigration)
            .qemu_message()
            .unwrap()
            .to_owned()
    };
    let from = sides::known(Layout::X86Size4M);
    assert!(
        message(&from).contains("system.flash0"),
        "QEMU sorts the largest to the front"
    );
    for (first, second) in [
        ("system.flash0", "system.flash1"),
        ("system.flash1", "system.flash0"),
    ] {
        let size = |name: &str| match name {
            "system.flash0" => 0x37_c000,
            _ => 0x8_4000,
        };
        let table = vec![
            block("pc.ram", 1 << 28),
            block(first, size(first)),
            block(second, size(second)),
        ];
        let from = sides::with(&from, |facts| facts.blocks = Known::new(table, "the stream"));
        assert!(message(&from).contains(first), "{}", message(&from));
    }
}
