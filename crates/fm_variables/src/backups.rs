//! The backups that there are: beside a file, or in the store for a block device. Listed, and pruned on request.

use std::path::{Path, PathBuf};

use fm_api::v1::backups::{InterruptedWrite, VarsBackup, VarsBackups};
use fm_files::{Identity, InPlace, Place, backup};

use crate::Error;
use crate::journal::{Journal, own_uid};

/// Whose backups.
#[derive(Debug, Clone)]
pub struct BackupsRequest {
    /// The file or device; left out, every device that the journal knows.
    pub of: Option<PathBuf>,
    /// Where those of devices are.
    pub journal: Journal,
    /// Remove all but the oldest and this many of the newest.
    pub keep: Option<usize>,
    /// Say what would be removed, and remove nothing.
    pub dry_run: bool,
}

/// Lists backups, and removes those that are too many if that is asked for.
///
/// # Errors
/// If a folder cannot be read, or a backup not removed.
pub fn backups(request: &BackupsRequest) -> Result<VarsBackups, Error> {
    let journal = &request.journal;
    let places = match &request.of {
        None => journal.places()?,
        Some(path) if InPlace::is_needed(path) => journal
            .place_of(path)?
            .into_iter()
            .map(|place| (path.clone(), place))
            .collect(),
        Some(path) => vec![(
            path.clone(),
            Place::behind_links(path).or_else(|_| Place::at(path))?,
        )],
    };
    let mut found = VarsBackups {
        schema: fm_api::Schema::default(),
        dry_run: request.dry_run,
        backups: Vec::new(),
        removed: Vec::new(),
        interrupted: journal
            .pending()?
            .into_iter()
            .map(|pending| InterruptedWrite {
                path: pending.path.display().to_string(),
                since: pending.since,
            })
            .collect(),
    };
    for (of, place) in places {
        one(&of, &place, request.keep, &mut found)?;
    }
    Ok(found)
}

fn one(of: &Path, place: &Place, keep: Option<usize>, found: &mut VarsBackups) -> Result<(), Error> {
    let owner_uid = place
        .identity()?
        .map_or_else(own_uid, |Identity { owner_uid, .. }| owner_uid);
    let names = backup::list(place, Some(owner_uid))?;
    // What an interrupted write goes back to is needed until it is settled.
    let is_needed = found
        .interrupted
        .iter()
        .any(|pending| Path::new(&pending.path) == of);
    let too_many = keep
        .filter(|_| !is_needed)
        .map_or(0..0, |keep| 1..names.len().saturating_sub(keep).max(1));
    for (index, name) in names.iter().enumerate() {
        let path = place.folder().join(name);
        if too_many.contains(&index) {
            if !found.dry_run {
                place.folder().remove(name, false)?;
            }
            found.removed.push(path.display().to_string());
            continue;
        }
        let name_text = name.to_string_lossy();
        let made = name_text.rsplit_once(backup::MARK).map_or("", |(_, time)| time);
        let size_bytes = place.folder().stat(name)?.map_or(0, |stat| stat.st_size);
        found.backups.push(VarsBackup {
            of: of.display().to_string(),
            path: path.display().to_string(),
            made: made.to_owned(),
            size_bytes: u64::try_from(size_bytes).unwrap_or(0),
        });
    }
    Ok(())
}
