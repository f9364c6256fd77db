//! What the store writes it can read again, whatever others are called.

use fm_formats::Sha256;
use fm_store::{Error, Import, NewLanding, Store};

fn landing(guest_name: &str) -> NewLanding<'_> {
    NewLanding {
        guest_name: Some(guest_name),
        guest_uuid: None,
        code: Sha256::of(b"code"),
        size_bytes: 4096,
    }
}

#[test]
fn a_guests_name_that_no_record_holds_is_refused_and_disables_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let refused = store.create_landing(&landing(&"n".repeat(70_000))).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
    let made = store.create_landing(&landing(&"n".repeat(60_000))).unwrap();
    assert_eq!(store.landings().unwrap().len(), 1);
    store.remove_landing(&made.id).unwrap();
    assert!(store.landings().unwrap().is_empty());
}

#[test]
fn reasons_fill_the_index_up_to_what_is_read_again_and_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let import = |pin| {
        store.import(&Import {
            code: b"code",
            pin,
            ..Import::default()
        })
    };
    let too_long = "r".repeat(4097);
    assert!(matches!(import(Some(&too_long)), Err(Error::TooLarge { .. })));
    assert!(store.builds().unwrap().is_empty(), "nothing is stored on the way");
    let id = import(None).unwrap().id;
    assert!(matches!(store.pin(&id, &too_long), Err(Error::TooLarge { .. })));

    // What others wrote into the index is kept, and leaves room for one more reason.
    let index = folder.path().join("store/index.json");
    let mut document: serde_json::Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    let room = (4 << 20) - std::fs::metadata(&index).unwrap().len() - 6000;
    document["annotations"] = serde_json::json!({ "else": "x".repeat(usize::try_from(room).unwrap()) });
    std::fs::write(&index, serde_json::to_vec(&document).unwrap()).unwrap();
    let reason = |digit: &str| digit.repeat(4096);
    assert!(store.pin(&id, &reason("1")).unwrap());
    let refused = store.pin(&id, &reason("2")).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
    assert_eq!(store.build(&id).unwrap().unwrap().pins, [reason("1")]);
    assert!(store.unpin(&id, None).unwrap());
}
