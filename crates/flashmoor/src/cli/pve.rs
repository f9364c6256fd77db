//! `flashmoor pve`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fm_api::v1::pve::{PveAdopted, PveAdoption, PveFailure};
use fm_pve::{Cluster, Phase};

use super::dry_run::DryRun;
use super::own_path::own_path;
use super::{Context, Result, Status};
use fm_render::pve as render;

/// Names the system whose /etc/pve is meant, for tests.
const ROOT: &str = "FLASHMOOR_PVE_ROOT";

/// The cluster of this system.
pub(super) fn cluster() -> Cluster {
    Cluster::at(&std::env::var_os(ROOT).map_or_else(|| "/".into(), PathBuf::from))
}

/// Let the firmware of Proxmox VE's guests follow them
///
/// On every node: `install`. Then `adopt` guests on the nodes that they are on. From then on a guest keeps its build
/// through upgrades of pve-edk2-firmware, migrations and snapshots, until somebody decides otherwise. Guests are changed
/// by `qm set` alone.
#[derive(Debug, Args)]
pub(crate) struct Pve {
    #[command(subcommand)]
    verb: Verb,
    /// The system whose /etc/pve is meant
    #[arg(long, global = true, hide = true, value_name = "DIR", env = ROOT, default_value = "/")]
    root: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Status(StatusOf),
    Install(Install),
    Adopt(Adopt),
    Unadopt(Unadopt),
    #[command(hide = true)]
    Hook(Hook),
}

/// List the cluster's guests with UEFI firmware, and which build each is held to
#[derive(Debug, Args)]
struct StatusOf {}

/// Put the hookscript in place on this node
#[derive(Debug, Args)]
struct Install {
    /// The program that it calls, by a path that stays [default: the one this was called by]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Hold a guest of this node to the build that it runs, or would boot from
#[derive(Debug, Args)]
struct Adopt {
    #[command(flatten)]
    which: Which,
}

/// Give a guest's configuration back as it was
#[derive(Debug, Args)]
struct Unadopt {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    guests: Guests,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Which guests.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Guests {
    /// The guest's number
    vmid: Option<u32>,
    /// Every guest of this node with UEFI firmware
    #[arg(long)]
    all: bool,
}

/// Called by Proxmox before and after a guest starts and stops
#[derive(Debug, Args)]
struct Hook {
    vmid: u32,
    phase: String,
}

impl Pve {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let cluster = Cluster::at(&self.root);
        match &self.verb {
            Verb::Status(_) => {
                let status = fm_pve::status(&cluster, &context.store()?)?;
                context.output.document(&status, render::status);
                Ok(Status::Done)
            }
            Verb::Install(install) => {
                let dry_run = install.dry_run.dry_run;
                let path = fm_pve::install(&own_path(install.program.as_deref())?, dry_run)?;
                let is = if dry_run { "would be" } else { "is" };
                context
                    .output
                    .remark(format_args!("the hookscript {is} {}", path.display()));
                Ok(Status::Done)
            }
            Verb::Adopt(adopt) => each(context, &cluster, &adopt.which, fm_pve::adopt),
            Verb::Unadopt(unadopt) => each(context, &cluster, &unadopt.which, fm_pve::unadopt),
            Verb::Hook(hook) => hook.run(context, &cluster),
        }
    }
}

/// What is done for one guest.
type Job = fn(&Cluster, &fm_store::Store, u32) -> fm_pve::Result<PveAdopted>;

fn each(context: &Context, cluster: &Cluster, which: &Which, job: Job) -> Result {
    let store = context.store_for(which.dry_run)?;
    let mut done = PveAdoption {
        schema: fm_api::Schema::default(),
        dry_run: store.is_dry_run(),
        guests: Vec::new(),
        failures: Vec::new(),
    };
    if let Some(vmid) = which.guests.vmid {
        done.guests.push(job(cluster, &store, vmid)?);
    } else {
        let status = fm_pve::status(cluster, &store)?;
        for guest in status.guests.iter().filter(|guest| guest.node == status.node) {
            match job(cluster, &store, guest.vmid) {
                Ok(adopted) => done.guests.push(adopted),
                Err(error) => done.failures.push(PveFailure {
                    vmid: guest.vmid,
                    why: fm_remedy::one_line(&error),
                }),
            }
        }
    }
    context.output.document(&done, render::adoption);
    Ok(if done.failures.is_empty() {
        Status::Done
    } else {
        Status::Partly
    })
}

impl Hook {
    fn run(&self, context: &Context, cluster: &Cluster) -> Result {
        let phase = match self.phase.as_str() {
            "pre-start" => Phase::PreStart,
            _ => Phase::Other,
        };
        if phase == Phase::PreStart {
            let from = std::env::var("PVE_MIGRATED_FROM")
                .ok()
                .filter(|node| !node.is_empty());
            for line in fm_pve::pre_start(cluster, &context.store()?, self.vmid, from.as_deref())? {
                context.output.remark(line);
            }
        } else if let Ok(store) = context.store()
            && let Err(error) = fm_pve::keep_builds(cluster, &store, self.vmid)
        {
            // No reason to hold up a guest that runs or ends.
            context.output.remark(fm_remedy::one_line(&error));
        }
        fm_pve::run_previous(cluster, self.vmid, &self.phase)?;
        Ok(Status::Done)
    }
}
