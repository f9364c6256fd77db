//! Whether there is a VARS device on both sides.

use fm_formats::image::Feature;
use fm_remedy::{Action, Input, Remedy, Setting};

use super::missing;
use crate::facts::Unit;
use crate::finding::{AT_BLOCK_TABLE, FindingDraft};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Firmware, MachineFamily, Outcome, Phase};

#[allow(clippy::trivially_copy_pass_by_ref)] // the renderer of a fact takes a reference
fn units(present: &bool) -> alloc::string::String {
    if *present { "CODE and VARS" } else { "CODE only" }.into()
}

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "the flash devices";
    let flash = |facts: &crate::Facts| facts.firmware.value() != Some(&Firmware::Bios);
    if !flash(pair.source) || !flash(pair.destination) {
        return;
    }
    let (source, destination) = (
        pair.source.vars.present.fact(),
        pair.destination.vars.present.fact(),
    );
    let (Some(from), Some(to)) = (source, destination) else {
        for phase in [Phase::LiveMigration, Phase::ColdBoot] {
            report.find(phase, Outcome::Unknown, || {
                missing(SUBJECT, source.is_none(), destination.is_none())
                    .source(source, units)
                    .destination(destination, units)
                    .remedy(Remedy::give(
                        "name the variable stores, or say that there is none",
                        [Input::SourceVars, Input::DestinationVars, Input::NoVars],
                    ))
            });
        }
        return;
    };
    // The `virt` boards have both chips, whether a file backs them or not.
    let fixed = pair
        .source
        .machine
        .value()
        .is_some_and(|machine| machine.family() == MachineFamily::Virt);
    let live = match (from.value, to.value) {
        (true, false) if !fixed => Outcome::Incompatible,
        (from, to) if from == to => Outcome::Compatible,
        _ => Outcome::Caution,
    };
    report.find(Phase::LiveMigration, live, || {
        let draft = FindingDraft::about(
            SUBJECT,
            match live {
                Outcome::Incompatible => "the destination must have every RAM block that arrives, and it has no flash device for VARS",
                Outcome::Caution => "only one side has a file behind the VARS device, so what the guest writes there is not kept",
                _ => "each flash device of the source lands in one of the destination",
            },
        )
        .source(source, units)
        .destination(destination, units);
        if live == Outcome::Compatible {
            return draft;
        }
        let draft = draft.remedy(Remedy::new(
            "give both sides a VARS file",
            Action::Prepare {
                offer: None,
                with_vars: true,
            },
        ));
        if live == Outcome::Incompatible {
            let block = pair.source.flash_block(Unit::Vars);
            let size = pair.source.vars.size_bytes.value().copied();
            return draft.qemu(
                AT_BLOCK_TABLE,
                pair.source.stream_position(block, size),
                messages::unknown_block(block),
            );
        }
        draft
    });
    let in_device = pair
        .destination
        .code
        .features
        .value()
        .is_some_and(|features| features.has(Feature::PvVars));
    let cold = if to.value || in_device {
        Outcome::Compatible
    } else {
        Outcome::Caution
    };
    report.find(Phase::ColdBoot, cold, || {
        let draft = FindingDraft::about(
            SUBJECT,
            if in_device {
                "variables are kept in the uefi-vars device and need no flash"
            } else if to.value {
                "variables are kept in the VARS device"
            } else {
                "without a VARS device the variables live in memory only and are gone after every cold boot"
            },
        )
        .source(source, units)
        .destination(destination, units);
        if cold == Outcome::Compatible {
            return draft;
        }
        draft.remedy(Remedy::new(
            "give the guest its own VARS file",
            Action::Configure(Setting::VarsDevice),
        ))
    });
}
