//! A change of layout: the guest sets a variable, its store is converted, and another build boots on it.

use std::fs;
use std::path::Path;

use fm_variables::{ConvertRequest, ConvertTarget};
use fm_varstore::VarStore;

use super::bench::Bench;
use super::boot::{GUID, NAME};
use super::reached::reached;
use super::step::Step;
use super::{Reached, Seen, Side};
use crate::{Error, Guest, Machine, Result};

/// What the guest sets after the conversion.
const NEW_NAME: &str = "FlashmoorAtlasThere";

pub(super) fn observe(bench: &Bench, step: &Step, destination: &Side, folder: &Path) -> Result<Seen> {
    let here = bench.machine(&step.source, step.qemu[0], &folder.join("a"))?;
    boot(
        &here,
        &folder.join("a/guest"),
        &[&format!("setvar {NAME} -guid {GUID} -bs -rt -nv =464d")],
    )?;
    let before = names(&folder.join("a/vars.fd"))?;

    let mut there = bench.machine(destination, step.qemu[1], &folder.join("b"))?;
    let converted = folder.join("b/converted.fd");
    fm_variables::convert(&ConvertRequest {
        input: folder.join("a/vars.fd"),
        into: ConvertTarget::ForCode(folder.join("b/code.fd")),
        format: None,
        output: converted.clone(),
        replace: false,
        even_if_in_use: false,
        journal: None,
        cache: None,
        dry_run: false,
    })?;
    there.vars = Some(converted.clone());
    let ask = [
        &*format!("dmpstore {NAME} -guid {GUID}"),
        &*format!("setvar {NEW_NAME} -guid {GUID} -bs -rt -nv =4d46"),
    ];
    let (reached, said) = boot(&there, &folder.join("b/guest"), &ask)?;
    let after = names(&converted)?;
    Ok(Seen::Converted {
        reached,
        reads_back: said.first().is_some_and(|said| said.contains("46 4D")),
        persistent: after.iter().any(|name| name == NEW_NAME),
        variables: u32::try_from(before.len()).unwrap_or(u32::MAX),
        lost: before.into_iter().filter(|name| !after.contains(name)).collect(),
    })
}

/// Boots `machine`, says `commands` to its shell if it comes so far, and ends it; what they printed.
fn boot(machine: &Machine, dir: &Path, commands: &[&str]) -> Result<(Reached, Vec<String>)> {
    let mut guest = Guest::start(machine, dir)?;
    let reached = reached(&mut guest, 0);
    let mut said = Vec::new();
    if reached == Reached::Shell {
        guest.boot_to_shell()?;
        for command in commands {
            said.push(guest.shell(command)?);
        }
    }
    if guest.is_alive() {
        guest.quit()?;
    }
    Ok((reached, said))
}

/// The variables of the store in `path`.
fn names(path: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(path).map_err(|source| Error::file("read", path, source))?;
    let store = VarStore::parse(&bytes).map_err(|source| Error::NotStore {
        path: path.to_owned(),
        source,
    })?;
    Ok(store.variables().map(|entry| entry.name.to_string()).collect())
}
