//! What AppArmor and SELinux have to know: libvirt's daemon may start the program, and guests may read the store.

use std::fs;
use std::path::{Path, PathBuf};

/// What a site adds to libvirt's own AppArmor profiles: the daemon's, in one piece or modular, and that of all guests.
const APPARMOR: [&str; 3] = [
    "etc/apparmor.d/local/usr.sbin.libvirtd",
    "etc/apparmor.d/local/usr.sbin.virtqemud",
    "etc/apparmor.d/local/abstractions/libvirt-qemu",
];
/// File contexts as a module of SELinux's, in the language that `semodule` takes.
pub(super) const SELINUX: &str = "etc/selinux/flashmoor.cil";
/// What says whether SELinux is to be on, and with which policy; without it there is none.
const SELINUX_CONFIG: &str = "etc/selinux/config";
/// The SELinux type of what guests may read and nobody needs to relabel.
pub(super) const TYPE: &str = "virt_content_t";
const BEGIN: &str = "# begin of flashmoor's lines";
const END: &str = "# end of flashmoor's lines";

/// What each file of [`APPARMOR`] gets that belongs to this system.
pub(super) fn apparmor(root: &Path, program: &str, store: &str) -> Vec<(PathBuf, String)> {
    let daemon = format!("  {program} PUx,\n");
    let guests = format!("  {store}/builds/** rk,\n  {store}/landings/** rk,\n");
    let mut places: Vec<(PathBuf, String)> = Vec::new();
    for (place, lines) in APPARMOR.iter().zip([&daemon, &daemon, &guests]) {
        // Without the folder there is no AppArmor, or no libvirt that it knows; without its profile, no such daemon.
        let path = root.join(place);
        let is_known = place.contains("/abstractions/") || profile(root, place).exists() || path.exists();
        if is_known && path.parent().is_some_and(Path::is_dir) {
            places.push((path, lines.clone()));
        }
    }
    places
}

/// The profile that includes this file of a site's.
fn profile(root: &Path, place: &str) -> PathBuf {
    root.join(place.replace("/local/", "/"))
}

/// The profiles of libvirt's daemons, as their system sees them.
pub(super) fn profiles(root: &Path) -> Vec<PathBuf> {
    APPARMOR
        .iter()
        .filter(|place| !place.contains("/abstractions/"))
        .filter(|place| profile(root, place).exists())
        .map(|place| Path::new("/").join(place.replace("/local/", "/")))
        .collect()
}

/// Whether every file that needs our lines has them.
pub(super) fn has_lines(root: &Path) -> bool {
    let places = apparmor(root, "", "");
    !places.is_empty()
        && places
            .iter()
            .all(|(path, _)| fs::read_to_string(path).is_ok_and(|text| text.contains(BEGIN)))
}

/// All files that may have our lines.
pub(super) fn places(root: &Path) -> impl Iterator<Item = PathBuf> {
    APPARMOR.iter().map(move |place| root.join(place))
}

/// The text with our lines, once.
pub(super) fn with_block(text: &str, lines: &str) -> String {
    without_block(text) + &format!("{BEGIN}\n{lines}{END}\n")
}

/// The text without the lines that are ours.
pub(super) fn without_block(text: &str) -> String {
    let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END)) else {
        return text.to_owned();
    };
    let rest = text.get(end + END.len()..).unwrap_or_default();
    let before = text.get(..begin).unwrap_or_default();
    format!("{before}{}", rest.strip_prefix('\n').unwrap_or(rest))
}

/// Where the file contexts go; nothing if this system has no SELinux. Its folder alone says nothing: Debian's
/// libsemanage-common brings one everywhere.
pub(super) fn selinux(root: &Path) -> Option<PathBuf> {
    root.join(SELINUX_CONFIG).is_file().then(|| root.join(SELINUX))
}

/// The file contexts of the store.
pub(super) fn contexts(mark: &str, store: &str) -> String {
    let mark = mark.trim_start_matches('#').trim();
    // a context is a regular expression
    let store = store.replace('.', "\\.").replace('+', "\\+");
    format!("; {mark}\n(filecon \"{store}(/.*)?\" any (system_u object_r {TYPE} ((s0) (s0))))\n")
}

/// The SELinux label of a file, if it has one.
pub(super) fn label(path: &Path) -> Option<String> {
    let mut buffer = [0_u8; 256];
    let len = rustix::fs::getxattr(path, "security.selinux", &mut buffer[..]).ok()?;
    let label = String::from_utf8_lossy(buffer.get(..len)?).into_owned();
    Some(label.trim_end_matches('\0').to_owned())
}
