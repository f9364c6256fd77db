//! What the hook writes down between two of libvirt's calls: which guests are on their way, and whose variables libvirt
//! made from an empty template for that.

use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fm_libvirt::Domain;

use crate::libvirt::blank;

/// The folder of files, one a guest, that say: this guest is on its way, so that its start here is no cold boot.
pub(in crate::libvirt) const ARRIVING: &str = "libvirt/arriving";
/// The folder of files, one a guest, that hold the path of the variables that libvirt makes from an empty template.
pub(in crate::libvirt) const BLANK_VARS: &str = "libvirt/blank-vars";

/// A guest that was announced starts within the same call of libvirt's, after libvirt has made the disks that are
/// copied along.
const ON_ITS_WAY: Duration = Duration::from_secs(600);

/// The mark of a guest that is on its way.
pub(super) fn mark(store: &Path, uuid: &str) -> PathBuf {
    store.join(ARRIVING).join(plain(uuid))
}

/// The note on a guest's variables.
pub(super) fn note(store: &Path, uuid: &str) -> PathBuf {
    store.join(BLANK_VARS).join(plain(uuid))
}

/// A UUID as a file's name, whatever somebody's XML calls one.
fn plain(uuid: &str) -> String {
    let plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '-';
    uuid.chars().filter(plain).take(64).collect()
}

/// Writes a mark or a note.
pub(super) fn write(path: &Path, bytes: &[u8]) -> crate::Result<()> {
    if let Some(folder) = path.parent() {
        fm_files::create_folders(folder)?;
    }
    Ok(fm_files::Place::at(path)?.write(bytes, 0o644)?)
}

/// Notes that libvirt makes `vars` from an empty template.
pub(super) fn note_blank_vars(store: &Path, uuid: &str, vars: &Path) -> crate::Result<()> {
    write(&note(store, uuid), vars.as_os_str().as_bytes())
}

/// Whether that is noted of a guest's variables.
pub(super) fn is_noted(store: &Path, uuid: &str, vars: &Path) -> bool {
    noted(&note(store, uuid)).is_some_and(|noted| noted == *vars)
}

fn noted(note: &Path) -> Option<PathBuf> {
    let bytes = fs::read(note).ok()?;
    Some(std::ffi::OsString::from_vec(bytes).into())
}

/// Whether a note is of no use any more: something arrived in those variables, or they are gone.
pub(in crate::libvirt) fn has_served(note: &Path) -> bool {
    let still_blank = noted(note).is_some_and(|vars| blank::is_any_blank(&vars));
    !still_blank
}

/// A domain's definition, if it has one.
pub(super) fn definition(folder: &Path, domain: &Domain) -> PathBuf {
    folder.join(format!("{}.xml", domain.name))
}

/// Whether a definition names this file.
pub(super) fn names(definition: &Path, file: &Path) -> bool {
    fs::read_to_string(definition).is_ok_and(|xml| xml.contains(&file.display().to_string()))
}

/// Whether the guest was announced, and its start here is no cold boot. A definition that was written since then and
/// names the file came by an offline migration: for a guest that arrives, libvirt writes it in the end.
pub(super) fn is_arriving(mark: &Path, definition: &Path, loader: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let Some(announced) = modified(mark) else {
        return false;
    };
    let is_recent = announced.elapsed().is_ok_and(|age| age < ON_ITS_WAY);
    let came_offline =
        modified(definition).is_some_and(|written| written > announced) && names(definition, loader);
    is_recent && !came_offline
}
