//! What is written to: how wide and high it is, what it shows in colour, and the pager in front of it.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Narrower terminals get lines of this width, which they break as they like.
const MIN_COLUMNS: usize = 60;
/// Where there is no terminal, and nobody says otherwise.
const USUAL_COLUMNS: usize = 80;
/// Sentences are no easier to read in longer lines.
const MAX_PROSE_COLUMNS: usize = 120;

/// What a pager will be given once all of it is there; nothing while output goes straight through.
static PAGE: Mutex<Option<String>> = Mutex::new(None);

/// Columns for tables on standard output: the terminal's, else those that `COLUMNS` says, else 80.
pub(super) fn columns() -> usize {
    columns_of(io::stdout(), std::env::var("COLUMNS").ok().as_deref())
}

/// Columns for sentences on standard output.
pub(super) fn prose_columns() -> usize {
    columns().min(MAX_PROSE_COLUMNS)
}

/// The same of standard error; nothing where it is no terminal: a log has one line for each remark.
pub(super) fn remark_columns() -> Option<usize> {
    let err = io::stderr();
    err.is_terminal()
        .then(|| columns_of(err, None).min(MAX_PROSE_COLUMNS))
}

fn columns_of(stream: impl AsFd + io::IsTerminal, told: Option<&str>) -> usize {
    let of_terminal = stream
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&stream).ok())
        .flatten()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0);
    let told = || {
        told.and_then(|told| told.parse().ok())
            .filter(|columns| *columns > 0)
    };
    of_terminal
        .or_else(told)
        .unwrap_or(USUAL_COLUMNS)
        .max(MIN_COLUMNS)
}

/// From here on output waits for [`finish`], which shows it through a pager if the terminal is too small for it.
pub(super) fn page() {
    if io::stdout().is_terminal() && pager().is_some() {
        page_lock().get_or_insert_default();
    }
}

/// Writes to standard output, or to the page that is being made.
pub(super) fn write(text: &str) {
    match page_lock().as_mut() {
        Some(page) => page.push_str(text),
        None => drop(anstream::stdout().write_all(text.as_bytes())),
    }
}

/// Writes to standard error; between the lines of the page if that is the terminal of both.
pub(super) fn write_remark(text: &str) {
    match page_lock().as_mut() {
        Some(page) if io::stderr().is_terminal() => page.push_str(text),
        _ => drop(anstream::stderr().write_all(text.as_bytes())),
    }
}

/// Shows the page, if one was begun.
pub(super) fn finish() {
    let Some(page) = page_lock().take() else { return };
    if !fits(&page) && through_pager(&page).is_ok() {
        return;
    }
    let _ = anstream::stdout().write_all(page.as_bytes());
}

fn page_lock() -> MutexGuard<'static, Option<String>> {
    PAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether all of it can be seen at once, with the prompt that comes after it.
fn fits(page: &str) -> bool {
    let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_row));
    page.lines().count() < rows
}

/// The pager that the user named, or `less`; nothing if he wants none.
fn pager() -> Option<String> {
    let named = std::env::var("PAGER").unwrap_or_else(|_| "less".into());
    (!matches!(named.trim(), "" | "cat")).then_some(named)
}

fn through_pager(page: &str) -> io::Result<()> {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(pager().unwrap_or_default())
        .stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Colours pass, a page that fits is not held, and what was read stays on the screen.
        command.env("LESS", "FRX");
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let is_plain = anstream::AutoStream::choice(&io::stdout()) == anstream::ColorChoice::Never;
        let page = match is_plain {
            true => anstream::adapter::strip_str(page).to_string(),
            false => page.to_owned(),
        };
        // Who leaves before the end has seen enough.
        let _ = stdin.write_all(page.as_bytes());
    }
    // The shell says so if there is no such program; the page is then shown without one.
    match child.wait()?.code() {
        Some(126 | 127) => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(()),
    }
}
