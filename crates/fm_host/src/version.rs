//! Which QEMU a process runs, read from the program that it runs and not from the file of that name.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Mutex;

use fm_formats::qemu::QemuVersion;
use memchr::memmem;

use crate::{Error, process::Process};

/// What `qemu-system-* --version` prints, as it stands in the program's text (QEMU `system/vl.c`,
/// `version`).
const MARK: &[u8] = b"QEMU emulator version ";
/// QEMU's largest builds are below 100 MB.
const MAX_PROGRAM_BYTES: u64 = 512 << 20;
const CHUNK_BYTES: usize = 1 << 20;
/// The longest version text that is believed, with the distribution's own part.
const MAX_TEXT_BYTES: usize = 200;

/// Which QEMU a program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuRelease {
    /// As QEMU prints it: `7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)`.
    pub text: String,
    /// Its numbers; the machine types of a release bear the first two.
    pub version: QemuVersion,
}

impl QemuRelease {
    /// The release in a text such as `7.2.22 (Debian …)`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self {
            version: text.parse().ok()?,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for QemuRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A program, whatever its path: device, inode, size and last change.
type Identity = (u64, u64, u64, i64, i64);

/// Versions found in this run: fifty guests share one program.
static KNOWN: Mutex<Vec<(Identity, Option<QemuRelease>)>> = Mutex::new(Vec::new());

/// The version of the program that `process` runs, or nothing if it is no QEMU.
///
/// # Errors
/// The kernel's answer where the program may not be opened or read.
pub(crate) fn of(process: &Process) -> Result<Option<QemuRelease>, Error> {
    let error = |source| Error::proc(process.pid(), "the program", source);
    let program = process.open_exe()?;
    let status = program.metadata().map_err(error)?;
    let identity = (
        status.dev(),
        status.ino(),
        status.size(),
        status.mtime_nsec(),
        status.ctime_nsec(),
    );
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, version)) = known.iter().find(|(seen, _)| *seen == identity) {
        return Ok(version.clone());
    }
    let version = scan(&program).map_err(error)?;
    known.push((identity, version.clone()));
    Ok(version)
}

/// Looks for the version text chunk by chunk, so that a huge file costs no memory.
fn scan(program: &File) -> std::io::Result<Option<QemuRelease>> {
    let finder = memmem::Finder::new(MARK);
    let overlap = MARK.len().saturating_add(MAX_TEXT_BYTES);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut offset = 0u64;
    while offset < MAX_PROGRAM_BYTES {
        let read = program.read_at(&mut chunk, offset)?;
        let bytes = chunk.get(..read).unwrap_or_default();
        for found in finder.find_iter(bytes) {
            let text = bytes.get(found.saturating_add(MARK.len())..).unwrap_or_default();
            let text = text.get(..MAX_TEXT_BYTES).unwrap_or(text);
            let end = text.iter().position(|byte| matches!(byte, b'\n' | 0));
            let version = end
                .and_then(|end| std::str::from_utf8(text.get(..end)?).ok())
                .and_then(QemuRelease::parse);
            if version.is_some() {
                return Ok(version);
            }
        }
        if read <= overlap {
            return Ok(None);
        }
        offset = offset.saturating_add(read.saturating_sub(overlap) as u64);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn scanned(bytes: &[u8]) -> Option<QemuRelease> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        scan(&file).unwrap()
    }

    #[test]
    fn versions_of_distributions_and_of_developers_are_read() {
        for (text, numbers) in [
            ("7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)", (7, 2, 22)),
            ("10.0.2", (10, 0, 2)),
            ("9.1.0 (qemu-kvm-9.1.0-15.el9)", (9, 1, 0)),
            ("10.1.50-dirty", (10, 1, 50)),
            ("11.0", (11, 0, 0)),
        ] {
            let release = QemuRelease::parse(text).unwrap();
            let (major, minor, micro) = numbers;
            assert_eq!(release.version, QemuVersion::new(major, minor, micro));
        }
        assert_eq!(QemuRelease::parse("%s"), None);
    }

    #[test]
    fn a_version_across_two_chunks_is_found_and_a_format_string_is_not_one() {
        let mut program = vec![b'.'; CHUNK_BYTES - 10];
        program.splice(0..30, *b"QEMU emulator version %s\n......");
        program.extend_from_slice(b"QEMU emulator version 7.2.22 (Debian)\nCopyright\0");
        program.extend(vec![0; 4096]);
        assert_eq!(scanned(&program).unwrap().text, "7.2.22 (Debian)");
    }

    #[test]
    fn a_program_without_a_version_is_no_qemu() {
        assert_eq!(scanned(b""), None);
        assert_eq!(scanned(&vec![7; 3 * CHUNK_BYTES]), None);
        assert_eq!(scanned(b"QEMU emulator version 7.2 without an end"), None);
    }
}
