//! `flashmoor guard`: the hook's installation, and the two halves that the package manager starts.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use fm_agent::guard;
use fm_api::v1::guard::PackageManager;

use super::dry_run::DryRun;
use super::own_path::own_path;
use super::{Context, Result, Status};
use fm_render::{capture as render, plain, remedy};

/// Capture what running guests use before a package upgrade replaces it
#[derive(Debug, Args)]
pub(crate) struct Guard {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Install(Install),
    Uninstall(Uninstall),
    /// Show whether upgrades are guarded, and by which files
    Status(Place),
    #[command(hide = true)]
    Before(Before),
    #[command(hide = true)]
    After(After),
}

/// Let apt or dnf start flashmoor before it replaces packages, and after
///
/// Before: guests whose CODE file belongs to one of the packages are captured. After: guests that drift are
/// named, with what a cold boot would mean. An upgrade is never stopped by this unless --block is given.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("manager").args(["apt", "dnf"]).required(true))]
struct Install {
    /// Guard apt
    #[arg(long)]
    apt: bool,
    /// Guard dnf, 4 or 5
    #[arg(long)]
    dnf: bool,
    #[command(flatten)]
    place: Place,
    /// The program that the hook starts, by a path that stays [default: the one this was called by]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Stop an upgrade when a guest that uses its files can't be captured
    #[arg(long)]
    block: bool,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Take away what `guard install` put in place
#[derive(Debug, Args)]
struct Uninstall {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    dry_run: DryRun,
}

#[derive(Debug, Args)]
struct Place {
    /// The system whose packages are guarded
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// Started by the package manager before it replaces packages
#[derive(Debug, Args)]
struct Before {
    /// Standard input is apt's list of packages
    #[arg(long)]
    apt: bool,
    /// Standard input is the files that leave, one a line
    #[arg(long, conflicts_with = "apt")]
    files: bool,
    #[command(flatten)]
    place: Place,
    /// Fail when a guest can't be captured
    #[arg(long)]
    block: bool,
    /// Give up after so many seconds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

/// Started by the package manager after it replaced packages
#[derive(Debug, Args)]
struct After {
    #[command(flatten)]
    place: Place,
    /// Give up after so many seconds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

impl Guard {
    pub(crate) fn run(&self, context: &Context) -> Result {
        match &self.verb {
            Verb::Install(install) => install.run(context),
            Verb::Uninstall(uninstall) => {
                let done = guard::uninstall(&uninstall.place.root, uninstall.dry_run.dry_run)?;
                context.output.document(&done, render::status);
                Ok(Status::Done)
            }
            Verb::Status(place) => {
                context
                    .output
                    .document(&guard::status(&place.root)?, render::status);
                Ok(Status::Done)
            }
            Verb::Before(before) => before.run(context),
            Verb::After(after) => after.run(context),
        }
    }
}

impl Install {
    fn run(&self, context: &Context) -> Result {
        let program = own_path(self.program.as_deref())?;
        let manager = if self.dnf {
            PackageManager::Dnf
        } else {
            PackageManager::Apt
        };
        let done = guard::install(&guard::Install {
            manager,
            root: &self.place.root,
            program: &program,
            store: context.global.store.as_deref(),
            block: self.block,
            timeout_s: self.timeout,
            dry_run: self.dry_run.dry_run,
        })?;
        context.output.document(&done, render::status);
        Ok(Status::Done)
    }
}

impl Before {
    fn run(&self, context: &Context) -> Result {
        bound(context, self.timeout, if self.block { 1 } else { 0 });
        let done = self.capture(context);
        match &done {
            Ok(done) => {
                for guest in &done.guests {
                    let name = plain(&guest.name.clone().unwrap_or_else(|| format!("pid {}", guest.pid)));
                    context
                        .output
                        .remark(format_args!("flashmoor: captured the firmware of guest {name}"));
                }
                for failure in &done.failures {
                    let name = failure
                        .name
                        .clone()
                        .unwrap_or_else(|| format!("pid {}", failure.pid));
                    context.output.remark(format_args!(
                        "flashmoor: guest {} is not captured: {}",
                        plain(&name),
                        plain(&failure.why)
                    ));
                }
            }
            Err(error) => context.output.remark(format_args!(
                "flashmoor: nothing is captured: {}",
                fm_remedy::one_line(error)
            )),
        }
        let is_complete = done.is_ok_and(|done| done.failures.is_empty());
        Ok(if is_complete || !self.block {
            Status::Done
        } else {
            Status::Partly
        })
    }

    fn capture(&self, context: &Context) -> Result<fm_adopt::capture::Capture> {
        // Without a list that we understand, whatever runs may be affected.
        let leaving = match (self.apt, self.files) {
            (true, _) => guard::read_apt(io::stdin().lock()),
            (_, true) => guard::read_files(io::stdin().lock()),
            _ => None,
        };
        Ok(guard::before(
            &context.store()?,
            &self.place.root,
            leaving.as_ref(),
        )?)
    }
}

impl After {
    fn run(&self, context: &Context) -> Result {
        bound(context, self.timeout, 0);
        match context
            .store()
            .and_then(|store| Ok(guard::after(&store, remedy::WORDING)?))
        {
            Ok(after) => context.output.document(&after, render::drift),
            Err(error) => {
                context.output.remark(format_args!(
                    "flashmoor: cannot tell who drifts: {}",
                    fm_remedy::one_line(&error)
                ));
            }
        }
        Ok(Status::Done)
    }
}

/// Ends this process when the time is over, whatever it is busy with: the package manager must go on.
fn bound(context: &Context, timeout_s: u64, status: i32) {
    let output = context.output;
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(timeout_s));
        output.remark(format_args!("flashmoor: gave up after {timeout_s} s"));
        std::process::exit(status);
    });
}
