//! Every pair of builds as text and as a page: rows from, columns to, one letter a phase.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use fm_api::v1::check::{Matrix, MatrixCell, MatrixReason, Outcome, Phase};
use fm_remedy::Foreign;

use super::check::{assumptions, style, words};
use super::{FAINT, Output, STRONG, plain, screen};

/// Three letters and the space behind them.
const FIELD_COLUMNS: usize = 4;

/// Builds with the same bytes are one: a copy, a link and its target.
struct Merged<'a> {
    /// For each build that is shown: its short name, and all its paths.
    builds: Vec<(String, Vec<&'a str>)>,
    /// The cell of each pair of them.
    cells: HashMap<(usize, usize), &'a MatrixCell>,
}

impl<'a> Merged<'a> {
    fn of(matrix: &'a Matrix) -> Self {
        let mut builds: Vec<(String, Vec<&str>)> = Vec::new();
        let mut by_digest: BTreeMap<&str, usize> = BTreeMap::new();
        let mut shown_as = Vec::new();
        for (at, path) in matrix.builds.iter().enumerate() {
            let digest = matrix.digests.get(at).and_then(Option::as_deref);
            let known = digest.and_then(|digest| by_digest.get(digest).copied());
            let index = known.unwrap_or(builds.len());
            match builds.get_mut(index) {
                Some((_, paths)) => paths.push(path),
                None => builds.push((short_name(index), vec![path.as_str()])),
            }
            if let Some(digest) = digest {
                by_digest.insert(digest, index);
            }
            shown_as.push(index);
        }
        let mut cells = HashMap::new();
        for cell in &matrix.cells {
            if let (Some(from), Some(to)) = (shown_as.get(cell.from), shown_as.get(cell.to)) {
                cells.entry((*from, *to)).or_insert(cell);
            }
        }
        // Two paths of one build differ at most in their templates, and are a pair with itself.
        cells.retain(|(from, to), _| from != to);
        Self { builds, cells }
    }
}

/// `A` to `Z`, then `AA` and so on.
fn short_name(index: usize) -> String {
    let letter = |number: usize| char::from(b'A' + u8::try_from(number % 26).unwrap_or(0));
    match index / 26 {
        0 => letter(index).to_string(),
        more => format!("{}{}", short_name(more - 1), letter(index)),
    }
}

const fn letter(outcome: Outcome) -> char {
    match outcome {
        Outcome::Compatible => 'o',
        Outcome::Caution => 'c',
        Outcome::Unknown => '?',
        Outcome::Incompatible => 'X',
    }
}

fn phases(cell: &MatrixCell) -> [(Phase, Outcome); 3] {
    [
        (Phase::LiveMigration, cell.live_migration),
        (Phase::WarmReset, cell.warm_reset),
        (Phase::ColdBoot, cell.cold_boot),
    ]
}

/// The matrix, as many columns beside each other as there is room for, and the legend; the reasons if `long`.
pub fn text(output: &Output, matrix: &Matrix, long: bool) {
    let merged = Merged::of(matrix);
    assumptions(output, &matrix.assumptions);
    if !matrix.assumptions.is_empty() {
        output.line("");
    }
    let widest = merged
        .builds
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(1);
    let label = widest.max("from".len());
    let room = screen::columns().saturating_sub(label + 1) / FIELD_COLUMNS.max(widest + 1);
    let all: Vec<usize> = (0..merged.builds.len()).collect();
    for (block, columns) in all.chunks(room.max(1)).enumerate() {
        if block > 0 {
            output.line("");
        }
        part(output, &merged, columns, label);
    }
    output.line("");
    let letters: Vec<String> = Outcome::ALL
        .iter()
        .map(|outcome| format!("{0}{1}{0:#} {outcome}", style(*outcome), letter(*outcome)))
        .collect();
    output.line(format_args!("{}   = the same build", letters.join("   ")));
    output.line(format_args!(
        "{FAINT}rows: from; columns: to; in each field: live migration, warm reset, cold boot{FAINT:#}"
    ));
    output.line("");
    for (name, paths) in &merged.builds {
        for (at, path) in paths.iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            output.line(format_args!("{STRONG}{name:<label$}{STRONG:#}  {}", plain(path)));
        }
    }
    if long {
        reasons(output, &merged);
    }
}

fn part(output: &Output, merged: &Merged<'_>, columns: &[usize], label: usize) {
    let mut head = format!("{:<label$} ", "from");
    for to in columns {
        let name = merged.builds.get(*to).map_or("", |(name, _)| name);
        let _ = write!(head, "{name:<FIELD_COLUMNS$}");
    }
    output.whole_line(format_args!("{STRONG}{}{STRONG:#}", head.trim_end()));
    for (from, (name, _)) in merged.builds.iter().enumerate() {
        let mut line = format!("{STRONG}{name:<label$}{STRONG:#} ");
        for to in columns {
            match merged.cells.get(&(from, *to)) {
                Some(cell) => {
                    for (_, outcome) in phases(cell) {
                        let style = style(outcome);
                        let _ = write!(line, "{style}{}{style:#}", letter(outcome));
                    }
                    line.push(' ');
                }
                None if from == *to => line.push_str("=   "),
                None => line.push_str("    "),
            }
        }
        output.whole_line(line.trim_end());
    }
}

/// What decides each pair, pairs with the same reasons together.
fn reasons(output: &Output, merged: &Merged<'_>) {
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut pairs: Vec<_> = merged.cells.iter().collect();
    pairs.sort_by_key(|(pair, _)| **pair);
    for ((from, to), cell) in pairs {
        if cell.reasons.is_empty() {
            continue;
        }
        let name = |index: &usize| merged.builds.get(*index).map_or("", |(name, _)| name);
        by_reason
            .entry(in_words(&cell.reasons).join("; "))
            .or_default()
            .push(format!("{}>{}", name(from), name(to)));
    }
    for (reason, pairs) in by_reason {
        output.line("");
        output.line(format_args!("{STRONG}{}{STRONG:#}", pairs.join(" ")));
        output.line(format_args!("  {}", plain(&reason)));
    }
}

/// Phase by phase, what decides it.
fn in_words(reasons: &[MatrixReason]) -> Vec<String> {
    let mut by_phase: Vec<(Phase, Vec<String>)> = Vec::new();
    for reason in reasons {
        let what = format!("{} ({})", reason.subject, reason.code);
        match by_phase.iter_mut().find(|(phase, _)| *phase == reason.phase) {
            Some((_, whats)) => whats.push(what),
            None => by_phase.push((reason.phase, vec![what])),
        }
    }
    by_phase
        .into_iter()
        .map(|(phase, whats)| format!("{}: {}", words(phase), whats.join(", ")))
        .collect()
}

/// A page of its own: sources down, destinations across, one letter a phase, the reasons below each.
pub fn html(matrix: &Matrix) -> String {
    let merged = Merged::of(matrix);
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Firmware matrix</title>\n<style>\n\
         body{font:15px/1.4 system-ui,sans-serif;margin:2em;color:#1b1b1b;background:#fff}\
         table{border-collapse:collapse;margin:1em 0}th,td{border:1px solid #999;padding:3px 6px;text-align:center;white-space:nowrap}\n\
         th{background:#eee}td b{display:inline-block;width:1.3em;font-weight:600}\n\
         .compatible{background:#c8eac8}.caution{background:#ffe9a0}.unknown{background:#dcdcdc}.incompatible{background:#f2b8b8}\n\
         dt{font-weight:600}dd{margin:0 0 .5em 2em}summary{cursor:pointer}\n\
         </style>\n<h1>Firmware matrix</h1>\n<p>Rows: the build that a guest runs. Columns: the build at its destination. In \
         each field one letter for live migration, warm reset and cold boot: ",
    );
    let legend = |outcome: &Outcome| {
        let letter = letter(*outcome);
        format!("<b class=\"{outcome}\">&nbsp;{letter}&nbsp;</b> {outcome}")
    };
    let letters: Vec<String> = Outcome::ALL.iter().map(legend).collect();
    page.push_str(&letters.join(", "));
    page.push_str(". The letter's title says why.</p>\n");
    if !matrix.assumptions.is_empty() {
        page.push_str("<p>Assumed:");
        for assumption in &matrix.assumptions {
            let _ = write!(
                page,
                " {} ({});",
                Foreign(&assumption.value).markup(),
                Foreign(&assumption.why).markup()
            );
        }
        page.push_str(" the answers hold where that does.</p>\n");
    }
    page.push_str("<table>\n<tr><th>from \\ to</th>");
    for (name, _) in &merged.builds {
        let _ = write!(page, "<th>{name}</th>");
    }
    page.push_str("</tr>\n");
    for (from, (name, _)) in merged.builds.iter().enumerate() {
        let _ = write!(page, "<tr><th>{name}</th>");
        for to in 0..merged.builds.len() {
            page.push_str("<td>");
            match merged.cells.get(&(from, to)) {
                Some(cell) => marks(&mut page, cell),
                None => page.push('='),
            }
            page.push_str("</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n<h2>Builds</h2>\n<dl>\n");
    for (name, paths) in &merged.builds {
        let _ = write!(page, "<dt>{name}</dt>");
        for path in paths {
            let _ = writeln!(page, "<dd>{}</dd>", Foreign(path).markup());
        }
    }
    page.push_str("</dl>\n<h2>Reasons</h2>\n");
    let mut pairs: Vec<_> = merged.cells.iter().collect();
    pairs.sort_by_key(|(pair, _)| **pair);
    for ((from, to), cell) in pairs {
        if cell.reasons.is_empty() {
            continue;
        }
        let name = |index: &usize| merged.builds.get(*index).map_or("", |(name, _)| name);
        let _ = write!(
            page,
            "<details><summary>{} to {}</summary><ul>",
            name(from),
            name(to)
        );
        for reason in in_words(&cell.reasons) {
            let _ = write!(page, "<li>{}</li>", Foreign(&reason).markup());
        }
        page.push_str("</ul></details>\n");
    }
    page.push_str("</html>\n");
    page
}

fn marks(page: &mut String, cell: &MatrixCell) {
    for (phase, outcome) in phases(cell) {
        let why: Vec<String> = cell
            .reasons
            .iter()
            .filter(|reason| reason.phase == phase)
            .map(|reason| format!("{} {}", reason.code, reason.subject))
            .collect();
        let phase = words(phase);
        let title = match why.is_empty() {
            true => format!("{phase}: {outcome}"),
            false => format!("{phase}: {outcome}: {}", why.join(", ")),
        };
        let _ = write!(
            page,
            "<b class=\"{outcome}\" title=\"{}\">{}</b>",
            Foreign(&title).markup(),
            letter(outcome)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_letters_and_no_two_are_the_same() {
        let names: Vec<String> = (0..800).map(short_name).collect();
        assert_eq!(
            (&*names[0], &*names[25], &*names[26], &*names[52]),
            ("A", "Z", "AA", "BA")
        );
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
    }

    #[test]
    fn one_build_under_two_paths_is_one_row() {
        let cell = |from, to, live_migration| MatrixCell {
            from,
            to,
            live_migration,
            warm_reset: Outcome::Compatible,
            cold_boot: Outcome::Compatible,
            reasons: Vec::new(),
        };
        let matrix = Matrix {
            schema: fm_api::Schema::default(),
            builds: vec!["a".into(), "link-to-a".into(), "b".into()],
            digests: vec![Some("1".into()), Some("1".into()), Some("2".into())],
            assumptions: Vec::new(),
            cells: vec![
                cell(0, 1, Outcome::Compatible),
                cell(0, 2, Outcome::Incompatible),
                cell(2, 1, Outcome::Unknown),
            ],
        };
        let merged = Merged::of(&matrix);
        assert_eq!(
            merged.builds,
            [
                (String::from("A"), vec!["a", "link-to-a"]),
                (String::from("B"), vec!["b"])
            ]
        );
        let mut pairs: Vec<_> = merged.cells.keys().copied().collect();
        pairs.sort_unstable();
        assert_eq!(pairs, [(0, 1), (1, 0)]);
    }
}
