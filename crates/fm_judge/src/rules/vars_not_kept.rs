//! A VARS device whose writes QEMU refuses or drops: variables that do not last.

use super::{store_layout, text};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Effect, Outcome, Phase, VarsAccess};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    let Some(access) = to.vars.access.fact() else {
        return;
    };
    if !store_layout::uses_store(to) || access.value == VarsAccess::Written {
        return;
    }
    report.find(Phase::ColdBoot, Outcome::Caution, || {
        FindingDraft::about(
            "what becomes of what the guest writes",
            match access.value {
                VarsAccess::ReadOnly => "the VARS device takes no writes: nothing that the guest sets lasts",
                _ => {
                    "QEMU drops what the guest writes to VARS when it ends: nothing that the guest sets lasts"
                }
            },
        )
        .destination(Some(access), text)
        .effect(Effect::Volatile)
        .remedy("leave out readonly=on, snapshot=on and -snapshot for the VARS drive")
    });
}
