//! `flashmoor incus`.

use clap::{Args, Subcommand};
use fm_incus::Instance;

use super::dry_run::DryRun;
use super::{Context, Result, Status};
use fm_render::incus as render;

/// Let Incus's virtual machines keep their firmware
///
/// An adopted instance starts from the build that it ran, whatever becomes of the file that Incus would take. It is
/// changed by `incus config` alone: `raw.qemu.conf` names the build, and `raw.apparmor` lets QEMU read it. Other members of
/// a cluster need the build before the instance starts or arrives there: `store export BUILD - | ssh MEMBER flashmoor store
/// import -`, or a fleet.
#[derive(Debug, Args)]
pub(crate) struct Incus {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Adopt(Adopt),
    Unadopt(Unadopt),
}

/// Hold an instance that runs to its build
#[derive(Debug, Args)]
struct Adopt {
    #[command(flatten)]
    which: Which,
}

/// Give an instance's settings back as they were
#[derive(Debug, Args)]
struct Unadopt {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// The instance
    instance: String,
    /// Its project
    #[arg(long, value_name = "NAME", default_value = "default")]
    project: String,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Which {
    fn instance(&self) -> Instance<'_> {
        Instance {
            name: &self.instance,
            project: &self.project,
        }
    }
}

impl Incus {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let (Verb::Adopt(Adopt { which }) | Verb::Unadopt(Unadopt { which })) = &self.verb;
        let (store, instance) = (context.store_for(which.dry_run)?, which.instance());
        let done = match &self.verb {
            Verb::Adopt(_) => fm_incus::adopt(&store, &instance)?,
            Verb::Unadopt(_) => fm_incus::unadopt(&store, &instance)?,
        };
        context.output.document(&done, render::adoption);
        Ok(Status::Done)
    }
}
