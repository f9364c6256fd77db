//! Why a finding matters: the sentence that belongs to each answer, and to no other.

mod sides;

use fm_formats::image::{Feature, Layout};
use fm_judge::{Facts, Finding, Firmware, Known, MachineType, Outcome, Phase, QemuVersion, judge};
use sides::{known, running, with};

use Outcome::{Caution, Compatible, Incompatible, Unknown};
use Phase::{ColdBoot, LiveMigration, WarmReset};

/// The finding of this code on this subject.
fn finding(from: &Facts, to: &Facts, phase: Phase, (code, subject): (&str, &str)) -> Finding {
    let verdict = judge(from, to);
    let mut all = verdict.phase(phase).findings().iter();
    let found = all.find(|finding| finding.code == code && finding.subject == subject);
    found
        .unwrap_or_else(|| panic!("{code} says nothing of {subject}"))
        .clone()
}

fn says(finding: &Finding, outcome: Outcome, words: &str) {
    assert_eq!(finding.outcome, outcome, "{finding:?}");
    assert!(finding.why.contains(words), "{}", finding.why);
    assert_eq!(finding.remedy.is_some(), outcome != Compatible, "{finding:?}");
}

#[test]
fn how_firmware_gets_in_says_where_variables_are_after_it() {
    let flash = known(Layout::X86Size4M);
    let bios = with(&flash, |facts| {
        facts.firmware = Known::new(Firmware::Bios, "-bios")
    });
    let in_device = |base: &Facts| {
        with(base, |facts| {
            facts.code.features = Known::new([Feature::PvVars].into_iter().collect(), "modules");
        })
    };
    for (from, to, expected, words) in [
        (
            &flash,
            &flash,
            Compatible,
            "with flash the variables are kept in VARS",
        ),
        (
            &flash,
            &bios,
            Caution,
            "boot entries and keys of the guest are not there",
        ),
        (&bios, &flash, Caution, "which starts without those of the guest"),
        (&bios, &bios, Caution, "gone after every cold boot"),
        (
            &flash,
            &in_device(&bios),
            Compatible,
            "kept in the uefi-vars device",
        ),
        (
            &bios,
            &in_device(&flash),
            Compatible,
            "kept in the uefi-vars device",
        ),
    ] {
        let subject = ("FM-FIRMWARE-KIND", "how the machine gets its firmware");
        says(&finding(from, to, ColdBoot, subject), expected, words);
    }
}

#[test]
fn flash_devices_say_what_lands_and_what_is_kept() {
    let subject = ("FM-FLASH-UNITS", "the flash devices");
    for (layout, from, to, live, words) in [
        (
            Layout::X86Size4M,
            true,
            true,
            Compatible,
            "each flash device of the source lands",
        ),
        (
            Layout::X86Size4M,
            false,
            false,
            Compatible,
            "each flash device of the source lands",
        ),
        (
            Layout::X86Size4M,
            true,
            false,
            Incompatible,
            "it has no flash device for VARS",
        ),
        (
            Layout::X86Size4M,
            false,
            true,
            Caution,
            "only one side has a file",
        ),
        (Layout::ArmVirt, true, false, Caution, "only one side has a file"),
        (Layout::ArmVirt, false, true, Caution, "only one side has a file"),
    ] {
        let side = |present: bool| {
            with(&known(layout), |facts| {
                facts.vars.present = Known::new(present, "the command line")
            })
        };
        let (from, to_side) = (side(from), side(to));
        says(&finding(&from, &to_side, LiveMigration, subject), live, words);
        let (cold, words) = match to {
            true => (Compatible, "variables are kept in the VARS device"),
            false => (Caution, "without a VARS device the variables live in memory only"),
        };
        says(&finding(&from, &to_side, ColdBoot, subject), cold, words);
        let in_device = with(&to_side, |facts| {
            facts.code.features = Known::new([Feature::PvVars].into_iter().collect(), "modules");
        });
        let words = "kept in the uefi-vars device and need no flash";
        says(&finding(&from, &in_device, ColdBoot, subject), Compatible, words);
    }
}

#[test]
fn a_reset_follows_the_arrival() {
    let subject = ("FM-ARRIVAL", "the firmware after a reset");
    let base = known(Layout::X86Size4M);
    let midwrite = with(&base, |facts| {
        facts.qemu = Known::new(QemuVersion::new(10, 0, 2), "-version")
    });
    let nameless = with(&base, |facts| facts.qemu = Known::default());
    for (from, to, expected, words) in [
        (
            &base,
            &base,
            Compatible,
            "boots the firmware that it arrived with",
        ),
        (
            &midwrite,
            &base,
            Compatible,
            "boots the firmware that it arrived with",
        ),
        (
            &base,
            &nameless,
            Unknown,
            "whether the guest can arrive is not known",
        ),
        (
            &base,
            &known(Layout::X86Size2M),
            Incompatible,
            "resets at the source as before",
        ),
    ] {
        says(&finding(from, to, WarmReset, subject), expected, words);
    }
}

#[test]
fn room_says_what_there_is_none_for() {
    let base = known(Layout::X86Size4M);
    let all = ("FM-STORE-FULL", "the room for all variables");
    for (used_bytes, expected, words) in [
        (0x800, Compatible, "has no room for cannot be taken along"),
        (0x3_ff00, Unknown, "hardly any room is left"),
        (0x5_0000, Incompatible, "has no room for cannot be taken along"),
    ] {
        let from = with(&base, |facts| {
            facts.vars.used_bytes = Known::new(used_bytes, "VARS")
        });
        says(&finding(&from, &base, ColdBoot, all), expected, words);
    }
    let one = ("FM-STORE-FULL", "the room for the largest variable");
    for (bytes, words) in [
        (0x8400, "can write its largest variable again"),
        (0x8401, "cannot write it again"),
    ] {
        let from = with(&base, |facts| {
            facts.vars.largest_bytes = Known::new(bytes, "VARS")
        });
        says(&finding(&from, &base, ColdBoot, one), Compatible, words);
    }
}

#[test]
fn a_machine_type_says_why_a_qemu_has_it_or_not() {
    let subject = ("FM-MACHINE-SUPPORT", "the machine type in the destination's QEMU");
    let on = |base: &Facts, machine: &str, major: u16| {
        with(base, |facts| {
            facts.machine = Known::new(MachineType::new(machine, None), "-machine");
            facts.qemu = Known::new(QemuVersion::new(major, 0, 0), "-version");
        })
    };
    let (files, runs) = (known(Layout::X86Size4M), running(0x4_0000));
    for (side, expected, words) in [
        (
            on(&files, "microvm", 10),
            Incompatible,
            "has no flash and takes firmware with -bios only",
        ),
        (
            on(&runs, "pc-q35-2.12", 10),
            Compatible,
            "a QEMU runs there on this machine type",
        ),
        (
            on(&files, "pc-q35-11.0", 10),
            Incompatible,
            "does not know the machine types of later versions",
        ),
        (
            on(&files, "pc-q35-3.1", 10),
            Unknown,
            "removes machine types after six years",
        ),
        (
            on(&files, "pc-q35-4.0", 10),
            Compatible,
            "keeps the machine types of earlier versions",
        ),
    ] {
        for phase in [LiveMigration, ColdBoot] {
            says(&finding(&side, &side, phase, subject), expected, words);
        }
    }
    let bios = with(&on(&files, "microvm", 10), |facts| {
        facts.firmware = Known::new(Firmware::Bios, "-bios");
    });
    says(
        &finding(&bios, &bios, ColdBoot, subject),
        Unknown,
        "the name is none of QEMU's own",
    );
}

#[test]
fn one_path_with_two_builds_is_told_and_one_that_is_replaced_too() {
    let base = known(Layout::X86Size4M);
    let other = || Known::new(fm_formats::Sha256::of(b"other"), "CODE");
    let subjects = |from: &Facts, to: &Facts| {
        let verdict = judge(from, to);
        let all = verdict.phase(ColdBoot).findings().iter();
        let mut subjects: Vec<_> = all
            .filter(|finding| finding.code == "FM-DRIFT")
            .map(|finding| finding.subject.clone())
            .collect();
        subjects.sort_unstable();
        subjects
    };
    let same_path = with(&base, |facts| facts.code.sha256 = other());
    let other_path = with(&same_path, |facts| {
        facts.code.path = Known::new("/srv/b.fd".into(), "-drive")
    });
    let replaced = with(&base, |facts| facts.code.next_boot_code = other());
    assert_eq!(subjects(&base, &base), [""; 0]);
    assert_eq!(subjects(&base, &same_path), ["the path /usr/share/OVMF/CODE.fd"]);
    assert_eq!(subjects(&base, &other_path), [""; 0]);
    assert_eq!(subjects(&replaced, &base), ["the source's firmware file"]);
}
