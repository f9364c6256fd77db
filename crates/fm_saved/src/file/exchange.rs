//! A new file in the place of the very file that was read, and of no other that came meanwhile.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{NewFile, failed, sync_folder};
use crate::Result;
use crate::saved::Error;

/// What a file is known by as long as nobody writes to it. libvirt truncates an image that it saves into again, so that
/// its length changes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::saved) struct FileIdentity {
    device: u64,
    inode: u64,
    len_bytes: u64,
    modified: (i64, i64),
}

impl FileIdentity {
    pub(in crate::saved) fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            len_bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }

    /// Of what stands at a path.
    pub(in crate::saved) fn at(path: &Path) -> Option<Self> {
        path.symlink_metadata().ok().map(|meta| Self::of(&meta))
    }
}

impl NewFile {
    /// Makes it durable and puts it in the place of `expected`. The two change places first, and are changed back if it
    /// was another file.
    ///
    /// # Errors
    /// [`Error::Changed`] if another file stands there, or none; it is then as it was.
    pub(in crate::saved) fn replace(mut self, expected: FileIdentity) -> Result<()> {
        self.file.sync_all().map_err(failed("write", &self.partial))?;
        let own = self.file.metadata().map_err(failed("read", &self.partial))?;
        let changed = Error::Changed {
            path: self.path.clone(),
        };
        match self.exchange() {
            Ok(()) => {}
            Err(Errno::NOENT) => return Err(changed.into()),
            // The file system cannot exchange names.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return match FileIdentity::at(&self.path) == Some(expected) {
                    true => self.place(true),
                    false => Err(changed.into()),
                };
            }
            Err(errno) => return Err(failed("write", &self.path)(errno.into())),
        }
        if FileIdentity::at(&self.partial) == Some(expected) {
            // What was there goes with the partial file's name.
            return sync_folder(&self.path);
        }
        // What has come meanwhile must not be lost, whatever happens next.
        self.placed = true;
        let is_back = self.exchange().is_ok()
            || renameat_with(CWD, &self.partial, CWD, &self.path, RenameFlags::NOREPLACE).is_ok();
        let is_ours = FileIdentity::at(&self.partial) == Some(FileIdentity::of(&own));
        if is_back && (is_ours || self.partial.symlink_metadata().is_err()) {
            self.placed = !is_ours;
            sync_folder(&self.path)?;
            return Err(changed.into());
        }
        Err(Error::KeptBeside {
            path: self.path.clone(),
            kept: self.partial.clone(),
        }
        .into())
    }

    fn exchange(&self) -> rustix::io::Result<()> {
        renameat_with(CWD, &self.partial, CWD, &self.path, RenameFlags::EXCHANGE)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    /// What is in a folder, by name.
    fn files(folder: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn only_the_file_that_was_read_is_replaced_and_whatever_came_meanwhile_stays() {
        let image = |text: &str| vec![("image".to_owned(), text.to_owned())];
        type Meanwhile = fn(&Path);
        let table: [(&str, Meanwhile, Vec<(String, String)>); 5] = [
            ("nothing", |_| {}, image("new")),
            (
                "saved again, to a file of its own",
                |path| {
                    let other = path.with_file_name("other");
                    fs::write(&other, "old").unwrap();
                    fs::rename(&other, path).unwrap();
                },
                image("old"),
            ),
            (
                "saved again, into the same file",
                |path| fs::write(path, "younger").unwrap(),
                image("younger"),
            ),
            (
                "restored and removed",
                |path| fs::remove_file(path).unwrap(),
                vec![],
            ),
            (
                "a link in its place",
                |path| {
                    fs::remove_file(path).unwrap();
                    std::os::unix::fs::symlink("/dev/null", path).unwrap();
                },
                image(""),
            ),
        ];
        for (what, meanwhile, left) in table {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("image");
            fs::write(&path, "old").unwrap();
            let expected = FileIdentity::at(&path).unwrap();
            let mut new = NewFile::create(&path).unwrap();
            new.file.write_all(b"new").unwrap();
            meanwhile(&path);
            let replaced = new.replace(expected);
            assert_eq!(replaced.is_ok(), what == "nothing", "{what}: {replaced:?}");
            assert_eq!(files(folder.path()), left, "{what}");
        }
    }
}
