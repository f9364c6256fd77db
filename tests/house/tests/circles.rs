//! No circle among the modules of a crate: who reads a room can read its modules one after the other.

use std::path::{Path, PathBuf};

use fm_house::Crate;

/// Crates that are being cut into rooms of their own, whose circles go with that.
const BEING_CUT: &[&str] = &[];

/// The name and root of each crate of the product.
fn crates() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let entry = entry.expect("a readable entry");
        let source = entry.path().join("src");
        let roots = [source.join("lib.rs"), source.join("main.rs")];
        let root = roots.into_iter().find(|root| root.exists());
        found.push((
            entry.file_name().to_string_lossy().into_owned(),
            root.expect("a crate root"),
        ));
    }
    assert!(found.len() > 5, "only {} crates found", found.len());
    found
}

#[test]
fn no_modules_of_a_crate_use_each_other_in_a_circle() {
    let mut told = String::new();
    for (name, root) in crates() {
        if BEING_CUT.contains(&name.as_str()) {
            continue;
        }
        let read = Crate::read(&root).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            read.module_count() > 2,
            "{name}: only {} modules found",
            read.module_count()
        );
        for circle in read.circles() {
            told.push_str(&format!("\n{name}: {circle}"));
        }
    }
    assert!(
        told.is_empty(),
        "modules in a circle, see docs/ARCHITECTURE.md, \"Rooms\":{told}"
    );
}
