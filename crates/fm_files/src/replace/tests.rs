//! What is in place after every attempt to replace a file, whoever meddles.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;
use crate::fault::{Fault, trace, with};

fn put(target: Replace, content: &str) -> Result<Option<PathBuf>> {
    target.replace(|file| file.write_all(content.as_bytes()), |_| Ok(()))
}

fn folder_with(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vars.fd");
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_replaced_file_keeps_its_mode_and_the_old_one_is_its_backup() {
    let (folder, path) = folder_with("old");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let backup = put(Replace::existing(&path, false).unwrap(), "new")
        .unwrap()
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read(backup).unwrap(), b"old");
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn a_file_that_is_made_is_its_owners_alone_whatever_the_umask() {
    let (folder, _) = folder_with("");
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    let path = folder.path().join("made");
    put(Replace::new(&path).unwrap(), "new").unwrap();
    rustix::process::umask(umask);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_folder_that_is_swapped_for_a_link_leads_to_no_other_file() {
    let base = tempfile::tempdir().unwrap();
    let [own, victim, aside] = ["own", "victim", "aside"].map(|name| base.path().join(name));
    for folder in [&own, &victim] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("vars.fd"), folder.to_str().unwrap()).unwrap();
    }
    let target = Replace::existing(&own.join("vars.fd"), false).unwrap();
    fs::rename(&own, &aside).unwrap();
    symlink(&victim, &own).unwrap();
    put(target, "new").unwrap();
    assert_eq!(fs::read(aside.join("vars.fd")).unwrap(), b"new");
    assert_eq!(
        fs::read(victim.join("vars.fd")).unwrap(),
        victim.to_str().unwrap().as_bytes()
    );
    assert_eq!(names(&victim), ["vars.fd"]);
}

#[test]
fn a_file_that_took_the_place_of_the_one_that_was_read_stays() {
    let (folder, path) = folder_with("old");
    let target = Replace::existing(&path, false).unwrap();
    let other = folder.path().join("other");
    let error = target
        .replace(
            |file| {
                fs::write(&other, "of libvirt")?;
                fs::rename(&other, &path)?;
                file.write_all(b"new")
            },
            |_| Ok::<_, Error>(()),
        )
        .unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"of libvirt");
}

#[test]
fn a_file_that_appeared_meanwhile_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vars.fd");
    let target = Replace::new(&path).unwrap();
    fs::write(&path, "of somebody").unwrap();
    assert!(matches!(put(target, "new"), Err(Error::Exists { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"of somebody");
    assert_eq!(names(folder.path()), ["vars.fd"]);
}

#[test]
fn what_is_no_file_is_not_replaced_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for path in [&fifo, folder.path()] {
        let error = Replace::existing(path, false).unwrap_err();
        assert!(matches!(error, Error::NotRegular { .. }), "{error}");
    }
}

#[test]
fn a_second_writer_is_told_to_wait() {
    let (_folder, path) = folder_with("old");
    let first = Replace::existing(&path, false).unwrap();
    assert!(matches!(Replace::existing(&path, false), Err(Error::Busy { .. })));
    put(first, "new").unwrap();
    assert!(Replace::existing(&path, false).is_ok());
}

#[test]
fn an_image_lock_that_is_taken_while_the_new_file_is_written_finds_ours() {
    let (_folder, path) = folder_with("old");
    let target = Replace::existing(&path, false).unwrap();
    let theirs = File::open(&path).unwrap();
    target
        .replace(
            |file| {
                assert!(in_use::image_lock(&theirs).is_some());
                file.write_all(b"new")
            },
            |_| Ok::<_, Error>(()),
        )
        .unwrap();
    assert_eq!(in_use::image_lock(&theirs), None);
}

#[test]
fn what_fails_verification_is_not_put_in_place() {
    let (folder, path) = folder_with("old");
    let target = Replace::existing(&path, false).unwrap();
    let done = target.replace(
        |file| file.write_all(b"new"),
        |file| {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "new");
            Err(Error::NotRegular { path: path.clone() })
        },
    );
    assert!(done.is_err());
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(folder.path()), ["vars.fd"]);
}

#[test]
fn a_fault_at_any_step_leaves_the_old_file_or_the_new_one_with_its_backup() {
    let (_folder, path) = folder_with("old");
    let (done, steps) = trace(|| put(Replace::existing(&path, false).unwrap(), "new"));
    done.unwrap();
    assert!(steps.len() > 4, "{steps:?}");
    for fault in [Fault::Full, Fault::Killed] {
        for (at, step) in steps.iter().enumerate() {
            let (folder, path) = folder_with("old");
            let done = with(fault, at, || {
                Replace::existing(&path, false).and_then(|target| put(target, "new"))
            });
            let context = format!("{fault:?} at {at}, {step:?}: {done:?}");
            let content = fs::read_to_string(&path).unwrap();
            if content == "new" {
                let backup = names(folder.path())
                    .into_iter()
                    .find(|name| name.contains(backup::MARK));
                let backup = folder.path().join(backup.expect(&context));
                assert_eq!(fs::read_to_string(backup).unwrap(), "old", "{context}");
            } else {
                assert_eq!(content, "old", "{context}");
                assert!(done.is_err(), "{context}");
            }
            put(Replace::existing(&path, false).unwrap(), "newer").unwrap();
            let left = names(folder.path());
            assert!(
                left.iter().all(|name| !name.contains(".flashmoor-new-")),
                "{context}: {left:?}"
            );
        }
    }
}
