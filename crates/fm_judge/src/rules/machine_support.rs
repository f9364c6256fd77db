//! Whether the destination's QEMU has the machine type at all.

use fm_remedy::{Action, Input, Remedy, Setting};

use super::text;
use crate::finding::{AT_START, FindingDraft};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Firmware, MachineVendor, Outcome, Phase};

/// QEMU removes a machine type when it is six years old, which is six major versions
/// (QEMU `docs/about/deprecated.rst`, "Versioned machine types").
const YEARS_KEPT: u16 = 6;

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    let (Some(machine), Some(qemu)) = (to.machine.fact(), to.qemu.fact()) else {
        // What is missing is said by the rules on machine type and QEMU version.
        return;
    };
    if machine.value.is_alias() {
        // The rule on machine types asks for the versioned name.
        return;
    }
    let flash = to.firmware.value() == Some(&Firmware::Flash);
    let (outcome, why) = if machine.value.has_no_flash() && flash {
        (
            Outcome::Incompatible,
            "this board has no flash and takes firmware with -bios only",
        )
    } else if to.blocks.is_known() {
        (Outcome::Compatible, "a QEMU runs there on this machine type")
    } else {
        match machine.value.version() {
            Some(version) if version > (qemu.value.major, qemu.value.minor) => (
                Outcome::Incompatible,
                "a QEMU does not know the machine types of later versions and does not start",
            ),
            Some((major, _)) if major.saturating_add(YEARS_KEPT) < qemu.value.major => (
                Outcome::Unknown,
                "QEMU removes machine types after six years, so this one may be gone",
            ),
            Some(_) => (
                Outcome::Compatible,
                "QEMU keeps the machine types of earlier versions for six years",
            ),
            None if machine.value.vendor() == Some(MachineVendor::RedHat) => (
                Outcome::Unknown,
                "this type is Red Hat's: QEMU of RHEL and its rebuilds has it, and drops it after some releases; no other has",
            ),
            None if machine.value.vendor() == Some(MachineVendor::Ubuntu) => (
                Outcome::Unknown,
                "this type is Ubuntu's: QEMU of that Ubuntu and of later ones has it, and no other",
            ),
            None => (
                Outcome::Unknown,
                "the name is none of QEMU's own versioned types: another distribution's, another board's or a slip, and whether that QEMU has it is not known",
            ),
        }
    };
    for phase in [Phase::LiveMigration, Phase::ColdBoot] {
        report.find(phase, outcome, || {
            let draft = FindingDraft::about("the machine type in the destination's QEMU", why)
                .source(Some(machine), text)
                .destination(Some(qemu), text);
            match (outcome, machine.value.version()) {
                (Outcome::Incompatible, Some((major, minor))) => draft
                    .remedy(Remedy::new(
                        alloc::format!(
                            "use QEMU {major}.{minor} or later at the destination, or cold-boot the guest on one of the machine types that are there"
                        ),
                        Action::ListMachineTypes,
                    ))
                    .qemu(
                        AT_START,
                        0,
                        messages::unsupported_machine(machine.value.name(), qemu.value),
                    ),
                (Outcome::Incompatible, None) => draft
                    .remedy(
                        Remedy::new(
                            "use a machine with flash, or give the firmware in ROM and say so",
                            Action::Configure(Setting::MachineType("q35".into())),
                        )
                        .then(Action::Give(Input::DestinationBios)),
                    )
                    .qemu(AT_START, 0, messages::no_flash(0)),
                (Outcome::Unknown, _) => draft.remedy(Remedy::new("ask that QEMU", Action::ListMachineTypes)),
                _ => draft,
            }
        });
    }
}
