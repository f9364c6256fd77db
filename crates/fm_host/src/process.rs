//! One process as /proc shows it: what it is, told apart from a later one of the same pid, and its files.

mod maps;
mod rights;
mod root;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::Error;

pub use maps::Mapping;
pub use rights::Rights;
pub(crate) use root::Identity;
pub use root::Root;

/// The longest command line that is read; the kernel's own default limit is 2 MiB for all arguments.
const MAX_CMDLINE_BYTES: u64 = 8 << 20;
/// How often an empty one is read again, and after how long: far more than a process needs to become another program,
/// and little for one that emptied its own.
const EMPTY_TRIES: usize = 20;
const EMPTY_PAUSE: Duration = Duration::from_millis(1);
/// The largest list of mappings that is read: more than the kernel's default of 65,530 mappings needs.
const MAX_MAPS_BYTES: u64 = 32 << 20;
/// `smaps` says about twenty times as much of each.
const MAX_SMAPS_BYTES: u64 = 20 * MAX_MAPS_BYTES;
/// How many open files of one process are looked at.
const MAX_FD_COUNT: usize = 65_536;

/// A process, known by its pid and the moment it started: a pid alone may be another process tomorrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pid: u32,
    start_ticks: u64,
    dir: PathBuf,
}

/// An open file of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// The descriptor's number.
    pub fd: u32,
    /// What the kernel calls it: a path (as the process's mount namespace sees it), `socket:[…]`, …
    pub target: PathBuf,
    /// Whether the path no longer names this file.
    pub deleted: bool,
}

impl Process {
    /// The process `pid` of the process table at `proc_dir` (`/proc`).
    ///
    /// # Errors
    /// [`Error::Gone`] if there is none; otherwise what the kernel said.
    pub fn open(proc_dir: &Path, pid: u32) -> Result<Self, Error> {
        let dir = proc_dir.join(pid.to_string());
        let start_ticks = start_ticks(&dir, pid)?;
        Ok(Self {
            pid,
            start_ticks,
            dir,
        })
    }

    /// The pids in the process table at `proc_dir`, ascending.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be listed.
    pub fn pids(proc_dir: &Path) -> Result<Vec<u32>, Error> {
        let file_error = |source| Error::File {
            path: proc_dir.to_owned(),
            source,
        };
        let mut pids: Vec<u32> = fs::read_dir(proc_dir)
            .map_err(file_error)?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        pids.sort_unstable();
        Ok(pids)
    }

    /// Its pid.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// When it started, in clock ticks since the host booted. With the pid it names the process for good.
    #[must_use]
    pub const fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// Processor time that all its threads have used, in clock ticks.
    ///
    /// # Errors
    /// [`Error::Gone`] if it has ended.
    pub fn used_ticks(&self) -> Result<u64, Error> {
        let [user, system] = stat_fields(&self.dir, self.pid, [14, 15])?;
        Ok(user.saturating_add(system))
    }

    /// Its folder under /proc.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether this very process still exists.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        start_ticks(&self.dir, self.pid).is_ok_and(|ticks| ticks == self.start_ticks)
    }

    /// The processor time that the vCPUs of a QEMU process took, in clock ticks. QEMU calls their threads `CPU 0/KVM`
    /// or `CPU 0/TCG`; where it was not told to name threads, all but the main one count.
    #[must_use]
    pub fn vcpu_ticks(&self) -> Option<u64> {
        let tasks = self.dir.join("task");
        let (mut named, mut all) = (None, None);
        for tid in Self::pids(&tasks).ok()? {
            // A thread may have ended meanwhile.
            let Ok(Some(bytes)) = read_bounded(&tasks.join(tid.to_string()).join("stat"), 8192) else {
                continue;
            };
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, fields)) = text.rsplit_once(')') else {
                continue;
            };
            // fields 14 and 15: in user mode and in the kernel
            let times = fields.split_ascii_whitespace().skip(11).take(2);
            let ticks: u64 = times.filter_map(|field| field.parse::<u64>().ok()).sum();
            if head
                .split_once('(')
                .is_some_and(|(_, name)| name.starts_with("CPU "))
            {
                *named.get_or_insert(0) += ticks;
            }
            if tid != self.pid {
                *all.get_or_insert(0) += ticks;
            }
        }
        named.or(all)
    }

    /// Whether it has a thread that its own pid namespace calls `tid`.
    #[must_use]
    pub fn has_thread(&self, tid: u64) -> bool {
        let tasks = self.dir.join("task");
        Self::pids(&tasks).is_ok_and(|tids| {
            tids.into_iter()
                .any(|here| own_number(&tasks.join(here.to_string()), here) == tid)
        })
    }

    /// Its arguments as the kernel has them, each with a NUL behind it; empty for a kernel thread or a zombie.
    ///
    /// # Errors
    /// The kernel's answer, or [`Error::Malformed`] if it is longer than any command line.
    pub fn command_line(&self) -> Result<Vec<u8>, Error> {
        let read = || self.read_bounded("cmdline", MAX_CMDLINE_BYTES, "the command line");
        settled(read, || self.has_memory())
    }

    /// Whether it has memory of its own: a kernel thread and a zombie have none.
    fn has_memory(&self) -> bool {
        let statm = self.read_bounded("statm", 256, "the size");
        statm.is_ok_and(|statm| !statm.starts_with(b"0 "))
    }

    /// Its arguments, the program's name first; empty for a kernel thread or a zombie.
    ///
    /// # Errors
    /// The kernel's answer, or [`Error::Malformed`] if it is longer than any command line.
    pub fn arguments(&self) -> Result<Vec<String>, Error> {
        let bytes = self.command_line()?;
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        Ok(bytes
            .split(|byte| *byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect())
    }

    /// The first 15 bytes of its name; everybody may read it, and the process may set it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn comm(&self) -> Result<String, Error> {
        let bytes = self.read_bounded("comm", 256, "the name")?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// The path of its program, without the kernel's remark that it was deleted.
    ///
    /// # Errors
    /// The kernel's answer; reading it needs the right to trace the process.
    pub fn exe(&self) -> Result<PathBuf, Error> {
        let link = fs::read_link(self.dir.join("exe"))
            .map_err(|source| Error::proc(self.pid, "the program", source))?;
        Ok(without_deleted(&link).0)
    }

    /// The program itself, even if its path now leads elsewhere.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn open_exe(&self) -> Result<File, Error> {
        File::open(self.dir.join("exe")).map_err(|source| Error::proc(self.pid, "the program", source))
    }

    /// Its memory, for reading with `read_at` at its own addresses. Nothing is stopped or changed by it.
    ///
    /// # Errors
    /// The kernel's answer; it needs the right to trace the process.
    pub fn open_memory(&self) -> Result<File, Error> {
        File::open(self.dir.join("mem")).map_err(|source| Error::proc(self.pid, "the memory", source))
    }

    /// The stretches of its memory whose pages may have to come from elsewhere yet, as in a postcopy migration: whoever
    /// reads one that has not come waits for it, however long that takes.
    ///
    /// # Errors
    /// The kernel's answer, or [`Error::Malformed`].
    pub fn awaited(&self) -> Result<Vec<Range<u64>>, Error> {
        let held = self.open_files()?;
        // Telling the stretches takes a walk through all of its memory.
        if !held
            .iter()
            .any(|file| file.target == Path::new("anon_inode:[userfaultfd]"))
        {
            return Ok(Vec::new());
        }
        let what = "the list of mappings";
        let bytes = self.read_bounded("smaps", MAX_SMAPS_BYTES, what)?;
        maps::parse_awaited(&bytes).map_err(|why| Error::Malformed {
            pid: self.pid,
            what,
            why,
        })
    }

    /// The list of its pages that are there, eight bytes each.
    ///
    /// # Errors
    /// The kernel's answer; it needs the right to trace the process.
    pub(crate) fn open_pages(&self) -> Result<File, Error> {
        File::open(self.dir.join("pagemap"))
            .map_err(|source| Error::proc(self.pid, "the list of pages", source))
    }

    /// What is mapped in its memory, ascending.
    ///
    /// # Errors
    /// The kernel's answer, or [`Error::Malformed`] with the line that is no mapping.
    pub fn mappings(&self) -> Result<Vec<Mapping>, Error> {
        let what = "the list of mappings";
        maps::untorn(
            || self.read_bounded("maps", MAX_MAPS_BYTES, what),
            |why| Error::Malformed {
                pid: self.pid,
                what,
                why,
            },
        )
    }

    /// Whose it is, and so what it may see.
    ///
    /// # Errors
    /// The kernel's answer, or [`Error::Malformed`].
    pub fn rights(&self) -> Result<Rights, Error> {
        let what = "the status";
        let bytes = self.read_bounded("status", 1 << 20, what)?;
        Rights::parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| Error::Malformed {
            pid: self.pid,
            what,
            why: "it names no user".to_owned(),
        })
    }

    /// The file system as it sees it, and no more of it than its user may see.
    ///
    /// # Errors
    /// The kernel's answer; it needs the right to trace the process.
    pub fn root(&self) -> io::Result<Root> {
        let rights = self.rights().map_err(io::Error::other)?;
        Root::open_dir(&self.dir.join("root"), rights)
    }

    /// The file system from the top of its mount namespace, as the kernel shows it the paths of open files.
    ///
    /// # Errors
    /// As [`Process::root`].
    pub fn top(&self) -> io::Result<Root> {
        self.root()?.top()
    }

    /// `path` made absolute with the process's working folder; unchanged where that cannot be read.
    #[must_use]
    pub fn absolute(&self, path: &Path) -> PathBuf {
        if path.is_absolute() {
            return path.to_owned();
        }
        match fs::read_link(self.dir.join("cwd")) {
            Ok(cwd) => without_deleted(&cwd).0.join(path),
            Err(_) => path.to_owned(),
        }
    }

    /// Its open files, ascending by number; at most 65,536.
    ///
    /// # Errors
    /// The kernel's answer; it needs the right to trace the process.
    pub fn open_files(&self) -> Result<Vec<OpenFile>, Error> {
        let dir = self.dir.join("fd");
        let entries = fs::read_dir(&dir).map_err(|source| Error::proc(self.pid, "the open files", source))?;
        let mut files: Vec<OpenFile> = entries
            .take(MAX_FD_COUNT)
            .filter_map(|entry| {
                let fd = entry.ok()?.file_name().to_str()?.parse().ok()?;
                let (target, deleted) = without_deleted(&fs::read_link(self.fd_path(fd)).ok()?);
                Some(OpenFile { fd, target, deleted })
            })
            .collect();
        files.sort_unstable_by_key(|file| file.fd);
        Ok(files)
    }

    /// The path that opens the process's descriptor `fd`, whatever became of the file's own path.
    #[must_use]
    pub fn fd_path(&self, fd: u32) -> PathBuf {
        self.dir.join("fd").join(fd.to_string())
    }

    /// Whether the process itself may read what it holds as `fd`. Anyone may hold the place of a file that he may not
    /// read (`O_PATH`), and what can only be written says nothing either.
    #[must_use]
    pub fn may_read(&self, fd: u32) -> bool {
        const ACCESS: u32 = 0o3;
        const WRITE_ONLY: u32 = 0o1;
        const PATH: u32 = 0o10_000_000;
        let info = read_bounded(&self.dir.join("fdinfo").join(fd.to_string()), 64 << 10);
        let Ok(Some(info)) = info else { return false };
        let info = String::from_utf8_lossy(&info);
        let mut lines = info.lines();
        let flags = lines.find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        flags.is_some_and(|flags| flags & PATH == 0 && flags & ACCESS != WRITE_ONLY)
    }

    fn read_bounded(&self, entry: &str, max_bytes: u64, what: &'static str) -> Result<Vec<u8>, Error> {
        let bytes = read_bounded(&self.dir.join(entry), max_bytes)
            .map_err(|source| Error::proc(self.pid, what, source))?;
        bytes.ok_or_else(|| Error::Malformed {
            pid: self.pid,
            what,
            why: format!("it is longer than {max_bytes} bytes"),
        })
    }
}

/// The command line that `read` gives, which is read again while it is empty though there is memory: a process that
/// just became another program has the new one's memory for a moment before it has its arguments.
fn settled<E>(
    mut read: impl FnMut() -> Result<Vec<u8>, E>,
    has_memory: impl Fn() -> bool,
) -> Result<Vec<u8>, E> {
    for _ in 0..EMPTY_TRIES {
        let bytes = read()?;
        if !bytes.is_empty() || !has_memory() {
            return Ok(bytes);
        }
        thread::sleep(EMPTY_PAUSE);
    }
    read()
}

/// The content of the file at `path`, or nothing if it is larger than `max_bytes`.
pub(crate) fn read_bounded(path: &Path, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    read_at_most(File::open(path)?, max_bytes)
}

/// The same for an open file.
pub(crate) fn read_at_most(file: File, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max_bytes).then_some(bytes))
}

/// What the thread's own pid namespace calls it: the last number of `NSpid` in `status` (proc(5)); `here` where that cannot
/// be read.
fn own_number(task: &Path, here: u32) -> u64 {
    let status = read_bounded(&task.join("status"), 64 << 10).ok().flatten();
    let numbers = status.and_then(|bytes| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        line.split_ascii_whitespace().next_back()?.parse().ok()
    });
    numbers.unwrap_or_else(|| here.into())
}

/// Field 22 of `stat`.
fn start_ticks(dir: &Path, pid: u32) -> Result<u64, Error> {
    let [start] = stat_fields(dir, pid, [22])?;
    Ok(start)
}

/// Numbers in `stat` (proc(5)), counted from the name's closing parenthesis since the name may hold anything.
/// A zombie counts as ended: it has no memory and no files any more.
fn stat_fields<const N: usize>(dir: &Path, pid: u32, wanted: [usize; N]) -> Result<[u64; N], Error> {
    let what = "the status";
    let malformed = |why: &str| Error::Malformed {
        pid,
        what,
        why: why.to_owned(),
    };
    let bytes = read_bounded(&dir.join("stat"), 8192)
        .map_err(|source| Error::proc(pid, what, source))?
        .ok_or_else(|| malformed("it is too long"))?;
    let text = String::from_utf8_lossy(&bytes);
    let (_, fields) = text
        .rsplit_once(')')
        .ok_or_else(|| malformed("it holds no name"))?;
    let mut fields = fields.split_ascii_whitespace();
    if matches!(fields.next(), Some("Z" | "X")) {
        return Err(Error::Gone { pid });
    }
    // The state was the third.
    let fields: Vec<Option<u64>> = fields.map(|field| field.parse().ok()).collect();
    let mut numbers = [0; N];
    for (number, field) in numbers.iter_mut().zip(wanted) {
        let found = field
            .checked_sub(4)
            .and_then(|at| fields.get(at).copied().flatten());
        *number = found.ok_or_else(|| malformed("it holds too few numbers"))?;
    }
    Ok(numbers)
}

fn without_deleted(link: &Path) -> (PathBuf, bool) {
    match link.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(path) => (PathBuf::from(path), true),
        None => (link.to_owned(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake(pid: u32, stat: &str, cmdline: &[u8]) -> tempfile::TempDir {
        let table = tempfile::tempdir().unwrap();
        let dir = table.path().join(pid.to_string());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("stat"), stat).unwrap();
        fs::write(dir.join("cmdline"), cmdline).unwrap();
        table
    }

    fn stat(name: &str, state: &str, start: u64) -> String {
        format!("7 ({name}) {state} 1 {} {start} 9", ["0"; 17].join(" "))
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_start_time() {
        let table = fake(7, &stat("a) S 1 2 (b", "S", 4711), b"");
        let process = Process::open(table.path(), 7).unwrap();
        assert_eq!(process.start_ticks(), 4711);
    }

    #[test]
    fn a_thread_is_known_by_the_number_that_its_own_namespace_gives_it() {
        let table = fake(7, &stat("qemu", "S", 1), b"");
        for (tid, status) in [
            ("7", "Name:\tqemu\nNSpid:\t7\t1\n"),
            ("9", "NSpid:\t9\t3\n"),
            ("11", ""),
        ] {
            let task = table.path().join("7/task").join(tid);
            fs::create_dir_all(&task).unwrap();
            fs::write(task.join("status"), status).unwrap();
        }
        let process = Process::open(table.path(), 7).unwrap();
        assert_eq!([1, 3, 11].map(|tid| process.has_thread(tid)), [true; 3]);
        assert_eq!([7, 9, 0, 2].map(|tid| process.has_thread(tid)), [false; 4]);
    }

    #[test]
    fn a_pid_taken_by_another_process_is_not_the_same_process() {
        let table = fake(7, &stat("qemu", "S", 1), b"");
        let process = Process::open(table.path(), 7).unwrap();
        assert!(process.is_alive());
        fs::write(table.path().join("7/stat"), stat("qemu", "S", 2)).unwrap();
        assert!(!process.is_alive());
    }

    #[test]
    fn a_zombie_has_ended() {
        let table = fake(7, &stat("qemu", "Z", 1), b"");
        assert!(matches!(
            Process::open(table.path(), 7),
            Err(Error::Gone { pid: 7 })
        ));
    }

    #[test]
    fn status_that_lies_is_refused_with_the_reason() {
        for lie in ["", "7 qemu", "7 (qemu)", "7 (qemu) S 1 2", "7 (q) S x x x"] {
            let table = fake(7, lie, b"");
            let error = Process::open(table.path(), 7).unwrap_err();
            assert!(error.to_string().contains("the status of process 7"), "{error}");
        }
    }

    #[test]
    fn arguments_keep_their_empty_ones_and_whatever_bytes_they_hold() {
        let table = fake(7, &stat("q", "S", 1), b"qemu\0-append\0\0-name\0b\xffd\0");
        let arguments = Process::open(table.path(), 7).unwrap().arguments().unwrap();
        assert_eq!(arguments, ["qemu", "-append", "", "-name", "b\u{fffd}d"]);
    }

    #[test]
    fn an_empty_command_line_is_read_again_if_there_is_memory() {
        let gives = |lines: &[&[u8]], memory: bool| {
            let mut lines = lines.iter();
            let line = settled(
                || Ok::<_, ()>(lines.next().unwrap_or(&&b""[..]).to_vec()),
                || memory,
            );
            (line.unwrap(), lines.len())
        };
        let starting: [&[u8]; 4] = [b"", b"", b"qemu\0", b"later\0"];
        assert_eq!(gives(&starting, true), (b"qemu\0".to_vec(), 1));
        assert_eq!(
            gives(&starting, false),
            (Vec::new(), 3),
            "a kernel thread's is empty"
        );
        assert_eq!(gives(&[], true), (Vec::new(), 0), "one that emptied its own");
    }

    #[test]
    fn a_kernel_thread_has_no_memory_and_a_program_has() {
        let own = Process::open(Path::new("/proc"), std::process::id()).unwrap();
        assert!(own.has_memory());
        let table = fake(7, &stat("kthreadd", "S", 1), b"");
        fs::write(table.path().join("7/statm"), "0 0 0 0 0 0 0\n").unwrap();
        assert!(!Process::open(table.path(), 7).unwrap().has_memory());
    }

    #[test]
    fn a_command_line_without_end_is_refused() {
        let table = fake(7, &stat("q", "S", 1), &vec![b'x'; 8 * 1024 * 1024 + 1]);
        let error = Process::open(table.path(), 7).unwrap().arguments().unwrap_err();
        assert!(error.to_string().contains("longer than 8388608 bytes"), "{error}");
    }

    #[test]
    fn a_missing_process_is_gone_and_not_a_fault() {
        let table = tempfile::tempdir().unwrap();
        assert!(matches!(
            Process::open(table.path(), 9),
            Err(Error::Gone { pid: 9 })
        ));
    }
}
