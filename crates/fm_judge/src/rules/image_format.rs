//! What the flash files are (raw or qcow2) against what QEMU is told, and against the other side.

use alloc::string::String;

use fm_remedy::{Action, Remedy, Setting};

use super::{subject, text};
use crate::finding::{AT_START, FindingDraft};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Format, Known, Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (from, to) = (pair.source, pair.destination);
    judge(
        report,
        "the format of the CODE file",
        &from.code.format,
        &to.code.format,
        &to.code.declared_format,
        &to.code.path,
    );
    if to.vars.present.value() == Some(&true) {
        judge(
            report,
            "the format of the VARS file",
            &from.vars.format,
            &to.vars.format,
            &to.vars.declared_format,
            &to.vars.path,
        );
    }
}

fn judge(
    report: &mut Report,
    name: &'static str,
    source: &Known<Format>,
    destination: &Known<Format>,
    declared: &Known<Format>,
    path: &Known<String>,
) {
    let (Some(is), declared) = (destination.fact(), declared.fact()) else {
        return;
    };
    if let Some(declared) = declared
        && declared.value != is.value
    {
        for phase in [Phase::LiveMigration, Phase::ColdBoot] {
            report.find(phase, Outcome::Incompatible, || {
                let draft = FindingDraft::about(
                    name,
                    "QEMU reads the file as what it is told, so the guest gets other bytes or QEMU does not start",
                )
                .source(Some(declared), text)
                .destination(Some(is), text)
                .remedy(
                    Remedy::new(
                        "name the format that the file has, or convert it",
                        Action::Configure(Setting::FileFormat(is.value.name())),
                    )
                    .then(Action::ConvertImage {
                        image: subject(path),
                        format: declared.value.name(),
                    }),
                );
                if declared.value == Format::Qcow2 {
                    return draft.qemu(AT_START, 0, messages::NOT_QCOW2);
                }
                // The other way round the device has the file's own size, and the rules on sizes say what
                // QEMU makes of that.
                draft
            });
        }
        return;
    }
    let Some(was) = source.fact() else {
        return;
    };
    let same = was.value == is.value;
    for phase in [Phase::LiveMigration, Phase::ColdBoot] {
        // The stream carries the device's bytes, never the file's: another format migrates.
        let outcome = if same {
            Outcome::Compatible
        } else {
            Outcome::Caution
        };
        report.find(phase, outcome, || {
            let draft = FindingDraft::about(
                name,
                "the guest's definition names the format, and nothing converts the file when the definition moves",
            )
            .source(Some(was), text)
            .destination(Some(is), text);
            if same {
                return draft;
            }
            draft.remedy(Remedy::new(
                "name the destination's format in the guest's definition, or convert the file",
                Action::ConvertImage {
                    image: subject(path),
                    format: was.value.name(),
                },
            ))
        });
    }
}
