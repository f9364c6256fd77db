//! Tests: the store after a fault at each single step of each operation.

use std::path::Path;

use fm_formats::Sha256;

use crate::fault::{Fault, trace, with};
use crate::{Error, Import, NewLanding, Result, Store};

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

type Step = fn(&Store) -> Result<()>;

/// Operations under test, each with what has to be done before it.
const OPERATIONS: &[(&str, &[Step], Step)] = &[
    ("import", &[], import),
    ("replace", &[import], replace),
    ("land", &[], land),
    ("land stored", &[import], land),
    ("settle", &[land, import], settle),
    ("forget", &[land], forget),
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
            assert!(store.builds().is_ok() && store.landings().is_ok(), "{context}");
            operation(&store).unwrap_or_else(|error| panic!("{context}: not done again: {error}"));
        }
    }
}

#[test]
fn a_disk_that_is_full_at_any_step_leaves_a_whole_store_that_the_same_command_completes() {
    every_step(Fault::Full);
}

#[test]
fn a_process_killed_at_any_step_leaves_a_whole_store_that_the_same_command_completes() {
    every_step(Fault::Killed);
}
