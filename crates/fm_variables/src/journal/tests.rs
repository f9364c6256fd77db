//! Writes in place that are cut, refused or overtaken at each of their steps.

use fm_files::fault::{self, Fault};

use super::*;

const PAGE: usize = 4096;

/// A store, a file that plays the device, what it holds, and what it is to hold.
struct Bed {
    folder: tempfile::TempDir,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let old: Vec<u8> = (0..6 * PAGE + 512).map(|index| (index / 7) as u8).collect();
        let mut new = old[..5 * PAGE].to_vec();
        for page in [0, 2, 4] {
            new[page * PAGE + 100] ^= 0xff;
        }
        std::fs::write(folder.path().join("device"), &old).unwrap();
        Self { folder, old, new }
    }

    fn journal(&self) -> Journal {
        Journal::in_store(&self.folder.path().join("store"))
    }

    fn hold(&self) -> InPlace {
        InPlace::hold(&self.folder.path().join("device"), false).unwrap()
    }

    fn content(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("device")).unwrap()
    }

    fn rewrite(&self) -> Result<PathBuf, Error> {
        self.journal().rewrite(
            &self.hold(),
            &Rewrite {
                bytes: &self.new,
                backup_bytes: 6 * PAGE as u64,
                file_size_bytes: None,
            },
        )
    }

    fn expected(&self) -> Vec<u8> {
        let mut whole = self.old.clone();
        whole[..self.new.len()].copy_from_slice(&self.new);
        whole
    }
}

#[test]
fn a_write_is_verified_and_leaves_a_backup_that_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let bed = Bed::new();
    let backup = bed.rewrite().unwrap();
    assert_eq!(bed.content(), bed.expected());
    assert_eq!(std::fs::read(&backup).unwrap(), bed.old[..6 * PAGE]);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&backup), 0o600);
    assert_eq!(mode(&bed.folder.path().join("store/variables")), 0o700);
    assert_eq!(mode(backup.parent().unwrap()), 0o700);
    assert_eq!(bed.journal().pending().unwrap(), []);
}

#[test]
fn a_write_that_is_cut_at_any_step_leaves_the_old_or_the_new_bytes() {
    let (_, steps) = fault::trace(|| Bed::new().rewrite().unwrap());
    let mut pending = 0;
    for (at, step) in steps.iter().enumerate() {
        let bed = Bed::new();
        let _ = fault::with(Fault::Killed, at, || bed.rewrite());
        let was_pending = bed.journal().pending().unwrap().len();
        pending += was_pending;
        let settled = bed.journal().settle_held(&bed.hold()).unwrap();
        assert_eq!(
            matches!(settled, Settled::Finished { .. }),
            was_pending == 1,
            "{at}"
        );
        let content = bed.content();
        let whole = [&bed.old, &bed.expected()].contains(&&content);
        assert!(whole, "cut at step {at}, {step:?}");
        assert_eq!(bed.journal().pending().unwrap(), []);
        // And the next write goes through.
        bed.rewrite().unwrap();
        assert_eq!(bed.content(), bed.expected());
    }
    assert!(pending > 3, "{steps:?}");
}

#[test]
fn settling_that_is_cut_at_any_step_is_taken_up_again() {
    let half = || {
        let bed = Bed::new();
        let (_, steps) = fault::trace(|| Bed::new().rewrite().unwrap());
        let first = steps.iter().position(|(_, name)| name == "device").unwrap();
        let _ = fault::with(Fault::Killed, first + 1, || bed.rewrite());
        assert_ne!(bed.content(), bed.old);
        assert_ne!(bed.content(), bed.expected());
        bed
    };
    let settle = |bed: &Bed| bed.journal().settle_held(&bed.hold());
    let bed = half();
    let (_, steps) = fault::trace(|| settle(&bed).unwrap());
    for at in 0..steps.len() {
        let bed = half();
        let _ = fault::with(Fault::Killed, at, || settle(&bed));
        settle(&bed).unwrap();
        assert_eq!(bed.content(), bed.expected(), "{at}");
    }
}

#[test]
fn a_disk_that_refuses_one_write_leaves_what_was_there_and_no_backup() {
    let (_, steps) = fault::trace(|| Bed::new().rewrite().unwrap());
    for (at, (_, name)) in steps.iter().enumerate().filter(|(_, (_, name))| name == "device") {
        let bed = Bed::new();
        let error = fault::with(Fault::Full, at, || bed.rewrite()).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{name}: {error}");
        assert_eq!(bed.content(), bed.old);
        assert_eq!(bed.journal().pending().unwrap(), []);
    }
}

#[test]
fn what_somebody_else_wrote_since_is_left_alone_and_told() {
    let bed = Bed::new();
    let (_, steps) = fault::trace(|| Bed::new().rewrite().unwrap());
    let first = steps.iter().position(|(_, name)| name == "device").unwrap();
    let _ = fault::with(Fault::Killed, first + 1, || bed.rewrite());
    let mut theirs = bed.content();
    theirs[3 * PAGE + 5] ^= 1;
    std::fs::write(bed.folder.path().join("device"), &theirs).unwrap();
    let error = bed.journal().settle_held(&bed.hold()).unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    assert_eq!(bed.content(), theirs);
    assert_eq!(bed.journal().pending().unwrap().len(), 1);
}

#[test]
fn a_journal_that_others_may_write_to_is_not_believed() {
    use std::os::unix::fs::PermissionsExt as _;
    let bed = Bed::new();
    bed.rewrite().unwrap();
    let folder = bed.folder.path().join("store/variables");
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o770)).unwrap();
    let error = bed.journal().pending().unwrap_err();
    assert!(matches!(error, Error::OpenJournal { .. }), "{error}");
}

#[test]
fn a_file_that_grows_or_shrinks_is_whole_at_its_new_length_or_its_old_one() {
    let new = |len: usize| vec![9; len];
    for len in [PAGE / 2, 9 * PAGE + 3] {
        let rewrite = |bed: &Bed| {
            bed.journal().rewrite(
                &bed.hold(),
                &Rewrite {
                    bytes: &new(len),
                    backup_bytes: bed.old.len() as u64,
                    file_size_bytes: Some(len as u64),
                },
            )
        };
        let (_, steps) = fault::trace(|| rewrite(&Bed::new()).unwrap());
        for at in 0..steps.len() {
            for fault in [Fault::Killed, Fault::Full] {
                let bed = Bed::new();
                let _ = fault::with(fault, at, || rewrite(&bed));
                bed.journal().settle_held(&bed.hold()).unwrap();
                assert!(
                    [bed.old.clone(), new(len)].contains(&bed.content()),
                    "{at} {fault:?}"
                );
            }
        }
    }
}
