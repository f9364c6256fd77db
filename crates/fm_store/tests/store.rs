//! What the store promises to whoever imports, looks up and lands builds.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use fm_api::v1::store::BuildFact;
use fm_formats::Sha256;
use fm_formats::image::MAX_BUILD_FILE_COUNT;
use fm_store::{Error, Import, Landing, NewLanding, Store};

fn code(seed: u8) -> Vec<u8> {
    (0..200_000_u32)
        .map(|at| (at.wrapping_mul(31) >> 3) as u8 ^ seed)
        .collect()
}

fn store(dir: &Path) -> Store {
    Store::open(dir.join("store")).unwrap()
}

fn import(store: &Store, code: &[u8]) -> Sha256 {
    store
        .import(&Import {
            code,
            ..Import::default()
        })
        .unwrap()
        .id
}

fn landing(store: &Store, code: &[u8]) -> Landing {
    store
        .create_landing(&NewLanding {
            guest_name: Some("web 1"),
            guest_uuid: Some("6f1c3f3e-6d0e-4a38-9b64-0b8f6a1d9c11"),
            code: Sha256::of(code),
            size_bytes: code.len() as u64,
        })
        .unwrap()
}

#[test]
fn a_store_that_was_never_written_is_empty_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    assert_eq!(store.builds().unwrap(), []);
    assert_eq!(store.landings().unwrap(), []);
    assert_eq!(store.build(&Sha256::of(b"x")).unwrap(), None);
    assert!(!store.path().exists());
}

#[test]
fn an_imported_build_lies_read_only_at_a_path_with_its_digest_as_a_link_of_its_blob() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let bytes = code(1);
    let done = store
        .import(&Import {
            code: &bytes,
            vars_template: Some(b"template"),
            descriptor: Some(br#"{"description":"x"}"#),
            name: Some("ovmf 4M"),
            version: Some("2022.11-6"),
            source: Some("/usr/share/OVMF"),
            ..Import::default()
        })
        .unwrap();
    assert!(done.new && done.kept.is_empty());
    assert_eq!(done.id, Sha256::of(&bytes));
    assert_eq!(
        done.path,
        store.path().join(format!("builds/sha256-{}/CODE.fd", done.id))
    );
    assert_eq!(fs::read(&done.path).unwrap(), bytes);
    let blob = store.path().join(format!("blobs/sha256/{}", done.id));
    let (one, other) = (fs::metadata(&blob).unwrap(), fs::metadata(&done.path).unwrap());
    assert_eq!(one.ino(), other.ino());
    assert_eq!(one.permissions().mode() & 0o777, 0o444);
    let folder = fs::metadata(done.path.parent().unwrap()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o755);

    let build = store.build(&done.id).unwrap().unwrap();
    assert_eq!(build.code.size_bytes, 200_000);
    assert_eq!(fs::read(build.vars_template.unwrap().path).unwrap(), b"template");
    assert_eq!(
        fs::read(build.descriptor.unwrap().path).unwrap(),
        br#"{"description":"x"}"#
    );
    assert_eq!(build.name.as_deref(), Some("ovmf 4M"));
    assert_eq!(build.version.as_deref(), Some("2022.11-6"));
    assert_eq!(build.source.as_deref(), Some("/usr/share/OVMF"));
}

#[test]
fn importing_again_changes_nothing_and_completes_what_was_missing() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let bytes = code(2);
    let id = import(&store, &bytes);
    let index = fs::read(store.path().join("index.json")).unwrap();
    let again = store
        .import(&Import {
            code: &bytes,
            ..Import::default()
        })
        .unwrap();
    assert!(!again.new);
    assert_eq!(fs::read(store.path().join("index.json")).unwrap(), index);

    let more = Import {
        code: &bytes,
        vars_template: Some(b"one"),
        name: Some("n"),
        ..Import::default()
    };
    assert_eq!(store.import(&more).unwrap().kept, []);
    let other = Import {
        vars_template: Some(b"two"),
        name: Some("m"),
        ..more
    };
    assert_eq!(
        store.import(&other).unwrap().kept,
        [BuildFact::VarsTemplate, BuildFact::Name]
    );
    let build = store.build(&id).unwrap().unwrap();
    assert_eq!(fs::read(build.vars_template.unwrap().path).unwrap(), b"one");
    assert_eq!(
        store
            .import(&Import {
                replace: true,
                ..other
            })
            .unwrap()
            .kept,
        []
    );
    let build = store.build(&id).unwrap().unwrap();
    assert_eq!(fs::read(build.vars_template.unwrap().path).unwrap(), b"two");
    assert_eq!(build.templates.len(), 2, "what definitions may name stays");
    assert_eq!(
        (build.name.as_deref(), store.builds().unwrap().len()),
        (Some("m"), 1)
    );
}

#[test]
fn every_template_of_a_build_lies_at_a_path_with_its_own_digest() {
    let dir = tempfile::tempdir().unwrap();
    let here = store(dir.path());
    let bytes = code(2);
    let import = |store: &Store, template: &[u8]| {
        let done = store.import(&Import {
            code: &bytes,
            vars_template: Some(template),
            ..Import::default()
        });
        done.unwrap().id
    };
    let id = import(&here, b"one");
    import(&here, b"two");
    import(&here, b"one");
    let check = |store: &Store| {
        let build = store.build(&id).unwrap().unwrap();
        let mut held: Vec<Vec<u8>> = Vec::new();
        for part in &build.templates {
            let name = format!("VARS-sha256-{}.fd", part.sha256);
            assert_eq!(part.path.file_name().unwrap().to_str(), Some(name.as_str()));
            held.push(fs::read(&part.path).unwrap());
            assert_eq!(Sha256::of(held.last().unwrap()), part.sha256);
        }
        assert_eq!(held, [b"one", b"two"]);
        assert_eq!(fs::read(build.vars_template.unwrap().path).unwrap(), b"one");
        assert!(store.verify().unwrap().is_whole());
    };
    check(&here);
    // They travel with the build, also to a store that has the build already.
    let out = dir.path().join("out");
    here.export_layout(&id, &out, None).unwrap();
    for name in ["fresh", "known"] {
        let there = Store::open(dir.path().join(name)).unwrap();
        if name == "known" {
            import(&there, b"one");
        }
        there.import_layout(&out, None).unwrap();
        check(&there);
    }
    let files = here.export_files(&id, &dir.path().join("files")).unwrap();
    assert_eq!(fs::read(&files[2]).unwrap(), b"two");
    // One that holds something else than its name says is damage, and the next import heals it.
    let path = &here.build(&id).unwrap().unwrap().templates[1].path;
    fs::remove_file(path).unwrap();
    fs::write(path, b"one").unwrap();
    assert!(!here.verify().unwrap().is_whole());
    import(&here, b"two");
    check(&here);
}

#[test]
fn a_store_of_an_older_flashmoor_is_whole_and_gets_the_second_name_with_the_next_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let bytes = code(2);
    let import = Import {
        code: &bytes,
        vars_template: Some(b"one"),
        ..Import::default()
    };
    let id = store.import(&import).unwrap().id;
    let path = store.build(&id).unwrap().unwrap().templates[0].path.clone();
    fs::remove_file(&path).unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
    store.import(&import).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"one");
}

#[test]
fn a_build_is_found_by_its_first_digits_and_by_name_and_never_guessed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let named = |code: &[u8]| {
        store
            .import(&Import {
                code,
                name: Some("same"),
                ..Import::default()
            })
            .unwrap()
            .id
    };
    let (one, two) = (named(&code(3)), named(&code(4)));
    let digits = one.to_string();
    for text in [
        &digits,
        &digits[..4],
        &format!("sha256:{digits}"),
        &format!("sha256-{}", &digits[..12]),
    ] {
        assert_eq!(store.find(text).unwrap().id, one, "{text}");
    }
    assert!(
        matches!(store.find("same"), Err(Error::AmbiguousBuild { candidates, .. }) if candidates == [one, two])
    );
    for text in ["", &digits[..3], "../../etc", "ffffffff"] {
        assert!(
            matches!(store.find(text), Err(Error::UnknownBuild { .. })),
            "{text}"
        );
    }
}

#[test]
fn zero_runs_of_a_padded_image_take_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let mut bytes = code(5);
    bytes.resize(16 << 20, 0);
    let done = store
        .import(&Import {
            code: &bytes,
            ..Import::default()
        })
        .unwrap();
    assert_eq!(fs::read(&done.path).unwrap(), bytes);
    assert!(fs::metadata(&done.path).unwrap().blocks() * 512 < 1 << 20);
}

#[test]
fn what_cannot_be_a_build_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let refused = |import: &Import<'_>| store.import(import).unwrap_err();
    assert!(matches!(
        refused(&Import::default()),
        Error::Empty { what: "CODE" }
    ));
    let import = Import {
        code: b"c",
        descriptor: Some(b"not json"),
        ..Import::default()
    };
    assert!(matches!(refused(&import), Error::Json { .. }));
    let large = vec![b' '; (1 << 20) + 1];
    let import = Import {
        code: b"c",
        descriptor: Some(&large),
        ..Import::default()
    };
    assert!(matches!(refused(&import), Error::TooLarge { .. }));
    assert!(!store.path().exists());
}

#[test]
fn a_folder_of_other_things_or_open_to_all_is_no_store() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    assert!(matches!(Store::open(dir.path()), Err(Error::NotAStore { .. })));
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Store::open(&open), Err(Error::OpenToAll { .. })));
}

#[test]
fn a_symbolic_link_inside_the_store_is_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    import(&store, &code(6));
    let away = dir.path().join("away");
    fs::create_dir(&away).unwrap();
    fs::remove_dir(store.path().join("tmp")).unwrap();
    symlink(&away, store.path().join("tmp")).unwrap();
    assert!(matches!(
        store.import(&Import {
            code: &code(7),
            ..Import::default()
        }),
        Err(Error::Io { .. })
    ));
    assert_eq!(fs::read_dir(&away).unwrap().count(), 0);

    fs::remove_file(store.path().join("index.json")).unwrap();
    symlink("/dev/zero", store.path().join("index.json")).unwrap();
    assert!(matches!(store.builds(), Err(Error::Io { .. })));
}

#[test]
fn a_damaged_blob_and_a_lost_link_are_healed_by_importing_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let bytes = code(8);
    let done = store
        .import(&Import {
            code: &bytes,
            ..Import::default()
        })
        .unwrap();
    let blob = store.path().join(format!("blobs/sha256/{}", done.id));
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
    let mut damaged = bytes.clone();
    damaged[100_000] ^= 1;
    fs::write(&blob, &damaged).unwrap();
    import(&store, &bytes);
    assert_eq!(fs::read(&done.path).unwrap(), bytes);
    fs::remove_file(&done.path).unwrap();
    import(&store, &bytes);
    assert_eq!(fs::read(&done.path).unwrap(), bytes);
}

#[test]
fn a_writer_waits_for_another_no_longer_than_it_may_and_says_for_whom() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path()).with_lock_timeout(Duration::from_millis(30));
    import(&store, &code(9));
    let lock = fs::File::open(store.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let error = store
        .import(&Import {
            code: &code(10),
            ..Import::default()
        })
        .unwrap_err();
    let me = std::process::id();
    assert!(
        matches!(error, Error::Busy { pid: Some(pid), waited_ms: 30, .. } if pid == me),
        "{error:?}"
    );
    assert_eq!(store.builds().unwrap().len(), 1, "readers do not wait");
    lock.unlock().unwrap();
    import(&store, &code(10));
}

#[test]
fn a_landing_holds_zeros_under_a_path_without_a_digest_until_it_is_settled() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let bytes = code(11);
    let id = Sha256::of(&bytes);
    let made = landing(&store, &bytes);
    assert!(made.placeholder);
    assert_eq!(made.path, store.path().join("landings/web-1/CODE.fd"));
    assert_eq!(fs::read(&made.path).unwrap(), vec![0; bytes.len()]);
    assert_eq!(landing(&store, &bytes), made, "asked again, it is the same");

    // What QEMU does: open it once, and keep it open.
    let open = fs::File::open(&made.path).unwrap();
    assert!(matches!(
        store.settle_landing("web-1", &id),
        Err(Error::UnknownBuild { .. })
    ));
    import(&store, &bytes);
    let other = import(&store, &code(12));
    assert!(matches!(
        store.settle_landing("web-1", &other),
        Err(Error::LandingMismatch { .. })
    ));
    assert!(store.landing("web-1").unwrap().unwrap().placeholder);
    let settled = store.settle_landing("web-1", &id).unwrap();
    assert_eq!((settled.placeholder, &settled.path), (false, &made.path));
    assert_eq!(fs::read(&made.path).unwrap(), bytes);
    assert_eq!(open.metadata().unwrap().len(), bytes.len() as u64);
    assert_eq!(
        store.settle_landing("web-1", &id).unwrap(),
        settled,
        "again changes nothing"
    );
    assert_eq!(landing(&store, &bytes), settled, "the guest keeps its path");
}

#[test]
fn a_landing_for_a_stored_build_is_the_builds_own_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let bytes = code(13);
    let id = import(&store, &bytes);
    let made = landing(&store, &bytes);
    assert!(!made.placeholder);
    assert_eq!(made.path, store.build(&id).unwrap().unwrap().code.path);
    assert_eq!(store.settle_landing(&made.id, &id).unwrap(), made);
    assert_eq!(store.remove_landing(&made.id).unwrap(), made);
    assert_eq!(store.landings().unwrap(), []);
    assert!(made.path.exists());
}

#[test]
fn landings_of_guests_of_one_name_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let (one, two) = (landing(&store, &code(14)), landing(&store, &code(15)));
    assert_eq!((one.id.as_str(), two.id.as_str()), ("web-1", "web-1-2"));
    assert_eq!(store.landings().unwrap(), [one, two]);
    for id in ["..", "../landings/web-1", "", ".web-1", "nobody"] {
        assert_eq!(store.landing(id).unwrap(), None, "{id}");
        assert!(
            matches!(store.remove_landing(id), Err(Error::UnknownLanding { .. })),
            "{id}"
        );
    }
}

#[test]
fn a_build_from_another_layout_keeps_its_id_and_its_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (store(dir.path()), Store::open(dir.path().join("b")).unwrap());
    let bytes = code(16);
    a.import(&Import {
        code: &bytes,
        vars_template: Some(b"t"),
        name: Some("n"),
        ..Import::default()
    })
    .unwrap();
    let done = b.import_layout(a.path(), None).unwrap();
    assert!(done.new);
    let (one, other) = (
        a.build(&done.id).unwrap().unwrap(),
        b.build(&done.id).unwrap().unwrap(),
    );
    assert_eq!((one.manifest, one.name), (other.manifest, other.name));
    assert!(!b.import_layout(a.path(), Some(&one.tag)).unwrap().new);

    import(&a, &code(17));
    assert!(matches!(
        b.import_layout(a.path(), None),
        Err(Error::NoSuchTag { .. })
    ));
    assert!(matches!(
        b.import_layout(a.path(), Some("x")),
        Err(Error::NoSuchTag { .. })
    ));
    assert!(matches!(
        b.import_layout(dir.path(), None),
        Err(Error::NoSuchTag { .. })
    ));
}

#[test]
fn a_layout_whose_blob_is_not_what_it_says_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (store(dir.path()), Store::open(dir.path().join("b")).unwrap());
    let id = import(&a, &code(18));
    let blob = a.path().join(format!("blobs/sha256/{id}"));
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&blob, code(19)).unwrap();
    let error = b.import_layout(a.path(), None).unwrap_err();
    assert!(
        matches!(error, Error::Corrupt { expected, .. } if expected == id),
        "{error}"
    );
    assert_eq!(b.builds().unwrap(), []);
}

#[test]
fn a_build_takes_as_many_files_as_reach_other_hosts_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let here = store(dir.path());
    let bytes = code(2);
    let import = |template: &[u8]| {
        here.import(&Import {
            code: &bytes,
            vars_template: Some(template),
            ..Import::default()
        })
    };
    for number in 1..MAX_BUILD_FILE_COUNT {
        import(&number.to_le_bytes()).unwrap();
    }
    let refused = import(b"one more");
    assert!(matches!(refused, Err(Error::FullBuild { .. })), "{refused:?}");
    let id = import(&1usize.to_le_bytes()).unwrap().id;
    let full = here.build(&id).unwrap().unwrap();
    assert_eq!(full.templates.len(), MAX_BUILD_FILE_COUNT - 1);
    let mut stream = Vec::new();
    here.export_stream(&id, &mut stream).unwrap();
    let there = Store::open(dir.path().join("there")).unwrap();
    there.import_stream(&mut &stream[..]).unwrap();
    assert_eq!(
        there.build(&id).unwrap().unwrap().templates.len(),
        full.templates.len()
    );
}

#[test]
fn an_export_touches_nothing_in_a_folder_that_is_no_layout() {
    let dir = tempfile::tempdir().unwrap();
    let here = store(dir.path());
    let id = here
        .import(&Import {
            code: &code(2),
            ..Import::default()
        })
        .unwrap()
        .id;
    for (name, text) in [(".flashmoor-notes/f", "notes"), ("lock", "my data")] {
        let to = dir.path().join(name.replace('/', "-"));
        let file = to.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        let refused = here.export_layout(&id, &to, None);
        assert!(
            matches!(refused, Err(Error::NotALayout { .. })),
            "{name}: {refused:?}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "{name}");
    }
}
