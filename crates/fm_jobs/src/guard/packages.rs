//! What a package manager says it is about to do, and which files belong to its packages.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// apt's list is some hundred bytes a package, after its configuration of some 50 KiB.
const LIST_LIMIT_BYTES: u64 = 16 << 20;

/// The packages that apt is about to install or remove, read from what it gives a hook of
/// `DPkg::Pre-Install-Pkgs` in version 2 or 3 (apt.conf(5)): a line with the version, configuration, an empty
/// line, then a line a package that starts with its name. Nothing if it says something else.
pub fn read_apt(from: impl Read) -> Option<Vec<String>> {
    let mut bytes = Vec::new();
    from.take(LIST_LIMIT_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, list) = text.split_once("\n\n")?;
    if !head.starts_with("VERSION ") {
        return None;
    }
    Some(
        list.lines()
            .filter_map(|line| line.split(' ').next())
            .filter(|name| is_name(name))
            .map(str::to_owned)
            .collect(),
    )
}

/// Every file of these packages as dpkg installed them below `root`, without links on the way.
pub(super) fn files(root: &Path, packages: &[String]) -> BTreeSet<PathBuf> {
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
        let installed = list.lines().map(|line| root.join(line.trim_start_matches('/')));
        files.extend(installed.map(|path| path.canonicalize().unwrap_or(path)));
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
        assert_eq!(read_apt(said.as_bytes()).unwrap(), ["ovmf", "libstdc++6"]);
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
            Vec::<String>::new()
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
        let found = files(root.path(), &["ovmf".into(), "seabios".into()]);
        assert!(found.contains(&root.path().join("usr/share/OVMF/OVMF_CODE_4M.fd")));
        assert!(found.contains(&root.path().join("usr/share/seabios/bios.bin")));
        assert!(!found.iter().any(|path| path.ends_with("OVMF32_CODE_4M.fd")));
    }
}
