//! Clearing away what nothing refers to: builds, forgotten placeholders, leftovers of dead writers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fm_files::Folder;
use fm_formats::Sha256;

use crate::build::Stored;
use crate::import::link;
use crate::landing::{self, Landing};
use crate::layout::Layout;
use crate::oci::{self, Descriptor, Index};
use crate::{BUILDS, LANDINGS, Result, Store, Writer};

/// What the caller knows to be in use, and how to go about it.
#[derive(Debug, Clone)]
pub struct Collect<'a> {
    /// What running guests, saved guests and configurations refer to.
    pub uses: &'a [GcRoot],
    /// Say what would be removed, and remove nothing.
    pub dry_run: bool,
    /// A placeholder that no use names is kept for this long: its guest may still be on its way.
    pub placeholder_age: Duration,
}

/// Something outside the store that needs a build or a landing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcRoot {
    /// Who, in words: `guest web1 (pid 4711)`.
    pub by: String,
    /// The build whose bytes it runs.
    pub build: Option<Sha256>,
    /// A file that it names or has open.
    pub path: Option<PathBuf>,
}

/// What came of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// What was removed, or would be.
    pub removed: Vec<Removed>,
    /// Which builds stay, and why.
    pub kept: Vec<Kept>,
    /// How many bytes on disk that frees.
    pub freed_bytes: u64,
}

/// One thing that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removed {
    /// A build that nothing refers to.
    Build {
        /// Its id.
        id: Sha256,
        /// Its name, if it had one.
        name: Option<String>,
    },
    /// A placeholder whose guest never came.
    Landing {
        /// Its id.
        id: String,
    },
    /// A file or folder that a dead writer left, or a blob that nothing refers to.
    Leftover {
        /// Where it was.
        path: PathBuf,
    },
}

/// A build that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// Its id.
    pub id: Sha256,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Who needs it.
    pub reasons: Vec<String>,
}

impl Store {
    /// Removes the builds that no use, landing or pin refers to, and what else is of no use any more.
    ///
    /// # Errors
    /// If the store is busy, cannot be read, or the disk refuses.
    pub fn collect(&self, collect: &Collect<'_>) -> Result<Collected> {
        if self.reader()?.is_none() {
            return Ok(Collected::default());
        }
        let writer = self.writer()?;
        let layout = &writer.layout;
        let mut out = Collected::default();
        let landings = layout.root.sub_or_create(LANDINGS)?;
        let mut staying = Vec::new();
        for id in landing::ids(&landings)? {
            // One that cannot be read ends the collection: nobody knows what it needs.
            let Some(found) = landing::read(&landings, &id)? else {
                continue;
            };
            if is_forgotten(&found, &landings, collect) {
                if !collect.dry_run {
                    landing::remove(&writer, &landings, &id)?;
                }
                out.removed.push(Removed::Landing { id });
            } else {
                staying.push(found);
            }
        }
        let reasons = Reasons::gather(layout, collect.uses, &staying)?;
        let mut index = layout.index()?;
        let before = layout.reachable(&index).0;
        let mut leaving = Vec::new();
        index.manifests.retain(|entry| {
            let Some((id, name)) = identify(layout, entry) else {
                return true;
            };
            let reasons = reasons.of(&id, entry);
            let stays = !reasons.is_empty();
            if stays {
                out.kept.push(Kept { id, name, reasons });
            } else {
                leaving.push(id);
                out.removed.push(Removed::Build { id, name });
            }
            stays
        });
        if !leaving.is_empty() && !collect.dry_run {
            layout.write_index(&writer.tmp, &index)?;
        }
        for entry in &index.manifests {
            if let (Ok(Some(stored)), false) = (Stored::read(layout, entry), collect.dry_run)
                && entry.tag() == Some(&oci::tag_of(&stored.id()))
            {
                // An import that was cut short may have left a link that its manifest never came to name. Damage beyond
                // that is for `verify` to name, and no reason to leave the rest uncollected.
                let _ = link(&writer, &stored.id(), &stored.manifest);
            }
        }
        folders(&writer, &index, &reasons, &leaving, collect.dry_run, &mut out)?;
        blobs(layout, &index, &before, collect.dry_run, &mut out)?;
        Ok(out)
    }
}

/// Who needs which build.
struct Reasons(BTreeMap<Sha256, Vec<String>>);

impl Reasons {
    fn gather(layout: &Layout, uses: &[GcRoot], landings: &[Landing]) -> Result<Self> {
        let mut reasons: BTreeMap<Sha256, Vec<String>> = BTreeMap::new();
        for entry in uses {
            let named = entry.path.as_deref().and_then(|path| named(layout, path));
            for id in BTreeSet::from_iter(entry.build.into_iter().chain(named)) {
                reasons.entry(id).or_default().push(entry.by.clone());
            }
        }
        for landing in landings {
            reasons
                .entry(landing.code)
                .or_default()
                .push(format!("landing {}", landing.id));
        }
        Ok(Self(reasons))
    }

    fn of(&self, id: &Sha256, entry: &Descriptor) -> Vec<String> {
        let mut reasons = self.0.get(id).cloned().unwrap_or_default();
        reasons.extend(entry.pins().into_iter().map(|pin| format!("pinned: {pin}")));
        reasons
    }
}

/// The build whose folder a path leads into, by its words or by the file that it reaches.
fn named(layout: &Layout, path: &Path) -> Option<Sha256> {
    let folder = |path: &Path| {
        let builds = layout.root.join(BUILDS);
        let first = path.strip_prefix(builds).ok()?.components().next()?;
        first.as_os_str().to_str()?.strip_prefix("sha256-")?.parse().ok()
    };
    folder(path).or_else(|| {
        let root = layout.root.path().canonicalize().ok()?;
        let inside = path.canonicalize().ok()?.strip_prefix(root).ok()?.to_owned();
        folder(&layout.root.join(inside))
    })
}

/// Whether a placeholder waits for a guest that will not come.
fn is_forgotten(landing: &Landing, landings: &Folder, collect: &Collect<'_>) -> bool {
    let folder = landings.join(&landing.id);
    let is_used = collect.uses.iter().filter_map(|entry| entry.path.as_deref()).any(|path| {
        path.starts_with(&folder)
            || matches!((path.canonicalize(), folder.canonicalize()), (Ok(path), Ok(folder)) if path.starts_with(&folder))
    });
    let is_old = landing.created.parse::<jiff::Timestamp>().is_ok_and(|created| {
        let age = jiff::Timestamp::now().duration_since(created);
        Duration::try_from(age).is_ok_and(|age| age >= collect.placeholder_age)
    });
    landing.placeholder && is_old && !is_used
}

/// Which build an index entry is. One with a damaged manifest is known by its tag; what is no build of
/// ours, or of whose tag we cannot tell, is left alone.
fn identify(layout: &Layout, entry: &Descriptor) -> Option<(Sha256, Option<String>)> {
    match Stored::read(layout, entry) {
        Ok(Some(stored)) => Some((stored.id(), stored.manifest.annotations.get(oci::TITLE).cloned())),
        Ok(None) => None,
        Err(_) => Some((entry.tag()?.strip_prefix("sha256-")?.parse().ok()?, None)),
    }
}

/// Folders of builds that left, and of builds that never got into the index.
fn folders(
    writer: &Writer,
    index: &Index,
    reasons: &Reasons,
    leaving: &[Sha256],
    dry_run: bool,
    out: &mut Collected,
) -> Result<()> {
    let Some(builds) = writer.layout.root.sub(BUILDS)? else {
        return Ok(());
    };
    for entry in builds.entries()? {
        let id = entry
            .name
            .to_str()
            .and_then(|name| name.strip_prefix("sha256-"))
            .and_then(|id| id.parse().ok());
        let Some(id): Option<Sha256> = id.filter(|_| entry.is_folder) else {
            continue;
        };
        let tag = oci::tag_of(&id);
        let is_named = index.manifests.iter().any(|entry| entry.tag() == Some(&tag));
        if is_named || reasons.0.contains_key(&id) {
            continue;
        }
        if !leaving.contains(&id) {
            out.removed.push(Removed::Leftover {
                path: builds.join(&entry.name),
            });
        }
        if !dry_run {
            builds.rename(&entry.name, &writer.tmp, &entry.name)?;
            builds.sync()?;
            writer.tmp.remove_all(&entry)?;
        }
    }
    Ok(())
}

/// Blobs that nothing in the index leads to; none, if a document in it could not be followed. Those that
/// the index led to `before` belong to builds that were reported already.
fn blobs(
    layout: &Layout,
    index: &Index,
    before: &BTreeSet<Sha256>,
    dry_run: bool,
    out: &mut Collected,
) -> Result<()> {
    let (reachable, complete) = layout.reachable(index);
    if !complete {
        return Ok(());
    }
    for entry in layout.blobs.entries()? {
        let Some(Ok(digest)) = entry.name.to_str().map(str::parse::<Sha256>) else {
            continue;
        };
        if reachable.contains(&digest) || entry.is_folder {
            continue;
        }
        if let Some(stat) = layout.blobs.stat(&entry.name)? {
            out.freed_bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        }
        if !before.contains(&digest) {
            out.removed.push(Removed::Leftover {
                path: layout.blobs.join(&entry.name),
            });
        }
        if !dry_run {
            layout.blobs.remove(&entry.name, false)?;
        }
    }
    Ok(layout.blobs.sync()?)
}
