//! `flashmoor man`: a page for every command, for the packages.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man as Page;

use super::{Context, Result, Status, examples};
use crate::Error;

/// Write the man pages of all commands to a folder
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Where to
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

/// What every page ends with.
const STATUS: &str = "\
.SH \"EXIT STATUS\"
.TP
\\fB0\\fR
done, or compatible
.TP
\\fB1\\fR
failed, or done in part: the message says what, why and what to do
.TP
\\fB2\\fR
the command's words are off
.TP
\\fB10\\fR
incompatible: judged, and it would not work; a difference, with \\fB\\-\\-exit\\-code\\fR
.TP
\\fB11\\fR
unknown: the facts to judge are missing
.TP
\\fB70\\fR
a fault of flashmoor's
.SH FILES
.TP
\\fI/etc/flashmoor/config.toml\\fR
settings of this host
.TP
\\fI~/.config/flashmoor/config.toml\\fR
settings of this user, which win
.TP
\\fI/var/lib/flashmoor\\fR
the store of root; everybody else's is \\fI$XDG_DATA_HOME/flashmoor\\fR
";

impl Man {
    /// `command` has all its subcommands, each with its options.
    pub(crate) fn run(&self, context: &Context, mut command: Command) -> Result {
        command.build();
        fs::create_dir_all(&self.output).map_err(|source| Error::file("create", &self.output, source))?;
        let count = pages(&self.output, &command, &[])?;
        context
            .output
            .remark(format_args!("{count} pages in {}", self.output.display()));
        Ok(Status::Done)
    }
}

/// Writes the page of `command` and of all below it; says how many those are.
fn pages(folder: &Path, command: &Command, words: &[String]) -> Result<usize> {
    let name = std::iter::once("flashmoor")
        .chain(words.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join("-");
    let path = folder.join(format!("{name}.1"));
    let mut text = Vec::new();
    page(&mut text, command, &name, words)
        .and_then(|()| fs::write(&path, &text))
        .map_err(|source| Error::file("write", &path, source))?;
    let mut count = 1;
    for below in command.get_subcommands() {
        if below.get_name() == "help" || below.is_hide_set() {
            continue;
        }
        let words = [words, &[below.get_name().to_owned()]].concat();
        count += pages(folder, below, &words)?;
    }
    Ok(count)
}

fn page(to: &mut Vec<u8>, command: &Command, name: &str, words: &[String]) -> io::Result<()> {
    // The page is about what a shell is told, not about how help is laid out.
    let has_commands = command.has_subcommands();
    let command = command.clone().after_help(None::<&str>).name(name.to_owned());
    let page = Page::new(command)
        .title(name.to_uppercase())
        .section("1")
        .source(concat!("flashmoor ", env!("CARGO_PKG_VERSION")))
        .manual("Flashmoor");
    page.render_title(to)?;
    page.render_name_section(to)?;
    page.render_synopsis_section(to)?;
    page.render_description_section(to)?;
    page.render_options_section(to)?;
    if has_commands {
        page.render_subcommands_section(to)?;
    }
    let examples = examples::of(words);
    if !examples.is_empty() {
        writeln!(to, ".SH EXAMPLES")?;
        for line in examples {
            let line = line
                .replace('\\', "\\e")
                .replace('-', "\\-")
                .replace('\'', "\\(aq");
            writeln!(to, ".PP\n.EX\n    {line}\n.EE")?;
        }
    }
    to.write_all(STATUS.as_bytes())?;
    writeln!(to, ".SH \"SEE ALSO\"")?;
    match words {
        [] => writeln!(to, "\\fBqemu\\fR(1), \\fBvirsh\\fR(1)"),
        [_] => writeln!(to, "\\fBflashmoor\\fR(1)"),
        [first, ..] => writeln!(to, "\\fBflashmoor\\fR(1), \\fBflashmoor\\-{first}\\fR(1)"),
    }
}
