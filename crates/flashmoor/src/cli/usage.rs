//! What clap says of words that are off: as a document with `--json`, and with a suggestion that makes sense.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error as ClapError};
use fm_remedy::{Misuse, Remedy};

use crate::Error;

/// Words that people try, and what they look for.
const MEANT: &[(&str, &str)] = &[
    ("version", "flashmoor --version"),
    ("completion", "flashmoor completions"),
    ("settings", "flashmoor config show"),
    ("guests", "flashmoor ps"),
    ("top", "flashmoor ps --watch"),
    ("serve", "flashmoor agent"),
    ("daemon", "flashmoor agent"),
    ("variables", "flashmoor vars"),
    ("secureboot", "flashmoor vars secure-boot"),
    ("info", "flashmoor inspect"),
    ("info", "flashmoor ps"),
    ("compare", "flashmoor diff"),
    ("clean", "flashmoor store gc"),
    ("snapshot", "flashmoor saved"),
];

/// The failure that `error` is, where it is one of ours to tell; nothing where clap's own page is the best answer.
pub(super) fn failure(error: &ClapError, command: &Command, json: bool) -> Option<Error> {
    if !error.use_stderr() {
        return None;
    }
    if error.kind() == ErrorKind::InvalidSubcommand {
        return Some(unknown(error, command));
    }
    json.then(|| {
        let text = error.to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or("the words are off");
        let usage = text.lines().find_map(|line| line.trim().strip_prefix("Usage: "));
        let more = lines
            .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
            .collect::<Vec<_>>();
        // A page of help stands for the words that are missing.
        let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        let (message, remedy) = match (is_help, usage) {
            (true, Some(usage)) => ("a command is missing".to_owned(), format!("write: {usage}")),
            (true, None) => ("a command is missing".to_owned(), "see --help".to_owned()),
            (false, usage) => {
                let told = [&[first.strip_prefix("error: ").unwrap_or(first)], more.as_slice()].concat();
                let remedy = usage.map_or("see --help".to_owned(), |usage| format!("write: {usage}"));
                (told.join(" "), remedy)
            }
        };
        Error::Usage(Misuse {
            message,
            remedy: Remedy::advice(remedy),
        })
    })
}

/// Whether the words ask for documents, read without knowing what the others mean.
pub(super) fn wants_json(words: impl Iterator<Item = OsString>) -> bool {
    words.take_while(|word| word != "--").any(|word| word == "--json")
}

fn unknown(error: &ClapError, command: &Command) -> Error {
    let word = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) => word.clone(),
        _ => String::new(),
    };
    let suggested = suggestions(&word, command);
    let remedy = match suggested.as_slice() {
        [] => "`flashmoor --help` lists the commands".to_owned(),
        several => {
            let quoted: Vec<_> = several.iter().map(|words| format!("`{words}`")).collect();
            format!("did you mean {}?", quoted.join(" or "))
        }
    };
    Error::Usage(Misuse {
        message: format!("there is no command {word:?}"),
        remedy: Remedy::advice(remedy),
    })
}

/// What may have been meant, the likeliest first: another word for it, the word as a verb of some command, a slip.
fn suggestions(word: &str, command: &Command) -> Vec<String> {
    let lower = word.to_lowercase();
    let meant = MEANT.iter().filter(|(tried, _)| *tried == lower);
    let mut found: Vec<String> = meant.map(|(_, words)| (*words).to_owned()).collect();
    let mut near: Vec<(usize, String)> = Vec::new();
    each(command, "flashmoor", &mut |name, words| {
        let steps = distance(&lower, name);
        if name != "help" && (steps == 0 || (steps <= 2 && steps * 2 < name.len().min(lower.len()))) {
            near.push((steps, words.to_owned()));
        }
    });
    near.sort();
    found.extend(near.into_iter().map(|(_, words)| words));
    found.dedup();
    found.truncate(3);
    found
}

/// Every command that is not hidden, with its own name and all its words.
fn each(command: &Command, words: &str, take: &mut dyn FnMut(&str, &str)) {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        let words = format!("{words} {}", below.get_name());
        take(below.get_name(), &words);
        each(below, &words, take);
    }
}

/// How many letters have to be put in, taken out, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::Cli;
    use super::*;

    #[test]
    fn an_unknown_word_leads_to_the_command_that_was_meant() {
        let command = Cli::command();
        for (word, expected) in [
            ("version", &["flashmoor --version"][..]),
            ("verify", &["flashmoor atlas verify", "flashmoor store verify"]),
            ("inspects", &["flashmoor inspect"]),
            (
                "pin",
                &[
                    "flashmoor fleet pin",
                    "flashmoor rollout pin",
                    "flashmoor store pin",
                ],
            ),
            ("stores", &["flashmoor store"]),
            ("zzz", &[]),
            ("", &[]),
        ] {
            let found = suggestions(word, &command);
            assert!(
                found.starts_with(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()),
                "{word}: {found:?}"
            );
            assert!(expected.is_empty() == found.is_empty(), "{word}: {found:?}");
        }
    }

    #[test]
    fn slips_are_counted_as_people_make_them() {
        for (a, b, steps) in [
            ("", "", 0),
            ("on", "no", 1),
            ("vars", "version", 4),
            ("gc", "", 2),
            ("a", "abc", 2),
        ] {
            assert_eq!(distance(a, b), steps, "{a} {b}");
        }
    }
}
