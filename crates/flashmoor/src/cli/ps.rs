//! `flashmoor ps`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fm_agent::ps;

use super::{Context, Result, Status};

/// List the guests of this host and the firmware that each really runs
///
/// Everything is read from the guests' own memory: none is paused, no monitor is used, nothing is written,
/// whatever started them. DRIFT says whether a cold boot would get other firmware than runs now. Without
/// the right to read a guest's memory, what may be seen is shown and what may not is said.
///
/// Where a terminal has no room for all columns, these are left out in this order: ACCEL, VARS, FREE, CODE, MACHINE,
/// SECURE BOOT, QEMU.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Look again every SECONDS until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
    /// All of each guest: uuid, paths and digests in full, every ROM
    #[arg(long)]
    long: bool,
    /// These columns, however wide, such as name,runs,drift
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "long",
        value_parser = clap::builder::PossibleValuesParser::new(fm_render::ps::COLUMN_NAMES))]
    columns: Vec<String>,
    /// Write the metrics for node_exporter's textfile collector to FILE
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
    /// Judge whether each guest could migrate to the host with this firmware: a folder of files or
    /// descriptors, a descriptor, a CODE file, or an offer
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
    /// The version of that host's QEMU; without it, or an offer that says it, no migration is promised
    #[arg(long, value_name = "VERSION", requires = "to")]
    to_qemu: Option<String>,
    /// Exit with status 10 if a cold boot would give any guest other firmware than it runs, and with 11 if
    /// that cannot be told of some guest
    #[arg(long)]
    fail_on_drift: bool,
}

impl Ps {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let request = ps::Request {
            store: context.global.store.clone(),
            to: self.to.clone(),
            to_qemu: self.to_qemu.clone(),
            wording: fm_render::remedy::WORDING,
        };
        loop {
            let seen = ps::ps(&request)?;
            if let Some(path) = &self.prometheus {
                ps::prometheus::write(&seen, path)?;
            }
            if context.output.wants_json() {
                context.output.json(&seen);
            } else if self.prometheus.is_none() || self.watch.is_none() {
                if self.watch.is_none() {
                    context.output.page();
                }
                let view = fm_render::ps::View {
                    long: self.long,
                    again: self.watch.is_some(),
                    columns: &self.columns,
                };
                fm_render::ps::show(&context.output, &seen, view);
            }
            let failing = match self.fail_on_drift {
                true if seen.has_drift() => Some(Status::Incompatible),
                true if self.watch.is_none() && seen.has_unknown_drift() => Some(Status::Unknown),
                _ => None,
            };
            match (failing, self.watch) {
                (Some(status), _) => return Ok(status),
                (None, Some(seconds)) => std::thread::sleep(Duration::from_secs(seconds)),
                (None, None) => return Ok(Status::Done),
            }
        }
    }
}
