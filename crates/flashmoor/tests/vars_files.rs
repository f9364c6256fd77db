//! What `flashmoor vars` does to files: whose they stay, how many backups, full disks, folders that it may not
//! write to.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flashmoor");
const STORE: &str = "bookworm/OVMF_VARS_4M.ms.fd";

fn set(file: &Path, number: u8) -> Output {
    Command::new(PROGRAM)
        .args(["vars", "set"])
        .arg(file)
        .args(["Timeout", "--hex", &format!("{number:02x}00")])
        .output()
        .unwrap()
}

fn timeout(file: &Path) -> String {
    let output = Command::new(PROGRAM)
        .args(["vars", "get"])
        .arg(file)
        .arg("Timeout")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A folder with a copy of a store in it.
fn case() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vars.fd");
    fs::write(&file, fm_fixtures::bytes(STORE)).unwrap();
    (folder, file)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn owner_mode_and_extended_attributes_stay_with_the_name() {
    // Not in /tmp, which may be a file system without such attributes.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.path().join("vars.fd");
    fs::write(&file, fm_fixtures::bytes(STORE)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
    let label = "user.flashmoor.test";
    rustix::fs::setxattr(&file, label, b"kept", rustix::fs::XattrFlags::empty()).unwrap();
    // Only root may give a file away; anybody else's file stays their own.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(12345), Some(23456)).unwrap();
    }
    let before = fs::metadata(&file).unwrap();
    assert!(set(&file, 5).status.success());
    let after = fs::metadata(&file).unwrap();
    assert_ne!(before.ino(), after.ino(), "written in place");
    assert_eq!(
        (before.uid(), before.gid(), before.mode()),
        (after.uid(), after.gid(), after.mode())
    );
    let mut value = [0; 16];
    let len = rustix::fs::getxattr(&file, label, &mut value).unwrap();
    assert_eq!(&value[..len], b"kept");
}

#[test]
fn a_symbolic_link_stays_and_what_it_points_to_is_replaced() {
    let (folder, file) = case();
    let link = folder.path().join("link.fd");
    std::os::unix::fs::symlink("vars.fd", &link).unwrap();
    assert!(set(&link, 7).status.success());
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("vars.fd"));
    assert_eq!(timeout(&file), "0700");
}

#[test]
fn of_many_backups_the_oldest_and_the_nine_newest_are_kept() {
    let (folder, file) = case();
    let first = fs::read(&file).unwrap();
    for number in 1..=14 {
        let output = set(&file, number);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let backups: Vec<_> = names(folder.path())
        .into_iter()
        .filter(|name| name.starts_with("vars.fd.flashmoor-backup-"))
        .collect();
    let held: Vec<_> = backups
        .iter()
        .map(|name| timeout(&folder.path().join(name)))
        .collect();
    let wanted: Vec<_> = [0]
        .into_iter()
        .chain(5..=13)
        .map(|number| format!("{number:02x}00"))
        .collect();
    assert_eq!(held, wanted);
    assert_eq!(fs::read(folder.path().join(&backups[0])).unwrap(), first);
}

#[test]
fn what_a_killed_process_left_behind_is_gone_after_the_next_change() {
    let (folder, file) = case();
    let litter = folder.path().join(".vars.fd.flashmoor-new-999999");
    fs::write(&litter, "half a store").unwrap();
    assert!(set(&file, 3).status.success());
    assert!(!litter.exists(), "{:?}", names(folder.path()));
}

/// Runs `script` where it may mount, with the store as `$1`, an empty folder as `$2` and the program as `$3`.
fn mounting(file: &Path, folder: &Path, script: &str) -> Output {
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-euc", script, "sh"])
        .args([file, folder, Path::new(PROGRAM)])
        .output()
        .unwrap()
}

#[test]
fn a_full_disk_leaves_the_old_store_and_no_litter() {
    let (folder, file) = case();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    // Room for the store, and not for a second one.
    let output = mounting(
        &file,
        &disk,
        r#"mount -t tmpfs -o size=900k none "$2"; cp "$1" "$2/vars.fd"; cd "$2"
           "$3" vars set vars.fd Timeout --hex 0500 && exit 9
           cmp "$1" vars.fd; test "$(ls -A)" = vars.fd
           "$3" vars convert vars.fd --layout armvirt -o other.fd && exit 9
           test "$(ls -A)" = vars.fd"#,
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert_eq!(said.matches("No space left on device").count(), 2, "{said}");
    assert!(said.contains("make room") && said.contains("as it was"), "{said}");
}

#[test]
fn a_read_only_folder_is_a_clear_error() {
    let (folder, file) = case();
    let output = mounting(
        &file,
        folder.path(),
        r#"mount --bind "$2" "$2"; mount -o remount,bind,ro "$2"; cd "$2"
           "$3" vars set vars.fd Timeout --hex 0500 && exit 9
           "$3" vars list vars.fd >/dev/null"#,
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(said.contains("copy the file elsewhere"), "{said}");
    assert_eq!(names(folder.path()), ["vars.fd"]);
}

/// Where /proc does not show the guest's process, as without root another user's, its locks do. They are locks
/// of an open file, which have no pid.
#[test]
fn a_file_that_an_unseen_qemu_has_open_is_refused_by_its_locks() {
    let (folder, file) = case();
    let code = fm_fixtures::path("bookworm/OVMF_CODE_4M.fd");
    let machine = fm_lab::Machine::new(fm_lab::Arch::X86_64, &code, &file);
    let guest = fm_lab::Guest::start(&machine, &folder.path().join("run")).unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"])
        .args([PROGRAM, "vars", "set"])
        .arg(&file)
        .args(["Timeout", "--hex", "0500"])
        .output()
        .unwrap();
    guest.kill();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("holds QEMU's image lock") && said.contains("shut the guest down"),
        "{said}"
    );
    assert!(!said.contains("pid"), "{said}");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "{:?}",
        names(folder.path())
    );
}
