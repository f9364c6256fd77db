//! `flashmoor explain`.

use crate::Error;
use clap::Args;
use fm_check::findings;

use super::{Context, Result, Status};

/// Print why a finding of `check` matters and what to do about it, or list all codes
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code, such as FM-FLASH-SIZE
    code: Option<String>,
}

impl Explain {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let Some(code) = &self.code else {
            for code in findings::codes() {
                let title = findings::page(code)
                    .and_then(|page| page.lines().next())
                    .unwrap_or_default();
                context.output.line(title.trim_start_matches("# "));
            }
            return Ok(Status::Done);
        };
        let page = findings::page(code).ok_or_else(|| Error::Usage {
            message: format!("there is no finding called {code:?}"),
            remedy: "`flashmoor explain` lists the codes".into(),
        })?;
        context.output.line(page.trim_end());
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

    /// The commands of ours that a text tells people to run.
    fn commands(text: &str) -> impl Iterator<Item = &str> {
        let ends = ['"', '`', ';', ')', ',', '>', '\n'];
        text.match_indices("flashmoor ").filter_map(move |(at, word)| {
            let before = text[..at].chars().next_back();
            let command = text[at + word.len()..].split(ends).next()?;
            let is_prose = before.is_some_and(|c| c.is_alphanumeric() || "/-_".contains(c));
            (!is_prose && command.starts_with(|c: char| c.is_ascii_lowercase())).then_some(command)
        })
    }

    fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|found| found == ending))
            .collect()
    }

    #[test]
    fn every_command_of_a_page_is_one_that_we_take() {
        let mut checked = 0;
        for path in files("docs/findings", "md") {
            let text = fs::read_to_string(&path).unwrap();
            for command in commands(&text) {
                let words = std::iter::once("flashmoor").chain(command.split_whitespace());
                if let Err(error) = Cli::try_parse_from(words) {
                    // What is named without its arguments is spoken of, and not told to be run.
                    let bare = command.split_whitespace().count() == 1;
                    let spoken_of = error.kind() == ErrorKind::DisplayHelp
                        || (bare && error.kind() == ErrorKind::MissingRequiredArgument);
                    assert!(spoken_of, "{}: flashmoor {command}: {error}", path.display());
                }
                checked += 1;
            }
        }
        assert!(checked > 20, "{checked}");
    }
}
