//! What becomes of a guest whose store is sound, and is not what the build or QEMU needs of it.

mod foretold;
#[expect(dead_code, reason = "a part of it is enough here")]
mod sides;

use fm_formats::image::{Feature, Layout};
use fm_judge::{Effect, Known, Outcome};
use foretold::{findings, foretold, is, smm};
use sides::{known, with};

use Effect::{DeadUntouched, DeadWritten, Recreated, Volatile};
use Outcome::{Caution, Compatible, Incompatible, Unknown};

const X86: Layout = Layout::X86Size4M;

#[test]
fn a_file_longer_than_its_store_ends_as_its_padding_lies() {
    for (layout, own_bytes) in [
        (Layout::X86Size1M, 0x2_0000),
        (Layout::X86Size2M, 0x2_0000),
        (Layout::X86Size4M, 0x8_4000),
    ] {
        for (size_bytes, is_smm, expected) in [
            (own_bytes - 1, false, None),
            (own_bytes, false, None),
            (own_bytes + 1, false, Some(DeadWritten)),
            (own_bytes + 1, true, Some(DeadWritten)),
            (2 * own_bytes - 1, false, Some(DeadWritten)),
            (2 * own_bytes, false, Some(Volatile)),
            (2 * own_bytes, true, Some(DeadUntouched)),
        ] {
            let to = with(&known(layout), |facts| {
                facts.code.features = smm(Some(is_smm));
                facts.vars.size_bytes = Known::new(size_bytes, "VARS");
            });
            let expected: Vec<_> = expected
                .map(|effect| (Incompatible, Some(effect)))
                .into_iter()
                .collect();
            let seen = foretold(&to, "FM-VARS-PADDED");
            assert_eq!(seen, expected, "{layout} {size_bytes:#x} {is_smm}");
        }
    }
    // The boards with chips of one size, by the firmware and by the store.
    for (firmware, store) in [
        (Layout::ArmVirt, Layout::ArmVirt),
        (X86, Layout::ArmVirt),
        (Layout::ArmVirt, X86),
    ] {
        let to = with(&known(firmware), |facts| {
            facts.vars.layout = Known::new(store, "VARS");
            facts.vars.size_bytes = Known::new(store.vars_size_bytes() + 1, "VARS");
        });
        assert_eq!(foretold(&to, "FM-VARS-PADDED"), [], "{firmware} {store}");
    }
}

#[test]
fn what_is_not_kept_is_lost_or_kills_as_each_build_takes_it() {
    use fm_judge::VarsAccess::{Dropped, ReadOnly, Written};
    let volatile = Some((Caution, Some(Volatile)));
    let dead = Some((Incompatible, Some(DeadUntouched)));
    let unknown = Some((Unknown, None));
    for (access, layout, is_smm, is_recent, expected) in [
        (Written, X86, Some(true), Some(true), None),
        (Written, Layout::ArmVirt, None, None, None),
        (Dropped, X86, Some(true), Some(true), volatile),
        (Dropped, Layout::ArmVirt, None, None, volatile),
        (ReadOnly, Layout::ArmVirt, None, None, dead),
        (ReadOnly, Layout::ArmVirt, Some(false), Some(false), dead),
        (ReadOnly, X86, Some(false), Some(true), volatile),
        (ReadOnly, X86, Some(false), None, volatile),
        (ReadOnly, X86, Some(true), Some(false), volatile),
        (ReadOnly, X86, None, Some(false), volatile),
        (ReadOnly, X86, Some(true), Some(true), dead),
        (ReadOnly, X86, Some(true), None, unknown),
        (ReadOnly, X86, None, Some(true), unknown),
        (ReadOnly, Layout::Riscv, Some(false), Some(false), unknown),
        (ReadOnly, Layout::Riscv, Some(true), Some(true), unknown),
    ] {
        let to = with(&known(layout), |facts| {
            facts.code.features = smm(is_smm);
            facts.code.is_recent = is(is_recent);
            facts.vars.access = Known::new(access, "the command line");
        });
        let expected: Vec<_> = expected.into_iter().collect();
        let seen = foretold(&to, "FM-VARS-NOT-KEPT");
        assert_eq!(seen, expected, "{access} {layout} {is_smm:?} {is_recent:?}");
    }
}

#[test]
fn plain_variables_are_lost_where_the_flash_driver_looks_for_others() {
    for (layout, is_plain, used_bytes, has_secure_boot, walks, expected) in [
        (X86, false, 0x800, true, None, (Compatible, None)),
        (X86, true, 0x800, true, None, (Caution, None)),
        (X86, true, 0x800, false, Some(true), (Compatible, None)),
        (
            Layout::ArmVirt,
            false,
            0x800,
            true,
            Some(true),
            (Compatible, None),
        ),
        (
            Layout::ArmVirt,
            true,
            0x800,
            false,
            Some(true),
            (Incompatible, Some(Recreated)),
        ),
        (Layout::ArmVirt, true, 1, true, Some(false), (Unknown, None)),
        (Layout::ArmVirt, true, 1, true, None, (Unknown, None)),
        (Layout::ArmVirt, true, 0, true, Some(true), (Caution, None)),
        (Layout::ArmVirt, true, 0, false, Some(true), (Compatible, None)),
    ] {
        let to = with(&known(layout), |facts| {
            let features: &[Feature] = if has_secure_boot {
                &[Feature::SecureBoot]
            } else {
                &[]
            };
            facts.code.features = Known::new(features.iter().copied().collect(), "modules");
            facts.code.checks_list = is(walks);
            facts.vars.authenticated = Known::new(!is_plain, "VARS");
            facts.vars.used_bytes = Known::new(used_bytes, "VARS");
        });
        assert_eq!(
            foretold(&to, "FM-STORE-AUTH"),
            [expected],
            "{layout} {is_plain} {used_bytes} {has_secure_boot} {walks:?}"
        );
    }
}

#[test]
fn a_sound_store_that_firmware_looks_elsewhere_for_says_where_it_is_found() {
    for (store, expected, words) in [
        (
            X86,
            (Compatible, Some(Effect::Kept)),
            "finds the variables where it looks for them",
        ),
        (
            Layout::X86Size2M,
            (Incompatible, Some(Volatile)),
            "silently volatile",
        ),
    ] {
        let to = with(&known(X86), |facts| facts.vars.layout = Known::new(store, "VARS"));
        assert_eq!(foretold(&to, "FM-STORE-LAYOUT"), [expected], "{store}");
        let why = &findings(&to, "FM-STORE-LAYOUT")[0].why;
        assert!(why.contains(words), "{why}");
    }
}
