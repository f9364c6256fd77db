//! What is left of guests that were announced and never came: a migration that somebody else refused, or a hook
//! that was cut short.

use std::fs;
use std::path::Path;
use std::time::Duration;

use fm_store::Store;

use super::{FOLDER, hook};
use crate::Result;

/// Removes placeholders that are older than `age` and that nothing names, and marks and unfinished files of that
/// age. Returns the landings that went.
pub fn forget_stale_landings(store: &Store, age: Duration) -> Result<Vec<String>> {
    let folder = store.path().join(FOLDER);
    let arriving = store.path().join(hook::ARRIVING);
    for folder in [&arriving, &folder] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_meant = *folder == arriving || fm_files::is_unfinished(&entry.file_name());
            if is_meant && is_old(&entry.path(), age) {
                // Another may have been faster.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
    for entry in fs::read_dir(store.path().join(hook::BLANK_VARS))
        .into_iter()
        .flatten()
        .flatten()
    {
        // While the variables are empty still, the guest may come or fail to.
        if is_old(&entry.path(), age) && hook::has_served(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(fm_store::verbs::forget_placeholders(store, age)?)
}

fn is_old(path: &Path, age: Duration) -> bool {
    path.symlink_metadata()
        .and_then(|file| file.modified())
        .is_ok_and(|modified| modified.elapsed().is_ok_and(|elapsed| elapsed > age))
}

#[cfg(test)]
mod tests {
    use fm_formats::Sha256;
    use fm_store::NewLanding;

    use super::super::blank;
    use super::*;

    #[test]
    fn what_is_left_of_a_guest_that_never_came_goes_and_what_is_young_or_named_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let landing = |name| {
            store
                .create_landing(&NewLanding {
                    guest_name: Some(name),
                    guest_uuid: None,
                    code: Sha256::of(name.as_bytes()),
                    size_bytes: 4096,
                })
                .unwrap()
        };
        let (gone, open) = (landing("gone"), landing("open"));
        let arriving = folder.path().join(hook::ARRIVING);
        fs::create_dir_all(&arriving).unwrap();
        let ours = folder.path().join(FOLDER);
        let left = [arriving.join("u1"), ours.join(".x.flashmoor-new-1")];
        let blank = blank::template(&store, 4096).unwrap();
        for path in &left {
            fs::write(path, "").unwrap();
        }
        let hour = Duration::from_secs(3600);
        assert!(forget_stale_landings(&store, hour).unwrap().is_empty());
        assert!(left.iter().all(|path| path.exists()));
        // A process that has it open stands for a guest.
        let mut guest = std::process::Command::new("sleep")
            .arg("60")
            .stdin(fs::File::open(&open.path).unwrap())
            .spawn()
            .unwrap();
        let forgotten = forget_stale_landings(&store, Duration::ZERO);
        guest.kill().unwrap();
        guest.wait().unwrap();
        assert_eq!(forgotten.unwrap(), [gone.id]);
        assert!(open.path.exists() && blank.exists());
        assert!(!left.iter().any(|path| path.exists()));
    }
}
