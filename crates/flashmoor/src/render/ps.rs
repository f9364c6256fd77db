//! `flashmoor ps` for people: one line a guest, then whatever needs a sentence.

use std::io::IsTerminal as _;
use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};
use fm_agent::ps::{Ps, PsCode, PsGuest, PsMigration, PsVars};

use super::{BAD, CARE, GOOD, Output, STRONG, plain};

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

/// Prints the guests, one a line, or in a block each if `long`; `again` over the last ones, on a terminal.
pub(crate) fn show(output: &Output, ps: &Ps, long: bool, again: bool) {
    if again && std::io::stdout().is_terminal() {
        output.line(CLEAR);
    }
    if ps.guests.is_empty() {
        output.remark("no QEMU guest runs on this host");
    } else if long {
        ps.guests.iter().for_each(|guest| block(output, guest));
    } else {
        output.line(table(ps));
    }
    for guest in &ps.guests {
        let who = &plain(guest.name.as_deref().unwrap_or("-"));
        if let Some(migration) = &guest.migration {
            reasons(output, guest.pid, who, migration);
        }
        for remark in &guest.remarks {
            let remark = plain(remark);
            output.remark(format_args!("{CARE}{} {who}{CARE:#}: {remark}", guest.pid));
        }
    }
    for remark in &ps.remarks {
        output.remark(format_args!("{CARE}note{CARE:#}: {}", plain(remark)));
    }
}

/// What stands against a migration: a line a finding, and what to do.
fn reasons(output: &Output, pid: u32, who: &str, migration: &PsMigration) {
    for finding in &migration.findings {
        let to_do = plain(finding.remedy.as_deref().unwrap_or_default());
        output.line(format_args!(
            "{CARE}{pid} {who}{CARE:#}: to {}: {}, {} {}; {to_do}",
            plain(&migration.to),
            finding.outcome,
            finding.code,
            plain(&finding.why)
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
    let mut row = vec![
        guest.pid.to_string(),
        guest.name.clone().unwrap_or_else(nothing),
        guest.machine.clone().unwrap_or_else(nothing),
        guest.qemu_version.as_deref().map_or_else(nothing, number),
        guest.accel.clone().unwrap_or_else(nothing),
        code.map_or_else(|| "no flash".into(), |code| file_name(code.path.as_deref())),
        code.map_or_else(|| outside_flash(guest), build),
        vars.and_then(|vars| vars.layout.clone()).unwrap_or_else(nothing),
        vars.map_or_else(nothing, free),
        vars.and_then(|vars| vars.secure_boot.clone())
            .unwrap_or_else(nothing),
    ];
    row.iter_mut().for_each(|cell| *cell = plain(cell));
    row.push(code.map_or_else(nothing, drift));
    row
}

/// All of one guest, what the table has no room for as well.
fn block(output: &Output, guest: &PsGuest) {
    let name = plain(guest.name.as_deref().unwrap_or("-"));
    output.line(format_args!("{STRONG}{} {name}{STRONG:#}", guest.pid));
    let line = |label: &str, text: String| output.line(format_args!("  {label:<13} {text}"));
    let known = |value: &Option<String>| value.as_deref().map_or_else(nothing, plain);
    line("uuid", known(&guest.uuid));
    line(
        "machine",
        format!(
            "{}, {}, {}",
            known(&guest.machine),
            guest.arch,
            known(&guest.accel)
        ),
    );
    line("QEMU", known(&guest.qemu_version));
    match &guest.code {
        None => line("CODE", "no flash".into()),
        Some(code) => {
            line("CODE", place(code.path.as_deref(), &code.format));
            let named = code.build.as_deref().map(|name| format!(", {}", plain(name)));
            let named = named.unwrap_or_default();
            line("  runs", known(&code.running_sha256) + &named);
            line("  file now", known(&code.file_sha256));
            line("  drift", drift(code));
        }
    }
    if let Some(vars) = &guest.vars {
        line("VARS", place(vars.path.as_deref(), &vars.format));
        line(
            "  layout",
            format!("{}, {} free", known(&vars.layout), free(vars)),
        );
        line("  Secure Boot", known(&vars.secure_boot));
    }
    for rom in &guest.roms {
        let named = rom.build.as_deref().map(|name| format!(", {}", plain(name)));
        line(
            "ROM",
            format!(
                "{}, {} bytes, {}{}",
                plain(&rom.name),
                rom.size_bytes,
                known(&rom.sha256),
                named.unwrap_or_default()
            ),
        );
    }
    if let Some(migration) = &guest.migration {
        line(
            "migration",
            format!("{}, to {}", migration.outcome, plain(&migration.to)),
        );
    }
}

fn place(path: Option<&Path>, format: &str) -> String {
    let path = path.map_or_else(nothing, |path| plain(&path.to_string_lossy()));
    format!("{path} ({format})")
}

/// What a guest without flash runs, if it was given firmware that is known (`-bios`).
fn outside_flash(guest: &PsGuest) -> String {
    let named = guest.roms.iter().find_map(|rom| rom.build.clone());
    named.unwrap_or_else(nothing)
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
