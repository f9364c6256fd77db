//! The command line: global options, one file a subcommand, one table of exit statuses.

mod agent;
mod atlas;
mod capture;
mod catalogue;
mod check;
mod demo;
mod diff;
mod explain;
mod extract;
mod find;
mod guard;
mod harvest;
mod inspect;
mod libvirt;
mod migrate;
mod offer;
mod prepare;
mod ps;
mod saved;
mod schema;
mod store;
mod vars;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use fm_remedy::Class;
use fm_remedy::Failure as _;

use crate::Error;

use crate::render::{self, Output};

/// Keeps UEFI firmware steady under QEMU/KVM guests that live-migrate.
#[derive(Debug, Parser)]
#[command(
    name = "flashmoor",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every subcommand takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where builds and landings are kept [default: /var/lib/flashmoor for root, else $XDG_DATA_HOME/flashmoor]
    #[arg(long, global = true, value_name = "DIR", env = "FLASHMOOR_STORE")]
    pub(crate) store: Option<PathBuf>,
    /// Print JSON documents instead of text; `flashmoor schema` describes them
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results and errors only, no progress and no remarks
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// When to colour the output
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: render::ColorChoice,
}

/// One variant a subcommand; each lives in the file of its name and its doc comment is its help.
#[derive(Debug, Subcommand)]
enum Command {
    Agent(agent::Agent),
    Atlas(atlas::Atlas),
    Capture(capture::Capture),
    Catalogue(catalogue::Catalogue),
    Check(Box<check::Check>),
    Demo(demo::Demo),
    Diff(diff::Diff),
    Explain(explain::Explain),
    Extract(extract::Extract),
    Find(find::Find),
    Guard(guard::Guard),
    Harvest(harvest::Harvest),
    Inspect(inspect::Inspect),
    Libvirt(libvirt::Libvirt),
    Migrate(migrate::Migrate),
    Offer(offer::Offer),
    Prepare(prepare::Prepare),
    Ps(ps::Ps),
    Saved(saved::Saved),
    Schema(schema::Schema),
    Store(store::Store),
    Vars(vars::Vars),
}

/// How a subcommand that did not fail ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Done, or compatible: 0.
    Done,
    /// Judged, and it would not work: 10.
    Incompatible,
    /// Judged as far as facts go, and they do not go far enough: 11.
    Unknown,
    /// Looked at, and it is not whole: 1.
    Damaged,
    /// Done in part; what was printed says what is missing: 1.
    Partly,
}

/// What a subcommand works with: the global options and where its output goes.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) output: Output,
}

impl Context {
    /// The store that this command works on.
    pub(crate) fn store(&self) -> Result<fm_store::Store> {
        Ok(fm_store::verbs::open(self.global.store.as_deref())?)
    }
}

pub(crate) fn main() -> ExitCode {
    let Cli { global, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let output = Output::new(global.color, global.json, global.quiet);
    let context = Context { global, output };
    let result = match command {
        Command::Agent(agent) => agent.run(&context),
        Command::Atlas(atlas) => atlas.run(&context),
        Command::Capture(capture) => capture.run(&context),
        Command::Catalogue(catalogue) => catalogue.run(&context),
        Command::Check(check) => check.run(&context),
        Command::Demo(demo) => demo.run(&context),
        Command::Diff(diff) => diff.run(&context),
        Command::Explain(explain) => explain.run(&context),
        Command::Extract(extract) => extract.run(&context),
        Command::Find(find) => find.run(&context),
        Command::Guard(guard) => guard.run(&context),
        Command::Harvest(harvest) => harvest.run(&context),
        Command::Inspect(inspect) => inspect.run(&context),
        Command::Libvirt(libvirt) => libvirt.run(&context),
        Command::Migrate(migrate) => migrate.run(&context),
        Command::Offer(offer) => offer.run(&context),
        Command::Prepare(prepare) => prepare.run(&context),
        Command::Ps(ps) => ps.run(&context),
        Command::Saved(saved) => saved.run(&context),
        Command::Schema(schema) => schema.run(&context),
        Command::Store(store) => store.run(&context),
        Command::Vars(vars) => vars.run(&context),
    };
    match result {
        Ok(Status::Done) => ExitCode::SUCCESS,
        Ok(Status::Incompatible) => ExitCode::from(exit_status(Class::Incompatible)),
        Ok(Status::Unknown) => ExitCode::from(exit_status(Class::Unknown)),
        Ok(Status::Damaged | Status::Partly) => ExitCode::from(exit_status(Class::Failed)),
        Err(error) => {
            context.output.error(&error);
            ExitCode::from(exit_status(error.class()))
        }
    }
}

/// The exit status of a fault of ours, panics included.
pub(crate) const BUG: u8 = 70;

/// The one table of exit statuses for failures; `docs/exit-status.md` is its page.
fn exit_status(class: Class) -> u8 {
    match class {
        Class::Failed => 1,
        Class::Usage => 2,
        Class::Incompatible => 10,
        Class::Unknown => 11,
        Class::Bug => BUG,
    }
}

/// What a subcommand returns.
pub(crate) type Result<T = Status, E = Error> = std::result::Result<T, E>;
