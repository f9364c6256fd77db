//! Block devices for tests: loop devices with a variable store in front and foreign bytes behind.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::flashmoor;

/// A loop device, as large as LVM makes the smallest volume, and a store of ours beside it.
#[derive(Debug)]
pub struct Device {
    folder: TempDir,
    path: PathBuf,
}

/// What LVM rounds up to.
pub const VOLUME_BYTES: usize = 4 << 20;
/// What lies behind the variables belongs to nobody we know.
const FOREIGN: u8 = 0xa5;

impl Device {
    /// With `store` in front.
    ///
    /// # Panics
    /// If the system has no loop device for us.
    #[must_use]
    pub fn new(store: &[u8]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let image = folder.path().join("volume");
        let mut bytes = vec![FOREIGN; VOLUME_BYTES];
        bytes[..store.len()].copy_from_slice(store);
        fs::write(&image, bytes).expect("the volume");
        // One at a time: while it looks for a free device, `losetup` has another test's open for writing.
        let turn = File::create(std::env::temp_dir().join("flashmoor-e2e-losetup")).expect("a file");
        turn.lock().expect("a turn");
        let said = run(Command::new("losetup")
            .args(["--partscan", "--find", "--show"])
            .arg(&image));
        drop(turn);
        let path = String::from_utf8(said.stdout).expect("a path").trim().into();
        Self { folder, path }
    }

    /// The device.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where builds and backups are kept.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// A place for a file.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `flashmoor --store … WORDS`.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = flashmoor();
        command.arg("--store").arg(self.store()).args(words);
        command
    }

    /// The same, run.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn flashmoor(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("it runs")
    }

    /// The first `len` bytes, as the disk has them.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn content(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let file = fs::File::open(&self.path).expect("the device");
        file.read_exact_at(&mut bytes, 0).expect("its content");
        bytes
    }

    /// Puts bytes in front.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, bytes: &[u8]) {
        let file = OpenOptions::new()
            .write(true)
            .open(&self.path)
            .expect("the device");
        file.write_all_at(bytes, 0).expect("written");
        file.sync_all().expect("synced");
    }

    /// Whether what lies behind the first `len` bytes is as it was.
    #[must_use]
    pub fn rest_is_untouched(&self, len: usize) -> bool {
        self.content(VOLUME_BYTES)[len..]
            .iter()
            .all(|byte| *byte == FOREIGN)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.path).status();
    }
}

/// Runs a program that must succeed.
///
/// # Panics
/// If it does not.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().expect("it runs");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
