//! Holds firmware descriptors against the files that they name: descriptors can lie.

mod judge;
mod problem;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use fm_api::Schema;
use fm_api::v1::descriptors::{DescriptorProblemCode as Code, DescriptorsDocument};
use fm_host::descriptor;

use self::problem::problem;
use crate::inspect::{self, Catalogue};
use crate::{Error, Result};

/// Whether a path has the name of a descriptor, or is taken for one whatever its name: in the folders that libvirt looks
/// into it reads every file (`src/qemu/qemu_interop_config.c`, `qemuBuildFileList`).
#[must_use]
pub fn is_descriptor(path: &Path) -> bool {
    is_one_among(path, &descriptor::folders())
}

fn is_one_among(path: &Path, standard: &[PathBuf]) -> bool {
    let folder = || path.parent()?.canonicalize().ok();
    (path.extension().is_some_and(|extension| extension == "json") && !inspect::is_json_store(path))
        || (!is_hidden(path) && folder().is_some_and(|folder| standard.iter().any(|own| same(own, &folder))))
}

fn same(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Where a file lies, however its folder is spelled. A link is a file of its own: it can hide what it leads to.
fn place(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Whether libvirt passes over it in a folder: names that begin with a dot.
fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// The regular files directly in a folder, and whatever has the name of a descriptor, by name.
///
/// # Errors
/// If it cannot be read.
pub fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::file("read", folder, source);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // A link to nowhere has the name of a descriptor, and a management stack stumbles over it.
        let is_listed = match is_descriptor(&path) {
            true => !path.is_dir() && !is_hidden(&path),
            // What is neither file nor folder is never opened; a link to nowhere is an error to tell.
            false => path.is_file() || (path.is_symlink() && !path.exists()),
        };
        if is_listed {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Judges every descriptor in `paths`: files, and folders in the order in which a later one hides an earlier.
/// One of the folders that management stacks look into is held against those that hide it as well.
///
/// # Errors
/// If a folder cannot be read.
pub fn lint(paths: &[PathBuf]) -> Result<DescriptorsDocument> {
    let catalogue = Catalogue::open(None)?;
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(files_in(path)?.into_iter().filter(|path| is_descriptor(path)));
        } else {
            files.push(path.clone());
        }
    }
    // What is named twice counts where it is named last, as in a folder that hides others.
    let mut taken = BTreeSet::new();
    files.reverse();
    files.retain(|file| taken.insert(place(file)));
    files.reverse();
    // By base name; of equal names the last folder's counts.
    files.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    let hiding = hiding(paths, &descriptor::folders())?;
    let mut winners: BTreeMap<Option<&OsStr>, &PathBuf> = BTreeMap::new();
    for file in files.iter().chain(&hiding).filter(|file| judge::hides(file)) {
        winners.insert(file.file_name(), file);
    }
    let mut seen = BTreeMap::new();
    let descriptors = files
        .iter()
        .map(|file| {
            let mut document = judge::descriptor(file, &catalogue, &mut seen);
            let winner = winners.get(&file.file_name());
            if let Some(winner) = winner.filter(|winner| judge::hides(file) && place(winner) != place(file)) {
                let message = if judge::is_empty(winner) {
                    format!("{} is empty and hides it", winner.display())
                } else {
                    format!("{} takes its place", winner.display())
                };
                document.problems.push(problem(Code::Hidden, message));
            }
            document
        })
        .collect();
    Ok(DescriptorsDocument {
        schema: Schema::default(),
        descriptors,
    })
}

/// The descriptors in those of the `standard` folders that come after one in `paths` and are not in it.
fn hiding(paths: &[PathBuf], standard: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let given = |folder: &PathBuf| paths.iter().any(|path| same(path, folder));
    let later = standard.iter().skip_while(|folder| !given(folder)).skip(1);
    let mut files = Vec::new();
    for folder in later.filter(|folder| folder.is_dir() && !given(folder)) {
        files.extend(files_in(folder)?.into_iter().filter(|path| is_descriptor(path)));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_standard_folder_every_file_that_is_not_hidden_is_a_descriptor() {
        let root = tempfile::tempdir().unwrap();
        let standard = [root.path().join("standard")];
        let other = root.path().join("other");
        for folder in [&standard[0], &other] {
            std::fs::create_dir(folder).unwrap();
        }
        let is_one = |folder: &Path, name: &str| is_one_among(&folder.join(name), &standard);
        for (name, everywhere) in [("60-x.json", true), ("README", false), ("60-x.json.bak", false)] {
            assert!(is_one(&standard[0], name), "{name}");
            assert_eq!(is_one(&other, name), everywhere, "{name}");
        }
        assert!(!is_one(&standard[0], ".README"));
    }

    #[test]
    fn a_standard_folder_is_hidden_by_the_more_specific_ones_only() {
        let root = tempfile::tempdir().unwrap();
        let folders = ["usr", "etc", "own"].map(|name| root.path().join(name));
        for folder in &folders[..2] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("60-x.json"), "").unwrap();
        }
        let hiding = |given: &PathBuf| hiding(std::slice::from_ref(given), &folders).unwrap();
        assert_eq!(hiding(&folders[0]), [folders[1].join("60-x.json")]);
        assert!(hiding(&folders[1]).is_empty());
        assert!(hiding(&root.path().to_owned()).is_empty());
    }
}
