//! Every pair of builds, judged: who can go where, and what happens then.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fm_api::Schema;
use fm_api::v1::check::{AssumedSide, Matrix};
use fm_images::inspect::Cache;
use fm_judge::{CodeUnit, Facts, Known, Outcome, QemuVersion};

use crate::assumptions::Assumptions;
use crate::gather::{self, Options, Role, SideSpec};
use crate::pairs::{Cell, give_reasons, pairs};
use crate::side::Side;
use crate::{Error, Result, code_name, image};
use fm_remedy::Misuse;

/// What a matrix is made of.
#[derive(Debug, Clone, Copy)]
pub struct MatrixRequest<'a> {
    /// Where the builds are.
    pub folders: &'a [PathBuf],
    /// What holds for both sides.
    pub options: &'a Options,
    /// Machine and QEMU of the sources.
    pub from: &'a SideSpec,
    /// Machine and QEMU of the destinations.
    pub to: &'a SideSpec,
    /// The store beside which what was found in files is kept.
    pub store: Option<&'a Path>,
    /// Whether what is not told is taken from this host.
    pub assume: bool,
    /// Whether each pair says what decides it.
    pub reasons: bool,
}

/// Judges every pair of builds in the folders: each as the source that `from` describes, and as the destination
/// that `to` does. Of both, only machine and QEMU are read, and what one leaves out is as the other has it.
///
/// # Errors
///
/// If a folder holds no firmware, a file cannot be read, or an option contradicts another.
pub fn matrix(request: &MatrixRequest<'_>) -> Result<(Matrix, Option<Outcome>)> {
    let (options, from, to) = (request.options, request.from, request.to);
    let mut builds = BuildSet {
        cache: Cache::open(request.store),
        ..BuildSet::default()
    };
    for folder in request.folders {
        builds.add_folder(folder)?;
    }
    if builds.sides.is_empty() {
        return Err(Error::Usage(Misuse {
            message: "there is no firmware to compare".into(),
            remedy: "name folders that hold CODE files, such as /usr/share/OVMF".into(),
        }));
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
    let (from, to) = (spec(from, to), spec(to, from));
    let mut assumptions = Assumptions::default();
    for facts in &mut sources {
        if request.assume {
            let arch = facts.code.arch.value().copied();
            assumptions.qemu(facts, arch, from.qemu.as_deref(), AssumedSide::Source);
        }
        gather::apply_overrides(facts, &from, options, Role::Source)?;
        if request.assume {
            let there: Option<QemuVersion> = to.qemu.as_deref().and_then(|text| text.parse().ok());
            assumptions.machine(facts, there)?;
        }
    }
    for (facts, source) in destinations.iter_mut().zip(&sources) {
        if request.assume {
            let arch = facts.code.arch.value().copied();
            assumptions.qemu(facts, arch, to.qemu.as_deref(), AssumedSide::Destination);
        }
        gather::apply_overrides(facts, &to, options, Role::Destination)?;
        // The guest's own goes along, and there is one of each architecture.
        if request.assume && !facts.machine.is_known() {
            facts.machine.clone_from(&source.machine);
        }
    }
    let mut cells = pairs(&sources, &mut destinations);
    if request.reasons {
        give_reasons(&mut cells, &sources, &mut destinations);
    }
    let worst = cells.iter().flat_map(Cell::outcomes).max();
    let digest = |facts: &Facts| facts.code.sha256.value().map(ToString::to_string);
    let matrix = Matrix {
        schema: Schema::default(),
        builds: names,
        digests: sources.iter().map(digest).collect(),
        assumptions: assumptions.into_list(),
        cells: cells.iter().map(Into::into).collect(),
    };
    Ok((matrix, worst))
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
            } else if code_name::is_code(&path, self.cache.as_ref()) {
                let code = self.code(&path)?;
                self.sides.push(code_name::with_template(&path, code)?);
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
