//! Clearing away what nothing refers to: builds, forgotten placeholders, leftovers of dead writers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fm_formats::Sha256;

use crate::aside::Aside;
use crate::build::Stored;
use crate::gc_root::{GcRoot, GcRoots};
use crate::import::link;
use crate::landing::{self, Landing};
use crate::layout::Layout;
use crate::oci::{self, Descriptor, Index};
use crate::uptime::Uptime;
use crate::{Access, BUILDS, LANDINGS, Result, Store, Writer};

/// Who is asked for what is in use, and how to go about it.
#[derive(Clone)]
pub struct Collect<'a> {
    /// What running guests, saved guests and configurations refer to.
    pub uses: GcRoots<'a>,
    /// Say what would be removed, and remove nothing.
    pub dry_run: bool,
    /// A placeholder that no use names is kept for this long: its guest may still be on its way.
    pub placeholder_age: Duration,
    /// The same of a landing that has its bytes; nothing keeps it for as long as it is not forgotten.
    pub settled_age: Option<Duration>,
    /// The only builds that may go; nothing leaves that to their uses.
    pub only: Option<&'a [Sha256]>,
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
        let access = match collect.dry_run {
            true => Access::Look(self.reader()?),
            false => self.access()?,
        };
        let Some(layout) = access.layout() else {
            return Ok(Collected::default());
        };
        // Not before the lock is held: who waits for it may have stored what runs by now.
        let uses = (collect.uses)()?;
        let landings = Landings::look(layout, &uses, collect)?;
        let reasons = Reasons::gather(layout, &uses, &landings)?;
        let mut index = layout.index()?;
        let before = layout.reachable(&index).0;
        let mut out = Collected::default();
        let mut leaving = Vec::new();
        for entry in &index.manifests {
            let Some((id, name)) = identify(layout, entry) else {
                continue;
            };
            let may_go = collect.only.is_none_or(|only| only.contains(&id));
            let reasons = reasons.of(&id, entry);
            if reasons.is_empty() && may_go {
                leaving.push((id, name));
            } else {
                out.kept.push(Kept { id, name, reasons });
            }
        }
        let unnamed = if collect.only.is_some() {
            Vec::new()
        } else {
            unnamed(layout, &index, &reasons)?
        };
        let mut going = Going {
            landings: landings.forgotten,
            builds: leaving,
            unnamed,
        };
        let mut aside = access
            .writer()
            .map(|writer| Aside::new(&writer.layout.root, &writer.tmp));
        if let Some(aside) = &mut aside {
            going.set_aside(layout, aside)?;
            // A guest that started between the two looks has its files open, or names them.
            let late = (collect.uses)()?;
            out.kept.extend(going.give_back(layout, &late, aside)?);
        }
        index.manifests.retain(|entry| {
            let id = identify(layout, entry).map(|(id, _)| id);
            id.is_none_or(|id| !going.builds.iter().any(|(gone, _)| *gone == id))
        });
        if let (Some(writer), Some(aside)) = (access.writer(), aside) {
            if !going.builds.is_empty() {
                layout.write_index(&writer.tmp, &index)?;
            }
            aside.remove()?;
            relink(writer, &index);
        }
        going.tell(layout, &mut out);
        blobs(layout, &index, &before, collect.dry_run, &mut out)?;
        Ok(out)
    }
}

/// What is to go.
struct Going {
    /// Landings, with the builds that they need.
    landings: Vec<(String, Option<Sha256>)>,
    /// Builds of the index, with their names.
    builds: Vec<(Sha256, Option<String>)>,
    /// Folders of builds that are in no index.
    unnamed: Vec<String>,
}

impl Going {
    fn set_aside(&self, layout: &Layout, aside: &mut Aside<'_>) -> Result<()> {
        for (id, _) in &self.landings {
            aside.take(LANDINGS, id)?;
        }
        let Some(builds) = layout.root.sub(BUILDS)? else {
            return Ok(());
        };
        let folders = self.builds.iter().map(|(id, _)| oci::folder_of(id));
        for folder in folders.chain(self.unnamed.iter().cloned()) {
            if builds.stat(&folder)?.is_some() {
                aside.take(BUILDS, &folder)?;
            }
        }
        Ok(())
    }

    /// Puts back what somebody came for meanwhile; tells which builds that are.
    fn give_back(&mut self, layout: &Layout, late: &[GcRoot], aside: &mut Aside<'_>) -> Result<Vec<Kept>> {
        let folder = layout.root.join(LANDINGS);
        let mut reasons = Reasons::of_uses(layout, late);
        let (back, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.landings)
            .into_iter()
            .partition(|(id, _)| names(late, &folder.join(id)));
        self.landings = gone;
        for (id, build) in &back {
            // Of one that cannot be read nobody knows which build it needs.
            let needed = self.builds.iter().map(|(id, _)| *id);
            for needed in needed.filter(|id| build.is_none_or(|build| build == *id)) {
                reasons.0.entry(needed).or_default().push(format!("landing {id}"));
            }
        }
        aside.put_back(|home, name| match home {
            BUILDS => id_of(name).is_some_and(|id| reasons.0.contains_key(&id)),
            _ => back.iter().any(|(id, _)| id == name),
        })?;
        self.unnamed
            .retain(|name| id_of(name).is_none_or(|id| !reasons.0.contains_key(&id)));
        let mut kept = Vec::new();
        self.builds.retain(|(id, name)| {
            let Some(reasons) = reasons.0.get(id) else {
                return true;
            };
            kept.push(Kept {
                id: *id,
                name: name.clone(),
                reasons: reasons.clone(),
            });
            false
        });
        Ok(kept)
    }

    fn tell(self, layout: &Layout, out: &mut Collected) {
        let landings = self.landings.into_iter().map(|(id, _)| Removed::Landing { id });
        let builds = self
            .builds
            .into_iter()
            .map(|(id, name)| Removed::Build { id, name });
        let folder = layout.root.join(BUILDS);
        let unnamed = self.unnamed.into_iter().map(|name| Removed::Leftover {
            path: folder.join(name),
        });
        out.removed.extend(landings.chain(builds).chain(unnamed));
    }
}

/// An import that was cut short may have left a link that its manifest never came to name. Damage beyond that is for
/// `verify` to name, and no reason to leave the rest uncollected.
fn relink(writer: &Writer, index: &Index) {
    for entry in &index.manifests {
        if let Ok(Some(stored)) = Stored::read(&writer.layout, entry)
            && entry.is_tagged_for(&stored.id())
        {
            let _ = link(writer, &stored.id(), &stored.manifest);
        }
    }
}

/// The landings, by what becomes of them.
#[derive(Debug, Default)]
struct Landings {
    /// No use names them, and they are old; with the builds that they need.
    forgotten: Vec<(String, Option<Sha256>)>,
    staying: Vec<Landing>,
    /// They stay, and nobody knows which build they need.
    unreadable: Vec<String>,
}

impl Landings {
    fn look(layout: &Layout, uses: &[GcRoot], collect: &Collect<'_>) -> Result<Self> {
        let mut found = Self::default();
        let Some(landings) = layout.root.sub(LANDINGS)? else {
            return Ok(found);
        };
        for id in landing::ids(&landings)? {
            let is_named = names(uses, &landings.join(&id));
            match landing::read(&landings, &id) {
                Ok(None) => {}
                Ok(Some(landing)) => {
                    // A landing without a file of its own is named by the build's path.
                    let is_named = is_named || names(uses, &landing.path);
                    let is_old = match landing.placeholder {
                        true => has_waited(&landing, collect.placeholder_age),
                        false => collect
                            .settled_age
                            .is_some_and(|age| is_older(&landing.created, age)),
                    };
                    match is_old && !is_named {
                        true => found.forgotten.push((id, Some(landing.code))),
                        false => found.staying.push(landing),
                    }
                }
                Err(_) => {
                    let made_s = landings.stat(&id)?.map_or(i64::MAX, |stat| stat.st_mtime);
                    let made = jiff::Timestamp::from_second(made_s).ok();
                    let is_old =
                        made.is_some_and(|made| is_older(&made.to_string(), collect.placeholder_age));
                    match is_old && !is_named {
                        true => found.forgotten.push((id, None)),
                        false => found.unreadable.push(id),
                    }
                }
            }
        }
        Ok(found)
    }
}

fn names(uses: &[GcRoot], folder: &Path) -> bool {
    let mut paths = uses.iter().filter_map(|user| user.path.as_deref());
    paths.any(|path| landing::is_in(path, folder))
}

/// Whether a placeholder is that old. A clock that was set forward does not end the wait for its guest.
fn has_waited(landing: &Landing, age: Duration) -> bool {
    match (&landing.made, Uptime::now()) {
        (Some(made), Some(now)) => now.since(made) >= age,
        _ => is_older(&landing.created, age),
    }
}

fn is_older(created: &str, age: Duration) -> bool {
    created.parse::<jiff::Timestamp>().is_ok_and(|created| {
        let passed = jiff::Timestamp::now().duration_since(created);
        Duration::try_from(passed).is_ok_and(|passed| passed >= age)
    })
}

/// Who needs which build.
struct Reasons(BTreeMap<Sha256, Vec<String>>);

impl Reasons {
    fn gather(layout: &Layout, uses: &[GcRoot], landings: &Landings) -> Result<Self> {
        let mut reasons = Self::of_uses(layout, uses);
        for landing in &landings.staying {
            let by = format!("landing {}", landing.id);
            reasons.0.entry(landing.code).or_default().push(by);
        }
        if !landings.unreadable.is_empty() {
            for entry in layout.index()?.manifests {
                let Some((id, _)) = identify(layout, &entry) else {
                    continue;
                };
                for landing in &landings.unreadable {
                    let by = format!("landing {landing}, whose record cannot be read");
                    reasons.0.entry(id).or_default().push(by);
                }
            }
        }
        Ok(reasons)
    }

    fn of_uses(layout: &Layout, uses: &[GcRoot]) -> Self {
        let mut reasons: BTreeMap<Sha256, Vec<String>> = BTreeMap::new();
        for entry in uses {
            let named = entry.path.as_deref().and_then(|path| named(layout, path));
            for id in BTreeSet::from_iter(entry.build.into_iter().chain(named)) {
                reasons.entry(id).or_default().push(entry.by.clone());
            }
        }
        Self(reasons)
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
        id_of(first.as_os_str().to_str()?)
    };
    folder(path).or_else(|| {
        let root = layout.root.path().canonicalize().ok()?;
        let inside = path.canonicalize().ok()?.strip_prefix(root).ok()?.to_owned();
        folder(&layout.root.join(inside))
    })
}

/// Which build an index entry is. One with a damaged manifest is known by its tag; what is no build of
/// ours, or of whose tag we cannot tell, is left alone.
fn identify(layout: &Layout, entry: &Descriptor) -> Option<(Sha256, Option<String>)> {
    match Stored::read(layout, entry) {
        Ok(Some(stored)) => Some((stored.id(), stored.manifest.annotations.get(oci::TITLE).cloned())),
        Ok(None) => None,
        Err(_) => Some((entry.tagged_id()?, None)),
    }
}

/// Folders of builds that never got into the index, and that nobody needs.
fn unnamed(layout: &Layout, index: &Index, reasons: &Reasons) -> Result<Vec<String>> {
    let Some(builds) = layout.root.sub(BUILDS)? else {
        return Ok(Vec::new());
    };
    let entries = builds.entries()?.into_iter();
    let names = entries
        .filter(|entry| entry.is_folder)
        .filter_map(|entry| entry.name.into_string().ok());
    Ok(names
        .filter(|name| {
            let is_indexed = |id: &Sha256| index.manifests.iter().any(|entry| entry.is_tagged_for(id));
            id_of(name).is_some_and(|id| !is_indexed(&id) && !reasons.0.contains_key(&id))
        })
        .collect())
}

/// The id in the name of a build's folder.
fn id_of(name: &str) -> Option<Sha256> {
    name.strip_prefix("sha256-")?.parse().ok()
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
