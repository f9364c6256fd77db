//! `flashmoor explain`.

use crate::Error;
use clap::Args;
use fm_check::findings;
use fm_remedy::Misuse;

use super::{Context, Result, Status};
use fm_render::table::{Cell, Column, Table};

/// Print why a finding of `check` matters and what to do about it, or list all codes
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code, such as FM-FLASH-SIZE
    code: Option<String>,
}

impl Explain {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let Some(code) = &self.code else {
            context.output.page();
            let mut codes = Table::new([Column::new("CODE"), Column::new("WHAT IT IS ABOUT").flows()]);
            for code in findings::codes() {
                let page = findings::page(code).unwrap_or_default();
                let title = page.lines().next().unwrap_or_default().trim_start_matches("# ");
                let title = title.split_once(": ").map_or(title, |(_, title)| title);
                codes.row([code, title].map(Cell::from));
            }
            context.output.table(&codes);
            return Ok(Status::Done);
        };
        let page = findings::page(code).ok_or_else(|| {
            Error::Usage(Misuse {
                message: format!("there is no finding called {code:?}"),
                remedy: "`flashmoor explain` lists the codes".into(),
            })
        })?;
        context.output.page();
        fm_render::markdown::page(&context.output, page);
        Ok(Status::Done)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use clap::Parser as _;
    use clap::error::ErrorKind;

    use super::super::Cli;

    /// A command of ours in a text, as the words that a shell would make of it.
    struct Shown {
        words: Vec<String>,
        /// Within a sentence: it may be spoken of without its arguments.
        is_spoken_of: bool,
    }

    /// The commands of ours that a page shows: lines of its blocks, and what is set as code in its sentences.
    fn commands(text: &str) -> Vec<Shown> {
        let mut found = Vec::new();
        let text = text.replace("\\\n", " ");
        for (at, part) in text.split("```").enumerate() {
            if at % 2 == 1 {
                let lines = part
                    .lines()
                    .map(|line| line.trim_start().trim_start_matches("$ "));
                found.extend(lines.filter_map(|line| shown(line, false)));
            } else {
                let codes = part.split('`').skip(1).step_by(2);
                found.extend(codes.filter_map(|code| shown(&code.replace('\n', " "), true)));
            }
        }
        found
    }

    fn shown(line: &str, is_spoken_of: bool) -> Option<Shown> {
        let command = line
            .strip_prefix("sudo ")
            .unwrap_or(line)
            .strip_prefix("flashmoor ")?;
        // What comes behind is the shell's, or says what the command is for.
        let ends = [" >", " |", " <", ";", ", ", " #", "  ", ")", " &&"];
        let end = ends.iter().filter_map(|end| command.find(end)).min();
        let command = command[..end.unwrap_or(command.len())].trim();
        // A synopsis is no command.
        let is_synopsis = command.contains(['|', '[', '…', '→']) || command.contains("...");
        let is_command = command.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '-');
        (is_command && !is_synopsis).then(|| Shown {
            words: words(command),
            is_spoken_of,
        })
    }

    /// Words as a shell takes them, with quotes and without substitution.
    fn words(command: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for letter in command.chars() {
            match (quote, letter) {
                (None, '\'' | '"') => quote = Some(letter),
                (Some(open), letter) if open == letter => quote = None,
                (None, ' ') if word.is_empty() => {}
                (None, ' ') => words.push(std::mem::take(&mut word)),
                _ => word.push(letter),
            }
        }
        words.extend(Some(word).filter(|word| !word.is_empty()));
        words
    }

    fn pages(folder: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|found| found == "md"))
            .collect()
    }

    #[test]
    fn every_command_that_a_page_shows_is_one_that_we_take() {
        let (mut checked, mut wrong) = (0, Vec::new());
        for path in ["docs/findings", "docs", "."].into_iter().flat_map(pages) {
            // What changed long ago may have gone since.
            if path.ends_with("CHANGELOG.md") {
                continue;
            }
            for Shown { words, is_spoken_of } in commands(&fs::read_to_string(&path).unwrap()) {
                let all = std::iter::once("flashmoor").chain(words.iter().map(String::as_str));
                if let Err(error) = Cli::try_parse_from(all) {
                    let is_fine = match error.kind() {
                        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
                        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                        | ErrorKind::MissingSubcommand
                        | ErrorKind::MissingRequiredArgument => is_spoken_of,
                        _ => false,
                    };
                    if !is_fine {
                        wrong.push(format!(
                            "{}: flashmoor {}: {error}",
                            path.display(),
                            words.join(" ")
                        ));
                    }
                }
                checked += 1;
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(checked > 100, "{checked}");
    }

    #[test]
    fn the_book_has_every_page_and_no_other() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
        let mut listed: Vec<PathBuf> = summary
            .split("](")
            .skip(1)
            .filter_map(|rest| Some(docs.join(rest.split_once(')')?.0)))
            .collect();
        let mut there: Vec<PathBuf> = ["docs", "docs/findings"]
            .into_iter()
            .flat_map(pages)
            .map(|path| {
                docs.join(
                    path.components()
                        .skip_while(|part| part.as_os_str() != "docs")
                        .skip(1)
                        .collect::<PathBuf>(),
                )
            })
            .filter(|path| !path.ends_with("SUMMARY.md"))
            .collect();
        listed.sort();
        there.sort();
        assert_eq!(listed, there, "docs/SUMMARY.md lists the pages of the book");
    }
}
