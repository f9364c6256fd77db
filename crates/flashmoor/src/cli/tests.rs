//! What holds for the whole command line: each command has its place, its examples are taken, settings are options.

mod remedies;

use super::*;

/// Every command that people are meant to use and that has none below it.
fn leaves(command: &clap::Command, words: &[String], found: &mut Vec<(Vec<String>, clap::Command)>) {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        let words = [words, &[below.get_name().to_owned()]].concat();
        if below.has_subcommands() {
            leaves(below, &words, found);
        } else {
            found.push((words, below.clone()));
        }
    }
}

fn all_leaves() -> Vec<(Vec<String>, clap::Command)> {
    let mut found = Vec::new();
    leaves(&Cli::command(), &[], &mut found);
    assert!(found.len() > 50, "{}", found.len());
    found
}

/// The words of a line up to where the shell takes over; quotes hold words together.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in line.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            '|' | '>' | '<' if !quoted => break,
            letter => word.push(letter),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn the_command_line_is_well_formed() {
    dressed(&Settings::default()).debug_assert();
}

#[test]
fn every_command_has_its_place_on_the_first_page() {
    for command in Cli::command().get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = command.get_name();
        assert_eq!(page::lines_of(name), 1, "{name} has one line in cli/page.rs");
    }
}

#[test]
fn every_command_has_examples_and_takes_them() {
    for (words, _) in all_leaves() {
        let name = words.join(" ");
        let examples = examples::of(&words);
        assert!(!examples.is_empty(), "{name} has no examples in cli/examples.rs");
        for line in examples {
            let mut parts = line
                .split(" | ")
                .filter(|part| part.contains(&format!("flashmoor {name}")));
            let part = parts
                .next()
                .unwrap_or_else(|| panic!("{name} is not in {line:?}"));
            if let Err(error) = Cli::try_parse_from(split(part)) {
                panic!("{line}: {error}");
            }
            assert!(line.chars().count() <= 120, "{line}");
        }
    }
}

#[test]
fn global_options_come_last_and_under_their_own_heading() {
    let mut command = dressed(&Settings::default());
    command.build();
    for (words, _) in all_leaves() {
        let mut below = &mut command;
        for word in &words {
            below = below.find_subcommand_mut(word).unwrap();
        }
        let help = below.clone().render_long_help().to_string();
        let (before, after) = help
            .split_once("\nGlobal options:\n")
            .unwrap_or_else(|| panic!("{help}"));
        assert!(!before.contains("--store <"), "{help}");
        let rest = after.split("\nExamples:").next().unwrap();
        assert!(
            !rest
                .lines()
                .any(|line| line.ends_with(':') && !line.starts_with(' ')),
            "{help}"
        );
    }
}

#[test]
fn every_setting_is_the_default_of_an_option_that_there_is() {
    let mut all = vec![(Vec::new(), Cli::command())];
    // Those with commands below them have options of their own too.
    for at in 0.. {
        let Some((words, command)) = all.get(at).cloned() else {
            break;
        };
        for below in command.get_subcommands() {
            all.push((
                [words.as_slice(), &[below.get_name().to_owned()]].concat(),
                below.clone(),
            ));
        }
    }
    for key in KEYS {
        let is_there = all.iter().any(|(words, command)| {
            command
                .get_arguments()
                .filter_map(clap::Arg::get_long)
                .any(|long| key.is_of(words, long))
        });
        assert!(is_there, "{} is of no option", key.name);
    }
}

/// Commands that change nothing that is there: they look, or they write the file that they are given a name for.
const LOOK: &[&str] = &[
    "atlas claims",
    "atlas verify",
    "catalogue list",
    "check",
    "completions",
    "config show",
    "diff",
    "explain",
    "extract",
    "find",
    "fleet builds",
    "fleet certificates",
    "fleet events",
    "fleet guests",
    "fleet hosts",
    "fleet status",
    "fleet why",
    "guard status",
    "inspect",
    "kubevirt on-define-domain",
    "libvirt status",
    "offer",
    "ps",
    "pve status",
    "rollout guests",
    "rollout list",
    "rollout pins",
    "rollout plan",
    "rollout status",
    "saved diff",
    "saved extract",
    "saved offer",
    "saved vars",
    "schema",
    "store export",
    "store landings",
    "store list",
    "store show",
    "store verify",
    "vars diff",
    "vars get",
    "vars list",
    "vars secure-boot forecast",
    "vars secure-boot status",
    "vars show",
];

/// Commands that change something and have no `--dry-run`, each with the reason.
const WITHOUT_DRY_RUN: &[(&str, &str)] = &[
    ("agent join", "a token is good once, and the server alone knows"),
    ("demo", "makes and removes a folder of its own"),
    (
        "fleet init",
        "makes new keys where there are none, and nothing else",
    ),
    ("fleet join", "a token is good once, and the server alone knows"),
    (
        "fleet keys",
        "lists without --revoke; the server changes in one step",
    ),
    ("fleet pin", "the server checks and changes in one step"),
    ("fleet retire", "the server checks and changes in one step"),
    (
        "fleet token",
        "makes something new that changes nothing until it is used",
    ),
    ("fleet unpin", "the server checks and changes in one step"),
    (
        "migrate",
        "`check` says it beforehand; a refusal comes before the first byte",
    ),
    ("rollout abort", "the server checks and changes in one step"),
    ("rollout pause", "the server checks and changes in one step"),
    ("rollout pin", "the server checks and changes in one step"),
    ("rollout resume", "the server checks and changes in one step"),
    ("rollout rollback", "the server checks and changes in one step"),
    (
        "rollout start",
        "`rollout plan` with the same options is its dry run",
    ),
    ("rollout unpin", "the server checks and changes in one step"),
    ("serve", "a service"),
];

#[test]
fn every_command_that_changes_something_has_a_dry_run_or_a_reason_to_have_none() {
    let all = all_leaves();
    for (words, command) in &all {
        let name = words.join(" ");
        let ways = [
            command
                .get_arguments()
                .any(|arg| arg.get_long() == Some("dry-run")),
            LOOK.contains(&name.as_str()),
            WITHOUT_DRY_RUN
                .iter()
                .any(|(known, why)| *known == name && !why.is_empty()),
        ];
        let count = ways.iter().filter(|is_so| **is_so).count();
        assert_eq!(
            count, 1,
            "{name}: --dry-run, only looks, a reason to have none: {ways:?}"
        );
    }
    for name in LOOK.iter().chain(WITHOUT_DRY_RUN.iter().map(|(name, _)| name)) {
        assert!(all.iter().any(|(words, _)| words.join(" ") == *name), "{name}");
    }
}
