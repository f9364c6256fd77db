//! Every moment of a command that writes: the kernel ends it, or refuses a system call, and the same command run again
//! brings about what it was to.
//!
//! `make test` takes some of the moments of each command; `make soak` takes all.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use fm_formats::Sha256;

use crate::hostile::{Injection, changes, injected, some};
use crate::{flashmoor, stderr};

/// Moments of one command in a short run.
const MOMENTS: usize = 10;

const INJECTIONS: [Injection; 5] = [
    Injection::Kill,
    Injection::Error("EIO"),
    Injection::Error("ENOSPC"),
    Injection::Error("EROFS"),
    Injection::Error("EMLINK"),
];

/// A command that changes something in a folder, and what must hold whatever becomes of it.
pub struct Verb<'a> {
    /// As its user calls it.
    pub name: &'static str,
    /// Brings the folder into its state of before.
    pub prepare: &'a dyn Fn(&Path),
    /// The command, in that folder.
    pub command: &'a dyn Fn(&Path) -> Command,
    /// What holds at every moment; after it was done in full as well.
    pub holds: &'a dyn Fn(&Path, &str),
    /// What holds only when it was done.
    pub is_done: &'a dyn Fn(&Path) -> bool,
    /// It makes what must not be there yet: once it is there whole, the command refuses to make it again.
    pub makes_new: bool,
    /// It clears away what it left when it was killed, also when there is nothing else to do: what was killed at its very
    /// end. With others that waits for whoever writes there next.
    pub clears_away: bool,
}

/// Tries it.
///
/// # Panics
/// If something is lost, if a failure is told as success or as a fault of ours, or if the command cannot be brought to its
/// end afterwards.
pub fn every_moment(verb: &Verb<'_>) {
    let fresh = || {
        let folder = tempfile::Builder::new()
            .prefix("flashmoor-moment-")
            .tempdir()
            .unwrap();
        (verb.prepare)(folder.path());
        folder
    };
    let folder = fresh();
    let (output, steps) = changes(&(verb.command)(folder.path()));
    assert!(output.status.success(), "{}: {}", verb.name, stderr(&output));
    assert!((verb.is_done)(folder.path()), "{}", verb.name);
    assert!(steps.len() > 3, "{}: {steps:?}", verb.name);
    for (number, step) in some(&steps, MOMENTS).iter().enumerate() {
        let all = std::env::var_os("FLASHMOOR_SOAK").is_some();
        let errors = &INJECTIONS[1..];
        let chosen: Vec<Injection> = match all {
            true => INJECTIONS.to_vec(),
            false => vec![Injection::Kill, errors[number % errors.len()]],
        };
        for injection in chosen {
            let folder = fresh();
            let context = format!("{} with {injection:?} at {step:?}", verb.name);
            let output = injected(&(verb.command)(folder.path()), step, injection)
                .output()
                .unwrap();
            let code = output.status.code();
            if injection == Injection::Kill {
                assert_eq!(code, None, "{context}: it goes on: {}", stderr(&output));
            } else {
                // A refusal is either of no consequence or a failure that is told; it is never a fault of ours.
                assert!(
                    matches!(code, Some(0 | 1)),
                    "{context}: {code:?}: {}",
                    stderr(&output)
                );
            }
            (verb.holds)(folder.path(), &context);
            if code == Some(0) {
                assert!(
                    (verb.is_done)(folder.path()),
                    "{context}: not done, and nothing said"
                );
            }
            let refuses = verb.makes_new && (verb.is_done)(folder.path());
            let again = (verb.command)(folder.path()).output().unwrap();
            assert_eq!(
                again.status.success(),
                !refuses,
                "{context}: again: {}",
                stderr(&again)
            );
            (verb.holds)(folder.path(), &context);
            assert!((verb.is_done)(folder.path()), "{context}: not done again");
            if verb.clears_away {
                assert_eq!(unfinished(folder.path()), [""; 0], "{context}: left behind");
            }
        }
    }
}

/// The program with the store of this folder.
pub fn with<S: AsRef<OsStr>>(folder: &Path, words: &[S]) -> Command {
    let mut command = flashmoor();
    command.arg("--store").arg(folder.join("store")).args(words);
    command
}

/// The same, and it must work.
///
/// # Panics
/// If it does not, with what it said.
pub fn must<S: AsRef<OsStr>>(folder: &Path, words: &[S]) {
    let done = with(folder, words).output().unwrap();
    assert!(done.status.success(), "{}", stderr(&done));
}

/// The digest of a fixture.
#[must_use]
pub fn digest(fixture: &str) -> String {
    Sha256::of(&fm_fixtures::bytes(fixture)).to_string()
}

/// The store is whole, and none of its paths with a digest holds other bytes.
///
/// # Panics
/// If not, with what `store verify` says.
pub fn store_is_whole(folder: &Path, context: &str) {
    let found = with(folder, &["--json", "store", "verify"]).output().unwrap();
    assert!(
        found.status.success(),
        "{context}: {}",
        String::from_utf8_lossy(&found.stdout)
    );
}

/// What a writer that was killed left beside the files that it wrote.
fn unfinished(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(".flashmoor-new-")).collect()
}
