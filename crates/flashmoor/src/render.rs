//! Everything that reaches the terminal goes through here: text, JSON, the one form of errors.

pub(crate) mod capture;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod descriptors;
pub(crate) mod diff;
pub(crate) mod inspect;
pub(crate) mod libvirt;
pub(crate) mod migration;
pub(crate) mod ps;
pub(crate) mod remedy;
pub(crate) mod saved;
pub(crate) mod store;
pub(crate) mod svg;
pub(crate) mod update;
pub(crate) mod vars;
pub(crate) mod vars_backups;

use std::io::Write as _;

use crate::Error;
use crate::documents::Failure;
use anstyle::{AnsiColor, Style};
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
}

pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const CARE: Style = AnsiColor::Yellow.on_default();

impl Output {
    pub(crate) fn new(color: ColorChoice, json: bool, quiet: bool) -> Self {
        match color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::AlwaysAnsi,
            ColorChoice::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        Self { json, quiet }
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
    pub(crate) fn line(&self, text: impl std::fmt::Display) {
        let _ = writeln!(anstream::stdout(), "{text}");
    }

    /// One document, pretty-printed, on standard output.
    pub(crate) fn json(&self, document: &impl Serialize) {
        match serde_json::to_string_pretty(document) {
            Ok(text) => self.line(text),
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
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    /// What failed, why, what to do: as text, or with `--json` as a document.
    pub(crate) fn error(&self, error: &Error) {
        let failure = Failure::of(error, remedy::causes(error), remedy::text);
        let mut err = anstream::stderr();
        if self.json {
            match serde_json::to_string(&failure) {
                Ok(text) => drop(writeln!(err, "{text}")),
                Err(error) => self.remark(format_args!("cannot render JSON: {error}")),
            }
            return;
        }
        let _ = writeln!(err, "{BAD}error{BAD:#}: {}", failure.what);
        for why in failure.why {
            let _ = writeln!(err, "  why: {why}");
        }
        if let Some(remedy) = failure.remedy {
            let _ = writeln!(err, "  {STRONG}what to do{STRONG:#}: {remedy}");
        }
    }
}

/// Text that somebody else chose, such as a guest's name: what would steer the terminal or start another line
/// is shown as its escape.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// A panic: a fault of ours, told as such.
pub(crate) fn bug(info: &std::panic::PanicHookInfo<'_>) {
    let mut err = anstream::stderr();
    let _ = writeln!(
        err,
        "{BAD}bug{BAD:#} in flashmoor {}: {info}",
        env!("CARGO_PKG_VERSION")
    );
    let _ = writeln!(
        err,
        "  {STRONG}what to do{STRONG:#}: report it with the command line; nothing half-written is left behind"
    );
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_would_steer_a_terminal_is_shown_and_not_obeyed() {
        assert_eq!(plain("web-1 \u{e9}\u{1f600}"), "web-1 \u{e9}\u{1f600}");
        assert_eq!(plain("a\u{1b}[31mred\nb\u{9b}2J"), "a\\u{1b}[31mred\\nb\\u{9b}2J");
    }
}
