//! Incus's own program: everything that changes an instance.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::instance::Instance;
use crate::{Error, Result};

/// What a program says of a failure is cut behind so much.
const MAX_SAID_BYTES: usize = 4096;

/// What Incus says of an instance.
#[derive(Debug, Deserialize)]
pub(crate) struct Described {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) config: BTreeMap<String, String>,
}

/// How it stands.
#[derive(Debug, Deserialize)]
struct State {
    pid: i64,
}

pub(crate) fn describe(instance: &Instance<'_>) -> Result<Described> {
    query(instance, "")
}

/// The pid of its QEMU.
pub(crate) fn pid(instance: &Instance<'_>) -> Result<Option<u32>> {
    let state: State = query(instance, "/state")?;
    Ok(u32::try_from(state.pid).ok().filter(|pid| *pid > 0))
}

fn query<T: DeserializeOwned>(instance: &Instance<'_>, of: &str) -> Result<T> {
    for name in [instance.name, instance.project] {
        // It becomes part of an address.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(Error::Name {
                name: name.to_owned(),
            });
        }
    }
    let address = format!(
        "/1.0/instances/{}{of}?project={}",
        instance.name, instance.project
    );
    let printed = run(&["query", &address])?;
    serde_json::from_str(&printed).map_err(|source| Error::Answer {
        instance: instance.name.to_owned(),
        source,
    })
}

/// Sets a key, or takes it away if nothing is left in it.
pub(crate) fn set(instance: &Instance<'_>, key: &str, value: &str) -> Result<()> {
    let project = ["--project", instance.project];
    if value.is_empty() {
        return run(&[&["config", "unset", instance.name, key][..], &project].concat()).map(drop);
    }
    let pair = format!("{key}={value}");
    run(&[&["config", "set", instance.name, &pair][..], &project].concat()).map(drop)
}

fn run(arguments: &[&str]) -> Result<String> {
    let failed = |said: String| Error::Program {
        program: format!("incus {}", arguments.first().copied().unwrap_or_default()),
        said,
    };
    let output = Command::new("incus")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = output.stderr.get(..MAX_SAID_BYTES).unwrap_or(&output.stderr);
    let said = String::from_utf8_lossy(said);
    Err(failed(said.split_whitespace().collect::<Vec<_>>().join(" ")))
}
