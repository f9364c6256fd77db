//! What a backup holds, in which order backups stand, and which files are none.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;
use crate::fault::{Fault, trace, with};

/// A folder with one file in it.
struct Case {
    folder: tempfile::TempDir,
    place: Place,
    old: File,
}

impl Case {
    fn new(content: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vars.fd");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        Self {
            place: Place::at(&path).unwrap(),
            old: File::open(&path).unwrap(),
            folder,
        }
    }

    fn uid(&self) -> u32 {
        self.old.metadata().unwrap().uid()
    }

    fn make(&self) -> OsString {
        make(&self.place, &self.old).unwrap()
    }

    fn plant(&self, time: &str) -> OsString {
        let name = OsString::from(format!("vars.fd{MARK}{time}"));
        fs::write(self.folder.path().join(&name), time).unwrap();
        name
    }

    fn list(&self) -> Vec<OsString> {
        list(&self.place, Some(self.uid())).unwrap()
    }
}

/// The number of the first step of a kind that [`make`] takes.
fn step_of_make(operation: &str) -> usize {
    let case = Case::new("x");
    let (_, steps) = trace(|| case.make());
    steps.iter().position(|step| step.0 == operation).unwrap()
}

#[test]
fn a_backup_is_the_old_file_under_a_second_name() {
    let case = Case::new("old");
    let name = case.make();
    let backup = fs::metadata(case.folder.path().join(&name)).unwrap();
    assert_eq!(backup.ino(), case.old.metadata().unwrap().ino());
    assert_eq!(case.list(), [name]);
}

#[test]
fn where_no_link_can_be_made_the_open_file_is_copied_and_not_what_took_its_place() {
    let case = Case::new("old");
    let secret = case.folder.path().join("secret");
    fs::write(&secret, "of root alone").unwrap();
    fs::remove_file(case.place.path()).unwrap();
    symlink(&secret, case.place.path()).unwrap();
    let name = with(Fault::Full, step_of_make("link"), || case.make());
    let backup = case.folder.path().join(name);
    assert_eq!(fs::read(&backup).unwrap(), b"old");
    let (backup, old) = (fs::metadata(backup).unwrap(), case.old.metadata().unwrap());
    assert_eq!(
        (backup.mode(), backup.uid(), backup.gid()),
        (old.mode(), old.uid(), old.gid())
    );
    assert_ne!(backup.ino(), old.ino());
}

#[test]
fn a_file_that_took_the_place_of_the_open_one_is_not_kept_as_its_backup() {
    let case = Case::new("old");
    fs::rename(case.place.path(), case.folder.path().join("aside")).unwrap();
    fs::write(case.place.path(), "another's").unwrap();
    let name = case.make();
    assert_eq!(fs::read(case.folder.path().join(name)).unwrap(), b"old");
}

#[test]
fn when_the_clock_was_set_back_the_backup_just_made_is_still_the_newest() {
    let case = Case::new("old");
    let future = case.plant("29990101T000000.000000Z");
    let first = case.make();
    let second = case.make();
    assert!(first.to_str().unwrap().ends_with("Z.1"), "{first:?}");
    assert_eq!(case.list(), [future, first, second]);
}

#[test]
fn the_oldest_the_newest_and_the_one_just_made_are_kept() {
    let case = Case::new("old");
    let planted: Vec<_> = (10..30)
        .map(|year| case.plant(&format!("29{year}0101T000000.000000Z")))
        .collect();
    let made = case.make();
    prune(&case.place, case.uid(), &made);
    let kept = case.list();
    assert_eq!(kept.len(), 1 + NEWEST_KEPT);
    assert_eq!((&kept[0], kept.last()), (&planted[0], Some(&made)));
    // Even where somebody's names make it look old.
    prune(&case.place, case.uid(), &planted[13]);
    assert!(case.list().contains(&planted[13]));
}

#[test]
fn links_folders_and_files_of_others_are_no_backups() {
    let case = Case::new("old");
    let secret = case.folder.path().join("secret");
    fs::write(&secret, "of root alone").unwrap();
    let link = format!("vars.fd{MARK}99990101T000000.000000Z");
    symlink(&secret, case.folder.path().join(&link)).unwrap();
    fs::create_dir(
        case.folder
            .path()
            .join(format!("vars.fd{MARK}99980101T000000.000000Z")),
    )
    .unwrap();
    let of_another = case.plant("99970101T000000.000000Z");
    let path = case.folder.path().join(&of_another);
    let is_given_away = std::os::unix::fs::chown(path, Some(65_534), None).is_ok();
    assert_eq!(case.list().is_empty(), is_given_away);
    assert!(open(&case.place, OsStr::new(&link), Some(case.uid())).is_err());
    if is_given_away {
        let error = open(&case.place, &of_another, Some(case.uid())).unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
    }
    let made = case.make();
    assert!(open(&case.place, &made, Some(case.uid())).is_ok());
}
