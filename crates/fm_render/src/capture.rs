//! What was captured, and what the guard has to say, as text.

use fm_api::v1::capture::Capture;
use fm_api::v1::check::Outcome;
use fm_api::v1::guard::{DriftingGuest, GuardReport, GuardStatus};

use super::{BAD, CARE, GOOD, Output, plain};

fn guest(name: Option<&str>, pid: u32) -> String {
    name.map_or_else(
        || format!("pid {pid}"),
        |name| format!("{} (pid {pid})", plain(name)),
    )
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// What was captured, and what could not be.
pub fn capture(output: &Output, done: &Capture) {
    for captured in &done.guests {
        let who = guest(captured.name.as_deref(), captured.pid);
        let news = match (captured.new, done.dry_run) {
            (true, false) => "stored now",
            (true, true) => "which would be stored",
            (false, _) => "stored already",
        };
        let build = short(&captured.code.running_sha256);
        output.line(format_args!(
            "{GOOD}{who}{GOOD:#} runs build {build}, {news}: {}",
            captured.stored.display()
        ));
        if captured.code.drift == Some(true) {
            let file = captured
                .code
                .path
                .as_ref()
                .map_or_else(|| "its file".into(), |path| plain(&path.to_string_lossy()));
            let now = match captured.code.file_sha256 {
                Some(_) => "holds something else by now",
                None => "is gone",
            };
            output.line(format_args!("  {CARE}drift{CARE:#}: {file} {now}"));
        }
    }
    for failure in &done.failures {
        output.line(format_args!(
            "{BAD}{}{BAD:#}: {}",
            guest(failure.name.as_deref(), failure.pid),
            plain(&failure.why)
        ));
    }
}

/// A package manager's output is no place for colours or long words.
pub fn drift(output: &Output, after: &GuardReport) {
    for drift in &after.guests {
        let who = guest(drift.name.as_deref(), drift.pid);
        let path = plain(&drift.path.to_string_lossy());
        match drift.file_unknown {
            None => output.line(format_args!(
                "flashmoor: guest {who} runs on firmware that {path} does not hold any more"
            )),
            Some(_) => output.line(format_args!(
                "flashmoor: guest {who}: whether {path} still holds what it runs is not known"
            )),
        }
        output.line(format_args!(
            "  runs:      {} ({} bytes)",
            short(&drift.running_sha256),
            drift.running_size_bytes
        ));
        match (&drift.file_sha256, drift.file_size_bytes, &drift.file_unknown) {
            (Some(file), Some(size_bytes), _) => {
                output.line(format_args!("  file now:  {} ({size_bytes} bytes)", short(file)));
            }
            (.., Some(_)) => output.line("  file now:  not known"),
            _ => output.line("  file now:  gone"),
        }
        cold_boot(output, drift);
        output.line(format_args!(
            "  unchanged: a guest started with {} gets what it runs now",
            drift.stored.display()
        ));
    }
}

/// The judge's outcome, and what it found that is not simply in order.
fn cold_boot(output: &Output, drift: &DriftingGuest) {
    let Some(phase) = &drift.cold_boot else {
        let why = drift.not_judged.as_deref().unwrap_or("no reason is known");
        output.line(format_args!("  cold boot: not judged: {}", plain(why)));
        return;
    };
    output.line(format_args!("  cold boot: {}", phase.outcome));
    for finding in phase
        .findings
        .iter()
        .filter(|finding| finding.outcome != Outcome::Compatible)
    {
        output.line(format_args!(
            "    {} {}: {}",
            finding.code, finding.subject, finding.why
        ));
        if let Some(remedy) = &finding.remedy {
            output.line(format_args!("      what to do: {remedy}"));
        }
    }
}

/// What the guard has told, and which hooks there are.
pub fn status(output: &Output, status: &GuardStatus) {
    let guarded = if status.dry_run {
        "would be guarded"
    } else {
        "guarded"
    };
    let not_guarded = if status.dry_run {
        "would not be guarded"
    } else {
        "not guarded"
    };
    for hook in &status.hooks {
        let (manager, path) = (hook.manager, hook.path.display());
        match (hook.installed, hook.blocks) {
            (false, _) => output.line(format_args!("{manager}: {not_guarded}")),
            (true, false) => output.line(format_args!("{manager}: {guarded} by {path}")),
            (true, true) => output.line(format_args!(
                "{manager}: {guarded} by {path}, which stops an upgrade if a guest can't be captured"
            )),
        }
    }
}
