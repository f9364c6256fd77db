//! What those do who share a host with root: run programs that are only called QEMU, and swap files for links. And what
//! the kernel may do to any program: end it, or refuse a system call.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use fm_fixtures::Patience;
use fm_formats::Sha256;

/// A user who may nothing: Debian's `nobody`.
pub const NOBODY: u32 = 65_534;

/// What is in a file of root's that nobody else may read.
pub const SECRET: &[u8] = b"of root alone: variables, keys, whatever it is that others must not have\n";

/// System calls that change something on a disk. Reading ones are none of a killer's business.
const CHANGES: [&str; 16] = [
    "mkdirat",
    "mkdir",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "ftruncate",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "fchmod",
    "fchown",
];

/// A folder that everybody may enter, with a file in it that only root may read, and a folder of nobody's.
#[derive(Debug)]
pub struct Scene {
    folder: tempfile::TempDir,
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

impl Scene {
    /// # Panics
    /// If it cannot be made, or the tests do not run as root.
    #[must_use]
    pub fn new() -> Self {
        assert!(
            rustix_is_root(),
            "these tests need root: they become somebody else"
        );
        let folder = tempfile::Builder::new()
            .prefix("flashmoor-hostile-")
            .tempdir()
            .unwrap();
        let scene = Self { folder };
        fs::set_permissions(scene.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(scene.secret(), SECRET).unwrap();
        fs::set_permissions(scene.secret(), fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir(scene.path("theirs")).unwrap();
        scene.give(&scene.path("theirs"));
        scene
    }

    /// A path in the folder, which is root's.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path in the folder that belongs to nobody.
    #[must_use]
    pub fn theirs(&self, name: &str) -> PathBuf {
        self.path("theirs").join(name)
    }

    /// The file that only root may read.
    #[must_use]
    pub fn secret(&self) -> PathBuf {
        self.path("secret")
    }

    /// The digest of that file.
    #[must_use]
    pub fn secret_digest() -> String {
        Sha256::of(SECRET).to_string()
    }

    /// Gives a file or folder away.
    ///
    /// # Panics
    /// If root may not.
    pub fn give(&self, path: &Path) {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }

    /// The program, with a store of this scene's that is root's.
    #[must_use]
    pub fn flashmoor(&self) -> Command {
        let mut command = crate::flashmoor();
        command.arg("--store").arg(self.path("store"));
        command
    }

    /// Runs the program and gives back what it said.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Output {
        self.flashmoor().args(words).output().unwrap()
    }

    /// Whether root's file is as it was and nothing that nobody may read holds what is in it.
    ///
    /// # Panics
    /// If not, with what was done to it.
    pub fn is_kept(&self, context: &str) {
        let status = fs::symlink_metadata(self.secret()).unwrap();
        let mode = status.permissions().mode() & 0o7777;
        let owner = std::os::unix::fs::MetadataExt::uid(&status);
        assert_eq!((mode, owner), (0o600, 0), "{context}");
        assert_eq!(
            fs::read(self.secret()).unwrap(),
            SECRET,
            "{context}: it was written to"
        );
        let found = as_nobody("grep")
            .args(["-rlsF", "of root alone"])
            .arg(self.path(""))
            .output()
            .unwrap();
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        assert!(found.is_empty(), "{context}: it can be read in {found}");
    }

    /// A process of nobody's that is called QEMU, holds QEMU's version, and is a shell that waits.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn impostor(&self, arguments: &[&str]) -> Running {
        let program = self.theirs("qemu-system-x86_64");
        if !program.exists() {
            let mut bytes = fs::read("/bin/dash").unwrap();
            bytes.extend(b"\nQEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\n");
            fs::write(&program, bytes).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = as_nobody(&program);
        command.args(["-c", "echo up; read word"]).args(arguments);
        Running::start(command)
    }
}

fn rustix_is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// A command of nobody's.
#[must_use]
pub fn as_nobody(program: impl AsRef<OsStr>) -> Command {
    as_user(NOBODY, program)
}

/// A command of the user with this number.
#[must_use]
pub fn as_user(uid: u32, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    let uid = uid.to_string();
    command
        .args(["--reuid", &uid, "--regid", &uid, "--clear-groups"])
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program);
    command
}

/// A process that ends with the test.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts it, and waits until it said its first line.
    ///
    /// # Panics
    /// If it says none.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        use std::io::{BufRead as _, BufReader};
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(!line.is_empty(), "{command:?} says nothing");
        Self(child)
    }

    /// Starts it, and does not wait.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        Self(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is done to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injection {
    /// The process is killed before it is done.
    Kill,
    /// It fails with this.
    Error(&'static str),
}

/// A place of a program's run: which system call, and the how manieth of its kind.
pub type Step = (String, usize);

/// A program under `strace`, which does `injection` to one of its calls.
#[must_use]
pub fn injected(command: &Command, step: &Step, injection: Injection) -> Command {
    let (call, at) = step;
    let what = match injection {
        // Delivered before the call is made.
        Injection::Kill => "signal=KILL".to_owned(),
        Injection::Error(errno) => format!("error={errno}"),
    };
    let mut traced = strace(&format!("trace={call}"));
    traced.args(["-e", &format!("inject={call}:{what}:when={at}")]);
    with(traced, command)
}

/// A program that stands still right after one of its calls, for as long as a test likes: what a slow disk does to it.
#[derive(Debug)]
pub struct Delayed {
    tracer: Child,
    pid: String,
}

impl Delayed {
    /// Runs it up to there; `log` is a file for `strace`.
    ///
    /// # Panics
    /// If it ends before.
    #[must_use]
    pub fn start(command: &Command, step: &Step, log: &Path) -> Self {
        let (call, at) = step;
        let mut traced = strace(&format!("trace={call}"));
        traced.args(["-e", &format!("inject={call}:signal=STOP:when={at}")]);
        traced.arg("-o").arg(log);
        let mut tracer = with(traced, command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: install strace, or run `scripts/packages test`"));
        let mut patience = Patience::new(fm_lab::PATIENCE);
        loop {
            let said = fs::read_to_string(log).unwrap_or_default();
            // with -f each line starts with the thread's number
            let stopped = said.lines().find(|line| line.contains("stopped by SIGSTOP"));
            if let Some(pid) = stopped.and_then(|line| line.split_ascii_whitespace().next()) {
                return Self {
                    tracer,
                    pid: pid.to_owned(),
                };
            }
            assert!(
                tracer.try_wait().unwrap().is_none(),
                "{step:?} never came: {said}"
            );
            patience.rest(|| format!("{step:?} never came: {said}"));
        }
    }

    /// Lets it go on to its end.
    ///
    /// # Panics
    /// If it cannot be waited for.
    #[must_use]
    pub fn finish(self) -> Output {
        let done = Command::new("kill").args(["-CONT", &self.pid]).status().unwrap();
        assert!(done.success(), "it is gone");
        self.tracer.wait_with_output().unwrap()
    }
}

/// The changes that a command makes, in the order of their kinds.
///
/// # Panics
/// If `strace` cannot be run, with what to install.
#[must_use]
pub fn changes(command: &Command) -> (Output, Vec<Step>) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut traced = strace(&format!("trace={}", CHANGES.join(",")));
    traced.arg("-o").arg(log.path());
    let output = with(traced, command)
        .output()
        .unwrap_or_else(|error| panic!("{error}: install strace, or run `scripts/packages test`"));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in fs::read_to_string(log.path()).unwrap().lines() {
        // with -f each line starts with the thread's number
        let call = line.split_ascii_whitespace().nth(1).unwrap_or_default();
        if let Some((name, _)) = call.split_once('(') {
            *counts.entry(name.to_owned()).or_default() += 1;
        }
    }
    let steps = counts
        .into_iter()
        .flat_map(|(call, count)| (1..=count).map(move |at| (call.clone(), at)));
    (output, steps.collect())
}

fn strace(trace: &str) -> Command {
    let mut command = Command::new("strace");
    // without --seccomp-bpf, where a stop is none at which a signal is delivered
    command.args(["-f", "-qq", "-e", trace]);
    command
}

fn with(mut outer: Command, inner: &Command) -> Command {
    outer.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(folder) = inner.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}

/// Some of the steps, all of them in a long run (`FLASHMOOR_SOAK`): evenly spread, each kind of call at least once.
#[must_use]
pub fn some(steps: &[Step], count: usize) -> Vec<Step> {
    if std::env::var_os("FLASHMOOR_SOAK").is_some() || steps.len() <= count {
        return steps.to_vec();
    }
    let stride = steps.len().div_ceil(count);
    let of_each = |(at, step): &(usize, &Step)| at % stride == 0 || step.1 == 1;
    let chosen = steps.iter().enumerate().filter(of_each);
    chosen.map(|(_, step)| step.clone()).collect()
}

/// The same command by a clock on the wall that is `days` ahead, or behind if negative. What the kernel writes, such as
/// the times of files, stays true, as it does from before a clock was set; durations pass as ever.
///
/// # Panics
/// If libfaketime is not installed, with what to do.
#[must_use]
pub fn by_clock(mut command: Command, days: i32) -> Command {
    command
        .env("LD_PRELOAD", libfaketime())
        .env("FAKETIME", format!("{days:+}d"))
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
    command
}

/// The same command by clocks, that of durations as well, which run ahead by what [`set_ahead`] wrote into `file`.
///
/// # Panics
/// If libfaketime is not installed, with what to do.
#[must_use]
pub fn by_clock_in(mut command: Command, file: &Path) -> Command {
    command
        .env("LD_PRELOAD", libfaketime())
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_CACHE_DURATION", "1")
        .env("NO_FAKE_STAT", "1");
    command
}

/// Lets the clocks of those who read `file` run ahead by so many days from now on.
///
/// # Panics
/// If it cannot be written.
pub fn set_ahead(file: &Path, days: u32) {
    let new = file.with_extension("new");
    fs::write(&new, format!("+{days}d\n")).unwrap();
    fs::rename(new, file).unwrap();
}

fn libfaketime() -> PathBuf {
    // The one for programs with threads.
    let library = PathBuf::from(format!(
        "/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1",
        std::env::consts::ARCH
    ));
    assert!(
        library.is_file(),
        "{} is not there: install libfaketime, or run `scripts/packages test`",
        library.display()
    );
    library
}
