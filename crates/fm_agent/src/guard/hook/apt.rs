//! apt's hook: a file of its configuration.

use std::path::Path;

use super::words::{options, word};
use super::{Install, PackageManager, Place};
use crate::Result;

const MARK: &str = "// Written by `flashmoor guard install`; `flashmoor guard uninstall` removes it.";

/// The place for the hook, on a system that has apt.
pub(super) fn place(root: &Path) -> Option<Place> {
    root.join("etc/apt").is_dir().then(|| Place {
        manager: PackageManager::Apt,
        path: root.join("etc/apt/apt.conf.d/50flashmoor"),
        mark: MARK,
        text,
        blocking: " --block",
    })
}

fn text(request: &Install<'_>) -> Result<String> {
    let program = word(request.program)?;
    let options = options(request)?.join(" ");
    // apt stops when the first of these fails, and complains when the second does. It has read them before it removes
    // the package that the program is from: the second finds no program then.
    let (block, forgive) = if request.block {
        (" --block", "")
    } else {
        ("", " || true")
    };
    Ok(format!(
        "{MARK}\n\
         DPkg::Tools::Options::{program}::Version \"3\";\n\
         DPkg::Pre-Install-Pkgs {{ \"{program} guard before --apt {options}{block}{forgive}\"; }};\n\
         DPkg::Post-Invoke {{ \"test ! -x {program} || {program} guard after {options} || true\"; }};\n"
    ))
}
