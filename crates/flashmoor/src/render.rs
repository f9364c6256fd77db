//! Everything that reaches the terminal goes through here: text, JSON, the one form of errors.

pub(crate) mod capture;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod descriptors;
pub(crate) mod diff;
pub(crate) mod fleet;
pub(crate) mod incus;
pub(crate) mod inspect;
pub(crate) mod libvirt;
pub(crate) mod markdown;
pub(crate) mod matrix;
pub(crate) mod migration;
pub(crate) mod ps;
pub(crate) mod pve;
pub(crate) mod remedy;
pub(crate) mod rollout;
pub(crate) mod saved;
mod screen;
mod sink;
pub(crate) mod store;
pub(crate) mod svg;
pub(crate) mod table;
pub(crate) mod update;
pub(crate) mod vars;
pub(crate) mod vars_backups;
mod wrap;

use std::io::Write as _;

use crate::Error;
use crate::documents;
use anstyle::{AnsiColor, Style};
use fm_remedy::Foreign;
use serde::Serialize;

/// When to colour.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum ColorChoice {
    /// When writing to a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where results and errors go, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    pages: bool,
}

pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const CARE: Style = AnsiColor::Yellow.on_default();
pub(crate) const FAINT: Style = Style::new().dimmed();

impl Output {
    pub(crate) fn new(color: ColorChoice, json: bool, quiet: bool) -> Self {
        match color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::AlwaysAnsi,
            ColorChoice::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        Self {
            json,
            quiet,
            pages: true,
        }
    }

    /// The same with or without a pager.
    pub(crate) fn with_pager(self, pages: bool) -> Self {
        Self { pages, ..self }
    }

    /// What follows can be long: it is kept until [`Output::finish`], and goes through a pager where it does not fit.
    pub(crate) fn page(&self) {
        if self.pages && !self.json {
            screen::page();
        }
    }

    /// Shows what was kept for a pager.
    pub(crate) fn finish(&self) {
        screen::finish();
    }

    /// Whether only results and errors are wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether results are to be JSON documents.
    pub(crate) fn wants_json(&self) -> bool {
        self.json
    }

    /// One line of a result, on standard output. A reader that went away ends the output quietly.
    ///
    /// It stays one line whatever others' names in it hold, broken between words where it is wider than the terminal;
    /// what is several is a [`Output::block`].
    pub(crate) fn line(&self, text: impl std::fmt::Display) {
        let text = text.to_string();
        let line = sink::line(&text);
        screen::write(&format!("{}\n", wrap::wrap(&line, screen::prose_columns())));
    }

    /// A table as wide as there is room for; which columns there was none for.
    pub(crate) fn table(&self, table: &table::Table) -> Vec<&'static str> {
        let rendered = table.render(screen::columns());
        for line in &rendered.lines {
            screen::write(&format!("{}\n", sink::line(line)));
        }
        rendered.dropped
    }

    /// A line of a result that is never broken: a command to be copied, a path, content.
    pub(crate) fn whole_line(&self, text: impl std::fmt::Display) {
        let text = text.to_string();
        screen::write(&format!("{}\n", sink::line(&text)));
    }

    /// Several lines of a result, all of them ours: a table whose cells hold no line breaks, or a page.
    pub(crate) fn block(&self, text: impl std::fmt::Display) {
        screen::write(&format!("{}\n", sink::block(&text.to_string())));
    }

    /// Clears the screen and goes to its corner, on a terminal.
    pub(crate) fn clear(&self) {
        let _ = write!(anstream::stdout(), "\x1b[2J\x1b[H");
    }

    /// One document, pretty-printed, on standard output.
    pub(crate) fn json(&self, document: &impl Serialize) {
        match serde_json::to_string_pretty(document) {
            Ok(text) => screen::write(&format!("{}\n", sink::json(&text))),
            Err(error) => self.remark(format_args!("cannot render JSON: {error}")),
        }
    }

    /// A document as JSON if that is wanted, and else as text by `render`.
    pub(crate) fn document<T: Serialize>(&self, document: &T, render: impl FnOnce(&Self, &T)) {
        if self.wants_json() {
            self.json(document);
        } else {
            render(self, document);
        }
    }

    /// A remark for people, on standard error; silent with `--quiet`.
    pub(crate) fn remark(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            screen::write_remark(&(said(&text.to_string()) + "\n"));
        }
    }

    /// What failed, why, what to do: as text, or with `--json` as a document.
    pub(crate) fn error(&self, error: &Error) {
        let failure = documents::error(error, remedy::causes(error), remedy::text);
        let mut err = anstream::stderr();
        if self.json {
            match serde_json::to_string(&failure) {
                Ok(text) => drop(writeln!(err, "{}", sink::json(&text))),
                Err(error) => self.remark(format_args!("cannot render JSON: {error}")),
            }
            return;
        }
        let mut say = |line: String| drop(writeln!(err, "{}", said(&line)));
        say(format!("{BAD}error{BAD:#}: {}", plain(&failure.what)));
        for why in failure.why {
            say(format!("  why: {}", plain(&why)));
        }
        if let Some(remedy) = failure.remedy {
            say(format!("  {STRONG}what to do{STRONG:#}: {}", plain(&remedy)));
        }
    }
}

/// A line for standard error.
fn said(text: &str) -> String {
    let line = sink::line(text);
    match screen::remark_columns() {
        Some(width) => wrap::wrap(&line, width).into_owned(),
        None => line.into_owned(),
    }
}

/// Text that somebody else chose, such as a guest's name, for a line of text.
pub(crate) fn plain(text: &str) -> String {
    Foreign(text).line()
}

/// A panic: a fault of ours, told as such.
pub(crate) fn bug(info: &std::panic::PanicHookInfo<'_>) {
    let mut err = anstream::stderr();
    let _ = writeln!(
        err,
        "{BAD}bug{BAD:#} in flashmoor {}: {}",
        env!("CARGO_PKG_VERSION"),
        plain(&info.to_string())
    );
    let _ = writeln!(
        err,
        "  {STRONG}what to do{STRONG:#}: report it with the command line; nothing half-written is left behind"
    );
}
