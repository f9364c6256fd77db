//! Looking at every byte and name of the store: is each what it promises to be?
//!
//! No lock is taken, so that whoever may read the store may verify it, and no writer waits. A writer
//! publishes what the index names before the index; if one removed something meanwhile, we look again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use fm_files::Folder;
use fm_formats::Sha256;
use fm_remedy::one_line;

use crate::aside;
use crate::build::{FILES, Stored, names, template_name};
use crate::import::same_file;
use crate::layout::Layout;
use crate::oci::{self, Descriptor};
use crate::{BUILDS, LANDINGS, Result, Store, TMP, landing};

/// How often the store is looked at again because a writer changed it meanwhile.
const ATTEMPTS: usize = 5;

/// What was looked at, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Builds in the index.
    pub builds: usize,
    /// Landings.
    pub landings: usize,
    /// Blobs, whose every byte was read.
    pub blobs: usize,
    /// Their size together.
    pub bytes: u64,
    /// What was found; empty in a tidy store.
    pub findings: Vec<Finding>,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Takes room and harms nobody; `gc` clears it away.
    Leftover,
    /// Something does not hold what its name or the index promises.
    Damage,
}

impl Verification {
    /// Whether everything that the store promises holds. Leftovers of a process that died do not count.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity == Severity::Leftover)
    }

    fn damage(&mut self, path: PathBuf, what: impl ToString) {
        self.findings.push(Finding {
            severity: Severity::Damage,
            path,
            what: what.to_string(),
        });
    }

    fn leftover(&mut self, path: PathBuf, what: impl ToString) {
        self.findings.push(Finding {
            severity: Severity::Leftover,
            path,
            what: what.to_string(),
        });
    }
}

impl Store {
    /// Reads everything in the store and compares it with what it is named and said to be.
    ///
    /// # Errors
    /// If a folder of the store cannot be read at all; damage is a finding, not an error.
    pub fn verify(&self) -> Result<Verification> {
        let mut attempt = 1;
        loop {
            let Some(layout) = self.reader()? else {
                return Ok(Verification::default());
            };
            let before = layout.root.stat(crate::layout::INDEX)?;
            let verification = Pass::run(&layout)?;
            let unchanged = same_file(before, layout.root.stat(crate::layout::INDEX)?);
            if verification.is_whole() || unchanged || attempt == ATTEMPTS {
                return Ok(verification);
            }
            attempt += 1;
        }
    }
}

/// One look at a store.
struct Pass<'a> {
    layout: &'a Layout,
    /// What each blob that holds what its name says has in bytes.
    sound: BTreeMap<Sha256, u64>,
    damaged: BTreeSet<Sha256>,
    named: BTreeSet<Sha256>,
    builds: BTreeSet<Sha256>,
    out: Verification,
}

impl<'a> Pass<'a> {
    fn run(layout: &'a Layout) -> Result<Verification> {
        let mut pass = Self {
            layout,
            sound: BTreeMap::new(),
            damaged: BTreeSet::new(),
            named: BTreeSet::new(),
            builds: BTreeSet::new(),
            out: Verification::default(),
        };
        // The index first: whatever it names was in place before it.
        let index = layout.index();
        pass.blobs()?;
        match index {
            Ok(index) => {
                for entry in &index.manifests {
                    pass.entry(entry)?;
                }
                let (reachable, complete) = layout.reachable(&index);
                pass.named.extend(reachable);
                if complete {
                    pass.unnamed();
                }
                pass.folders()?;
            }
            Err(error) => pass
                .out
                .damage(layout.root.join(crate::layout::INDEX), one_line(&error)),
        }
        pass.landings()?;
        if let Some(tmp) = layout.root.sub(TMP)? {
            for entry in tmp.entries()? {
                pass.out.leftover(
                    tmp.join(&entry.name),
                    "work of a writer that is at it, or was cut short",
                );
            }
        }
        Ok(pass.out)
    }

    fn blobs(&mut self) -> Result<()> {
        let blobs = &self.layout.blobs;
        for entry in blobs.entries()? {
            let path = blobs.join(&entry.name);
            let Some(Ok(expected)) = entry.name.to_str().map(str::parse::<Sha256>) else {
                self.out.leftover(path, "its name is not a digest");
                continue;
            };
            match blobs.digest(&entry.name) {
                Ok(Some((found, size_bytes))) => {
                    self.out.blobs += 1;
                    self.out.bytes += size_bytes;
                    if found == expected {
                        self.sound.insert(expected, size_bytes);
                    } else {
                        self.damaged.insert(expected);
                        self.out.damage(
                            path,
                            format_args!("corrupted: its {size_bytes} bytes have the sha256 {found}"),
                        );
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    self.damaged.insert(expected);
                    self.out.damage(path, one_line(&error));
                }
            }
        }
        Ok(())
    }

    /// An entry of the index: its manifest, the blobs that this names, and the build's folder.
    fn entry(&mut self, entry: &Descriptor) -> Result<()> {
        let tag = entry.tag().unwrap_or("an untagged entry").to_owned();
        if !self.names(entry, &tag) {
            return Ok(());
        }
        let stored = match Stored::read(self.layout, entry) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.out.damage(
                    self.layout.blobs.join(entry.digest.0.to_string()),
                    one_line(&error),
                );
                return Ok(());
            }
        };
        self.out.builds += 1;
        for blob in stored.manifest.layers.iter().chain([&stored.manifest.config]) {
            self.names(blob, &tag);
        }
        let own = oci::folder_of(&stored.id());
        if !entry.is_tagged_for(&stored.id()) {
            let what = format!(
                "not linked: importing {}:{tag} again links it",
                self.layout.root.path().display()
            );
            self.out
                .leftover(self.layout.blobs.join(entry.digest.0.to_string()), what);
            return Ok(());
        }
        self.builds.insert(stored.id());
        let folder = match self.layout.root.sub(BUILDS)? {
            Some(builds) => builds.sub(&own)?,
            None => None,
        };
        let Some(folder) = folder else {
            // A collection is about to decide; that it lies there is said anyway.
            if aside::contains(&self.layout.root, BUILDS, &own)? {
                return Ok(());
            }
            self.out.damage(
                self.layout.root.join(BUILDS).join(own),
                "the build's folder is gone",
            );
            return Ok(());
        };
        let first = stored.manifest.layer(oci::VARS_TEMPLATE);
        let newer = first.map(|layer| template_name(&layer.digest.0));
        for (file, blob) in names(&stored.manifest) {
            // stores of before have no second name for the first template; the next writer gives it
            if newer.as_ref() == Some(&file) && folder.stat(&file)?.is_none() {
                continue;
            }
            self.link(&folder, &file, &blob);
        }
        Ok(())
    }

    /// Whether the blob that a descriptor names is there and sound; says so if it is missing.
    fn names(&mut self, descriptor: &Descriptor, by: &str) -> bool {
        let digest = descriptor.digest.0;
        self.named.insert(digest);
        let path = self.layout.blobs.join(digest.to_string());
        match self.sound.get(&digest) {
            Some(size_bytes) if *size_bytes == descriptor.size => true,
            Some(size_bytes) => {
                let size = descriptor.size;
                self.out
                    .damage(path, format_args!("has {size_bytes} bytes, and {by} says {size}"));
                false
            }
            // Damage was reported when the blob was read.
            None if self.damaged.contains(&digest) => false,
            None => {
                self.out.damage(path, format_args!("gone, and {by} needs it"));
                false
            }
        }
    }

    /// A file that is to be a link of a blob, or at least to hold the same.
    fn link(&mut self, folder: &Folder, file: &str, blob: &Sha256) {
        let path = folder.join(file);
        let linked = (self.layout.blobs.stat(blob.to_string()), folder.stat(file));
        if let (Ok(one), Ok(other)) = linked
            && same_file(one, other)
        {
            return;
        }
        match folder.digest(file) {
            Ok(Some((found, _))) if found == *blob => {
                self.out.leftover(path, "a copy, not a link of its blob")
            }
            // A file that is not named by its digest may be the one that an import was replacing.
            Ok(Some((found, _)))
                if FILES[1..].iter().any(|(name, _)| *name == file) && self.sound.contains_key(&found) =>
            {
                self.out
                    .leftover(path, "an import that was to replace it was cut short");
            }
            Ok(Some((found, _))) => self
                .out
                .damage(path, format_args!("has the sha256 {found}, not {blob}")),
            Ok(None) => self.out.damage(path, "gone"),
            Err(error) => self.out.damage(path, one_line(&error)),
        }
    }

    fn unnamed(&mut self) {
        for digest in self.sound.keys().filter(|digest| !self.named.contains(digest)) {
            self.out.leftover(
                self.layout.blobs.join(digest.to_string()),
                "nothing refers to this blob",
            );
        }
    }

    /// Folders in `builds/` that the index does not name must keep their names' promise all the same.
    fn folders(&mut self) -> Result<()> {
        let Some(builds) = self.layout.root.sub(BUILDS)? else {
            return Ok(());
        };
        for entry in builds.entries()? {
            let path = builds.join(&entry.name);
            let id = entry
                .name
                .to_str()
                .and_then(|name| name.strip_prefix("sha256-"))
                .map(str::parse::<Sha256>);
            match id {
                Some(Ok(id)) if self.builds.contains(&id) => {}
                Some(Ok(id)) if entry.is_folder => {
                    self.out.leftover(path, "a build that the index does not name");
                    if let Some(folder) = builds.sub(&entry.name)? {
                        self.link(&folder, FILES[0].0, &id);
                    }
                }
                _ => self.out.leftover(path, "not a build's folder"),
            }
        }
        Ok(())
    }

    fn landings(&mut self) -> Result<()> {
        let Some(landings) = self.layout.root.sub(LANDINGS)? else {
            return Ok(());
        };
        for id in landing::ids(&landings)? {
            let path = landings.join(&id);
            let found = match landing::read(&landings, &id) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(error) => {
                    self.out.damage(path, one_line(&error));
                    continue;
                }
            };
            self.out.landings += 1;
            if found.placeholder {
                let size_bytes = std::fs::symlink_metadata(&found.path).map(|file| file.len());
                if size_bytes.ok() != Some(found.size_bytes) {
                    let size = found.size_bytes;
                    self.out.damage(
                        found.path,
                        format_args!("the placeholder is not a file of {size} bytes"),
                    );
                }
            } else if found.path.starts_with(&path) {
                if let Some(folder) = landings.sub(&id)? {
                    self.link(&folder, FILES[0].0, &found.code);
                }
            } else if !found.path.exists() {
                self.out.damage(
                    path,
                    format_args!("its build {} is not stored any more", found.code),
                );
            }
        }
        Ok(())
    }
}
