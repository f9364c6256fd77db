//! A store for a dry run: what it says is what the same store then does, and nothing is written.

use fm_fixtures::files;
use fm_formats::Sha256;
use fm_store::{Error, Import, NewLanding, Store};

#[test]
fn a_landing_is_made_settled_and_forgotten_in_words_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Store::open(&path).unwrap();
    let dry = store.clone().with_dry_run(true);
    let code = b"the code of a build";
    let new = NewLanding {
        guest_name: Some("web"),
        guest_uuid: None,
        code: Sha256::of(code),
        size_bytes: code.len() as u64,
    };
    let import = Import {
        code,
        ..Import::default()
    };
    let said = dry.create_landing(&new).unwrap();
    assert!(!path.exists(), "not even the folder");
    let made = store.create_landing(&new).unwrap();
    assert_eq!(
        (&said.id, &said.path, said.placeholder),
        (&made.id, &made.path, true)
    );
    let before = files(&path);
    assert_eq!(dry.create_landing(&new).unwrap(), made);
    assert!(dry.import(&import).unwrap().new);
    let settled = dry.settle_landing(&made.id, &new.code).unwrap();
    assert!(!settled.placeholder);
    assert!(matches!(
        dry.settle_landing(&made.id, &Sha256::of(b"other")),
        Err(Error::LandingMismatch { .. })
    ));
    dry.forget_landing(&made.id, &|| Ok(Vec::new())).unwrap();
    assert_eq!(files(&path), before);
    store.import(&import).unwrap();
    assert_eq!(store.settle_landing(&made.id, &new.code).unwrap(), settled);
}

#[test]
fn what_has_no_dry_run_is_refused_as_our_own_fault_and_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let new = NewLanding {
        guest_name: Some("web"),
        guest_uuid: None,
        code: Sha256::of(b"code"),
        size_bytes: 4,
    };
    let landing = store.create_landing(&new).unwrap();
    let refused = store.clone().with_dry_run(true).remove_landing(&landing.id);
    assert!(matches!(refused, Err(Error::DryRun)), "{refused:?}");
    assert!(landing.path.exists());
}
