//! Flash images in qcow2, as Fedora and RHEL ship them: unpacked by `qemu-img` from a private copy.
//!
//! A qcow2 header may name other files (a backing file, an external data file) that `qemu-img` would open
//! for whoever made the image. Such images are refused before the program sees them, and it sees only the
//! copy that was checked.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use fm_api::v1::inspect::ImageFormat;
use fm_formats::image::MAX_FLASH_BYTES;
use fm_stream::qcow2::Header;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::input::{self, Flash};
use crate::{Error, Result};

/// As much as flash can be, and what an image of that has around it.
const MAX_BYTES: u64 = MAX_FLASH_BYTES + (32 << 20);

/// A real image takes some hundredths of a second.
const MAX_CPU_SECONDS: u64 = 10;
/// What it may have of its own: tables of an image of that size, and room.
const MAX_MEMORY_BYTES: u64 = 1 << 30;

/// Exit statuses of `qemu-img check`: nothing wrong, and clusters that nothing refers to (QEMU
/// `docs/tools/qemu-img.rst`).
const CHECK_SOUND: i32 = 0;
const CHECK_LEAKS: i32 = 3;

pub(super) fn flash(path: &Path) -> Result<Flash> {
    let mut plain = unpack(&input::open(path)?, path)?;
    let mut raw = Vec::new();
    plain
        .read_to_end(&mut raw)
        .map_err(|source| Error::file("read", path, source))?;
    Ok(Flash::from_bytes(&raw, ImageFormat::Qcow2))
}

/// What the image in `file` unpacks to, as a file in memory; `path` is what errors call it.
///
/// # Errors
/// If it cannot be read, is no image that is opened here, or `qemu-img` is missing or fails.
pub fn unpack(file: &File, path: &Path) -> Result<File> {
    let failed = |source| Error::file("read", path, source);
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if let Some(why) = unfit(&bytes) {
        return Err(Error::NotFirmware {
            path: path.to_owned(),
            why: why.into(),
        });
    }
    let packed = memory_file(&bytes).map_err(failed)?;
    let is_dirty = Header::parse(&bytes).is_ok_and(|header| header.is_dirty());
    drop(bytes);
    let mut plain = memory_file(&[]).map_err(failed)?;
    let path_of = |file: &File| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let run = |words: &[&str]| {
        run_within(Command::new("qemu-img").args(words), MAX_CPU_SECONDS).map_err(|source| Error::Program {
            program: "qemu-img".into(),
            path: path.to_owned(),
            source,
        })
    };
    let refused = |why: String| Error::NotFirmware {
        path: path.to_owned(),
        why: why.into(),
    };
    // Clusters behind the end of a file that was cut read as zeros, and nobody says so. Of an image with lazy
    // reference counts that is in use, the check could say nothing that is true.
    if !is_dirty {
        let checked = run(&["check", "-q", "-f", "qcow2", &path_of(&packed)])?;
        if checked.status.code().is_none() {
            return Err(refused(format!(
                "it is a qcow2 image that keeps qemu-img busy for more than {MAX_CPU_SECONDS} s, or was made to harm it"
            )));
        }
        if !matches!(checked.status.code(), Some(CHECK_SOUND | CHECK_LEAKS)) {
            let said = String::from_utf8_lossy(&checked.stderr);
            let first = said.lines().find(|line| !line.trim().is_empty());
            let first = first.unwrap_or("no reason given").trim();
            return Err(refused(format!(
                "it is a damaged qcow2 image, cut short perhaps; qemu-img check: {first}"
            )));
        }
    }
    let run = run(&[
        "convert",
        "-f",
        "qcow2",
        "-O",
        "raw",
        &path_of(&packed),
        &path_of(&plain),
    ])?;
    if !run.status.success() {
        let said = String::from_utf8_lossy(&run.stderr);
        return Err(refused(format!("qemu-img cannot unpack it: {}", said.trim())));
    }
    plain.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok(plain)
}

/// Runs a program for at most so long on a processor, after which the kernel ends it. It waits for nothing, since all
/// that it opens is in memory.
fn run_within(command: &mut Command, cpu_seconds: u64) -> std::io::Result<Output> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn()?;
    let limit = |value| Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    // It may have ended already.
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let _ = prlimit(pid, Resource::Cpu, limit(cpu_seconds));
    let _ = prlimit(pid, Resource::Data, limit(MAX_MEMORY_BYTES));
    child.wait_with_output()
}

fn memory_file(bytes: &[u8]) -> std::io::Result<File> {
    let file = rustix::fs::memfd_create("flashmoor", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    Ok(file)
}

/// Why the image is not given to `qemu-img`; nothing if it is.
fn unfit(bytes: &[u8]) -> Option<&'static str> {
    let Ok(header) = Header::parse(bytes) else {
        return Some("its qcow2 header is cut short");
    };
    if bytes.len() as u64 > MAX_BYTES || header.size_bytes > MAX_FLASH_BYTES {
        Some("it is a qcow2 image larger than flash can be")
    } else if header.backing_file_offset != 0 {
        Some("it is a qcow2 image with a backing file, which flash never has and which is not opened")
    } else if header.encryption != 0 {
        Some("it is an encrypted qcow2 image")
    } else if header.is_corrupt() {
        Some(
            "it is a qcow2 image that is marked as corrupt, which QEMU does not open to write before `qemu-img check -r all`",
        )
    } else if header.has_external_data() {
        Some("it is a qcow2 image with an external data file, which is not opened")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u32) -> Vec<u8> {
        let mut bytes = vec![0; 104];
        bytes[..4].copy_from_slice(b"QFI\xfb");
        bytes[4..8].copy_from_slice(&version.to_be_bytes());
        bytes[24..32].copy_from_slice(&0x37_c000u64.to_be_bytes());
        bytes
    }

    #[test]
    fn a_program_that_is_kept_busy_is_ended() {
        let busy = run_within(Command::new("sh").args(["-c", "while :; do :; done"]), 1).unwrap();
        assert_eq!(busy.status.code(), None);
        let done = run_within(Command::new("sh").args(["-c", "echo said"]), 1).unwrap();
        assert_eq!(done.stdout, b"said\n");
    }

    #[test]
    fn images_that_would_open_other_files_are_refused() {
        assert_eq!(unfit(&header(3)), None);
        assert_eq!(unfit(&header(2)), None);
        let mut backing = header(3);
        backing[15] = 1;
        assert!(unfit(&backing).unwrap().contains("backing file"));
        let mut external = header(3);
        external[79] = 4;
        assert!(unfit(&external).unwrap().contains("external data file"));
        let mut corrupt = header(3);
        corrupt[79] = 2;
        assert!(unfit(&corrupt).unwrap().contains("marked as corrupt"));
        let mut large = header(3);
        large[26] = 1;
        assert!(unfit(&large).unwrap().contains("larger"));
        for len in 0..36 {
            assert!(unfit(&header(3)[..len]).is_some());
        }
    }
}
