//! A migration as people watch it: a bar on a terminal, lines elsewhere, JSON events for machines.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use fm_api::v1::transfer::{Harvested, MigrateEvent, Migrated};
use fm_transfer::migrate::{Event, Progress};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{CARE, GOOD, Output, STRONG};

/// Without a terminal, how often a line of progress is printed.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Shows the events of one migration on standard error.
pub struct Watcher {
    output: Output,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
}

impl Watcher {
    /// Shows nothing yet.
    pub fn new(output: Output) -> Self {
        let drawn = !output.is_quiet() && !output.wants_json() && std::io::stderr().is_terminal();
        let bar = drawn.then(|| {
            // What does not fit the line is cut at its end.
            let template = "{bar:24.green} {percent:>3}% {wide_msg}";
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr()).with_style(style)
        });
        Self {
            output,
            bar,
            last_line: None,
        }
    }

    /// Shows what happened.
    pub fn show(&mut self, event: &Event) {
        if self.output.wants_json() {
            self.output.remark(json!(MigrateEvent::from(event)));
            return;
        }
        match event {
            Event::Preflight { outcome, remarks } => {
                self.line(format_args!("preflight: {outcome}"));
                remarks
                    .iter()
                    .for_each(|remark| self.line(format_args!("  {remark}")));
            }
            Event::Started { uri } => self.line(format_args!("migrating over {uri}")),
            Event::Progress(progress) => self.progress(progress),
            Event::Arrived { status } => {
                self.finish();
                self.line(format_args!("the guest is at the destination, {status}"));
            }
            _ => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn progress(&mut self, progress: &Progress) {
        let to_go = |eta| format!(", {:.1} s to go", Duration::from_millis(eta).as_secs_f32());
        let text = format!(
            "{}, pass {}{}, {} sent, {} left, {}/s, dirtied {}/s",
            progress.status,
            progress.pass,
            progress.eta_ms.map_or(String::new(), to_go),
            HumanBytes(progress.transferred_bytes),
            HumanBytes(progress.remaining_bytes),
            HumanBytes(progress.rate_bytes_per_second),
            HumanBytes(progress.dirty_bytes_per_second),
        );
        if let Some(bar) = &self.bar {
            bar.set_length(progress.total_bytes.max(1));
            bar.set_position(progress.total_bytes.saturating_sub(progress.remaining_bytes));
            bar.set_message(text);
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            self.line(text);
        }
    }

    fn line(&self, text: impl std::fmt::Display) {
        match &self.bar {
            Some(bar) if !bar.is_finished() => bar.suspend(|| self.output.remark(text)),
            _ => self.output.remark(text),
        }
    }
}

/// What came of a migration.
pub fn summary(output: Output, migrated: &Migrated) {
    let bytes = HumanBytes(migrated.bytes);
    output.line(format_args!(
        "{GOOD}migrated{GOOD:#} in {} ms, {} ms of them standing still, {bytes} sent",
        migrated.total_time_ms, migrated.downtime_ms
    ));
    firmware(output, &migrated.code, false);
}

/// What came of a harvest.
pub fn firmware(output: Output, code: &Harvested, dry_run: bool) {
    let stored = if dry_run { "would be stored" } else { "stored" };
    let holds = if dry_run { "would hold" } else { "holds" };
    if let (Some(digest), Some(size_bytes)) = (&code.sha256, code.size_bytes) {
        output.line(format_args!(
            "{STRONG}firmware{STRONG:#} {size_bytes} bytes, sha256 {digest}"
        ));
    }
    match (&code.path, code.verified) {
        (Some(path), true) => output.line(format_args!(
            "  {GOOD}verified{GOOD:#}, {stored} as {}",
            path.display()
        )),
        (Some(path), false) => output.line(format_args!("  {stored} as {}", path.display())),
        (None, _) => {}
    }
    if let Some(landing) = &code.landing {
        output.line(format_args!("  landing {landing} {holds} the true bytes"));
    }
    if let Some(remark) = &code.remark {
        output.line(format_args!("  {CARE}note{CARE:#}: {remark}"));
    }
}
