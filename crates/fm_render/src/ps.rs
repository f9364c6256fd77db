//! `flashmoor ps` for people: one line a guest, then whatever needs a sentence.

use std::io::IsTerminal as _;
use std::path::Path;

use fm_api::v1::fleet::Digest;
use fm_api::v1::ps::{Ps, PsCode, PsGuest, PsMigration, PsVars};

use super::table::{Cell, Column, Table};
use super::{BAD, CARE, FAINT, GOOD, Output, STRONG, plain};

/// Enough of a digest to tell builds apart, as `store list` takes it.
const SHORT_DIGEST: usize = 12;

/// The columns, as they stand; where there is no room for all, the smallest turn is left out first. What a guest is and
/// runs, and what stands against it, is always there.
const COLUMNS: [Column; 12] = [
    Column::new("PID"),
    Column::new("NAME"),
    Column::new("MACHINE").drops(5),
    Column::new("QEMU").drops(7),
    Column::new("ACCEL").drops(1),
    Column::new("CODE").drops(4),
    Column::new("RUNS"),
    Column::new("VARS").drops(2),
    Column::new("FREE").drops(3).right(),
    Column::new("SECURE BOOT").drops(6),
    Column::new(MIGRATION),
    Column::new("DRIFT"),
];

/// There where a destination was named.
const MIGRATION: &str = "MIGRATION";

/// The columns by the names that people give them.
pub const COLUMN_NAMES: [&str; 12] = [
    "pid",
    "name",
    "machine",
    "qemu",
    "accel",
    "code",
    "runs",
    "vars",
    "free",
    "secure-boot",
    "migration",
    "drift",
];

/// What of the guests is shown, and how.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// All of each guest, in a block.
    pub long: bool,
    /// Over what was shown before, on a terminal.
    pub again: bool,
    /// These columns and no others; none if empty was said.
    pub columns: &'a [String],
}

/// Prints the guests, one a line, or in a block each.
pub fn show(output: &Output, ps: &Ps, view: View<'_>) {
    if view.again && std::io::stdout().is_terminal() {
        output.clear();
    }
    if ps.guests.is_empty() {
        output.remark("no QEMU guest runs on this host");
    } else if view.long {
        ps.guests.iter().for_each(|guest| block(output, guest));
    } else {
        let dropped = output.table(&table(ps, view.columns));
        if !dropped.is_empty() {
            let dropped = dropped.join(", ");
            output.line(format_args!(
                "{FAINT}no room for {dropped} (--long, --columns){FAINT:#}"
            ));
        }
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

fn table(ps: &Ps, columns: &[String]) -> Table {
    let is_judged = ps.guests.iter().any(|guest| guest.migration.is_some());
    let shown: Vec<usize> = match columns {
        [] => (0..COLUMNS.len())
            .filter(|at| is_judged || COLUMN_NAMES[*at] != "migration")
            .collect(),
        named => named
            .iter()
            .filter_map(|name| COLUMN_NAMES.iter().position(|known| known == name))
            .collect(),
    };
    let column = |at: &usize| match columns {
        [] => COLUMNS[*at],
        // What was asked for is not left out.
        _ => COLUMNS[*at].stays(),
    };
    let mut table = Table::new(shown.iter().map(column).collect::<Vec<_>>());
    for guest in &ps.guests {
        let row = row(guest);
        let cell = |at: &usize| row.get(*at).cloned().unwrap_or_else(|| nothing().into());
        table.row(shown.iter().map(cell).collect::<Vec<_>>());
    }
    table
}

/// A field for each of [`COLUMNS`].
fn row(guest: &PsGuest) -> Vec<Cell> {
    let code = guest.code.as_ref();
    let vars = guest.vars.as_ref();
    let number = |version: &str| version.split(' ').next().unwrap_or(version).to_owned();
    let migration = guest.migration.as_ref();
    let known = |text: &Option<String>| Cell::from(text.clone().unwrap_or_else(nothing));
    let word = |word: Option<&'static str>| word.map_or_else(|| nothing().into(), Cell::from);
    vec![
        guest.pid.to_string().into(),
        known(&guest.name),
        known(&guest.machine),
        known(&guest.qemu_version.as_deref().map(number)),
        known(&guest.accel),
        code.map_or_else(|| "no flash".into(), |code| file_name(code.path.as_deref()))
            .into(),
        code.map_or_else(|| outside_flash(guest), build).into(),
        word(vars.and_then(|vars| Some(vars.layout?.name()))),
        vars.map_or_else(nothing, free).into(),
        word(vars.and_then(|vars| Some(vars.secure_boot?.name()))),
        match migration.map(|migration| migration.outcome) {
            None => nothing().into(),
            Some(outcome) => Cell::styled(outcome, super::check::style(outcome)),
        },
        Cell::ours(code.map_or_else(nothing, drift)),
    ]
}

/// All of one guest, what the table has no room for as well.
fn block(output: &Output, guest: &PsGuest) {
    let name = plain(guest.name.as_deref().unwrap_or("-"));
    output.line(format_args!("{STRONG}{} {name}{STRONG:#}", guest.pid));
    let line = |label: &str, text: String| output.line(format_args!("  {label:<13} {text}"));
    let known = |value: &Option<String>| value.as_deref().map_or_else(nothing, plain);
    let digest = |digest: &Option<Digest>| digest.as_ref().map_or_else(nothing, ToString::to_string);
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
            line("  build", known(&code.build));
            line("  runs", digest(&code.running_sha256));
            if code.next_reset_sha256 != code.running_sha256 {
                line("  next reset", digest(&code.next_reset_sha256));
            }
            line("  file now", digest(&code.file_sha256));
            line("  drift", drift(code));
        }
    }
    if let Some(vars) = &guest.vars {
        line("VARS", place(vars.path.as_deref(), &vars.format));
        line(
            "  layout",
            format!(
                "{}, {} free",
                vars.layout.map_or_else(nothing, |layout| layout.to_string()),
                free(vars)
            ),
        );
        line(
            "  Secure Boot",
            vars.secure_boot.map_or_else(nothing, |state| state.to_string()),
        );
    }
    for rom in &guest.roms {
        let named = rom.build.as_deref().map(|name| format!(", {}", plain(name)));
        line(
            "ROM",
            format!(
                "{}, {} bytes, {}{}",
                plain(&rom.name),
                rom.size_bytes,
                digest(&rom.sha256),
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
        (None, Some(digest)) => digest.as_str().chars().take(SHORT_DIGEST).collect(),
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
