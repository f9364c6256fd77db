//! What verify finds, what gc leaves alone, and what export gives.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fm_formats::Sha256;
use fm_store::{Collect, Collected, Error, GcRoot, Import, NewLanding, Removed, Severity, Store};

fn code(seed: u8) -> Vec<u8> {
    (0..50_000_u32)
        .map(|at| (at.wrapping_mul(31) >> 3) as u8 ^ seed)
        .collect()
}

fn filled(dir: &Path) -> (Store, Sha256) {
    let store = Store::open(dir.join("store")).unwrap();
    let code = code(1);
    let import = Import {
        code: &code,
        vars_template: Some(b"template"),
        descriptor: Some(br#"{"description":"one"}"#),
        name: Some("one"),
        ..Import::default()
    };
    let id = store.import(&import).unwrap().id;
    (store, id)
}

fn add(store: &Store, seed: u8) -> Sha256 {
    store
        .import(&Import {
            code: &code(seed),
            ..Import::default()
        })
        .unwrap()
        .id
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

fn collect(store: &Store, uses: &[GcRoot], dry_run: bool) -> Collected {
    store
        .collect(&Collect {
            uses: &|| Ok(uses.to_vec()),
            dry_run,
            placeholder_age: Duration::from_secs(3600),
            settled_age: None,
            only: None,
        })
        .unwrap()
}

fn land(store: &Store, code: &[u8]) -> fm_store::Landing {
    let new = NewLanding {
        guest_name: Some("guest"),
        guest_uuid: None,
        code: Sha256::of(code),
        size_bytes: code.len() as u64,
    };
    store.create_landing(&new).unwrap()
}

/// One way to damage a store, and the file and words with which `verify` has to name it.
type Damage = (&'static str, fn(&Path, &str), fn(&str) -> String, &'static str);

const DAMAGES: &[Damage] = &[
    (
        "flipped",
        |root, id| overwrite(&root.join("blobs/sha256").join(id), &code(9)),
        |id| format!("blobs/sha256/{id}"),
        "corrupted",
    ),
    (
        "cut",
        |root, id| overwrite(&root.join("blobs/sha256").join(id), &code(1)[..99]),
        |id| format!("blobs/sha256/{id}"),
        "corrupted",
    ),
    (
        "blob gone",
        |root, id| fs::remove_file(root.join("blobs/sha256").join(id)).unwrap(),
        |id| format!("blobs/sha256/{id}"),
        "needs it",
    ),
    (
        "link gone",
        |root, id| fs::remove_file(root.join(format!("builds/sha256-{id}/CODE.fd"))).unwrap(),
        |id| format!("builds/sha256-{id}/CODE.fd"),
        "gone",
    ),
    (
        "folder gone",
        |root, id| fs::remove_dir_all(root.join(format!("builds/sha256-{id}"))).unwrap(),
        |id| format!("builds/sha256-{id}"),
        "gone",
    ),
    (
        "other file",
        |root, id| {
            let path = root.join(format!("builds/sha256-{id}/CODE.fd"));
            fs::remove_file(&path).unwrap();
            fs::write(path, code(9)).unwrap();
        },
        |id| format!("builds/sha256-{id}/CODE.fd"),
        "not ",
    ),
    (
        "linked away",
        |root, id| {
            let path = root.join(format!("builds/sha256-{id}/CODE.fd"));
            fs::rename(&path, root.join("../CODE.fd")).unwrap();
            symlink("../../../CODE.fd", path).unwrap();
        },
        |id| format!("builds/sha256-{id}/CODE.fd"),
        "cannot open",
    ),
    (
        "index cut",
        |root, _| overwrite(&root.join("index.json"), b"{\"schemaVersion\":2,"),
        |_| "index.json".into(),
        "EOF",
    ),
    (
        "index gone",
        |root, _| fs::remove_file(root.join("index.json")).unwrap(),
        |_| "index.json".into(),
        "gone",
    ),
    (
        "false promise",
        |root, id| {
            let wrong = root.join(format!(
                "builds/sha256-{}",
                id.replace(|digit: char| digit.is_ascii_digit(), "0")
            ));
            fs::create_dir(&wrong).unwrap();
            fs::write(wrong.join("CODE.fd"), b"zeros").unwrap();
        },
        |id| {
            format!(
                "builds/sha256-{}/CODE.fd",
                id.replace(|digit: char| digit.is_ascii_digit(), "0")
            )
        },
        "not ",
    ),
];

#[test]
fn verify_names_every_kind_of_damage_with_its_file() {
    for (name, damage, file, words) in DAMAGES {
        let dir = tempfile::tempdir().unwrap();
        let (store, id) = filled(dir.path());
        assert_eq!(store.verify().unwrap().findings, []);
        let id = id.to_string();
        damage(store.path(), &id);
        let found = store.verify().unwrap();
        assert!(!found.is_whole(), "{name}");
        let path = store.path().join(file(&id));
        let named = found.findings.iter().any(|finding| {
            finding.severity == Severity::Damage && finding.path == path && finding.what.contains(words)
        });
        assert!(named, "{name}: {found:#?}");
    }
}

#[test]
fn verify_counts_what_it_read() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = filled(dir.path());
    land(&store, &code(2));
    let found = store.verify().unwrap();
    assert_eq!((found.builds, found.landings, found.blobs), (1, 1, 5));
    assert!(found.bytes > 50_000);
}

#[test]
fn verify_names_a_landing_that_lost_its_file_or_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = filled(dir.path());
    let landing = land(&store, &code(2));
    overwrite(&landing.path, b"short");
    assert!(!store.verify().unwrap().is_whole());
    add(&store, 2);
    store.settle_landing(&landing.id, &landing.code).unwrap();
    assert!(store.verify().unwrap().is_whole());
    fs::remove_file(&landing.path).unwrap();
    fs::write(&landing.path, code(3)).unwrap();
    assert!(!store.verify().unwrap().is_whole());
    overwrite(&store.path().join("landings/guest/landing.json"), b"{}");
    let found = store.verify().unwrap();
    assert!(
        found
            .findings
            .iter()
            .any(|finding| finding.what.contains("landing record")),
        "{found:#?}"
    );
}

#[test]
fn leftovers_are_named_but_the_store_is_whole_and_gc_clears_them() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = filled(dir.path());
    store.pin(&id, "mine").unwrap();
    let stray = code(5);
    fs::write(
        store
            .path()
            .join("blobs/sha256")
            .join(Sha256::of(&stray).to_string()),
        &stray,
    )
    .unwrap();
    fs::write(store.path().join("tmp/half"), b"half").unwrap();
    let found = store.verify().unwrap();
    assert_eq!((found.is_whole(), found.findings.len()), (true, 2), "{found:#?}");
    let done = collect(&store, &[], false);
    assert!(
        matches!(&done.removed[..], [Removed::Leftover { .. }]),
        "{done:#?}"
    );
    assert_eq!(store.verify().unwrap().findings, []);
}

#[test]
fn gc_removes_only_what_no_guest_landing_or_pin_refers_to_and_says_who_does() {
    let dir = tempfile::tempdir().unwrap();
    let (store, pinned) = filled(dir.path());
    store.pin(&pinned, "for restore").unwrap();
    let (running, named, landed, loose) = (add(&store, 2), add(&store, 3), add(&store, 4), add(&store, 5));
    land(&store, &code(4));
    let uses = [
        GcRoot {
            by: "guest a".into(),
            build: Some(running),
            path: None,
        },
        GcRoot {
            by: "guest b".into(),
            build: None,
            path: Some(store.build(&named).unwrap().unwrap().code.path),
        },
        GcRoot {
            by: "guest c".into(),
            build: None,
            path: Some("/usr/share/OVMF/OVMF_CODE_4M.fd".into()),
        },
    ];
    let loose_path = store.build(&loose).unwrap().unwrap().code.path;

    let plan = collect(&store, &uses, true);
    assert_eq!(
        plan.removed,
        [Removed::Build {
            id: loose,
            name: None
        }]
    );
    assert!(loose_path.exists());
    assert_eq!(store.builds().unwrap().len(), 5);

    let done = collect(&store, &uses, false);
    assert_eq!((&done.removed, &done.kept), (&plan.removed, &plan.kept));
    assert!(done.freed_bytes >= 50_000);
    let why = |id| {
        done.kept
            .iter()
            .find(|kept| kept.id == id)
            .unwrap()
            .reasons
            .join(";")
    };
    assert_eq!(why(pinned), "pinned: for restore");
    assert_eq!(why(running), "guest a");
    assert_eq!(why(named), "guest b");
    assert_eq!(why(landed), "landing guest");
    assert!(!loose_path.exists());
    assert_eq!(store.verify().unwrap().findings, []);

    assert!(store.unpin(&pinned, None).unwrap());
    assert_eq!(
        collect(&store, &uses, false).removed,
        [Removed::Build {
            id: pinned,
            name: Some("one".into())
        }]
    );
}

#[test]
fn gc_removes_a_placeholder_only_when_it_is_old_and_no_guest_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = filled(dir.path());
    let landing = land(&store, &code(2));
    let old = |uses: &[GcRoot]| {
        store
            .collect(&Collect {
                uses: &|| Ok(uses.to_vec()),
                dry_run: false,
                placeholder_age: Duration::ZERO,
                settled_age: None,
                only: None,
            })
            .unwrap()
            .removed
    };
    let gone = Removed::Landing {
        id: landing.id.clone(),
    };
    assert!(!collect(&store, &[], false).removed.contains(&gone));
    assert!(
        !old(&[GcRoot {
            by: "incoming".into(),
            build: None,
            path: Some(landing.path.clone())
        }])
        .contains(&gone)
    );
    assert!(landing.path.exists());
    assert!(old(&[]).contains(&gone));
    assert!(!landing.path.exists());
}

#[test]
fn gc_leaves_foreign_images_of_the_same_layout_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = filled(dir.path());
    let blob = |bytes: &[u8]| {
        fs::write(
            store
                .path()
                .join("blobs/sha256")
                .join(Sha256::of(bytes).to_string()),
            bytes,
        )
        .unwrap();
        format!(
            r#""digest":"sha256:{}","size":{}"#,
            Sha256::of(bytes),
            bytes.len()
        )
    };
    let layer = blob(b"a container's layer");
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"x/y",{0}}},"layers":[{{"mediaType":"x/z",{0}}}]}}"#,
        layer
    );
    let manifest = blob(manifest.as_bytes());
    let nested = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json",{manifest}}}]}}"#
    );
    let nested = blob(nested.as_bytes());
    let index = fs::read_to_string(store.path().join("index.json")).unwrap();
    let entry =
        format!(r#""manifests":[{{"mediaType":"application/vnd.oci.image.index.v1+json",{nested}}},"#);
    fs::write(
        store.path().join("index.json"),
        index.replace(r#""manifests":["#, &entry),
    )
    .unwrap();
    let done = collect(&store, &[], false);
    assert!(matches!(&done.removed[..], [Removed::Build { .. }]), "{done:#?}");
    let found = store.verify().unwrap();
    assert_eq!((found.findings.as_slice(), found.blobs), (&[][..], 3));
}

#[test]
fn an_exported_build_comes_back_with_the_same_id_and_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = filled(dir.path());
    let second = add(&store, 2);
    store.pin(&id, "stays here").unwrap();
    let out = dir.path().join("out");
    assert_eq!(store.export_layout(&id, &out, Some("v1")).unwrap(), "v1");
    let tag = store.export_layout(&second, &out, None).unwrap();
    assert_eq!(tag, format!("fm-{second}"));
    store.export_layout(&second, &out, None).unwrap();
    let mut names: Vec<PathBuf> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["blobs", "index.json", "oci-layout"].map(|name| out.join(name))
    );

    let back = Store::open(dir.path().join("back")).unwrap();
    assert_eq!(back.import_layout(&out, Some("v1")).unwrap().id, id);
    let (one, other) = (
        store.build(&id).unwrap().unwrap(),
        back.build(&id).unwrap().unwrap(),
    );
    assert_eq!((one.manifest, one.name), (other.manifest, other.name));
    assert_eq!(other.pins, Vec::<String>::new());
    assert_eq!(back.verify().unwrap().findings, []);
}

#[test]
fn exported_files_never_replace_others() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = filled(dir.path());
    let out = dir.path().join("files");
    let written = store.export_files(&id, &out).unwrap();
    assert_eq!(
        written,
        ["CODE.fd", "VARS.fd", "descriptor.json"].map(|name| out.join(name))
    );
    assert_eq!(fs::read(&written[0]).unwrap(), code(1));
    assert_eq!(store.export_files(&id, &out).unwrap(), written);
    fs::write(&written[1], b"another guest's").unwrap();
    assert!(matches!(store.export_files(&id, &out), Err(Error::Exists { path }) if path == written[1]));
    assert_eq!(fs::read(&written[1]).unwrap(), b"another guest's");
    assert!(matches!(
        store.export_layout(&id, &out, None),
        Err(Error::NotALayout { .. })
    ));
}

#[test]
fn a_damaged_blob_is_never_exported() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = filled(dir.path());
    overwrite(&store.path().join("blobs/sha256").join(id.to_string()), &code(9));
    let out = dir.path().join("out");
    assert!(matches!(store.export_files(&id, &out), Err(Error::Corrupt { expected, .. }) if expected == id));
    assert!(matches!(
        store.export_layout(&id, &out, None),
        Err(Error::Corrupt { .. })
    ));
    assert!(!out.join("CODE.fd").exists());
}

#[test]
fn an_export_that_was_killed_at_its_start_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = filled(dir.path());
    let out = dir.path().join("oci");
    fs::create_dir_all(out.join("blobs/sha256")).unwrap();
    fs::create_dir(out.join(".flashmoor-1")).unwrap();
    fs::write(out.join(".flashmoor-1/index.json"), "{").unwrap();
    store.export_layout(&id, &out, Some("v1")).unwrap();
    assert!(!out.join(".flashmoor-1").exists());
    let names = fs::read_dir(&out).unwrap().count();
    assert_eq!(names, 3, "oci-layout, index.json and blobs");
}

#[test]
fn a_store_whose_builds_have_the_tags_of_the_first_versions_is_read_changed_and_collected_as_any() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let import = |code: &[u8], pin| {
        let import = Import {
            code,
            pin,
            ..Import::default()
        };
        store.import(&import).unwrap()
    };
    let (kept, goes) = (import(b"kept", Some("why")).id, import(b"goes", None).id);
    let index = dir.path().join("index.json");
    let text = fs::read_to_string(&index).unwrap();
    let old = text
        .replace(&format!("fm-{kept}"), &format!("sha256-{kept}"))
        .replace(&format!("fm-{goes}"), &format!("sha256-{goes}"));
    assert_eq!(old.matches("sha256-").count(), 2);
    fs::write(&index, old).unwrap();

    assert_eq!(store.build(&kept).unwrap().unwrap().tag, format!("sha256-{kept}"));
    assert_eq!(store.pins(&kept).unwrap(), ["why"]);
    assert!(store.verify().unwrap().is_whole());
    assert!(!import(b"kept", Some("another")).new);
    assert_eq!(store.pins(&kept).unwrap(), ["why", "another"]);
    assert_eq!(store.build(&kept).unwrap().unwrap().tag, format!("fm-{kept}"));
    assert_eq!(store.builds().unwrap().len(), 2, "none stands there twice");
    fm_store::verbs::collect_unneeded(&store, &[goes], std::time::Duration::ZERO).unwrap();
    assert!(store.build(&goes).unwrap().is_none());
    assert!(store.build(&kept).unwrap().is_some());
}

#[test]
fn exports_into_one_layout_at_the_same_time_keep_every_tag() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = filled(dir.path());
    let out = dir.path().join("oci");
    std::thread::scope(|scope| {
        for number in 0..10 {
            let (store, out) = (&store, &out);
            scope.spawn(move || {
                store
                    .export_layout(&id, out, Some(&format!("v{number}")))
                    .unwrap()
            });
        }
    });
    let index = fs::read_to_string(out.join("index.json")).unwrap();
    for number in 0..10 {
        assert!(index.contains(&format!("\"v{number}\"")), "{index}");
    }
}
