//! `flashmoor config`.

use std::env;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Subcommand};
use fm_api::v1::config::{ConfigDocument, ConfigFile, FileState, Origin, Setting};

use super::{Context, Result, Status};
use crate::config::{KEYS, Key, Layer, Settings, State};
use fm_render::{Output, plain};

/// A longer value moves what follows it in its own line only.
const MAX_VALUE_COLUMNS: usize = 30;

/// Show the settings that hold, and where each comes from
///
/// An option wins over the environment, that over ~/.config/flashmoor/config.toml, and that over
/// /etc/flashmoor/config.toml. FLASHMOOR_CONFIG names one file to read in place of both, and may be empty. Root leaves
/// a file alone that somebody else may write.
#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show each setting, its value and where that comes from
    Show,
}

impl Config {
    pub(crate) fn run(&self, context: &Context, settings: &Settings, given: &ArgMatches) -> Result {
        match self.verb {
            Verb::Show => context.output.document(&document(settings, given), text),
        }
        Ok(Status::Done)
    }
}

fn document(settings: &Settings, given: &ArgMatches) -> ConfigDocument {
    let file = |file: &crate::config::ConfigFile| {
        let (state, why) = match &file.state {
            State::Read => (FileState::Read, None),
            State::Absent => (FileState::Absent, None),
            State::Untrusted(why) => (FileState::Untrusted, Some(why.clone())),
        };
        ConfigFile {
            path: file.path.display().to_string(),
            state,
            why,
        }
    };
    ConfigDocument {
        schema: fm_api::Schema::default(),
        files: settings.files.iter().map(file).collect(),
        settings: KEYS.iter().map(|key| setting(key, settings, given)).collect(),
    }
}

fn setting(key: &Key, settings: &Settings, given: &ArgMatches) -> Setting {
    let of = |value: String, origin| Setting {
        name: key.name.to_owned(),
        value,
        origin,
        file: None,
        line: None,
        variable: None,
    };
    let typed = key.options.iter().find_map(|(words, long)| {
        let is_typed = words.is_empty() && given.value_source(long) == Some(ValueSource::CommandLine);
        is_typed.then(|| given.get_raw(long))?
    });
    if let Some(value) = typed.and_then(|mut values| values.next()) {
        return of(value.to_string_lossy().into_owned(), Origin::Option);
    }
    let from_env = key.env.and_then(|name| Some((name, env::var_os(name)?)));
    if let Some((name, value)) = from_env {
        return Setting {
            variable: Some(name.to_owned()),
            ..of(value.to_string_lossy().into_owned(), Origin::Environment)
        };
    }
    match settings.get(key.name) {
        Some(found) => Setting {
            file: Some(found.file.display().to_string()),
            line: Some(found.line as u64),
            ..of(
                found.value.clone(),
                match found.layer {
                    Layer::System => Origin::System,
                    Layer::User => Origin::User,
                    Layer::Named => Origin::Named,
                },
            )
        },
        None => of(built_in(key), Origin::Default),
    }
}

/// What holds without any file; of the store that depends on who asks.
fn built_in(key: &Key) -> String {
    match (key.name, fm_store::verbs::default_dir()) {
        ("store", Ok(folder)) => folder.display().to_string(),
        _ => key.default.to_owned(),
    }
}

fn text(output: &Output, document: &ConfigDocument) {
    let widest = |of: fn(&Setting) -> usize| document.settings.iter().map(of).max().unwrap_or(0);
    let name = widest(|setting| setting.name.len());
    let value = widest(|setting| setting.value.chars().count()).min(MAX_VALUE_COLUMNS);
    for setting in &document.settings {
        let from = match (&setting.origin, &setting.file, &setting.line) {
            (Origin::Option, ..) => "the command line".to_owned(),
            (Origin::Environment, ..) => setting.variable.clone().unwrap_or_default(),
            (_, Some(file), Some(line)) => format!("{}:{line}", plain(file)),
            _ => "default".to_owned(),
        };
        let shown = plain(&setting.value);
        output.line(format_args!("{:name$}  {shown:value$}  {from}", setting.name));
    }
    output.line("");
    for file in &document.files {
        let state = match (&file.state, &file.why) {
            (FileState::Read, _) => "read".to_owned(),
            (FileState::Absent, _) => "not there".to_owned(),
            (FileState::Untrusted, why) => format!("left alone: {}", why.as_deref().unwrap_or_default()),
        };
        output.line(format_args!("{}: {state}", plain(&file.path)));
    }
}
