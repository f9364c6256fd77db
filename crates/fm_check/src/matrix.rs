//! Every pair of builds, judged: who can go where, and what happens then.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fm_images::inspect::Cache;
use fm_judge::{CodeUnit, Facts, Finding, Known, Outcome, Phase, QemuVersion, arrival, cold_boot, judge};
use schemars::JsonSchema;
use serde::Serialize;

use crate::assumptions::{AssumedSide, Assumption, Assumptions};
use crate::gather::{self, Options, Role, SideSpec};
use crate::side::Side;
use crate::{Error, Result, code_name, image};

/// `flashmoor/matrix/1`: every pair of builds.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Matrix {
    /// `flashmoor/matrix/1`.
    pub schema: String,
    /// The builds, by file.
    pub builds: Vec<String>,
    /// The sha256 of each build's CODE, in the order of `builds`: those with the same one differ at most in their template.
    pub digests: Vec<Option<String>>,
    /// What was not told, and taken to be so.
    pub assumptions: Vec<Assumption>,
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
    /// What decides each outcome that is not `compatible`, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

/// One of the findings that decide a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reason {
    /// The phase.
    pub phase: &'static str,
    /// The finding's code.
    pub code: &'static str,
    /// What was compared.
    pub subject: String,
}

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
        schema: "flashmoor/matrix/1".into(),
        builds: names,
        digests: sources.iter().map(digest).collect(),
        assumptions: assumptions.into_list(),
        cells,
    };
    Ok((matrix, worst))
}

/// Judges again those pairs that are not simply compatible, and keeps what decides them.
fn give_reasons(cells: &mut [Cell], sources: &[Facts], destinations: &mut [Facts]) {
    for cell in cells {
        if cell.outcomes().all(|outcome| outcome == Outcome::Compatible) {
            continue;
        }
        let (Some(source), Some(destination)) = (sources.get(cell.from), destinations.get_mut(cell.to))
        else {
            continue;
        };
        let arrives = judge(source, destination);
        let mut brought = source.vars.clone();
        std::mem::swap(&mut destination.vars, &mut brought);
        let boots = judge(source, destination);
        std::mem::swap(&mut destination.vars, &mut brought);
        for (phase, verdict) in [
            (Phase::LiveMigration, &arrives),
            (Phase::WarmReset, &arrives),
            (Phase::ColdBoot, &boots),
        ] {
            let verdict = verdict.phase(phase);
            let worst = verdict.outcome();
            if worst == Outcome::Compatible {
                continue;
            }
            let decides = |finding: &&Finding| finding.outcome == worst;
            cell.reasons
                .extend(verdict.findings().iter().filter(decides).map(|finding| Reason {
                    phase: phase.name(),
                    code: finding.code,
                    subject: finding.subject.clone(),
                }));
        }
    }
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
                reasons: Vec::new(),
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
