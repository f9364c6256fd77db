//! What `prepare` makes, and what it never overwrites.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use fm_store::{Import, Store};

use super::{Error, Request, prepare};
use crate::offer::{Offer, OfferedFlash, OfferedGuest};

const CODE: &[u8] = &[7; 8192];
const VARS_SIZE: u64 = 4096;

struct Place {
    folder: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    fn vars(&self) -> PathBuf {
        self.folder.path().join("vars.fd")
    }

    fn request(&self, replace: bool) -> Request {
        let flash = |size_bytes, bytes: &[u8]| OfferedFlash {
            path: None,
            size_bytes,
            sha256: fm_formats::Sha256::of(bytes).to_string(),
            format: Some("raw".into()),
            node: None,
        };
        let code = flash(CODE.len() as u64, CODE);
        let offer = Offer {
            schema: fm_api::Schema::default(),
            qemu_version: "7.2".into(),
            machine: Some("pc-q35-7.2".into()),
            guest: OfferedGuest {
                name: Some("web".into()),
                uuid: None,
                pid: None,
            },
            blocks: Vec::new(),
            blocks_complete: false,
            build: code.sha256.clone(),
            code,
            vars: Some(flash(VARS_SIZE, &[0; 4096])),
            firmware: None,
            pending_reset: None,
            saved: false,
        };
        Request {
            offer,
            vars: Some(self.vars()),
            replace,
        }
    }

    fn refused(&self, request: &Request) -> Error {
        match prepare(&self.store, request) {
            Err(crate::Error::Prepare(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_host_without_the_build_gets_files_of_the_right_size() {
    let place = Place::new();
    let prepared = prepare(&place.store, &place.request(false)).unwrap();
    assert!(prepared.code.placeholder);
    assert_eq!(fs::read(&prepared.code.path).unwrap(), [0; 8192]);
    assert!(
        !prepared
            .code
            .path
            .to_str()
            .unwrap()
            .contains(&place.request(false).offer.build)
    );
    assert_eq!(fs::metadata(place.vars()).unwrap().len(), VARS_SIZE);
    // Asked again before the guest has come, the answer is the same.
    let again = prepare(&place.store, &place.request(false)).unwrap();
    assert_eq!(
        (again.landing, again.code.path),
        (prepared.landing, prepared.code.path)
    );
}

#[test]
fn a_host_with_the_build_gets_the_stored_file() {
    let place = Place::new();
    place
        .store
        .import(&Import {
            code: CODE,
            ..Import::default()
        })
        .unwrap();
    let prepared = prepare(&place.store, &place.request(false)).unwrap();
    assert!(!prepared.code.placeholder);
    assert_eq!(fs::read(&prepared.code.path).unwrap(), CODE);
}

#[test]
fn variables_that_are_there_are_never_overwritten_unasked_and_never_lost() {
    let place = Place::new();
    let old: Vec<u8> = (0..=255).cycle().take(4096).collect();
    fs::write(place.vars(), &old).unwrap();
    assert!(matches!(
        place.refused(&place.request(false)),
        Error::VarsInUse { .. }
    ));
    assert_eq!(fs::read(place.vars()).unwrap(), old);
    assert_eq!(place.store.landings().unwrap(), [], "nothing was made");

    let prepared = prepare(&place.store, &place.request(true)).unwrap();
    assert_eq!(fs::read(prepared.vars_backup.unwrap()).unwrap(), old);
    assert_eq!(fs::read(place.vars()).unwrap(), [0; 4096]);
}

#[test]
fn a_second_backup_does_not_replace_the_first() {
    let place = Place::new();
    for content in [1, 2] {
        fs::write(place.vars(), vec![content; 4096]).unwrap();
        let prepared = prepare(&place.store, &place.request(true)).unwrap();
        assert_eq!(
            fs::read(prepared.vars_backup.unwrap()).unwrap(),
            vec![content; 4096]
        );
    }
}

#[test]
fn a_store_of_another_size_counts_as_content() {
    let place = Place::new();
    fs::write(place.vars(), [0; 128]).unwrap();
    assert!(matches!(
        place.refused(&place.request(false)),
        Error::VarsInUse { .. }
    ));
}

#[test]
fn links_and_folders_are_not_followed() {
    let place = Place::new();
    let target = place.folder.path().join("precious");
    fs::write(&target, [0; 4096]).unwrap();
    symlink(&target, place.vars()).unwrap();
    assert!(matches!(
        place.refused(&place.request(true)),
        Error::NotAFile { .. }
    ));
    fs::remove_file(place.vars()).unwrap();
    fs::create_dir(place.vars()).unwrap();
    assert!(matches!(
        place.refused(&place.request(true)),
        Error::NotAFile { .. }
    ));
}

#[test]
fn offers_that_no_machine_could_make_are_refused_before_anything_is_made() {
    let place = Place::new();
    for size_bytes in [0, u64::MAX, 1 << 40] {
        let mut request = place.request(false);
        request.offer.code.size_bytes = size_bytes;
        assert!(matches!(
            place.refused(&request),
            Error::Size { what: "CODE", .. }
        ));
        let mut request = place.request(false);
        request.offer.vars.as_mut().unwrap().size_bytes = size_bytes;
        assert!(matches!(
            place.refused(&request),
            Error::Size { what: "VARS", .. }
        ));
    }
    let without_path = Request {
        vars: None,
        ..place.request(false)
    };
    assert!(matches!(place.refused(&without_path), Error::NoVarsPath { .. }));
    let mut without_vars = place.request(false);
    without_vars.offer.vars = None;
    assert!(matches!(place.refused(&without_vars), Error::NoVars { .. }));
    assert_eq!(place.store.landings().unwrap(), []);
}

#[test]
fn a_vars_path_that_cannot_be_made_leaves_no_landing_behind() {
    let place = Place::new();
    let request = Request {
        vars: Some(place.folder.path().join("no/such/folder/vars.fd")),
        ..place.request(false)
    };
    prepare(&place.store, &request).unwrap_err();
    assert_eq!(place.store.landings().unwrap(), []);
}

/// Another process that has a file open for writing, as a QEMU that waits for its guest.
struct Holder(std::process::Child);

impl Holder {
    fn of(path: &std::path::Path) -> Self {
        let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut sleep = std::process::Command::new("sleep");
        Self(sleep.arg("60").stdin(file).spawn().unwrap())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn asked_again_while_qemu_waits_the_file_that_it_has_stays_in_its_place() {
    let place = Place::new();
    prepare(&place.store, &place.request(false)).unwrap();
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(place.vars()).unwrap());
    let before = inode();
    let _qemu = Holder::of(&place.vars());
    for replace in [false, true] {
        prepare(&place.store, &place.request(replace)).unwrap();
        assert_eq!(inode(), before);
    }
}

#[test]
fn the_variables_of_a_running_guest_are_not_replaced_even_when_asked() {
    let place = Place::new();
    fs::write(place.vars(), vec![7; 4096]).unwrap();
    let _qemu = Holder::of(&place.vars());
    assert!(matches!(
        place.refused(&place.request(true)),
        Error::OpenForWriting { .. }
    ));
    assert_eq!(fs::read(place.vars()).unwrap(), vec![7; 4096]);
    assert_eq!(place.store.landings().unwrap(), [], "nothing was made");
}
