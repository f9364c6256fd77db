//! The path of this program for hooks and units: one that stays right when the program is upgraded.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Result;
use crate::Error;

/// The path that was given, or else the one by which the program was called, absolute. Links on the way are left
/// standing: update-alternatives, stow and Nix let them lead to another version tomorrow.
pub(super) fn own_path(given: Option<&Path>) -> Result<PathBuf> {
    let failed = |source| Error::file("find", "flashmoor's own program".as_ref(), source);
    if let Some(given) = given {
        return std::path::absolute(given).map_err(failed);
    }
    let running = env::current_exe().map_err(failed)?;
    let called = env::args_os().next().map(PathBuf::from);
    let found = called.and_then(|called| called_by(&called, env::var_os("PATH").as_deref()));
    // Whoever starts us may say anything in the first word.
    let is_this = |path: &PathBuf| {
        let (Ok(a), Ok(b)) = (fs::metadata(path), fs::metadata(&running)) else {
            return false;
        };
        (a.dev(), a.ino()) == (b.dev(), b.ino())
    };
    Ok(found.filter(is_this).unwrap_or(running))
}

/// Where a shell found a program of that name.
fn called_by(called: &Path, path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    if called.components().count() > 1 || called.is_absolute() {
        return std::path::absolute(called).ok();
    }
    env::split_paths(path?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(called))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_on_the_way_is_left_standing() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("flashmoor-1.0");
        fs::write(&real, "").unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let link = bin.join("flashmoor");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let path = env::join_paths([Path::new("relative"), Path::new("/nowhere"), &bin]).unwrap();
        assert_eq!(called_by(Path::new("flashmoor"), Some(&path)), Some(link.clone()));
        assert_eq!(called_by(&link, None), Some(link));
        assert_eq!(called_by(Path::new("flashmoor"), None), None);
        assert!(called_by(Path::new("./flashmoor"), None).unwrap().is_absolute());
    }
}
