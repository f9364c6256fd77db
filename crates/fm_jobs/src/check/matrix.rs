//! Every pair of builds, judged: who can go where, and what happens then.

use std::path::{Path, PathBuf};

use fm_judge::{Facts, Outcomes, outcomes};
use schemars::JsonSchema;
use serde::Serialize;

use super::gather::{self, Options};
use super::host;
use crate::{Error, Result};

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
    pub live_migration: String,
    /// Outcome of a reset after it.
    pub warm_reset: String,
    /// Outcome of a cold boot on the destination's build with the source's variables.
    pub cold_boot: String,
}

/// Judges every pair of builds in `folders`, on the same machine and QEMU.
///
/// # Errors
///
/// If a folder holds no firmware or a file cannot be read.
pub fn matrix(folders: &[PathBuf], options: &Options, qemu: Option<&str>) -> Result<Matrix> {
    let mut sides = Vec::new();
    for folder in folders {
        builds(folder, &mut sides)?;
    }
    if sides.is_empty() {
        return Err(Error::Usage {
            message: "there is no firmware to compare".into(),
            remedy: "name folders that hold CODE files, such as /usr/share/OVMF".into(),
        });
    }
    for side in &mut sides {
        let words = gather::Words {
            qemu: qemu.map(str::to_owned),
            ..gather::Words::default()
        };
        gather::told(&mut side.facts, &words, options, "--from")?;
    }
    let mut cells = Vec::new();
    for (from, source) in sides.iter().enumerate() {
        for (to, destination) in sides.iter().enumerate().filter(|(to, _)| *to != from) {
            let Outcomes {
                live_migration,
                warm_reset,
                cold_boot,
            } = pair(&source.facts, &destination.facts);
            cells.push(Cell {
                from,
                to,
                live_migration: live_migration.to_string(),
                warm_reset: warm_reset.to_string(),
                cold_boot: cold_boot.to_string(),
            });
        }
    }
    Ok(Matrix {
        schema: "flashmoor/matrix/1".into(),
        builds: sides.into_iter().map(|side| side.name).collect(),
        cells,
    })
}

/// A migration needs the destination's own VARS size; a cold boot reads the variables that the guest brings.
fn pair(source: &Facts, destination: &Facts) -> Outcomes {
    let live = outcomes(source, destination);
    let moved = Facts {
        vars: source.vars.clone(),
        ..destination.clone()
    };
    Outcomes {
        cold_boot: outcomes(source, &moved).cold_boot,
        ..live
    }
}

/// The builds of a folder and of the folders in it, each with its template as the store.
fn builds(folder: &Path, sides: &mut Vec<gather::Side>) -> Result<()> {
    let failed = |source| Error::file("read", folder, source);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    for path in paths {
        // The same folder by a link is not walked twice.
        if path.is_dir() && !path.is_symlink() {
            builds(&path, sides)?;
        } else if path.is_file() && host::is_code_name(&path) {
            sides.push(host::with_template(&path)?);
        }
    }
    Ok(())
}
