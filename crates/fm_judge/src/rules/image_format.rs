//! What the flash files are (raw or qcow2) against what QEMU is told, and against the other side.

use super::{named, text};
use crate::finding::{AT_START, Told};
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
        &named(&to.code.path, "CODE"),
    );
    if to.vars.present.value() == Some(&true) {
        judge(
            report,
            "the format of the VARS file",
            &from.vars.format,
            &to.vars.format,
            &to.vars.declared_format,
            &named(&to.vars.path, "VARS"),
        );
    }
}

fn judge(
    report: &mut Report,
    subject: &'static str,
    source: &Known<Format>,
    destination: &Known<Format>,
    declared: &Known<Format>,
    file: &str,
) {
    let (Some(is), declared) = (destination.fact(), declared.fact()) else {
        return;
    };
    if let Some(declared) = declared
        && declared.value != is.value
    {
        for phase in [Phase::LiveMigration, Phase::ColdBoot] {
            report.find(phase, Outcome::Incompatible, || {
                let told = Told::about(
                    subject,
                    "QEMU reads the file as what it is told, so the guest gets other bytes or QEMU does not start",
                )
                .source(Some(declared), text)
                .destination(Some(is), text)
                .remedy(alloc::format!(
                    "say format={} for this file, or convert it: qemu-img convert -O {} {file} NEW",
                    is.value, declared.value
                ));
                if declared.value == Format::Qcow2 {
                    return told.qemu(AT_START, 0, messages::NOT_QCOW2);
                }
                // The other way round the device has the file's own size, and the rules on sizes say what
                // QEMU makes of that.
                told
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
            let told = Told::about(
                subject,
                "the guest's definition names the format, and nothing converts the file when the definition moves",
            )
            .source(Some(was), text)
            .destination(Some(is), text);
            if same {
                return told;
            }
            told.remedy(alloc::format!(
                "name the destination's format in the guest's definition, or convert the file: qemu-img convert -O {} {file} NEW",
                was.value
            ))
        });
    }
}
