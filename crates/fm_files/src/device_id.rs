//! What a block device is called for good: numbers and names in `/dev` go to other devices after a boot.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// The longest that sysfs says in one file.
const MAX_WORD_BYTES: usize = 4096;

/// Of a device or a file; nothing where the system has no lasting name for it.
pub(crate) fn of(status: &Metadata) -> Option<String> {
    if !status.file_type().is_block_device() {
        return Some(format!("file:{}:{}", status.dev(), status.ino()));
    }
    let (major, minor) = (rustix::fs::major(status.rdev()), rustix::fs::minor(status.rdev()));
    of_block(&fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?)
}

/// Of the device that sysfs has in `folder`.
fn of_block(folder: &Path) -> Option<String> {
    if let Some(number) = word(&folder.join("partition")) {
        return Some(format!("{} partition {number}", of_block(folder.parent()?)?));
    }
    if let Some(uuid) = word(&folder.join("dm/uuid")) {
        return Some(format!("dm:{uuid}"));
    }
    if let Some(file) = word(&folder.join("loop/backing_file")) {
        let offset = word(&folder.join("loop/offset")).unwrap_or_default();
        return Some(format!("loop:{file} at {offset}"));
    }
    if let Some(image) = rbd(folder) {
        return Some(image);
    }
    ["wwid", "device/wwid", "serial", "device/serial"]
        .iter()
        .find_map(|name| Some(format!("{name}:{}", word(&folder.join(name))?)))
}

/// An image of Ceph's: its pool, namespace and lasting id.
fn rbd(folder: &Path) -> Option<String> {
    let number = folder.file_name()?.to_str()?.strip_prefix("rbd")?;
    let device = PathBuf::from(format!("/sys/bus/rbd/devices/{number}"));
    let said = |name: &str| word(&device.join(name)).unwrap_or_default();
    let id = word(&device.join("image_id"))?;
    Some(format!(
        "rbd:{} {} {} {id}",
        said("cluster_fsid"),
        said("pool_id"),
        said("pool_ns")
    ))
}

fn word(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty() && text.len() < MAX_WORD_BYTES).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_called_by_what_stays_when_their_numbers_change() {
        let sys = tempfile::tempdir().unwrap();
        let file = |path: &str, text: &str| {
            let path = sys.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        file("dm-3/dm/uuid", "LVM-abc\n");
        file("loop1/loop/backing_file", "/srv/a.img\n");
        file("loop1/loop/offset", "0\n");
        file("loop1/loop1p2/partition", "2\n");
        file("sda/device/wwid", "naa.5000\n");
        file("zd0/size", "8\n");
        let id = |name: &str| of_block(&sys.path().join(name));
        assert_eq!(id("dm-3").as_deref(), Some("dm:LVM-abc"));
        assert_eq!(id("loop1").as_deref(), Some("loop:/srv/a.img at 0"));
        assert_eq!(
            id("loop1/loop1p2").as_deref(),
            Some("loop:/srv/a.img at 0 partition 2")
        );
        assert_eq!(id("sda").as_deref(), Some("device/wwid:naa.5000"));
        assert_eq!(id("zd0"), None);
    }
}
