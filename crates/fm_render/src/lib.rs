//! Everything that reaches the terminal goes through here: text, JSON, the one form of errors.

pub mod capture;
pub mod check;
pub mod demo;
pub mod descriptors;
pub mod diff;
pub mod fleet;
pub mod incus;
pub mod inspect;
pub mod libvirt;
pub mod markdown;
pub mod matrix;
pub mod migration;
pub mod ps;
pub mod pve;
pub mod remedy;
pub mod rollout;
pub mod saved;
mod screen;
mod sink;
pub mod store;
pub mod svg;
pub mod table;
pub mod update;
pub mod vars;
pub mod vars_backups;
mod wrap;

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use fm_api::Schema;
use fm_api::v1::error::ErrorDocument;
use fm_remedy::{Failure, Foreign};
use serde::Serialize;

/// Where results and errors go, and in which form.
#[derive(Debug, Clone, Copy)]
pub struct Output {
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
    /// Colours as `color` says, for all output of this process.
    pub fn new(color: anstream::ColorChoice, json: bool, quiet: bool) -> Self {
        color.write_global();
        Self {
            json,
            quiet,
            pages: true,
        }
    }

    /// The same with or without a pager.
    pub fn with_pager(self, pages: bool) -> Self {
        Self { pages, ..self }
    }

    /// What follows can be long: it is kept until [`Output::finish`], and goes through a pager where it does not fit.
    pub fn page(&self) {
        if self.pages && !self.json {
            screen::page();
        }
    }

    /// Shows what was kept for a pager.
    pub fn finish(&self) {
        screen::finish();
    }

    /// Whether only results and errors are wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether results are to be JSON documents.
    pub fn wants_json(&self) -> bool {
        self.json
    }

    /// One line of a result, on standard output. A reader that went away ends the output quietly.
    ///
    /// It stays one line whatever others' names in it hold, broken between words where it is wider than the terminal;
    /// what is several is a [`Output::block`].
    pub fn line(&self, text: impl std::fmt::Display) {
        let text = text.to_string();
        let line = sink::line(&text);
        screen::write(&format!("{}\n", wrap::wrap(&line, screen::prose_columns())));
    }

    /// A table as wide as there is room for; which columns there was none for.
    pub fn table(&self, table: &table::Table) -> Vec<&'static str> {
        let rendered = table.render(screen::columns());
        for line in &rendered.lines {
            screen::write(&format!("{}\n", sink::line(line)));
        }
        rendered.dropped
    }

    /// A line of a result that is never broken: a command to be copied, a path, content.
    pub fn whole_line(&self, text: impl std::fmt::Display) {
        let text = text.to_string();
        screen::write(&format!("{}\n", sink::line(&text)));
    }

    /// Several lines of a result, all of them ours: a table whose cells hold no line breaks, or a page.
    pub fn block(&self, text: impl std::fmt::Display) {
        screen::write(&format!("{}\n", sink::block(&text.to_string())));
    }

    /// Clears the screen and goes to its corner, on a terminal.
    pub fn clear(&self) {
        let _ = write!(anstream::stdout(), "\x1b[2J\x1b[H");
    }

    /// One document, pretty-printed, on standard output.
    pub fn json(&self, document: &impl Serialize) {
        match serde_json::to_string_pretty(document) {
            Ok(text) => screen::write(&format!("{}\n", sink::json(&text))),
            Err(error) => self.remark(format_args!("cannot render JSON: {error}")),
        }
    }

    /// A document as JSON if that is wanted, and else as text by `render`.
    pub fn document<T: Serialize>(&self, document: &T, render: impl FnOnce(&Self, &T)) {
        if self.wants_json() {
            self.json(document);
        } else {
            render(self, document);
        }
    }

    /// A remark for people, on standard error; silent with `--quiet`.
    pub fn remark(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            screen::write_remark(&(said(&text.to_string()) + "\n"));
        }
    }

    /// What failed, why, what to do: as text, or with `--json` as a document.
    pub fn error(&self, error: &dyn Failure) {
        let failure = ErrorDocument {
            schema: Schema::default(),
            what: error.what(),
            why: remedy::causes(error),
            remedy: error.remedy().as_ref().map(remedy::text),
        };
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
pub fn plain(text: &str) -> String {
    Foreign(text).line()
}

/// A panic: a fault of ours, told as such.
pub fn bug(info: &std::panic::PanicHookInfo<'_>) {
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
