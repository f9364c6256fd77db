//! What the judge says of a build on a guest's variables, machine and devices: at a cold boot, which the guest's next
//! reset is for the firmware.

use fm_api::v1::update::{Finding, Verdict};
use fm_check::{Request, SideSpec, Wording, outcome};
use fm_host::Guest;
use fm_judge::{Outcome, Phase};
use fm_store::Store;

use crate::Result;
use crate::build::Build;

/// The verdict, and its document.
pub(crate) fn judge(
    store: &Store,
    guest: &Guest,
    build: &Build,
    wording: Wording,
) -> Result<(Outcome, Verdict)> {
    let checked = fm_check::check(&Request {
        source: SideSpec {
            guest: Some(guest.pid().to_string()),
            ..SideSpec::default()
        },
        destination: SideSpec {
            code: Some(build.path.display().to_string()),
            // The process stays, whatever this host would start a new one with.
            qemu: guest
                .qemu_version()
                .ok()
                .map(|release| release.version.to_string()),
            ..SideSpec::default()
        },
        store: Some(store.path().to_owned()),
        ..Request::default()
    })?;
    // What was judged is what is given.
    build.is_still_there()?;
    let phase = checked.verdict.phase(Phase::ColdBoot);
    let findings = phase
        .findings()
        .iter()
        .filter(|finding| finding.outcome != Outcome::Compatible);
    let verdict = Verdict {
        warm_reset: outcome(phase.outcome()),
        findings: findings
            .map(|finding| Finding {
                code: finding.code.to_owned(),
                outcome: outcome(finding.outcome),
                subject: finding.subject.clone(),
                why: finding.why.clone(),
                remedy: finding.remedy.as_ref().map(wording.remedy),
            })
            .collect(),
    };
    Ok((phase.outcome(), verdict))
}
