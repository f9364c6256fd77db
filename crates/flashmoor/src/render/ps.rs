//! `flashmoor ps` for people: one line a guest, then whatever needs a sentence.

use std::io::IsTerminal as _;
use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};
use fm_jobs::ps::{Ps, PsCode, PsGuest, PsMigration, PsVars};

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

/// Stands before the last column where a destination was named.
const MIGRATION: &str = "MIGRATION";

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
        let who = guest.name.as_deref().unwrap_or("-");
        if let Some(migration) = &guest.migration {
            reasons(output, guest.pid, who, migration);
        }
        for remark in &guest.remarks {
            output.remark(format_args!("{CARE}{} {who}{CARE:#}: {remark}", guest.pid));
        }
    }
    for remark in &ps.remarks {
        output.remark(format_args!("{CARE}note{CARE:#}: {remark}"));
    }
}

/// What stands against a migration: a line a finding, and what to do.
fn reasons(output: &Output, pid: u32, who: &str, migration: &PsMigration) {
    for finding in &migration.findings {
        let to_do = finding.remedy.as_deref().unwrap_or_default();
        output.line(format_args!(
            "{CARE}{pid} {who}{CARE:#}: to {}: {}, {} {}; {to_do}",
            migration.to, finding.outcome, finding.code, finding.why
        ));
    }
}

fn table(ps: &Ps) -> Table {
    let mut header = HEADER.to_vec();
    let judged = ps.guests.iter().any(|guest| guest.migration.is_some());
    if judged {
        header.insert(header.len() - 1, MIGRATION);
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for guest in &ps.guests {
        let mut row = row(guest);
        if judged {
            let outcome = guest
                .migration
                .as_ref()
                .map(|migration| migration.outcome.clone());
            row.insert(row.len() - 1, outcome.unwrap_or_else(nothing));
        }
        table.add_row(row);
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
