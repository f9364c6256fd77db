//! What a package manager says it is about to do, and which files belong to its packages.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// apt's list is some hundred bytes a package, after its configuration of some 50 KiB; dnf's list of files
/// is some 20 KiB a package.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// What is about to leave a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaving {
    /// Packages by name, whose files dpkg knows.
    Packages(Vec<String>),
    /// The files themselves.
    Files(Vec<PathBuf>),
}

/// The packages that apt is about to install or remove, read from what it gives a hook of
/// `DPkg::Pre-Install-Pkgs` in version 2 or 3 (apt.conf(5)): a line with the version, configuration, an empty
/// line, then a line a package that starts with its name. Nothing if it says something else.
pub fn read_apt(from: impl Read) -> Option<Leaving> {
    let bytes = read(from)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, list) = text.split_once("\n\n")?;
    if !head.starts_with("VERSION ") {
        return None;
    }
    let names = list
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| is_name(name))
        .map(str::to_owned);
    Some(Leaving::Packages(names.collect()))
}

/// The files that dnf is about to remove or replace, one a line. Nothing if there are more than can be read.
pub fn read_files(from: impl Read) -> Option<Leaving> {
    let bytes = read(from)?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Some(Leaving::Files(
        lines.map(|line| OsStr::from_bytes(line).into()).collect(),
    ))
}

fn read(from: impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = from.take(MAX_LIST_BYTES).read_to_end(&mut bytes).ok()?;
    ((read as u64) < MAX_LIST_BYTES).then_some(bytes)
}

/// Every file that leaves, below `root` and without links on the way.
pub(super) fn files(root: &Path, leaving: &Leaving) -> BTreeSet<PathBuf> {
    match leaving {
        Leaving::Packages(packages) => of_dpkg(root, packages),
        Leaving::Files(files) => files.iter().map(|file| below(root, file)).collect(),
    }
}

fn below(root: &Path, file: &Path) -> PathBuf {
    let path = root.join(file.strip_prefix("/").unwrap_or(file));
    path.canonicalize().unwrap_or(path)
}

fn of_dpkg(root: &Path, packages: &[String]) -> BTreeSet<PathBuf> {
    let info = root.join("var/lib/dpkg/info");
    let mut files = BTreeSet::new();
    let Ok(entries) = fs::read_dir(&info) else {
        return files;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        // `ovmf.list`, or `libc6:amd64.list` of a package that can be installed for several architectures.
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".list")) else {
            continue;
        };
        let package = stem.split(':').next().unwrap_or(stem);
        if !packages.iter().any(|name| name == package) {
            continue;
        }
        let list = fs::read_to_string(entry.path()).unwrap_or_default();
        files.extend(list.lines().map(|line| below(root, Path::new(line))));
    }
    files
}

/// A Debian package's name (deb-control(5)).
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_what_apt_really_says() {
        let said = "VERSION 3\nAPT::Architecture=amd64\nDir=/\n\n\
            ovmf 2022.11-6 all none < 2025.02-8 all none /var/cache/apt/archives/ovmf_2025.02-8_all.deb\n\
            libstdc++6 12.2.0 amd64 same < - - none **REMOVE**\n";
        assert_eq!(
            read_apt(said.as_bytes()).unwrap(),
            Leaving::Packages(vec!["ovmf".into(), "libstdc++6".into()])
        );
    }

    #[test]
    fn anything_else_is_not_taken_for_a_list() {
        for said in [
            "",
            "/var/cache/apt/archives/ovmf_1_all.deb\n",
            "VERSION 3\nDir=/\n",
            "\n\novmf\n",
        ] {
            assert_eq!(read_apt(said.as_bytes()), None, "{said:?}");
        }
        assert_eq!(
            read_apt("VERSION 3\n\n../../x y\n".as_bytes()).unwrap(),
            Leaving::Packages(Vec::new())
        );
    }

    #[test]
    fn files_are_those_of_the_packages_and_of_no_other() {
        let root = tempfile::tempdir().unwrap();
        let info = root.path().join("var/lib/dpkg/info");
        fs::create_dir_all(&info).unwrap();
        fs::write(info.join("ovmf.list"), "/.\n/usr/share/OVMF/OVMF_CODE_4M.fd\n").unwrap();
        fs::write(info.join("ovmf-ia32.list"), "/usr/share/OVMF/OVMF32_CODE_4M.fd\n").unwrap();
        fs::write(info.join("seabios:amd64.list"), "/usr/share/seabios/bios.bin\n").unwrap();
        let found = files(
            root.path(),
            &Leaving::Packages(vec!["ovmf".into(), "seabios".into()]),
        );
        assert!(found.contains(&root.path().join("usr/share/OVMF/OVMF_CODE_4M.fd")));
        assert!(found.contains(&root.path().join("usr/share/seabios/bios.bin")));
        assert!(!found.iter().any(|path| path.ends_with("OVMF32_CODE_4M.fd")));
    }

    #[test]
    fn files_that_are_named_one_a_line_are_those_below_the_root() {
        let leaving = read_files("/usr/share/edk2/CODE.fd\n\n/with blank/x\n".as_bytes()).unwrap();
        let found = files(Path::new("/nowhere"), &leaving);
        let expected = ["/nowhere/usr/share/edk2/CODE.fd", "/nowhere/with blank/x"];
        assert_eq!(found, expected.into_iter().map(PathBuf::from).collect());
        assert_eq!(read_files(std::io::repeat(b'a')), None, "endless");
    }
}
