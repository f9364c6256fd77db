//! `flashmoor libvirt`.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use fm_adopt::libvirt;
use fm_api::v1::libvirt::{HookAnswer, LibvirtAdoption};

use super::dry_run::DryRun;
use super::own_path::own_path;
use super::{Context, Result, Status};
use fm_render::{libvirt as render, remedy};

/// Let the firmware of libvirt's guests follow them, whoever migrates them
///
/// On every host: `install`. Then `adopt` the domains. From then on `virsh migrate`, virt-manager and the like
/// work between hosts with different firmware, and a cold boot gets what the guest ran before.
#[derive(Debug, Args)]
pub(crate) struct Libvirt {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Install(Install),
    Uninstall(Uninstall),
    Status(StatusOf),
    Adopt(Adopt),
    Unadopt(Unadopt),
    #[command(hide = true)]
    Hook(Hook),
}

/// Put the hook, the agent's unit and AppArmor's lines in place
#[derive(Debug, Args)]
struct Install {
    /// What the hook does where it can't help and QEMU would fail
    #[arg(long, value_enum, default_value_t = Policy::Refuse)]
    policy: Policy,
    /// How long the hook may take; then libvirt goes on without an answer
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    deadline_ms: u64,
    /// The program that hook and unit start, by a path that stays [default: the one this was called by]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// The system to install into
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Take away what `install` put in place
#[derive(Debug, Args)]
struct Uninstall {
    /// The system to clean
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Say whether guests' firmware follows them on this host, and if not, what is missing
#[derive(Debug, Args)]
struct StatusOf {
    /// The system to look at
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// The libvirt of this host [default: qemu:///system]
    #[arg(long, short, value_name = "URI")]
    connect: Option<String>,
}

/// Hold a domain to the build that it runs
///
/// The build is stored, and the domain's definition comes to name it: a cold boot gets what runs today until
/// somebody decides otherwise. What runs gets the build's digest and sizes as metadata, which is how other
/// hosts know what to prepare. A domain that is off is held to the file that it would boot from.
#[derive(Debug, Args)]
struct Adopt {
    #[command(flatten)]
    which: Which,
}

/// Give a domain's definition back as it was
#[derive(Debug, Args)]
struct Unadopt {
    #[command(flatten)]
    which: Which,
    /// Also where a domain could not start with its old definition, because this host lacks its files
    #[arg(long)]
    force: bool,
}

/// Which domains
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Domains {
    /// Its name or UUID
    domain: Option<String>,
    /// All domains
    #[arg(long)]
    all: bool,
}

/// Which domains of which libvirt
#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    domains: Domains,
    /// The libvirt of this host [default: qemu:///system]
    #[arg(long, short, value_name = "URI")]
    connect: Option<String>,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Started by libvirt: decides before a guest arrives, starts or leaves, and answers
#[derive(Debug, Args)]
struct Hook {
    /// The domain's name
    #[arg(allow_hyphen_values = true)]
    domain: String,
    operation: String,
    suboperation: String,
    #[arg(allow_hyphen_values = true)]
    extra: Option<String>,
    #[arg(long, value_enum, default_value_t = Policy::Refuse)]
    policy: Policy,
    #[arg(long, default_value_t = 2000)]
    deadline_ms: u64,
    /// Print what would be done and answered on this call, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Policy {
    /// Refuse, with the reason in one line
    Refuse,
    /// Say the reason in libvirt's log, and let it go on
    Pass,
}

impl From<Policy> for libvirt::Policy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Refuse => Self::Refuse,
            Policy::Pass => Self::Pass,
        }
    }
}

/// The largest XML that is read; libvirt's own limit for it is 4 MiB.
const MAX_XML_BYTES: u64 = 8 << 20;

impl Libvirt {
    pub(crate) fn run(&self, context: &Context) -> Result {
        match &self.verb {
            Verb::Install(install) => install.run(context),
            Verb::Uninstall(uninstall) => {
                let done = libvirt::uninstall(&uninstall.root, uninstall.dry_run.dry_run)?;
                let done = libvirt::setup_document(done, render::next_step);
                context.output.document(&done, render::uninstalled);
                Ok(Status::Done)
            }
            Verb::Status(status) => {
                let found = libvirt::status(&context.store()?, &status.root, status.connect.as_deref())?;
                let found = libvirt::status_document(found, render::problem);
                context.output.document(&found, render::status);
                Ok(if found.problems.is_empty() {
                    Status::Done
                } else {
                    Status::Partly
                })
            }
            Verb::Adopt(adopt) => {
                let which = &adopt.which;
                let (uri, meant) = (which.connect.as_deref(), which.domains.meant());
                let store = context.store()?;
                let dry_run = which.dry_run.dry_run;
                let done = match dry_run {
                    true => libvirt::would_adopt(&store, uri, &meant)?,
                    false => libvirt::adopt(&store, uri, &meant)?,
                };
                let done = libvirt::adoption_document(done, dry_run, remedy::text);
                context.output.document(&done, render::adopted);
                Ok(all_or_partly(&done))
            }
            Verb::Unadopt(unadopt) => {
                let which = &unadopt.which;
                let (uri, meant) = (which.connect.as_deref(), which.domains.meant());
                let dry_run = which.dry_run.dry_run;
                let done = match dry_run {
                    true => libvirt::would_unadopt(uri, &meant, unadopt.force)?,
                    false => libvirt::unadopt(&context.store()?, uri, &meant, unadopt.force)?,
                };
                let done = libvirt::adoption_document(done, dry_run, remedy::text);
                context.output.document(&done, render::unadopted);
                Ok(all_or_partly(&done))
            }
            Verb::Hook(hook) => hook.run(context),
        }
    }
}

fn all_or_partly(done: &LibvirtAdoption) -> Status {
    if done.failures.is_empty() {
        Status::Done
    } else {
        Status::Partly
    }
}

impl Domains {
    fn meant(&self) -> libvirt::Which {
        match &self.domain {
            Some(domain) => libvirt::Which::One(domain.clone()),
            None => libvirt::Which::All,
        }
    }
}

impl Install {
    fn run(&self, context: &Context) -> Result {
        let program = own_path(self.program.as_deref())?;
        let done = libvirt::install(&libvirt::Install {
            root: &self.root,
            program: &program,
            store: context.store()?.path(),
            policy: self.policy.into(),
            deadline_ms: self.deadline_ms,
            libvirt: libvirt::version(),
            dry_run: self.dry_run.dry_run,
        })?;
        let done = libvirt::setup_document(done, render::next_step);
        context.output.document(&done, render::installed);
        Ok(Status::Done)
    }
}

impl Hook {
    /// libvirt waits for this, and nothing bounds it but we ourselves.
    fn run(&self, context: &Context) -> Result {
        let deadline = Duration::from_millis(self.deadline_ms);
        let output = context.output;
        std::thread::spawn(move || {
            std::thread::sleep(deadline);
            output.remark(format_args!(
                "flashmoor: gave up after {} ms",
                deadline.as_millis()
            ));
            std::process::exit(0);
        });
        let mut xml = String::new();
        let read = io::stdin().take(MAX_XML_BYTES).read_to_string(&mut xml);
        if let Err(error) = read {
            output.remark(format_args!("flashmoor: cannot read the domain's XML: {error}"));
            return Ok(Status::Done);
        }
        let store = match &context.global.store {
            Some(store) => store.clone(),
            None => fm_store::verbs::default_dir()?,
        };
        let call = libvirt::Call {
            operation: self.operation.as_str().into(),
            sub_operation: self.suboperation.as_str().into(),
            xml: &xml,
            policy: self.policy.into(),
            deadline,
            definitions: libvirt::DEFINITIONS.as_ref(),
            dry_run: self.dry_run,
        };
        if self.dry_run {
            let decision = libvirt::decision(&store, &call);
            let document = libvirt::decision_document(&decision, render::step, render::reason);
            output.document(&document, |output, document| {
                render::decision(output, document, &decision.outcome);
            });
            return Ok(match document.answer {
                HookAnswer::Refuse => Status::Incompatible,
                _ => Status::Done,
            });
        }
        match libvirt::answer(&store, &call) {
            libvirt::Answer::Pass => {}
            libvirt::Answer::Remark(why) => {
                output.remark(format_args!("flashmoor: {}", render::reason(&why)));
            }
            libvirt::Answer::Replace(xml) => {
                // All of it or, for a reader that went away, nothing that counts.
                let _ = io::stdout().write_all(xml.as_bytes());
            }
            libvirt::Answer::Refuse(why) => {
                output.remark(format_args!("flashmoor: {}", render::reason(&why)));
                return Ok(Status::Incompatible);
            }
        }
        Ok(Status::Done)
    }
}
