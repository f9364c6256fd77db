//! Symbolic links on the way to a file or a folder: followed one by one, each with its owner.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use crate::{Error, Result};

/// Whether nobody leads us to what is not his: a link is followed that is root's, ours, or of the owner of what it leads to.
pub(crate) fn check_links(links: Vec<(PathBuf, u32)>, owner_uid: u32) -> Result<()> {
    let ours = [0, rustix::process::geteuid().as_raw(), owner_uid];
    match links.into_iter().find(|(_, uid)| !ours.contains(uid)) {
        None => Ok(()),
        Some((path, uid)) => Err(Error::ForeignLink {
            path,
            owner_uid: uid,
            target_uid: owner_uid,
        }),
    }
}

/// As many links are followed as the kernel follows.
const MAX_LINK_COUNT: usize = 40;

/// Where `path` leads without links, and each link on the way with its owner.
pub(crate) fn resolve(path: &Path, links: &mut Vec<(PathBuf, u32)>) -> io::Result<PathBuf> {
    let mut open: Vec<PathBuf> = parts(&std::path::absolute(path)?);
    let mut real = PathBuf::from("/");
    while let Some(part) = open.pop() {
        if part == Path::new("..") {
            real.pop();
            continue;
        }
        let next = real.join(&part);
        let status = next.symlink_metadata()?;
        if !status.is_symlink() {
            real = next;
            continue;
        }
        if links.len() == MAX_LINK_COUNT {
            return Err(rustix::io::Errno::LOOP.into());
        }
        let target = fs::read_link(&next)?;
        links.push((next, status.uid()));
        if target.is_absolute() {
            real = PathBuf::from("/");
        }
        open.extend(parts(&target));
    }
    Ok(real)
}

/// The names in a path, the last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut parts: Vec<PathBuf> = names.collect();
    parts.reverse();
    parts
}
