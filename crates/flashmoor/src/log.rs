//! What `-v` tells: steps of long jobs, on standard error.

use std::io;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts the log: nothing without `-v`, steps and how long they took with it, everything with `-vv`.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // What others log, such as a network library, is of no use to whoever asked us.
    let ours = Targets::new()
        .with_target("fm_", level)
        .with_target("flashmoor", level);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never);
    let registry = tracing_subscriber::registry().with(ours);
    // The journal has its own time on every line. A second log of the process is nobody's, so a refusal is no matter.
    let _ = match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => registry.with(layer.without_time()).try_init(),
        None => registry.with(layer).try_init(),
    };
}
