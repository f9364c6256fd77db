//! What is about to be removed: out of everybody's reach, and not gone before it is certain that nobody came for it.
//!
//! Nobody takes a lock to start a guest, so that one may start between a look at who runs and a removal. Whatever goes is
//! first renamed into `tmp/`; who has it by then is seen by a second look, and it gets its name back. A process that dies
//! in between leaves it there, and the next writer puts it back.

use fm_files::{Entry, Folder};

use crate::{BUILDS, LANDINGS, Result, TMP};

const PREFIX: &str = "leaving-";

/// What one collection has set aside.
#[derive(Debug)]
pub(crate) struct Aside<'a> {
    root: &'a Folder,
    tmp: &'a Folder,
    taken: Vec<(&'static str, String)>,
}

impl<'a> Aside<'a> {
    pub(crate) fn new(root: &'a Folder, tmp: &'a Folder) -> Self {
        Self {
            root,
            tmp,
            taken: Vec::new(),
        }
    }

    /// Takes the folder `name` out of `home`, one of the store's.
    pub(crate) fn take(&mut self, home: &'static str, name: &str) -> Result<()> {
        let Some(folder) = self.root.sub(home)? else {
            return Ok(());
        };
        folder.rename(name, self.tmp, aside(home, name))?;
        self.taken.push((home, name.to_owned()));
        Ok(folder.sync()?)
    }

    /// Gives back what `is_needed` says.
    pub(crate) fn put_back(&mut self, is_needed: impl Fn(&'static str, &str) -> bool) -> Result<()> {
        let (back, gone) = self
            .taken
            .drain(..)
            .partition(|(home, name)| is_needed(home, name));
        self.taken = gone;
        for (home, name) in back {
            restore(self.root, self.tmp, home, &name)?;
        }
        Ok(())
    }

    /// Removes the rest for good.
    pub(crate) fn remove(self) -> Result<()> {
        for (home, name) in self.taken {
            // What is removed in part is not to be put back.
            let gone = format!("gone-{home}-{name}");
            self.tmp.rename(aside(home, &name), self.tmp, &gone)?;
            self.tmp.remove_all(&Entry {
                name: gone.into(),
                is_folder: true,
            })?;
        }
        Ok(())
    }
}

/// Puts back what a writer that died had set aside.
pub(crate) fn recover(root: &Folder, tmp: &Folder) -> Result<()> {
    for name in tmp.names()? {
        if let Some((home, name)) = name.to_str().and_then(home_of) {
            restore(root, tmp, home, name)?;
        }
    }
    Ok(())
}

/// Whether a writer has set it aside, or died when it had.
pub(crate) fn contains(root: &Folder, home: &'static str, name: &str) -> Result<bool> {
    Ok(match root.sub(TMP)? {
        Some(tmp) => tmp.stat(aside(home, name))?.is_some(),
        None => false,
    })
}

/// Where what is called so in `tmp/` belongs.
pub(crate) fn home_of(aside: &str) -> Option<(&'static str, &str)> {
    let rest = aside.strip_prefix(PREFIX)?;
    [BUILDS, LANDINGS]
        .into_iter()
        .find_map(|home| Some((home, rest.strip_prefix(home)?.strip_prefix('-')?)))
}

fn aside(home: &str, name: &str) -> String {
    format!("{PREFIX}{home}-{name}")
}

fn restore(root: &Folder, tmp: &Folder, home: &'static str, name: &str) -> Result<()> {
    let folder = root.sub_or_create(home)?;
    // Somebody may have made it anew.
    if folder.stat(name)?.is_none() {
        tmp.rename(aside(home, name), &folder, name)?;
        folder.sync()?;
    }
    Ok(())
}
