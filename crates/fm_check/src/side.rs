//! A side: facts with what to call them, and those of a single file.

use std::path::Path;

use fm_images::inspect::Cache;
use fm_judge::{CodeUnit, Evidence, Facts, Firmware, Known};

use crate::remedy_target::RemedyTarget;
use crate::{Result, image};

/// A side with what to call it.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) name: String,
    pub(super) facts: Facts,
    pub(super) target: RemedyTarget,
}

/// CODE in a file.
pub(super) fn from_file(path: &Path, cache: Option<&Cache>) -> Result<Side> {
    Ok(of_code(path, image::code_file(path, cache)?))
}

/// CODE in a file that was read.
pub(super) fn of_code(path: &Path, code: CodeUnit) -> Side {
    Side {
        name: path.display().to_string(),
        facts: Facts {
            firmware: Known::new(Firmware::Flash, "CODE was named as a flash device"),
            code,
            ..Facts::default()
        },
        target: RemedyTarget::Nobody,
    }
}

/// Firmware in a file given to `-bios`.
pub(super) fn from_bios(path: &Path, cache: Option<&Cache>) -> Result<Side> {
    let mut facts = Facts {
        firmware: Known::new(Firmware::Bios, "the file was named for -bios"),
        code: image::code_file(path, cache)?,
        ..Facts::default()
    };
    facts.vars.present = Known::new(false, no_vars_with_bios());
    Ok(Side {
        name: path.display().to_string(),
        facts,
        target: RemedyTarget::Nobody,
    })
}

/// Why there are no variables in flash where firmware is in ROM.
pub(super) fn no_vars_with_bios() -> Evidence {
    Evidence::Assumed("firmware given with -bios has no VARS device".into())
}
