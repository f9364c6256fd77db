//! Guests that stand in their firmware's shell without a boot of their own: the first test that asks for one of a kind
//! boots it and keeps its migration stream, every other one restores that.
//!
//! For tests whose subject is not the boot. A restored guest has run since it arrived, so that it can be sent on; it
//! differs from one that booted here in the `-incoming defer` on its command line.
//!
//! What is kept lies in `booted/` beside the programs, a folder for each kind, and goes with `cargo clean`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use fm_fixtures::Patience;
use fm_formats::Sha256;
use fm_lab::{Guest, Machine, PATIENCE};
use serde_json::json;

/// To be raised when a kept guest would no longer be what a boot gives today.
const EDITION: u32 = 1;

/// A guest of `machine`, running, in front of its shell's prompt. Its VARS file becomes the one that the boot left.
///
/// # Panics
/// If it cannot be booted or restored, with QEMU's words.
#[must_use]
pub fn booted(machine: &Machine, dir: &Path) -> Guest {
    let kept = Kept::of(machine);
    kept.make(machine)
        .unwrap_or_else(|error| panic!("cannot keep a booted guest: {error}"));
    kept.restore(machine, dir)
}

/// The files of one kind of guest.
struct Kept {
    folder: PathBuf,
}

impl Kept {
    fn of(machine: &Machine) -> Self {
        let digest = Sha256::of(kind(machine).as_bytes()).to_string();
        Self {
            folder: crate::programs().join("booted").join(digest),
        }
    }

    fn stream(&self) -> PathBuf {
        self.folder.join("stream")
    }

    fn vars(&self) -> PathBuf {
        self.folder.join("vars.fd")
    }

    /// Boots the guest and keeps it, unless that was done before. Whoever asks meanwhile waits.
    fn make(&self, machine: &Machine) -> Result<(), std::io::Error> {
        if self.folder.is_dir() {
            return Ok(());
        }
        let parent = self.folder.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(parent)?;
        let lock = File::create(self.folder.with_extension("lock"))?;
        lock.lock()?;
        if self.folder.is_dir() {
            return Ok(());
        }
        let made = tempfile::Builder::new()
            .prefix("unfinished-")
            .tempdir_in(parent)?;
        // Its sockets lie where paths are short.
        let run = tempfile::tempdir()?;
        let whole = Self {
            folder: made.path().join("whole"),
        };
        fs::create_dir(&whole.folder)?;
        fs::copy(vars_of(machine), whole.vars())?;
        let booting = Machine {
            vars: Some(whole.vars()),
            ..machine.clone()
        };
        let mut guest = Guest::start(&booting, run.path()).unwrap_or_else(|error| panic!("{error}"));
        guest.boot_to_shell().unwrap_or_else(|error| panic!("{error}"));
        // What a running guest writes to VARS while it is sent can stay behind.
        execute(&mut guest, "stop", json!({}));
        execute(
            &mut guest,
            "migrate",
            json!({ "uri": format!("exec:cat > {}", quoted(&whole.stream())) }),
        );
        wait_until_sent(&mut guest);
        guest.quit().unwrap_or_else(|error| panic!("{error}"));
        for file in [whole.stream(), whole.vars()] {
            File::open(file)?.sync_all()?;
        }
        fs::rename(&whole.folder, &self.folder)
    }

    fn restore(&self, machine: &Machine, dir: &Path) -> Guest {
        fs::copy(self.vars(), vars_of(machine)).expect("a copy of the variables that the boot left");
        let mut guest =
            Guest::start(&machine.clone().incoming(), dir).unwrap_or_else(|error| panic!("{error}"));
        let uri = format!("exec:cat {}", quoted(&self.stream()));
        execute(&mut guest, "migrate-incoming", json!({ "uri": uri }));
        let mut patience = Patience::new(PATIENCE);
        // It was stopped to be sent, and arrives so.
        loop {
            match guest.status().as_deref() {
                Ok("paused") => break,
                // Polled, with an end: a monitor that was connected during `-incoming` may have missed the event.
                Ok("inmigrate") => {
                    patience.rest(|| format!("a kept guest does not come back: {}", guest.stderr()))
                }
                other => panic!(
                    "a kept guest does not come back ({other:?}): {}; remove {}",
                    guest.stderr(),
                    self.folder.display()
                ),
            }
        }
        execute(&mut guest, "cont", json!({}));
        guest
    }
}

/// All that makes one booted guest another than the next: QEMU, the machine, CODE and what was in VARS before.
fn kind(machine: &Machine) -> String {
    assert!(
        !machine.incoming && !machine.stopped,
        "a guest that does not boot cannot be kept"
    );
    let version = Command::new(&machine.emulator.program).arg("--version").output();
    let version = version.unwrap_or_else(|error| panic!("{}: {error}", machine.emulator.program.display()));
    let digest = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Sha256::of(&bytes).to_string()
    };
    let code = machine.code.as_deref().expect("a guest with firmware");
    format!(
        "{EDITION} {:?} {} {} {} {:?} {:?} {} {}",
        machine.emulator,
        String::from_utf8_lossy(&version.stdout),
        machine.machine,
        machine.memory_mib,
        machine.uuid,
        machine.extra,
        digest(code),
        digest(vars_of(machine)),
    )
}

fn vars_of(machine: &Machine) -> &Path {
    machine.vars.as_deref().expect("a guest with variables")
}

/// For the shell that QEMU's `exec:` runs.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn execute(guest: &mut Guest, command: &str, arguments: serde_json::Value) {
    let done = guest.monitor().execute(command, Some(arguments));
    done.unwrap_or_else(|error| panic!("{command}: {error}; {}", guest.stderr()));
}

fn wait_until_sent(guest: &mut Guest) {
    let mut patience = Patience::new(PATIENCE);
    loop {
        let state = guest
            .monitor()
            .execute("query-migrate", None)
            .unwrap_or_else(|error| panic!("{error}"));
        match state["status"].as_str() {
            Some("completed") => return,
            Some("failed") => panic!("{state}"),
            // Polled, with an end: QEMU sends events of a migration only to who asked for them before.
            _ => patience.rest(|| state.to_string()),
        }
    }
}
