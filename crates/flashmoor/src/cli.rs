//! The command line: global options, one file a subcommand, one table of exit statuses.

mod agent;
mod atlas;
mod candidates;
mod capture;
mod catalogue;
mod check;
mod color;
mod completions;
mod config;
mod demo;
mod diff;
mod dry_run;
mod examples;
mod explain;
mod extract;
mod find;
mod fleet;
mod guard;
mod harvest;
mod incus;
mod inspect;
mod kubevirt;
mod libvirt;
mod man;
mod migrate;
mod offer;
mod own_path;
mod page;
mod prepare;
mod ps;
mod pve;
mod rollout;
mod saved;
mod schema;
mod serve;
mod store;
mod update;
mod usage;
mod vars;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use fm_remedy::Class;
use fm_remedy::Failure as _;

use self::color::ColorChoice;
use crate::Error;

use crate::config::{KEYS, Settings, State};
use fm_render::Output;

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
#[command(next_help_heading = "Global options")]
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
    /// Tell the steps of long jobs and how long they took; twice for more
    #[arg(long, short, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// When to colour the output
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
    /// Print long output straight to the terminal, and not through $PAGER
    #[arg(long, global = true)]
    pub(crate) no_pager: bool,
}

/// One variant a subcommand; each lives in the file of its name and its doc comment is its help.
#[derive(Debug, Subcommand)]
enum Command {
    Agent(agent::Agent),
    Atlas(atlas::Atlas),
    Capture(capture::Capture),
    Catalogue(catalogue::Catalogue),
    Check(Box<check::Check>),
    Completions(completions::Completions),
    Config(config::Config),
    Demo(demo::Demo),
    Diff(diff::Diff),
    Explain(explain::Explain),
    Extract(extract::Extract),
    Find(find::Find),
    Fleet(fleet::Fleet),
    Guard(guard::Guard),
    Harvest(harvest::Harvest),
    Incus(incus::Incus),
    Inspect(inspect::Inspect),
    Kubevirt(kubevirt::Kubevirt),
    Libvirt(libvirt::Libvirt),
    #[command(hide = true)]
    Man(man::Man),
    Migrate(migrate::Migrate),
    Offer(offer::Offer),
    Prepare(prepare::Prepare),
    Ps(ps::Ps),
    Pve(pve::Pve),
    Rollout(rollout::Rollout),
    Saved(saved::Saved),
    Schema(schema::Schema),
    Serve(serve::Serve),
    Store(store::Store),
    Update(update::Update),
    Vars(vars::Vars),
}

/// How a subcommand that did not fail ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Done, or compatible: 0.
    Done,
    /// Judged, and it would not work: 10.
    Incompatible,
    /// Compared or looked at, and `--exit-code` asked to be told that the answer is no: 10.
    Differs,
    /// Judged as far as facts go, and they do not go far enough: 11.
    Unknown,
    /// Looked at, and it is not whole: 1.
    Damaged,
    /// Done in part; what was printed says what is missing: 1.
    Partly,
}

impl Status {
    /// The status of an answer that is a plain no, where `--exit-code` asked for it.
    pub(crate) fn of_no(asked: bool, is_no: bool) -> Self {
        if asked && is_no { Self::Differs } else { Self::Done }
    }
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

    /// The same for a verb that changes it, or in a dry run says what it would change.
    pub(crate) fn store_for(&self, dry_run: dry_run::DryRun) -> Result<fm_store::Store> {
        Ok(self.store()?.with_dry_run(dry_run.dry_run))
    }
}

pub(crate) fn main() -> ExitCode {
    clap_complete::CompleteEnv::with_factory(|| dressed(&Settings::default()))
        .var(completions::VARIABLE)
        .complete();
    let settings = Settings::load();
    let parsed = match &settings {
        Ok(settings) => parse(settings),
        // Help and usage errors do not depend on files that cannot be used.
        Err(_) => parse(&Settings::default()),
    };
    let (Cli { global, command }, given) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let json = usage::wants_json(std::env::args_os());
            match usage::failure(&error, &Cli::command(), json) {
                Some(failure) => Output::new(anstream::ColorChoice::Auto, json, false).error(&failure),
                None => drop(error.print()),
            }
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let output = Output::new(global.color.into(), global.json, global.quiet).with_pager(!global.no_pager);
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            output.error(&error);
            return ExitCode::from(exit_status(error.class()));
        }
    };
    for file in &settings.files {
        if let State::Untrusted(why) = &file.state {
            let path = fm_render::plain(&file.path.display().to_string());
            output.remark(format_args!("{path} is left alone: {why}"));
        }
    }
    crate::log::start(global.verbose);
    let context = Context { global, output };
    let result = match command {
        Command::Agent(agent) => agent.run(&context),
        Command::Atlas(atlas) => atlas.run(&context),
        Command::Capture(capture) => capture.run(&context),
        Command::Catalogue(catalogue) => catalogue.run(&context),
        Command::Check(check) => check.run(&context),
        Command::Completions(completions) => completions.run(),
        Command::Config(config) => config.run(&context, &settings, &given),
        Command::Demo(demo) => demo.run(&context),
        Command::Diff(diff) => diff.run(&context),
        Command::Explain(explain) => explain.run(&context),
        Command::Extract(extract) => extract.run(&context),
        Command::Find(find) => find.run(&context),
        Command::Fleet(fleet) => fleet.run(&context),
        Command::Guard(guard) => guard.run(&context),
        Command::Harvest(harvest) => harvest.run(&context),
        Command::Incus(incus) => incus.run(&context),
        Command::Inspect(inspect) => inspect.run(&context),
        Command::Kubevirt(kubevirt) => kubevirt.run(&context),
        Command::Libvirt(libvirt) => libvirt.run(&context),
        Command::Man(man) => man.run(&context, dressed(&Settings::default())),
        Command::Migrate(migrate) => migrate.run(&context),
        Command::Offer(offer) => offer.run(&context),
        Command::Prepare(prepare) => prepare.run(&context),
        Command::Ps(ps) => ps.run(&context),
        Command::Pve(pve) => pve.run(&context),
        Command::Rollout(rollout) => rollout.run(&context),
        Command::Saved(saved) => saved.run(&context),
        Command::Schema(schema) => schema.run(&context),
        Command::Serve(serve) => serve.run(&context),
        Command::Store(store) => store.run(&context),
        Command::Update(update) => update.run(&context),
        Command::Vars(vars) => vars.run(&context),
    };
    context.output.finish();
    match result {
        Ok(Status::Done) => ExitCode::SUCCESS,
        Ok(Status::Incompatible | Status::Differs) => ExitCode::from(exit_status(Class::Incompatible)),
        Ok(Status::Unknown) => ExitCode::from(exit_status(Class::Unknown)),
        Ok(Status::Damaged | Status::Partly) => ExitCode::from(exit_status(Class::Failed)),
        Err(error) => {
            context.output.error(&error);
            ExitCode::from(exit_status(error.class()))
        }
    }
}

fn parse(settings: &Settings) -> Result<(Cli, ArgMatches), clap::Error> {
    let mut command = dressed(settings);
    let given = command.try_get_matches_from_mut(std::env::args_os())?;
    let cli = Cli::from_arg_matches(&given).map_err(|error| error.format(&mut command))?;
    Ok((cli, given))
}

/// The command line with all that is no matter of one subcommand: groups on the first page, examples, what shells
/// offer, and the settings as defaults of the options that they are of.
fn dressed(settings: &Settings) -> clap::Command {
    let command = Cli::command();
    let page = page::template(&command);
    dress(command, &[], settings).help_template(page)
}

fn dress(mut command: clap::Command, words: &[String], settings: &Settings) -> clap::Command {
    let examples = examples::of(words);
    if !examples.is_empty() {
        let style = *command.get_styles().get_header();
        let lines: String = examples.iter().map(|line| format!("\n  {line}")).collect();
        command = command.after_help(format!("{style}Examples:{style:#}{lines}"));
    }
    command
        .mut_args(|mut arg| {
            if let Some(completer) = candidates::completer(words, &arg) {
                arg = arg.add(completer);
            }
            let key = arg
                .get_long()
                .and_then(|long| KEYS.iter().find(|key| key.is_of(words, long)));
            match key.and_then(|key| settings.get(key.name)) {
                Some(setting) => arg.default_value(setting.value.clone()),
                None => arg,
            }
        })
        .mut_subcommands(|below| {
            let words = [words, &[below.get_name().to_owned()]].concat();
            dress(below, &words, settings)
        })
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

#[cfg(test)]
mod tests;
