//! What the store writes it can read again, whatever others are called.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use fm_formats::Sha256;
use fm_store::{Collect, Error, GcRoot, Import, NewLanding, Removed, Store, verbs};

fn landing(guest_name: &str) -> NewLanding<'_> {
    NewLanding {
        guest_name: Some(guest_name),
        guest_uuid: None,
        code: Sha256::of(b"code"),
        size_bytes: 4096,
    }
}

#[test]
fn builds_that_one_reason_keeps_are_let_go_but_for_some_and_other_reasons_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    store.unpin_others("update", &[]).unwrap();
    assert!(!store.path().exists(), "nothing is made for it");
    let [old, new, other] = [b"old", b"new", b"oth"].map(|code| import(&store, code));
    for (id, reason) in [
        (&old, "update"),
        (&old, "by hand"),
        (&new, "update"),
        (&other, "by hand"),
    ] {
        store.pin(id, reason).unwrap();
    }
    let before = std::fs::read(folder.path().join("store/index.json")).unwrap();
    store.unpin_others("update", &[old, new]).unwrap();
    assert_eq!(
        std::fs::read(folder.path().join("store/index.json")).unwrap(),
        before
    );
    store.unpin_others("update", &[new]).unwrap();
    assert_eq!(store.pins(&old).unwrap(), ["by hand"]);
    assert_eq!(store.pins(&new).unwrap(), ["update"]);
    assert_eq!(store.pins(&other).unwrap(), ["by hand"]);
    store.unpin_others("update", &[]).unwrap();
    assert!(store.pins(&new).unwrap().is_empty());
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

fn store(folder: &tempfile::TempDir) -> Store {
    Store::open(folder.path().join("store")).unwrap()
}

fn import(store: &Store, code: &[u8]) -> Sha256 {
    let done = store.import(&Import {
        code,
        ..Import::default()
    });
    done.unwrap().id
}

fn collect(store: &Store, age: Duration, uses: &dyn Fn() -> Vec<GcRoot>) -> Vec<Removed> {
    let done = store.collect(&Collect {
        uses: &|| Ok(uses()),
        dry_run: false,
        placeholder_age: age,
        settled_age: None,
        only: None,
    });
    done.unwrap().removed
}

#[test]
fn a_landing_that_cannot_be_read_hinders_nobody_and_can_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let needed = import(&store, b"needed by it, perhaps");
    let torn =
        |id: &str| fs::write(store.path().join("landings").join(id).join("landing.json"), "{").unwrap();
    let first = store.create_landing(&landing("first")).unwrap().id;
    torn(&first);
    let other = store.create_landing(&landing("other")).unwrap();
    assert_eq!(store.landings().unwrap(), std::slice::from_ref(&other));
    let list = verbs::landings(&store).unwrap();
    assert_eq!(
        (list.landings.len(), list.unreadable[0].name.as_str()),
        (1, "first")
    );

    // While it is young, nobody knows whose build it is.
    assert!(collect(&store, Duration::from_secs(3600), &Vec::new).is_empty());
    assert!(store.build(&needed).unwrap().is_some());
    let forgotten = verbs::forget(&store, &first).unwrap();
    assert!(forgotten.landing.is_none());
    assert!(matches!(
        verbs::forget(&store, &first),
        Err(Error::UnknownLanding { .. })
    ));

    torn(&other.id);
    let gone = collect(&store, Duration::ZERO, &Vec::new);
    assert!(gone.contains(&Removed::Landing { id: other.id }), "{gone:?}");
    assert!(store.verify().unwrap().findings.is_empty());
}

#[test]
fn a_build_whose_manifest_cannot_be_read_hinders_nobody_and_can_be_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let (torn, sound) = (import(&store, b"torn"), import(&store, b"sound"));
    store.pin(&torn, "captured for guest web").unwrap();
    store.pin(&sound, "mine").unwrap();
    let manifest = store.build(&torn).unwrap().unwrap().manifest;
    let blob = store.path().join("blobs/sha256").join(manifest.to_string());
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&blob, "{").unwrap();

    let list = verbs::list(&store).unwrap();
    assert_eq!((list.builds.len(), list.unreadable.len()), (1, 1));
    assert_eq!(
        verbs::show(&store, &sound.to_string()).unwrap().build.id,
        sound.to_string()
    );
    assert!(
        collect(&store, Duration::ZERO, &Vec::new).is_empty(),
        "its pin holds"
    );
    assert!(verbs::unpin(&store, &torn.to_string(), None).unwrap().changed);
    let gone = collect(&store, Duration::ZERO, &Vec::new);
    assert!(
        gone.contains(&Removed::Build { id: torn, name: None }),
        "{gone:?}"
    );
    assert_eq!(verbs::list(&store).unwrap().unreadable.len(), 0);
    assert!(store.verify().unwrap().findings.is_empty());
}

#[test]
fn who_starts_while_a_collection_decides_keeps_what_it_started_from() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let (used, unused) = (import(&store, b"used"), import(&store, b"unused"));
    let waiting = store.create_landing(&landing("late")).unwrap();
    let path = store.build(&used).unwrap().unwrap().code.path;
    // The first look sees nobody; a guest starts, and the second does.
    let looks = Cell::new(0);
    let uses = || {
        looks.set(looks.get() + 1);
        let user = |path: &std::path::Path| GcRoot {
            by: "process 7 (qemu)".into(),
            build: None,
            path: Some(path.to_owned()),
        };
        match looks.get() {
            1 => Vec::new(),
            _ => {
                assert!(!path.exists(), "nobody can start from it any more");
                vec![user(&path), user(&waiting.path)]
            }
        }
    };
    let gone = collect(&store, Duration::ZERO, &uses);
    assert_eq!(looks.get(), 2);
    assert_eq!(
        gone.first(),
        Some(&Removed::Build {
            id: unused,
            name: None
        }),
        "{gone:?}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"used");
    assert!(waiting.path.exists() && store.build(&used).unwrap().is_some());
    assert!(store.verify().unwrap().findings.is_empty());
}

#[test]
fn a_store_is_not_decided_about_before_its_lock_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    import(&store, b"code");
    let looks = Cell::new(0);
    let lock = fs::File::open(store.path().join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let busy = store.clone().with_lock_timeout(Duration::ZERO).collect(&Collect {
        uses: &|| {
            looks.set(1);
            Ok(Vec::new())
        },
        dry_run: false,
        placeholder_age: Duration::ZERO,
        settled_age: None,
        only: None,
    });
    assert!(matches!(busy, Err(Error::Busy { .. })));
    assert_eq!(looks.get(), 0);
}

#[test]
fn one_layer_that_a_layout_lists_a_thousand_times_is_read_once_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let there = Store::open(folder.path().join("there")).unwrap();
    let done = there.import(&Import {
        code: b"code",
        vars_template: Some(&[7; 400_000]),
        ..Import::default()
    });
    let build = there.build(&done.unwrap().id).unwrap().unwrap();
    let blobs = there.path().join("blobs/sha256");
    let manifest = fs::read(blobs.join(build.manifest.to_string())).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let template = manifest["layers"][1].clone();
    let mut list = |count: usize| {
        manifest["layers"]
            .as_array_mut()
            .unwrap()
            .resize(count, template.clone());
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let digest = Sha256::of(&bytes);
        fs::write(blobs.join(digest.to_string()), &bytes).unwrap();
        let index = there.path().join("index.json");
        let mut document: serde_json::Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
        document["manifests"][0]["digest"] = format!("sha256:{digest}").into();
        document["manifests"][0]["size"] = bytes.len().into();
        fs::write(&index, serde_json::to_vec(&document).unwrap()).unwrap();
    };
    let here = store(&folder);
    list(2000);
    let refused = here.import_layout(there.path(), None).unwrap_err();
    assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
    list(200);
    let id = here.import_layout(there.path(), None).unwrap().id;
    assert_eq!(id, build.id);
}
