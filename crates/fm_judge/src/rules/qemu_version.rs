//! That the QEMU versions are known at all: messages and known troubles depend on them.

use super::{missing, text};
use crate::finding::Told;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "the QEMU version";
    let (source, destination) = (pair.source.qemu.fact(), pair.destination.qemu.fact());
    let known = source.is_some() && destination.is_some();
    report.find(
        Phase::LiveMigration,
        if known {
            Outcome::Compatible
        } else {
            Outcome::Unknown
        },
        || {
            if known {
                return Told::about(
                    SUBJECT,
                    "the machine type fixes what a guest looks like in any QEMU version that has it",
                )
                .source(source, text)
                .destination(destination, text);
            }
            missing(SUBJECT, source.is_none(), destination.is_none())
                .source(source, text)
                .destination(destination, text)
                .remedy("name it: --qemu-from VERSION, --qemu-to VERSION (qemu-system-x86_64 -version)")
        },
    );
}
