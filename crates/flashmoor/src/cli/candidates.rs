//! What a shell offers for an argument: guests, domains, builds, variables, catalogue names.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use clap::Arg;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter as _};
use fm_images::catalogue;
use fm_lab::atlas::Group;
use fm_store::verbs as store;

use crate::documents;

/// More than this no shell shows well.
const MAX_OFFERED: usize = 500;

type Candidates = Vec<CompletionCandidate>;

/// What completes that argument of that command; nothing where the shell's own way is right.
pub(super) fn completer(command: &[String], arg: &Arg) -> Option<ArgValueCompleter> {
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let complete: fn(&OsStr) -> Candidates = match (command.as_slice(), arg.get_id().as_str()) {
        (["capture" | "offer" | "harvest" | "check" | "update"], "guest" | "to_guest") => guests,
        (["update"], "to") => builds_and_files,
        (["libvirt", ..], "domain") => domains,
        (["store", ..], "build") => builds,
        (["store", "forget"], "landing") => landings,
        (["check"], "from_code" | "to_code") => builds_and_files,
        (["catalogue", "remove"], "what") => named,
        (["vars", "get" | "show" | "set" | "delete"], "name") => variables,
        (["vars", ..], "file" | "files" | "left" | "right" | "input") => guests_and_files,
        (["explain"], "code") => findings,
        (["schema"], "name") => schemas,
        (["atlas", "run"], "group") => groups,
        _ => return None,
    };
    Some(ArgValueCompleter::new(complete))
}

/// Those that begin as what was typed does. What would steer the terminal is not offered.
fn matching(current: &OsStr, all: impl IntoIterator<Item = (String, Option<String>)>) -> Candidates {
    let typed = current.to_string_lossy();
    let is_plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    all.into_iter()
        .filter(|(value, _)| value.starts_with(&*typed) && is_plain(value))
        .take(MAX_OFFERED)
        .map(|(value, help)| {
            let help = help.filter(|help| is_plain(help));
            CompletionCandidate::new(value).help(help.map(Into::into))
        })
        .collect()
}

fn guests(current: &OsStr) -> Candidates {
    let guests = fm_host::guests()
        .map(|listing| listing.guests)
        .unwrap_or_default();
    let name = |guest: &fm_host::Guest| match guest.name() {
        Some(name) => (name.to_owned(), Some(format!("pid {}", guest.pid()))),
        None => (guest.pid().to_string(), guest.uuid().map(str::to_owned)),
    };
    matching(current, guests.iter().map(name))
}

fn files(current: &OsStr) -> Candidates {
    PathCompleter::any().complete(current)
}

fn guests_and_files(current: &OsStr) -> Candidates {
    guests(current).into_iter().chain(files(current)).collect()
}

/// The domains that libvirt has definitions of, and those of running guests: nobody waits for a daemon at a key press.
fn domains(current: &OsStr) -> Candidates {
    let folder = fs::read_dir(fm_adopt::libvirt::DEFINITIONS)
        .into_iter()
        .flatten()
        .flatten();
    let defined = folder.filter_map(|entry| {
        let path = entry.path();
        let name = path.file_stem()?.to_str()?.to_owned();
        path.extension()
            .is_some_and(|ending| ending == "xml")
            .then_some((name, None))
    });
    let mut found = matching(current, defined);
    for guest in guests(current) {
        if !found.iter().any(|known| known.get_value() == guest.get_value()) {
            found.push(guest);
        }
    }
    found
}

fn builds(current: &OsStr) -> Candidates {
    let list = opened().and_then(|store| store::list(&store).ok());
    let builds = list.map(|list| list.builds).unwrap_or_default();
    let mut offered = Vec::new();
    for build in builds {
        // A name is nicer to type, and where there is none the first digits do.
        let short = build.id.chars().take(12).collect::<String>();
        offered.push((short, build.name.clone()));
    }
    matching(current, offered)
}

fn builds_and_files(current: &OsStr) -> Candidates {
    files(current).into_iter().chain(builds(current)).collect()
}

fn landings(current: &OsStr) -> Candidates {
    let list = opened().and_then(|store| store::landings(&store).ok());
    let landings = list.map(|list| list.landings).unwrap_or_default();
    matching(current, landings.into_iter().map(|landing| (landing.id, None)))
}

fn named(current: &OsStr) -> Candidates {
    let list = store_folder().and_then(|store| catalogue::list(&catalogue::file_in(&store)).ok());
    let entries = list.map(|list| list.entries).unwrap_or_default();
    matching(
        current,
        entries.into_iter().map(|entry| (entry.name, Some(entry.version))),
    )
}

/// The variables of the store that was named before, if there is one among the words.
fn variables(current: &OsStr) -> Candidates {
    let words = words();
    let source = words
        .iter()
        .rev()
        .skip(1)
        .map(Path::new)
        .find(|path| path.is_file());
    let list = source.and_then(|path| fm_variables::list(path, false).ok());
    let variables = list.map(|list| list.variables).unwrap_or_default();
    matching(
        current,
        variables
            .into_iter()
            .map(|variable| (variable.name, Some(variable.guid.to_string()))),
    )
}

fn findings(current: &OsStr) -> Candidates {
    matching(
        current,
        fm_check::findings::codes().map(|code| (code.to_owned(), None)),
    )
}

fn schemas(current: &OsStr) -> Candidates {
    matching(
        current,
        documents::schema_names().map(|name| (name.to_owned(), None)),
    )
}

fn groups(current: &OsStr) -> Candidates {
    matching(current, Group::ALL.map(|group| (group.name().to_owned(), None)))
}

/// The command line that is being typed: what the shell hands over behind `--`.
fn words() -> Vec<OsString> {
    env::args_os().skip_while(|word| word != "--").skip(1).collect()
}

/// The store that the typed command would use.
fn store_folder() -> Option<PathBuf> {
    let words = words();
    let after = words
        .iter()
        .position(|word| word == "--store")
        .and_then(|at| words.get(at + 1));
    after
        .cloned()
        .or_else(|| env::var_os("FLASHMOOR_STORE").filter(|value| !value.is_empty()))
        .map(PathBuf::from)
        .or_else(|| {
            let settings = crate::config::Settings::load().ok()?;
            Some(settings.get("store")?.value.clone().into())
        })
        .or_else(|| store::default_dir().ok())
}

fn opened() -> Option<fm_store::Store> {
    store::open(Some(&store_folder()?)).ok()
}
