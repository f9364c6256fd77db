//! Proxmox's own programs: everything that changes a guest, and where volumes lie.

use std::io::{self, Read};
use std::process::{Command, Stdio};

use crate::{Error, Result, words};

/// What a program says of a failure is cut behind so much.
const MAX_SAID_BYTES: u64 = 4096;

/// Runs `program`, and gives back what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let named = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::Program {
            program: named(),
            said: error.to_string(),
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Program {
        program: named(),
        said: one_line(output.stderr.as_slice()),
    })
}

/// What a program says, to the end, and of that the beginning in one line.
pub(crate) fn one_line(mut pipe: impl Read) -> String {
    let mut beginning = Vec::new();
    // What cannot be read was not said.
    let _ = pipe.by_ref().take(MAX_SAID_BYTES).read_to_end(&mut beginning);
    let _ = io::copy(&mut pipe, &mut io::sink());
    let said = String::from_utf8_lossy(&beginning);
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where a volume lies, as QEMU is given it.
pub(crate) fn path(volume: &str) -> Result<String> {
    Ok(run("pvesm", &["path", volume])?.trim().to_owned())
}

/// The command line that Proxmox would start a guest with.
pub(crate) fn command_line(id: u32) -> Result<Vec<String>> {
    let id = id.to_string();
    let printed = run("qm", &["showcmd", &id])?;
    words::split(&printed).ok_or_else(|| Error::Program {
        program: format!("qm showcmd {id}"),
        said: "what it printed is no command line".into(),
    })
}

/// Whether a guest runs.
pub(crate) fn is_running(id: u32) -> Result<bool> {
    let status = run("qm", &["status", &id.to_string()])?;
    Ok(status.trim().ends_with("running"))
}
