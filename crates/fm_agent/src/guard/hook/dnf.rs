//! dnf's hooks: a plugin in Python for dnf 4, a file of actions for dnf 5.
//!
//! dnf 5 starts programs by its actions plugin, the package `libdnf5-plugin-actions`, which takes what they
//! print for orders (dnf5 `doc/libdnf5_plugins/actions.8.rst`): everything goes to standard error.

use std::fs;
use std::path::{Path, PathBuf};

use super::words::{options, word};
use super::{Install, PackageManager, Place};
use crate::{Error, Result};
use fm_remedy::Misuse;

const MARK: &str = "# Written by `flashmoor guard install`; `flashmoor guard uninstall` removes it.";
const PLUGIN: &str = include_str!("flashmoor.py");
/// How much longer than flashmoor itself the plugin waits, in seconds.
const GRACE_S: u64 = 5;

pub(super) fn places(root: &Path) -> Vec<Place> {
    let mut places: Vec<Place> = python_folders(root)
        .into_iter()
        .filter(|folder| folder.join("dnf").is_dir())
        .map(|folder| Place {
            manager: PackageManager::Dnf,
            path: folder.join("dnf-plugins/flashmoor.py"),
            mark: MARK,
            text: plugin,
            blocking: "BLOCK = True",
        })
        .collect();
    let libdnf5 = root.join("etc/dnf/libdnf5-plugins");
    if libdnf5.is_dir() {
        places.push(Place {
            manager: PackageManager::Dnf,
            path: libdnf5.join("actions.d/flashmoor.actions"),
            mark: MARK,
            text: actions,
            blocking: " --block",
        });
    }
    places
}

/// Where Python's modules of distributions lie: `usr/lib/python3.12/site-packages`, Debian's
/// `usr/lib/python3/dist-packages`.
fn python_folders(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for lib in ["usr/lib", "usr/lib64"] {
        let entries = fs::read_dir(root.join(lib)).into_iter().flatten().flatten();
        let pythons = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"));
        found.extend(pythons.flat_map(|python| {
            ["site-packages", "dist-packages"].map(|packages| python.path().join(packages))
        }));
    }
    found.sort();
    found
}

fn plugin(request: &Install<'_>) -> Result<String> {
    Ok(PLUGIN
        .replace("@PROGRAM@", &word(request.program)?)
        .replace("@OPTIONS@", &options(request)?.join(" "))
        .replace(
            "@TIMEOUT_S@",
            &request.timeout_s.saturating_add(GRACE_S).to_string(),
        )
        .replace("@BLOCK@", if request.block { "True" } else { "False" }))
}

fn actions(request: &Install<'_>) -> Result<String> {
    if request.block {
        return Err(Error::Usage(Misuse {
            message: "an action of dnf5 can't stop an upgrade in every version of it".into(),
            remedy: "have it report instead of refusing: guests are captured all the same".into(),
        }));
    }
    let program = word(request.program)?;
    let options = options(request)?.join(" ");
    // Actions are not told which files leave: every guest's firmware is captured.
    let action = |hook: &str, half: &str| {
        let command = format!("{program} guard {half} {options} >&2 || true").replace(' ', "\\ ");
        format!("{hook}::::/bin/sh -c {command}\n")
    };
    Ok(format!(
        "{MARK}\n{}{}",
        action("pre_transaction", "before"),
        action("post_transaction", "after")
    ))
}
