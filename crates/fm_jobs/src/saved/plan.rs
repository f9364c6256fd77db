//! `saved restore-plan`: everything that a restore needs is put in place, and the step itself is said.

use std::path::{Path, PathBuf};

use fm_formats::stream::BlockKind;
use fm_store::{Import, Store};
use schemars::JsonSchema;
use serde::Serialize;

use super::Error;
use super::extract::{whole, write};
use super::file::failed;
use crate::Result;
use crate::stream::{self, Container, Gathered, Request};

/// What to plan for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The saved guest.
    pub input: Request,
    /// Where the guest's variables go; a file of the right size that exists is used as it is, because the
    /// stream overwrites it.
    pub vars: Option<PathBuf>,
}

/// `flashmoor/saved-restore-plan/1`: what is in place now, and what to run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RestorePlan {
    /// `flashmoor/saved-restore-plan/1`.
    pub schema: String,
    /// The machine type that the destination must have.
    pub machine: Option<String>,
    /// The build that the saved guest runs: it is in the store now, and pinned.
    pub build: String,
    /// Its CODE file.
    pub code: PathBuf,
    /// The file for flash unit 1, if the guest has one.
    pub vars: Option<PathBuf>,
    /// What to run, in order.
    pub steps: Vec<String>,
}

/// Stores the saved guest's build, puts its variables in place and says how to restore it.
///
/// # Errors
/// If the stream is not whole, or the store or the disk refuses.
pub fn restore_plan(store: &Store, request: &Plan) -> Result<RestorePlan> {
    let gathered = stream::gather(&request.input)?;
    if let Some(source) = &gathered.stopped {
        return Err(Error::Unrestorable {
            path: gathered.path.clone(),
            source: source.clone(),
        }
        .into());
    }
    let code = whole(&gathered, gathered.first_of(BlockKind::Code), "CODE flash")?;
    let vars = match gathered.first_of(BlockKind::Vars) {
        Some(index) => Some(whole(&gathered, Some(index), "VARS flash")?),
        None => None,
    };
    let bytes = gathered.bytes(code).unwrap_or_default();
    let path = absolute(&gathered.path)?;
    let reason = format!("saved guest {}", path.display());
    let is_libvirt = matches!(gathered.container, Container::SaveImage { .. });
    let vars = match (vars, &request.vars) {
        // libvirt places the variables itself.
        (Some(_), None) if is_libvirt => None,
        (Some(index), Some(out)) => Some((index, absolute(out)?)),
        (Some(_), None) => return Err(Error::NoVarsPath.into()),
        (None, _) => None,
    };
    let build = store.import(&Import {
        code: &bytes,
        source: Some(&reason),
        pin: Some(&reason),
        ..Import::default()
    })?;
    drop(bytes);
    if let Some((index, out)) = &vars {
        let size_bytes = gathered.facts.blocks[*index].size_bytes;
        if !out.metadata().is_ok_and(|file| file.len() == size_bytes) {
            write(&gathered, *index, out)?;
        }
    }
    let vars = vars.map(|(_, out)| out);
    Ok(RestorePlan {
        schema: "flashmoor/saved-restore-plan/1".into(),
        machine: gathered.facts.machine.clone(),
        build: build.id.to_string(),
        steps: steps(&gathered, &path, &build.path, vars.as_deref()),
        code: build.path,
        vars,
    })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    if path == Path::new("-") {
        return Ok(path.into());
    }
    std::path::absolute(path).map_err(failed("read", path))
}

fn steps(gathered: &Gathered, path: &Path, code: &Path, vars: Option<&Path>) -> Vec<String> {
    let quoted = quote(&path.display().to_string());
    let mut flash = format!(
        "-drive if=pflash,format=raw,unit=0,readonly=on,file={}",
        quote(&code.display().to_string().replace(',', ",,"))
    );
    if let Some(vars) = vars {
        let vars = vars.display().to_string().replace(',', ",,");
        flash.push_str(&format!(
            " -drive if=pflash,format=raw,unit=1,file={}",
            quote(&vars)
        ));
    }
    let machine = gathered.facts.machine.as_deref().unwrap_or("MACHINE");
    let qemu = |incoming: &str| {
        format!("start QEMU as the guest was started, with: -machine {machine} {flash} {incoming}")
    };
    let is_mapped = gathered
        .facts
        .blocks
        .iter()
        .any(|block| block.pages_offset.is_some());
    match &gathered.container {
        Container::SaveImage { .. } => {
            vec![
                format!("flashmoor saved adopt {quoted}"),
                format!("virsh restore {quoted}"),
            ]
        }
        Container::Snapshot { chosen, .. } => vec![qemu(&format!("-loadvm {}", quote(&chosen.name)))],
        Container::Stream if !gathered.channels.is_empty() => vec![
            qemu("-incoming defer"),
            "replay the channels to it as they were captured: QEMU reads multifd from sockets only".into(),
        ],
        Container::Stream if is_mapped => vec![
            qemu("-incoming defer"),
            "in its monitor: migrate_set_capability mapped-ram on".into(),
            format!("in its monitor: migrate_incoming file:{}", path.display()),
        ],
        Container::Stream => vec![qemu(&format!(
            "-incoming {}",
            quote(&format!("exec:cat {quoted}"))
        ))],
        Container::Compressed(program) => {
            vec![qemu(&format!(
                "-incoming {}",
                quote(&format!("exec:{program} -dc {quoted}"))
            ))]
        }
    }
}

/// A word for a POSIX shell.
fn quote(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-+:,=@%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn words_reach_the_shell_as_they_are() {
        assert_eq!(quote("/a/b-1.fd"), "/a/b-1.fd");
        assert_eq!(quote("exec:cat /a"), "'exec:cat /a'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
