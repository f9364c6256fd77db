//! A check as text: the answer for each phase, what is missing, then what was found.

use std::cmp::Reverse;

use anstyle::Style;
use fm_api::v1::check::{
    AssumedSide, AssumedSubject, Assumption, Check, FindingDocument, Outcome, Phase, PhaseDocument,
};
use fm_api::v1::remedy::Action;

use super::table::{Cell, Column, Table};
use super::{BAD, CARE, FAINT, GOOD, Output, STRONG, plain};

/// A list of so many words is told by what differs.
const MIN_LIST_WORDS: usize = 3;
/// So many digits tell builds apart for people.
const SHORT_DIGEST: usize = 12;

/// The colour of an outcome.
pub(super) const fn style(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Compatible => GOOD,
        Outcome::Incompatible => BAD,
        Outcome::Caution | Outcome::Unknown => CARE,
    }
}

/// How much of a check is shown.
#[derive(Debug, Clone, Copy)]
pub struct Detail {
    /// What is in order too.
    pub all: bool,
    /// Values in full and where they were read.
    pub long: bool,
}

/// One line a phase, then what is missing, then the findings.
pub fn check(output: &Output, check: &Check, detail: Detail) {
    output.line(format_args!("from  {}", plain(&check.source)));
    output.line(format_args!("to    {}", plain(&check.destination)));
    assumptions(output, &check.assumptions);
    output.line("");
    let mut phases = Table::new([
        Column::new("PHASE"),
        Column::new("OUTCOME"),
        Column::new("REASON").flows(),
    ]);
    for (moment, phase) in check.phases() {
        let outcome = Cell::styled(phase.outcome, style(phase.outcome));
        phases.row([Cell::styled(words(moment), STRONG), outcome, reason(phase).into()]);
    }
    output.table(&phases);
    let found = Found::of(check);
    missing(output, &found);
    let (mut quiet, mut notes) = (0, Vec::new());
    for one in &found.0 {
        let finding = one.finding;
        if finding.outcome == Outcome::Unknown && !detail.long && (asks(finding) || finding.code == ARRIVAL) {
            continue;
        }
        let is_note = finding.outcome == Outcome::Compatible;
        if is_note && finding.is_worth_saying() && !detail.all && !detail.long {
            notes.push(format!("{} ({})", finding.subject, finding.code));
        } else if detail.all || finding.is_worth_saying() {
            output.line("");
            self::finding(output, one, detail.long);
        } else {
            quiet += 1;
        }
    }
    candidates(output, check);
    output.line("");
    if !notes.is_empty() {
        output.line(format_args!(
            "good to know (--long): {}",
            plain(&notes.join("; "))
        ));
    }
    if quiet > 0 {
        output.line(format_args!(
            "{FAINT}{quiet} more compared and in order (--all){FAINT:#}"
        ));
    }
    let not_judged = check.not_judged.join("; ");
    output.line(format_args!("{FAINT}not looked at: {not_judged}{FAINT:#}"));
    let style = style(check.outcome);
    let condition = match check.assumptions.is_empty() || check.outcome == Outcome::Unknown {
        true => "",
        false => ", if what is assumed above holds",
    };
    output.line(format_args!(
        "{STRONG}outcome{STRONG:#}: {style}{}{style:#}{condition}",
        check.outcome
    ));
}

/// What was taken to be so, with what it rests on.
pub(super) fn assumptions(output: &Output, assumptions: &[Assumption]) {
    for (at, assumption) in assumptions.iter().enumerate() {
        let label = if at == 0 { "assumed" } else { "" };
        let what = match assumption.subject {
            AssumedSubject::Qemu => "QEMU",
            AssumedSubject::Machine => "machine",
            AssumedSubject::Vars => "VARS",
        };
        let side = match assumption.side {
            AssumedSide::Source => "at the source",
            AssumedSide::Destination => "at the destination",
            AssumedSide::Both => "on both sides",
        };
        output.line(format_args!(
            "{CARE}{label:<7}{CARE:#}  {what} {} {side}: {}",
            plain(&assumption.value),
            plain(&assumption.why)
        ));
    }
}

/// A phase as people say it.
pub(super) fn words(phase: Phase) -> String {
    phase.name().replace('_', " ")
}

/// What decides a phase, in a few words.
fn reason(phase: &PhaseDocument) -> String {
    let decides: Vec<&FindingDocument> = phase
        .findings
        .iter()
        .filter(|finding| finding.outcome == phase.outcome)
        .collect();
    match (phase.outcome, decides.as_slice()) {
        (Outcome::Compatible, _) => format!("{} compared, all in order", phase.findings.len()),
        (_, []) => "nothing is known".into(),
        (_, [one]) => format!("{} ({})", one.subject, one.code),
        (_, [first, others @ ..]) => format!("{} ({}), and {} more", first.subject, first.code, others.len()),
    }
}

/// A finding with the phases that it is of.
struct OfPhases<'a> {
    finding: &'a FindingDocument,
    phases: Vec<Phase>,
}

/// Every finding once, the worst first.
struct Found<'a>(Vec<OfPhases<'a>>);

impl<'a> Found<'a> {
    fn of(check: &'a Check) -> Self {
        let mut all: Vec<OfPhases<'a>> = Vec::new();
        for (name, phase) in check.phases() {
            for finding in &phase.findings {
                let is_same = |one: &&mut OfPhases<'_>| {
                    let other = one.finding;
                    (&other.code, &other.subject, &other.why, other.outcome)
                        == (&finding.code, &finding.subject, &finding.why, finding.outcome)
                };
                match all.iter_mut().find(is_same) {
                    Some(known) => known.phases.push(name),
                    None => all.push(OfPhases {
                        finding,
                        phases: vec![name],
                    }),
                }
            }
        }
        all.sort_by_key(|one| (Reverse(one.finding.outcome), !one.finding.is_worth_saying()));
        Self(all)
    }
}

/// Only says that another phase decides.
const ARRIVAL: &str = "FM-ARRIVAL";

/// Whether a finding waits for something that the user can tell.
fn asks(finding: &FindingDocument) -> bool {
    finding
        .actions
        .iter()
        .any(|action| matches!(action, Action::Give(_)))
}

/// What was not told, each thing once, with what it leaves open.
fn missing(output: &Output, found: &Found<'_>) {
    let mut asked: Vec<(String, Vec<String>)> = Vec::new();
    let unknown = |one: &&OfPhases<'_>| one.finding.outcome == Outcome::Unknown && asks(one.finding);
    for one in found.0.iter().filter(unknown) {
        let finding = one.finding;
        let remedy = finding.remedy.clone().unwrap_or_else(|| finding.why.clone());
        let open = format!("{} ({})", finding.subject, finding.code);
        match asked.iter_mut().find(|(known, _)| *known == remedy) {
            Some((_, opens)) if !opens.contains(&open) => opens.push(open),
            Some(_) => {}
            None => asked.push((remedy, vec![open])),
        }
    }
    if asked.is_empty() {
        return;
    }
    output.line(format_args!(
        "\n{CARE}missing{CARE:#}, and without it nothing is promised"
    ));
    for (remedy, opens) in asked {
        output.line(format_args!("  {}", plain(&opens.join("; "))));
        output.line(format_args!(
            "    {STRONG}what to do{STRONG:#}: {}",
            plain(&remedy)
        ));
    }
}

fn finding(output: &Output, one: &OfPhases<'_>, long: bool) {
    let finding = one.finding;
    let style = style(finding.outcome);
    let phases: Vec<String> = one.phases.iter().map(|phase| words(*phase)).collect();
    output.line(format_args!(
        "{style}{}{style:#} {STRONG}{}{STRONG:#}: {} ({})",
        finding.code,
        plain(&finding.subject),
        finding.outcome,
        phases.join(", ")
    ));
    output.line(format_args!("  {}", plain(&finding.why)));
    values(output, finding, long);
    if let Some(message) = &finding.qemu_message {
        output.line(format_args!("  QEMU says: {}", plain(message)));
    }
    if let Some(remedy) = &finding.remedy {
        output.line(format_args!("  {STRONG}what to do{STRONG:#}: {}", plain(remedy)));
    }
}

/// Both values: in full with their evidence, or what tells them apart.
fn values(output: &Output, finding: &FindingDocument, long: bool) {
    let sides = [
        ("source", &finding.source, &finding.evidence.source),
        ("destination", &finding.destination, &finding.evidence.destination),
    ];
    if long {
        for (side, value, evidence) in sides {
            if let (Some(value), Some(evidence)) = (value, evidence) {
                output.line(format_args!(
                    "  {side:<11}  {}  ({})",
                    plain(value),
                    plain(evidence)
                ));
            }
        }
        return;
    }
    match (&finding.source, &finding.destination) {
        (Some(from), Some(to)) if from == to => {}
        (Some(from), Some(to)) => match differences(from, to) {
            Some([only_from, only_to]) => {
                for (side, words) in [("source", only_from), ("destination", only_to)] {
                    if !words.is_empty() {
                        output.line(format_args!("  only at the {side}: {}", plain(&words.join(", "))));
                    }
                }
            }
            None => output.line(format_args!("  {} -> {}", plain(short(from)), plain(short(to)))),
        },
        (Some(value), None) => output.line(format_args!("  at the source: {}", plain(short(value)))),
        (None, Some(value)) => output.line(format_args!("  at the destination: {}", plain(short(value)))),
        (None, None) => {}
    }
}

/// Of two lists what each has alone; nothing if they are no lists.
fn differences<'a>(from: &'a str, to: &'a str) -> Option<[Vec<&'a str>; 2]> {
    let [from, to] = [from, to].map(|text| text.split(", ").collect::<Vec<_>>());
    // A list beside a single word that it has not, such as the features of a build beside a machine's `on`, is not compared.
    let are_alike = from.len().min(to.len()) > 1 || from.iter().any(|word| to.contains(word));
    let are_lists = are_alike && from.len().max(to.len()) >= MIN_LIST_WORDS;
    let only = |these: &[&'a str], those: &[&'a str]| -> Vec<&'a str> {
        these
            .iter()
            .filter(|word| !those.contains(word))
            .copied()
            .collect()
    };
    are_lists.then(|| [only(&from, &to), only(&to, &from)])
}

/// A digest by its first digits, anything else whole.
fn short(value: &str) -> &str {
    let is_digest = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { &value[..SHORT_DIGEST] } else { value }
}

fn candidates(output: &Output, check: &Check) {
    if check.candidates.is_empty() {
        return;
    }
    output.line("");
    let mut table = Table::new([
        Column::new("ALL FIRMWARE THERE"),
        Column::new("LIVE MIGRATION"),
        Column::new("WARM RESET").drops(1),
        Column::new("COLD BOOT"),
    ]);
    for candidate in &check.candidates {
        let [live, reset, cold] = [
            candidate.live_migration,
            candidate.warm_reset,
            candidate.cold_boot,
        ]
        .map(|outcome| Cell::styled(outcome, style(outcome)));
        table.row([Cell::from(&candidate.code), live, reset, cold]);
    }
    output.table(&table);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_told_by_what_each_has_alone_and_digests_by_their_start() {
        let [from, to] = differences("secure-boot, sev, tls", "sev, tls, shell").unwrap();
        assert_eq!((from, to), (vec!["secure-boot"], vec!["shell"]));
        assert!(differences("4M", "2M").is_none());
        assert!(differences("secure-boot, smm, tls", "on").is_none());
        assert_eq!(
            differences("smm", "smm, tls, sev").unwrap(),
            [vec![], vec!["tls", "sev"]]
        );
        assert_eq!(short(&"ab".repeat(32)).len(), SHORT_DIGEST);
        assert_eq!(short("0x1e0000"), "0x1e0000");
    }
}
