//! `flashmoor ps` for people: one line a guest, then whatever needs a sentence.

use std::io::IsTerminal as _;
use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};
use fm_jobs::ps::{Ps, PsCode, PsGuest, PsVars};

use super::{BAD, CARE, GOOD, Output};

/// Enough of a digest to tell builds apart, as `store list` takes it.
const SHORT_DIGEST: usize = 12;
/// Clears the screen and goes to its corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// DRIFT stands last: its colour has a width that the table would count.
const HEADER: [&str; 11] = [
    "PID",
    "NAME",
    "MACHINE",
    "QEMU",
    "ACCEL",
    "CODE",
    "RUNS",
    "VARS",
    "FREE",
    "SECURE BOOT",
    "DRIFT",
];

/// Prints the guests; `again` over the last ones, on a terminal.
pub(crate) fn show(output: &Output, ps: &Ps, again: bool) {
    if again && std::io::stdout().is_terminal() {
        output.line(CLEAR);
    }
    if ps.guests.is_empty() {
        output.remark("no QEMU guest runs on this host");
    } else {
        output.line(table(ps));
    }
    for guest in &ps.guests {
        for remark in &guest.remarks {
            let who = guest.name.as_deref().unwrap_or("-");
            output.remark(format_args!("{CARE}{} {who}{CARE:#}: {remark}", guest.pid));
        }
    }
    for remark in &ps.remarks {
        output.remark(format_args!("{CARE}note{CARE:#}: {remark}"));
    }
}

fn table(ps: &Ps) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(HEADER);
    for guest in &ps.guests {
        table.add_row(row(guest));
    }
    table
}

fn row(guest: &PsGuest) -> Vec<String> {
    let code = guest.code.as_ref();
    let vars = guest.vars.as_ref();
    let number = |version: &str| version.split(' ').next().unwrap_or(version).to_owned();
    vec![
        guest.pid.to_string(),
        guest.name.clone().unwrap_or_else(nothing),
        guest.machine.clone().unwrap_or_else(nothing),
        guest.qemu_version.as_deref().map_or_else(nothing, number),
        guest.accel.clone(),
        code.map_or_else(|| "no flash".into(), |code| file_name(code.path.as_deref())),
        code.map_or_else(nothing, build),
        vars.and_then(|vars| vars.layout.clone()).unwrap_or_else(nothing),
        vars.map_or_else(nothing, free),
        vars.and_then(|vars| vars.secure_boot.clone())
            .unwrap_or_else(nothing),
        code.map_or_else(nothing, drift),
    ]
}

fn build(code: &PsCode) -> String {
    match (&code.build, &code.running_sha256) {
        (Some(name), _) => name.clone(),
        (None, Some(digest)) => digest.chars().take(SHORT_DIGEST).collect(),
        (None, None) => nothing(),
    }
}

fn drift(code: &PsCode) -> String {
    match code.drift {
        Some(true) if code.file_sha256.is_none() => format!("{BAD}file gone{BAD:#}"),
        Some(true) => format!("{BAD}yes{BAD:#}"),
        Some(false) => format!("{GOOD}no{GOOD:#}"),
        None => nothing(),
    }
}

fn free(vars: &PsVars) -> String {
    vars.free_bytes
        .map_or_else(nothing, |bytes| format!("{} KiB", bytes / 1024))
}

fn file_name(path: Option<&Path>) -> String {
    let name = path.and_then(Path::file_name);
    name.map_or_else(nothing, |name| name.to_string_lossy().into_owned())
}

fn nothing() -> String {
    "-".into()
}
