//! Every pair of builds, judged: who can go where, and what happens then.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fm_images::inspect::Cache;
use fm_judge::{CodeUnit, Facts, Known, Outcome, arrival, cold_boot};
use schemars::JsonSchema;
use serde::Serialize;

use crate::gather::{self, Options, Role, SideSpec};
use crate::side::Side;
use crate::{Error, Result, host, image};

/// `flashmoor/matrix/1`: every pair of builds.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Matrix {
    /// `flashmoor/matrix/1`.
    pub schema: String,
    /// The builds, by file.
    pub builds: Vec<String>,
    /// One for each pair, by source and then by destination; a build beside itself is left out.
    pub cells: Vec<Cell>,
}

/// A pair of builds.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Cell {
    /// The source, as an index into `builds`.
    pub from: usize,
    /// The destination.
    pub to: usize,
    /// Outcome of a live migration.
    pub live_migration: &'static str,
    /// Outcome of a reset after it.
    pub warm_reset: &'static str,
    /// Outcome of a cold boot on the destination's build with the source's variables.
    pub cold_boot: &'static str,
}

/// Judges every pair of builds in `folders`: each as the source that `from` describes, and as the destination
/// that `to` does. Of both, only machine and QEMU are read, and what one leaves out is as the other has it.
///
/// # Errors
///
/// If a folder holds no firmware, a file cannot be read, or an option contradicts another.
pub fn matrix(
    folders: &[PathBuf],
    options: &Options,
    from: &SideSpec,
    to: &SideSpec,
    store: Option<&Path>,
) -> Result<(Matrix, Option<Outcome>)> {
    let mut builds = BuildSet {
        cache: Cache::open(store),
        ..BuildSet::default()
    };
    for folder in folders {
        builds.add_folder(folder)?;
    }
    if builds.sides.is_empty() {
        return Err(Error::Usage {
            message: "there is no firmware to compare".into(),
            remedy: "name folders that hold CODE files, such as /usr/share/OVMF".into(),
        });
    }
    let mut destinations: Vec<Facts> = builds.sides.iter().map(|side| side.facts.clone()).collect();
    let (names, mut sources): (Vec<String>, Vec<Facts>) = builds
        .sides
        .into_iter()
        .map(|side| (side.name, side.facts))
        .unzip();
    let spec = |own: &SideSpec, other: &SideSpec| SideSpec {
        qemu: own.qemu.clone().or_else(|| other.qemu.clone()),
        machine: own.machine.clone().or_else(|| match options.machine {
            None => other.machine.clone(),
            Some(_) => None,
        }),
        ..SideSpec::default()
    };
    for facts in &mut sources {
        gather::apply_overrides(facts, &spec(from, to), options, Role::Source)?;
    }
    for facts in &mut destinations {
        gather::apply_overrides(facts, &spec(to, from), options, Role::Destination)?;
    }
    let cells = pairs(&sources, &mut destinations);
    let worst = cells.iter().flat_map(Cell::outcomes).max();
    let matrix = Matrix {
        schema: "flashmoor/matrix/1".into(),
        builds: names,
        cells,
    };
    Ok((matrix, worst))
}

/// Every pair: `sources` and `destinations` are the same builds in the same order. A destination is changed
/// while it is looked at, and is afterwards as it was.
///
/// A migration needs the destination's own VARS size; a cold boot reads the variables that the guest brings.
#[must_use]
pub fn pairs(sources: &[Facts], destinations: &mut [Facts]) -> Vec<Cell> {
    let mut cells = Vec::with_capacity(sources.len() * destinations.len().saturating_sub(1));
    for (from, source) in sources.iter().enumerate() {
        // Lent to one destination after the other: a copy for each pair would take longer than judging it.
        let mut brought = source.vars.clone();
        for (to, destination) in destinations.iter_mut().enumerate() {
            if to == from {
                continue;
            }
            let [live_migration, warm_reset] = arrival(source, destination);
            std::mem::swap(&mut destination.vars, &mut brought);
            let cold_boot = cold_boot(source, destination);
            std::mem::swap(&mut destination.vars, &mut brought);
            cells.push(Cell {
                from,
                to,
                live_migration: live_migration.name(),
                warm_reset: warm_reset.name(),
                cold_boot: cold_boot.name(),
            });
        }
    }
    cells
}

impl Cell {
    fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        [self.live_migration, self.warm_reset, self.cold_boot]
            .into_iter()
            .filter_map(|word| Outcome::ALL.into_iter().find(|outcome| outcome.name() == word))
    }
}

/// The builds of folders, each file read once however many names it has.
#[derive(Default)]
struct BuildSet {
    cache: Option<Cache>,
    by_inode: HashMap<(u64, u64), CodeUnit>,
    sides: Vec<Side>,
}

impl BuildSet {
    /// The builds of a folder and of the folders in it, each with its template as the store.
    fn add_folder(&mut self, folder: &Path) -> Result<()> {
        let failed = |source| Error::file("read", folder, source);
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            paths.push(entry.map_err(failed)?.path());
        }
        paths.sort();
        for path in paths {
            // The same folder by a link is not walked twice.
            if path.is_dir() && !path.is_symlink() {
                self.add_folder(&path)?;
            } else if path.is_file() && host::is_code_name(&path) {
                let code = self.code(&path)?;
                self.sides.push(host::with_template(&path, code)?);
            }
        }
        Ok(())
    }

    fn code(&mut self, path: &Path) -> Result<CodeUnit> {
        let file = path
            .metadata()
            .map_err(|source| Error::file("read", path, source))?;
        let key = (file.dev(), file.ino());
        if let Some(known) = self.by_inode.get(&key) {
            let mut code = known.clone();
            code.path = Known::new(path.display().to_string(), "the path that was named");
            return Ok(code);
        }
        let code = image::code_file(path, self.cache.as_ref())?;
        self.by_inode.insert(key, code.clone());
        Ok(code)
    }
}
