//! The size of the VARS device.

use fm_remedy::{Action, Input, Remedy};

use super::{hex, missing};
use crate::facts::Unit;
use crate::finding::{AT_BLOCK_TABLE, FindingDraft};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "the size of VARS";
    let absent = |facts: &crate::Facts| facts.vars.present.value() == Some(&false);
    if absent(pair.source) || absent(pair.destination) {
        // The rule on flash units speaks of this.
        return;
    }
    let (source, destination) = (
        pair.source.vars.size_bytes.fact(),
        pair.destination.vars.size_bytes.fact(),
    );
    let (Some(from), Some(to)) = (source, destination) else {
        report.find(Phase::LiveMigration, Outcome::Unknown, || {
            missing(SUBJECT, source.is_none(), destination.is_none())
                .source(source, hex)
                .destination(destination, hex)
                .remedy(Remedy::give(
                    "name the variable stores",
                    [Input::SourceVars, Input::DestinationVars],
                ))
        });
        return;
    };
    let same = from.value == to.value;
    if !same && super::flash_file::chip_bytes(pair.source).is_some() {
        // Both chips have the board's size, and the rule on files speaks of one that does not fill its own.
        return;
    }
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
                "the variables travel as a RAM block, and it only lands in a flash device of its own size",
            )
            .source(source, hex)
            .destination(destination, hex);
            if same {
                return draft;
            }
            let block = pair.source.flash_block(Unit::Vars);
            draft
                .remedy(Remedy::new(
                    "make a VARS file of the right size at the destination",
                    Action::Prepare {
                        offer: None,
                        with_vars: true,
                    },
                ))
                .qemu(
                    AT_BLOCK_TABLE,
                    pair.source.stream_position(block, Some(from.value)),
                    messages::size_mismatch(block, from.value, to.value),
                )
        },
    );
}
