//! What became of an update, as text.

use fm_update::{State, Update, UpdateStatus, Way};

use super::{BAD, CARE, GOOD, Output, STRONG, plain};

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// One update.
pub fn update(output: &Output, done: &Update) {
    let who = match &done.guest.name {
        Some(name) => format!("{} (pid {})", plain(name), done.guest.pid),
        None => format!("pid {}", done.guest.pid),
    };
    let (from, to) = (short(&done.from), short(&done.to));
    let since = done.since.as_deref().unwrap_or_default();
    match done.state {
        State::Refused => output.line(format_args!("{BAD}refused{BAD:#}: {who} keeps build {from}")),
        State::Planned => output.line(format_args!(
            "{GOOD}could be done{GOOD:#}: {who}, {from} to {to}, {} bytes differ",
            done.bytes_written
        )),
        State::PendingReset => output.line(format_args!(
            "{GOOD}waits for its reset{GOOD:#}: {who} runs {from} and resets into {to}, since {since}"
        )),
        State::Done => output.line(format_args!("{GOOD}done{GOOD:#}: {who} has booted with {to}")),
        State::Reverted => output.line(format_args!(
            "{GOOD}reverted{GOOD:#}: {who} runs {from} and resets into it, since {since}"
        )),
        State::Undone => output.line(format_args!(
            "{CARE}undone{CARE:#}: {who} was being updated when that was interrupted, and holds {from}"
        )),
        State::Interrupted => output.line(format_args!(
            "{BAD}interrupted{BAD:#}: {who}, between {from} and {to}"
        )),
        State::Overtaken => output.line(format_args!(
            "{BAD}overtaken{BAD:#}: {who} was given {to}, and somebody else has put other bytes in its place"
        )),
    }
    if let Some(pause_us) = done.pause_us {
        output.line(format_args!(
            "  stood still for {pause_us} µs, {} bytes written",
            done.bytes_written
        ));
    }
    if done.way == Way::Migration && done.state == State::PendingReset {
        output.line("  given on the way, when it migrated");
    }
    for refusal in &done.refusals {
        output.line(format_args!(
            "  {STRONG}{}{STRONG:#}: {}",
            refusal.reason,
            plain(&refusal.why)
        ));
        if let Some(remedy) = &refusal.remedy {
            output.line(format_args!("    what to do: {}", plain(remedy)));
        }
    }
    if let Some(verdict) = &done.verdict {
        output.line(format_args!("  its next reset: {}", verdict.warm_reset));
        for finding in &verdict.findings {
            output.line(format_args!(
                "    {} {}: {}",
                finding.code,
                plain(&finding.subject),
                plain(&finding.why)
            ));
            if let Some(remedy) = &finding.remedy {
                output.line(format_args!("      what to do: {}", plain(remedy)));
            }
        }
    }
    for remark in &done.remarks {
        output.line(format_args!("  {}", plain(remark)));
    }
}

/// All of them.
pub fn status(output: &Output, status: &UpdateStatus) {
    if status.updates.is_empty() && status.unreadable.is_empty() {
        output.line("no update of a running guest is known");
    }
    for one in &status.updates {
        update(output, one);
    }
    for one in &status.unreadable {
        let pid = one.pid.map(|pid| format!(" of pid {pid}")).unwrap_or_default();
        output.line(format_args!(
            "{BAD}not known{BAD:#}: the record{pid}: {}",
            plain(&one.why)
        ));
        if let Some(remedy) = &one.remedy {
            output.line(format_args!("  what to do: {}", plain(remedy)));
        }
    }
}
