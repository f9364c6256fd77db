//! `flashmoor atlas`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use fm_lab::atlas::{self, Group};

use super::{Context, Result, Status};
use fm_remedy::Misuse;

/// Record what real QEMU does with firmware: the observations that `check` is held to
#[derive(Debug, Args)]
pub(crate) struct Atlas {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Run),
    Verify(Verify),
    Claims(Claims),
}

/// Judge every recorded observation and compare: one disagreement is a failure
#[derive(Debug, Args)]
struct Verify {
    /// Folder of the observations
    #[arg(value_name = "DIR", default_value = "atlas")]
    folder: PathBuf,
    /// Folder with the firmware files that were observed
    #[arg(long, value_name = "DIR", default_value = "fixtures")]
    firmware: PathBuf,
}

/// Print the statements on which the product rests, with the observations that prove them
#[derive(Debug, Args)]
struct Claims {
    /// Folder of the observations
    #[arg(value_name = "DIR", default_value = "atlas")]
    folder: PathBuf,
}

/// Boot and migrate real guests and record what happens
///
/// Needs no KVM and touches no guest of yours. What is recorded already is not done again, so an interrupted run
/// goes on where it ended. Says of each group how much of it your files and QEMU programs let it try, and why
/// something is left out.
#[derive(Debug, Args)]
struct Run {
    /// Folder with firmware files (*.fd, *.bin, *.qcow2), told apart by what is in them
    #[arg(long, value_name = "DIR", default_value = "fixtures")]
    firmware: PathBuf,
    /// A QEMU program for x86-64, aarch64, riscv64 or loongarch64; two of one kind migrate between each other, the older
    /// one named first
    /// [default: qemu-system-x86_64, -aarch64, -riscv64 and -loongarch64, where installed]
    #[arg(long, value_name = "PROGRAM")]
    qemu: Vec<PathBuf>,
    /// What runs the guests; kvm adds to group `updated` what emulation cannot do, and plans nothing else
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Accelerator::Tcg)]
    accel: Accelerator,
    /// Folder of the observations
    #[arg(long, value_name = "DIR", default_value = "atlas")]
    output: PathBuf,
    /// Only this group; may be given several times [default: all]
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Start nothing new after this many seconds
    #[arg(long, value_name = "SECONDS")]
    budget: Option<u64>,
    /// Start no guest: only say what would be tried
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Accelerator {
    Tcg,
    Kvm,
}

impl Atlas {
    pub(crate) fn run(&self, context: &Context) -> Result {
        match &self.command {
            Command::Run(run) => run.run(context),
            Command::Verify(verify) => verify.run(context),
            Command::Claims(claims) => {
                let page = atlas::claims(&atlas::read_all(&claims.folder)?);
                context.output.block(page.trim_end());
                Ok(Status::Done)
            }
        }
    }
}

impl Verify {
    fn run(&self, context: &Context) -> Result {
        let (mut observations, mut disagreements) = (0, 0);
        let mut kinds = Vec::new();
        for atlas in atlas::read_all(&self.folder)? {
            let held = atlas::hold(&atlas, &self.firmware)?;
            kinds.push(format!(
                "{}: {} observations, {} disagreements, {} of which nothing is foretold",
                atlas.group.name(),
                held.observations,
                held.disagreements.len(),
                held.not_foretold
            ));
            observations += held.observations;
            disagreements += held.disagreements.len();
            held.disagreements
                .iter()
                .for_each(|line| context.output.line(line));
        }
        kinds.iter().for_each(|kind| context.output.line(kind));
        context.output.line(format_args!(
            "{observations} observations, {disagreements} disagreements"
        ));
        Ok(if disagreements == 0 {
            Status::Done
        } else {
            Status::Incompatible
        })
    }
}

impl Run {
    fn run(&self, context: &Context) -> Result {
        let mut groups = Vec::new();
        for name in &self.group {
            let group = Group::ALL.into_iter().find(|group| group.name() == name);
            groups.push(group.ok_or_else(|| {
                crate::Error::Usage(Misuse {
                    message: format!("there is no group called {name:?}"),
                    remedy: fm_remedy::Remedy::advice(format!(
                        "the groups are {}",
                        Group::ALL.map(Group::name).join(", ")
                    )),
                })
            })?);
        }
        if groups.is_empty() {
            groups.extend(Group::ALL);
        }
        let request = atlas::Request {
            firmware: self.firmware.clone(),
            qemu: self.qemu.clone(),
            kvm: self.accel == Accelerator::Kvm,
            output: self.output.clone(),
            groups,
            budget_s: self.budget,
            plan_only: self.dry_run,
        };
        if self.dry_run {
            let count = atlas::run(&request, &mut |line| context.output.line(line))?;
            context
                .output
                .line(format_args!("{count} observations would be made"));
            return Ok(Status::Done);
        }
        let done = atlas::run(&request, &mut |line| context.output.remark(line))?;
        context.output.line(format_args!(
            "{done} new observations in {}",
            self.output.display()
        ));
        Ok(Status::Done)
    }
}
