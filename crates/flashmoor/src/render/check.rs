//! A check as text, and a matrix of builds as text and as a page.

use std::fmt::Write as _;

use anstyle::Style;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use fm_check as check;
use fm_check::{Check, FindingDocument, Matrix};

use super::{BAD, CARE, GOOD, Output, STRONG};

/// The colour of an outcome.
fn style(outcome: &str) -> Style {
    match outcome {
        "compatible" => GOOD,
        "incompatible" => BAD,
        _ => CARE,
    }
}

/// Phase by phase: the outcome, then what was found.
pub(crate) fn check(output: &Output, check: &Check, all: bool) {
    output.line(format_args!("from  {}", check.source));
    output.line(format_args!("to    {}", check.destination));
    for (name, phase) in check.phases() {
        let style = style(&phase.outcome);
        output.line("");
        output.line(format_args!(
            "{STRONG}{name}{STRONG:#}: {style}{}{style:#}",
            phase.outcome
        ));
        let (shown, quiet): (Vec<_>, Vec<_>) = phase
            .findings
            .iter()
            .partition(|finding| all || finding.is_worth_saying());
        for finding in shown {
            self::finding(output, finding);
        }
        if !quiet.is_empty() {
            output.line(format_args!(
                "  {} more compared and in order (--all shows them)",
                quiet.len()
            ));
        }
    }
    if !check.candidates.is_empty() {
        output.line("");
        output.line(format_args!("{STRONG}all firmware there{STRONG:#}"));
        for candidate in &check.candidates {
            output.line(format_args!(
                "  {}: live migration {}, cold boot {}",
                candidate.code, candidate.live_migration, candidate.cold_boot
            ));
        }
    }
    output.line("");
    let style = style(&check.outcome);
    output.line(format_args!(
        "{STRONG}outcome{STRONG:#}: {style}{}{style:#}",
        check.outcome
    ));
}

fn finding(output: &Output, finding: &FindingDocument) {
    let style = style(&finding.outcome);
    output.line(format_args!(
        "  {style}{}{style:#} {}: {}",
        finding.code, finding.subject, finding.why
    ));
    for (side, value, evidence) in [
        ("source", &finding.source, &finding.evidence.source),
        ("destination", &finding.destination, &finding.evidence.destination),
    ] {
        if let (Some(value), Some(evidence)) = (value, evidence) {
            output.line(format_args!("    {side}: {value}  ({evidence})"));
        }
    }
    if let Some(message) = &finding.qemu_message {
        output.line(format_args!("    QEMU says: {message}"));
    }
    if let Some(remedy) = &finding.remedy {
        output.line(format_args!("    {STRONG}what to do{STRONG:#}: {remedy}"));
    }
}

/// One row a pair.
pub(crate) fn matrix(output: &Output, matrix: &Matrix) {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(
            ["from", "to", "live migration", "warm reset", "cold boot"]
                .map(|title| Cell::new(title).add_attribute(Attribute::Bold)),
        );
    for cell in &matrix.cells {
        let build = |index: usize| matrix.builds.get(index).map_or("", String::as_str);
        let outcome = |word: &str| {
            Cell::new(word).set_alignment(CellAlignment::Left).fg(match word {
                "compatible" => Color::Green,
                "incompatible" => Color::Red,
                _ => Color::Yellow,
            })
        };
        table.add_row([
            Cell::new(build(cell.from)),
            Cell::new(build(cell.to)),
            outcome(cell.live_migration),
            outcome(cell.warm_reset),
            outcome(cell.cold_boot),
        ]);
    }
    output.line(table);
}

/// A page of its own: sources down, destinations across, three marks a pair.
pub(crate) fn html(matrix: &Matrix) -> String {
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Firmware matrix</title>\n<style>\n\
         body{font:14px sans-serif}table{border-collapse:collapse}th,td{border:1px solid #ccc;padding:4px 6px}\n\
         th{text-align:left;font-weight:normal;background:#f4f4f4}td span{display:block;padding:1px 4px}\n\
         .compatible{background:#cfeccf}.caution{background:#fff0b3}.unknown{background:#ddd}.incompatible{background:#f6c6c6}\n\
         </style>\n<h1>Firmware matrix</h1>\n<p>Rows: the build that a guest runs. Columns: the build at its destination. In each \
         field: live migration, warm reset, cold boot.</p>\n<table>\n<tr><th></th>",
    );
    for name in &matrix.builds {
        let _ = write!(page, "<th>{}</th>", escaped(name));
    }
    page.push_str("</tr>\n");
    // Cells come by source and then by destination, as the table is written.
    let mut cells = matrix.cells.iter().peekable();
    for (from, name) in matrix.builds.iter().enumerate() {
        let _ = write!(page, "<tr><th>{}</th>", escaped(name));
        for to in 0..matrix.builds.len() {
            page.push_str("<td>");
            if let Some(cell) = cells.next_if(|cell| (cell.from, cell.to) == (from, to)) {
                marks(&mut page, cell);
            }
            page.push_str("</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n</html>\n");
    page
}

fn marks(page: &mut String, cell: &check::Cell) {
    for (phase, outcome) in [
        ("live", cell.live_migration),
        ("reset", cell.warm_reset),
        ("cold", cell.cold_boot),
    ] {
        let _ = write!(page, "<span class=\"{outcome}\">{phase}: {outcome}</span>");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
