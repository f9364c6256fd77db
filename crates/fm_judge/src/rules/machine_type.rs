//! The machine types: the first thing in the stream, and QEMU compares them letter by letter.

use fm_formats::image::Arch;
use fm_remedy::{Action, Input, Remedy, Setting};

use super::{missing, text};
use crate::finding::{AT_CONFIGURATION, FindingDraft};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{MachineFamily, Outcome, Phase, QemuVersion};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "the machine type";
    let (source, destination) = (pair.source.machine.fact(), pair.destination.machine.fact());
    let (Some(from), Some(to)) = (source, destination) else {
        for phase in [Phase::LiveMigration, Phase::ColdBoot] {
            report.find(phase, Outcome::Unknown, || {
                missing(SUBJECT, source.is_none(), destination.is_none())
                    .source(source, text)
                    .destination(destination, text)
                    .remedy(Remedy::give("name it", [Input::MachineType(None)]))
            });
        }
        return;
    };
    if has_one_virt(pair) {
        return unversioned(pair, report);
    }
    if from.value.is_alias() || to.value.is_alias() {
        report.find(Phase::LiveMigration, Outcome::Unknown, || {
            FindingDraft::about(
                SUBJECT,
                "an alias means another machine type with every QEMU version, so it has to be resolved first",
            )
            .source(source, text)
            .destination(destination, text)
            .remedy(Remedy::give(
                "name the versioned type, or the QEMU versions on both sides",
                [
                    Input::MachineType(None),
                    Input::SourceQemu,
                    Input::DestinationQemu,
                ],
            ))
        });
        return;
    }
    let same = from.value == to.value;
    report.find(
        Phase::LiveMigration,
        if same {
            Outcome::Compatible
        } else {
            Outcome::Incompatible
        },
        || {
            let draft = FindingDraft::about(
                SUBJECT,
                "QEMU accepts a guest only on the machine type that it was started on",
            )
            .source(source, text)
            .destination(destination, text);
            if same {
                return draft;
            }
            draft
                .remedy(Remedy::new(
                    "start the destination on the source's machine type",
                    Action::Configure(Setting::MachineType(text(&from.value))),
                ))
                .qemu(
                    AT_CONFIGURATION,
                    0,
                    messages::machine_type(from.value.name(), to.value.name()),
                )
        },
    );
    report.find(
        Phase::ColdBoot,
        if same { Outcome::Compatible } else { Outcome::Caution },
        || {
            let draft = FindingDraft::about(
                SUBJECT,
                "the guest's system sees the board that the machine type stands for, so another one is a hardware change",
            )
            .source(source, text)
            .destination(destination, text);
            if same {
                return draft;
            }
            draft.remedy(Remedy::new(
                "keep the machine type for this guest",
                Action::Configure(Setting::MachineType(text(&from.value))),
            ))
        },
    );
}

/// Whether both sides are the `virt` of RISC-V or LoongArch, of which QEMU has one, and not one a release.
fn has_one_virt(pair: &Pair<'_>) -> bool {
    let sides = [pair.source, pair.destination];
    let on_virt = |side: &&crate::Facts| {
        let machine = side.machine.value();
        machine.is_some_and(|machine| machine.family() == MachineFamily::Virt)
    };
    let arch = |side: &&crate::Facts| {
        let arch = side.code.arch.value();
        matches!(arch, Some(Arch::Riscv64 | Arch::Loongarch64))
    };
    sides.iter().all(on_virt) && sides.iter().any(arch)
}

/// Whatever it is called: what it is made of is the release's.
fn unversioned(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "the machine type";
    let series = |qemu: &QemuVersion| (qemu.major, qemu.minor);
    let (source, destination) = (pair.source.qemu.fact(), pair.destination.qemu.fact());
    let known = source.zip(destination);
    let same = known.map(|(from, to)| series(&from.value) == series(&to.value));
    for (phase, otherwise) in [
        (Phase::LiveMigration, Outcome::Unknown),
        (Phase::ColdBoot, Outcome::Caution),
    ] {
        let outcome = match same {
            Some(true) => Outcome::Compatible,
            Some(false) => otherwise,
            None => Outcome::Unknown,
        };
        report.find(phase, outcome, || {
            let draft = FindingDraft::about(
                SUBJECT,
                match same {
                    Some(true) => "the same release of QEMU makes the same board",
                    _ => "this board has no versioned types, so each release of QEMU may make another one of the same name",
                },
            )
            .source(source, text)
            .destination(destination, text);
            if outcome == Outcome::Compatible {
                return draft;
            }
            draft.remedy(Remedy::give(
                "run the same QEMU release on both sides, and name both",
                [Input::SourceQemu, Input::DestinationQemu],
            ))
        });
    }
}
