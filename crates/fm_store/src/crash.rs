//! Tests: the store after a fault at each single step of each operation.

use std::path::Path;
use std::time::Duration;

use fm_files::fault::{Fault, trace, with};
use fm_formats::Sha256;

use crate::{Collect, Error, GcRoot, Import, NewLanding, Result, Store};

const CODE: &[u8] = &[7; 5000];

fn import(store: &Store) -> Result<()> {
    let import = Import {
        code: CODE,
        vars_template: Some(b"template"),
        descriptor: Some(b"{}"),
        name: Some("name"),
        ..Import::default()
    };
    store.import(&import).map(drop)
}

fn replace(store: &Store) -> Result<()> {
    let import = Import {
        code: CODE,
        vars_template: Some(b"other"),
        replace: true,
        ..Import::default()
    };
    store.import(&import).map(drop)
}

fn land(store: &Store) -> Result<()> {
    let landing = NewLanding {
        guest_name: Some("guest"),
        guest_uuid: None,
        code: Sha256::of(CODE),
        size_bytes: CODE.len() as u64,
    };
    store.create_landing(&landing).map(drop)
}

fn settle(store: &Store) -> Result<()> {
    store.settle_landing("guest", &Sha256::of(CODE)).map(drop)
}

fn forget(store: &Store) -> Result<()> {
    match store.remove_landing("guest") {
        // Gone already, when it is done again.
        Ok(_) | Err(Error::UnknownLanding { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn pin(store: &Store) -> Result<()> {
    store.pin(&Sha256::of(CODE), "why not").map(drop)
}

fn collect(store: &Store) -> Result<()> {
    store.collect(&EVERYTHING).map(drop)
}

const EVERYTHING: Collect<'_> = Collect {
    uses: &|| Ok(Vec::new()),
    dry_run: false,
    placeholder_age: Duration::ZERO,
    settled_age: None,
    only: None,
};

type Step = fn(&Store) -> Result<()>;

/// Operations under test, each with what has to be done before it.
const OPERATIONS: &[(&str, &[Step], Step)] = &[
    ("import", &[], import),
    ("replace", &[import], replace),
    ("land", &[], land),
    ("land stored", &[import], land),
    ("settle", &[land, import], settle),
    ("forget", &[land], forget),
    ("pin", &[import], pin),
    ("collect", &[import], collect),
    ("collect a placeholder", &[land], collect),
];

fn prepared(dir: &Path, before: &[Step]) -> Store {
    let store = Store::open(dir.join("store")).unwrap();
    before.iter().for_each(|step| step(&store).unwrap());
    store
}

fn every_step(fault: Fault) {
    for (name, before, operation) in OPERATIONS {
        let dir = tempfile::tempdir().unwrap();
        let store = prepared(dir.path(), before);
        let (result, steps) = trace(|| operation(&store));
        result.unwrap();
        assert!(steps.len() > 3, "{name}: {steps:?}");
        for (at, step) in steps.iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let store = prepared(dir.path(), before);
            let result = with(fault, at, || operation(&store));
            let context = format!("{name} with {fault:?} at {at}, {step:?}");
            assert!(result.is_err(), "{context}");
            let found = store.verify().unwrap();
            assert!(found.is_whole(), "{context}: {found:#?}");
            if at % 2 == 0 {
                keep_and_collect(&store, &context);
            }
            operation(&store).unwrap_or_else(|error| panic!("{context}: not done again: {error}"));
            let found = store.verify().unwrap();
            assert!(found.is_whole(), "{context}, done again: {found:#?}");
            store.collect(&EVERYTHING).unwrap();
            assert_eq!(store.verify().unwrap().findings, [], "{context}, collected");
        }
    }
}

/// What died half-way is cleared away without the help of the operation that it belonged to.
fn keep_and_collect(store: &Store, context: &str) {
    let keep = GcRoot {
        by: "test".into(),
        build: Some(Sha256::of(CODE)),
        path: None,
    };
    let age = Duration::from_secs(3600);
    store
        .collect(&Collect {
            uses: &|| Ok(vec![keep.clone()]),
            dry_run: false,
            placeholder_age: age,
            settled_age: None,
            only: None,
        })
        .unwrap();
    let found = store.verify().unwrap();
    assert!(found.is_whole(), "{context}, collected: {found:#?}");
}

#[test]
fn a_disk_that_is_full_at_any_step_leaves_a_whole_store_that_the_same_command_completes() {
    every_step(Fault::Full);
}

#[test]
fn a_process_killed_at_any_step_leaves_a_whole_store_that_the_same_command_completes() {
    every_step(Fault::Killed);
}

/// What a power cut would do cannot be tried here; that nothing gets its name before it is on disk can.
#[test]
fn nothing_is_published_before_its_bytes_and_names_are_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = prepared(dir.path(), &[]);
    store
        .import(&Import {
            code: b"another",
            ..Import::default()
        })
        .unwrap();
    let (result, steps) = trace(|| import(&store));
    result.unwrap();
    let position = |operation: &str, name: &str| {
        steps
            .iter()
            .position(|step| step.0 == operation && step.1 == name)
            .unwrap_or_else(|| panic!("{steps:?}"))
    };
    let id = Sha256::of(CODE).to_string();
    let folder = format!("sha256-{id}");
    let order = [
        position("write", &id),
        position("fsync", &id),
        position("rename", &id),
        position("fsync", "sha256"),
        position("link", "CODE.fd"),
        position("fsync", &folder),
        position("rename", &folder),
        position("fsync", "builds"),
        position("write", "index.json"),
        position("fsync", "index.json"),
        position("rename", "index.json"),
        position("fsync", "store"),
    ];
    assert!(order.is_sorted(), "{steps:?}");
    for (at, (operation, name)) in steps.iter().enumerate().filter(|(_, step)| step.0 == "rename") {
        let synced = steps[..at]
            .iter()
            .any(|step| step.0 == "fsync" && step.1 == *name);
        assert!(synced, "{operation} of {name} without fsync: {steps:?}");
    }
}
