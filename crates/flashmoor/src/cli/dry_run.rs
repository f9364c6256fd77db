//! `--dry-run`, which every command has that changes something and can say beforehand what.

use clap::Args;

/// Whether to look only.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DryRun {
    /// Say what would be done, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
