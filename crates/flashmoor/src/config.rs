//! Settings that files give: which keys there are, where the files lie, whom they are believed from, and which wins.

mod keys;
mod trust;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fm_remedy::{Misuse, Remedy};
use toml::de::{DeTable, DeValue};

pub(crate) use self::keys::{KEYS, Key};

use crate::Error;

/// What holds for everybody on this host.
pub(crate) const SYSTEM_FILE: &str = "/etc/flashmoor/config.toml";
/// Names one file that is read in place of both others; empty for none at all.
pub(crate) const VARIABLE: &str = "FLASHMOOR_CONFIG";

/// Which of the files one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// `/etc/flashmoor/config.toml`.
    System,
    /// `~/.config/flashmoor/config.toml`.
    User,
    /// The one that [`VARIABLE`] names.
    Named,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It was read.
    Read,
    /// There is none.
    Absent,
    /// Somebody else may write it, and this is root: why it was left alone.
    Untrusted(String),
}

/// One file that was looked for.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    pub(crate) state: State,
}

/// One value, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) value: String,
    pub(crate) layer: Layer,
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
}

/// Everything that the files say; a later file wins over an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) files: Vec<ConfigFile>,
    values: BTreeMap<&'static str, Setting>,
}

impl Settings {
    /// Reads this host's file and this user's, or the one that the environment names.
    ///
    /// # Errors
    /// If a file is no TOML, says something unknown, or is this host's and may be written by somebody else.
    pub(crate) fn load() -> Result<Self, Error> {
        let env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::of(&places(std::env::var_os(VARIABLE), env))
    }

    fn of(places: &[(Layer, PathBuf)]) -> Result<Self, Error> {
        let mut settings = Self::default();
        for (layer, path) in places {
            let state = match trust::read(path)? {
                None => State::Absent,
                Some(Ok(text)) => {
                    settings.take(*layer, path, &text)?;
                    State::Read
                }
                // Whoever opened this host's file to others made a mistake; a home of somebody else's is sudo's habit.
                Some(Err(why)) if *layer != Layer::User && rustix::process::geteuid().is_root() => {
                    return Err(Error::Usage(Misuse {
                        message: format!("{} cannot be believed: {why}", path.display()),
                        remedy: "let only root write it, and the folders that it lies in".into(),
                    }));
                }
                Some(Err(why)) => State::Untrusted(why),
            };
            settings.files.push(ConfigFile {
                path: path.clone(),
                state,
            });
        }
        Ok(settings)
    }

    /// What the files say of that key.
    pub(crate) fn get(&self, key: &str) -> Option<&Setting> {
        self.values.get(key)
    }

    fn take(&mut self, layer: Layer, path: &Path, text: &str) -> Result<(), Error> {
        let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        let wrong = |offset: usize, why: String, remedy: Remedy| {
            Error::Usage(Misuse {
                message: format!("{}:{}: {why}", path.display(), line_of(offset)),
                remedy,
            })
        };
        let root = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            wrong(offset, error.message().to_owned(), "write it as TOML".into())
        })?;
        let mut found: Vec<(String, usize, Option<String>)> = Vec::new();
        for (name, value) in root.get_ref() {
            match value.get_ref() {
                DeValue::Table(table) => {
                    for (inner, value) in table {
                        let key = format!("{}.{}", name.get_ref(), inner.get_ref());
                        found.push((key, inner.span().start, written(value.get_ref())));
                    }
                }
                value => found.push((name.get_ref().to_string(), name.span().start, written(value))),
            }
        }
        for (name, offset, value) in found {
            let Some(key) = KEYS.iter().find(|key| key.name == name) else {
                let known = KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ");
                let remedy = Remedy::advice(format!("take it out, or write one of: {known}"));
                return Err(wrong(offset, format!("there is no setting {name:?}"), remedy));
            };
            let value = value.filter(|value| key.kind.takes(value)).ok_or_else(|| {
                let remedy = Remedy::advice(format!("write {}", key.kind.wanted()));
                wrong(offset, format!("{name} has a value of another kind"), remedy)
            })?;
            let setting = Setting {
                value,
                layer,
                file: path.to_owned(),
                line: line_of(offset),
            };
            self.values.insert(key.name, setting);
        }
        Ok(())
    }
}

/// A value as the command line would have it; nothing of what no option takes.
fn written(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

/// The files to look for, the weakest first.
fn places(named: Option<OsString>, env: impl Fn(&str) -> Option<OsString>) -> Vec<(Layer, PathBuf)> {
    if let Some(named) = named {
        let one = (!named.is_empty()).then(|| (Layer::Named, PathBuf::from(named)));
        return one.into_iter().collect();
    }
    let absolute = |name| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    let user = user.map(|folder| (Layer::User, folder.join("flashmoor/config.toml")));
    std::iter::once((Layer::System, SYSTEM_FILE.into()))
        .chain(user)
        .collect()
}

#[cfg(test)]
mod tests;
