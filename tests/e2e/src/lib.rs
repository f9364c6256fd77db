//! Whole-product tests on real QEMU: the program as users call it, and guests to call it on.

pub mod bed;
pub mod booted;
pub mod conversion;
pub mod device;
pub mod hostile;
pub mod moments;
pub mod pve;
pub mod speaker;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fm_formats::Sha256;
use fm_lab::{Arch, Emulator, Guest, Machine};
use serde_json::Value;
use tempfile::TempDir;

/// The program, as built beside these tests.
///
/// # Panics
/// If it has not been built, with what to do.
#[must_use]
pub fn flashmoor() -> Command {
    let program = programs().join("flashmoor");
    assert!(
        program.is_file(),
        "{} is not built; run `make test`, or `cargo build` first",
        program.display()
    );
    let mut command = Command::new(program);
    command.env_remove("FLASHMOOR_STORE").env("NO_COLOR", "1");
    command
}

/// The folder that the programs of this build lie in.
fn programs() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    here.ancestors().nth(2).unwrap_or(Path::new("")).to_owned()
}

/// Standard error of a command that ended, as text.
#[must_use]
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON document that a command printed, after a look that it succeeded.
///
/// # Panics
/// If it failed or printed something else.
#[must_use]
pub fn document(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}: {}{}",
        output.status,
        stderr(output),
        String::from_utf8_lossy(&output.stdout)
    );
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)))
}

/// Another build than that of the fixtures at `code`, of its size, which boots as it does: a module's name, which nobody
/// compares, is `SecMaIn` instead of `SecMain`.
#[must_use]
pub fn twin(code: &str) -> Vec<u8> {
    let mut bytes = fm_fixtures::bytes(code);
    let name: Vec<u8> = "SecMain".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let at = bytes.windows(name.len()).position(|window| window == name);
    bytes[at.unwrap() + name.len() - 4] = b'I';
    bytes
}

/// The digest of a fixture, as documents spell it.
#[must_use]
pub fn digest(fixture: &str) -> String {
    Sha256::of(&fm_fixtures::bytes(fixture)).to_string()
}

/// The digest of what a guest's CODE flash holds.
///
/// # Panics
/// If its process has no such flash.
#[must_use]
pub fn held(guest: &Guest) -> String {
    let read = fm_host::find(&guest.pid().to_string()).and_then(|guest| guest.read_flash(0));
    Sha256::of(&read.unwrap_or_else(|error| panic!("{error}"))).to_string()
}

/// Runs a verb with `--dry-run` and then without, and holds what was said to what is done: the document of that, and
/// what `state` is after it, which the dry run leaves as it was.
///
/// # Panics
/// If one does not succeed, they say different things, or the dry run changes something.
pub fn dry_then_real<T: PartialEq>(
    words: &[&str],
    run: impl Fn(&[&str]) -> Output,
    state: impl Fn() -> T,
) -> Value {
    let before = state();
    let mut dry = document(&run(&[words, &["--json", "--dry-run"]].concat()));
    let text = run(&[words, &["--dry-run"]].concat());
    let said = String::from_utf8_lossy(&text.stdout) + String::from_utf8_lossy(&text.stderr);
    assert!(said.contains("would"), "{words:?}: {said}");
    assert!(state() == before, "{words:?} changed something");
    assert_eq!(dry["dry_run"], true, "{dry}");
    let real = document(&run(&[words, &["--json"]].concat()));
    assert!(state() != before, "{words:?} changed nothing");
    dry.as_object_mut().expect("a document").remove("dry_run");
    assert_eq!(dry, real, "{words:?}");
    real
}

/// A folder for one test, with a store in it, and guests that live there.
#[derive(Debug)]
pub struct Bench {
    folder: TempDir,
    guests: usize,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// An empty one.
    ///
    /// # Panics
    /// If no folder can be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("flashmoor-e2e-").tempdir();
        Self {
            folder: folder.unwrap_or_else(|error| panic!("no temporary folder: {error}")),
            guests: 0,
        }
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A copy of a fixture, for a guest to use and change.
    ///
    /// # Panics
    /// If the fixture cannot be had, with the reason.
    pub fn copy(&self, fixture: &str, name: &str) -> PathBuf {
        let path = self.path(name);
        let copied = std::fs::copy(fm_fixtures::path(fixture), &path);
        copied.unwrap_or_else(|error| panic!("cannot copy {fixture}: {error}"));
        path
    }

    /// A file of zeros.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn zeros(&self, name: &str, len_bytes: u64) -> PathBuf {
        let path = self.path(name);
        let made = std::fs::File::create(&path).and_then(|file| file.set_len(len_bytes));
        made.unwrap_or_else(|error| panic!("cannot make {name}: {error}"));
        path
    }

    /// Starts a guest.
    ///
    /// # Panics
    /// If QEMU refuses, with its words.
    pub fn start(&mut self, machine: &Machine) -> Guest {
        self.guests += 1;
        let dir = self.path(&format!("guest-{}", self.guests));
        Guest::start(machine, &dir).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, standing in its shell.
    pub fn start_booted(&mut self, machine: &Machine) -> Guest {
        self.guests += 1;
        booted::booted(machine, &self.path(&format!("guest-{}", self.guests)))
    }

    /// What [`Self::guest_2m`] is called: no guest of another test is, nor of another run on this machine.
    #[must_use]
    pub fn name_2m() -> String {
        format!("source-{}", std::process::id())
    }

    /// A running guest on bookworm's 2M build in its shell, with a VARS file of its own. It writes no variable unless
    /// it is told to.
    pub fn guest_2m(&mut self) -> Guest {
        let vars = self.copy("bookworm/OVMF_VARS.fd", "vars-2m.fd");
        let machine = Machine::new(Arch::X86_64, &fm_fixtures::path("bookworm/OVMF_CODE.fd"), &vars);
        self.start_booted(&machine.named(&Self::name_2m()))
    }

    /// The program with this folder's store.
    #[must_use]
    pub fn flashmoor(&self) -> Command {
        let mut command = flashmoor();
        command.arg("--store").arg(self.path("store"));
        command
    }
}

/// QEMU 10.0 beside the system's own.
#[must_use]
pub fn qemu_10() -> Emulator {
    Emulator {
        program: fm_fixtures::qemu_10("x86_64"),
        data_dirs: Vec::new(),
    }
}
