//! `flashmoor vars`.

mod backups;
mod change;
mod changed;
mod located;
mod look;
mod repair;
mod secure_boot;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fm_remedy::{Misuse, Remedy};

use crate::Error;
use fm_variables::{Selection, StoreTarget};

use super::dry_run::DryRun;
use super::{Context, Result, Status};
use changed::changed;
use located::{journal, located};

/// Read UEFI variables of any guest; change, convert and mend those of guests that are off
///
/// A store is a VARS file, a combined image, a qcow2 of either, or JSON of QEMU's uefi-vars device or of
/// virt-firmware. What only reads takes a running guest as well: its variables are read from its memory, and
/// it is neither paused nor asked. Where a file and a guest have one name, the file is meant.
///
/// No file is written in place: a new one takes its name, and the old one stays beside it as
/// FILE.flashmoor-backup-TIME, which `flashmoor vars restore` brings back. Of a file's backups the oldest and the nine
/// newest are kept. A block device is written where it lies, with its backup in the store first; a write that is
/// interrupted is finished or undone by the next command that changes the device.
#[derive(Debug, Args)]
pub(crate) struct Vars {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(look::List),
    Show(look::Show),
    Get(look::Get),
    Set(change::Set),
    Delete(change::Delete),
    Diff(look::Diff),
    Export(change::Export),
    Import(change::Import),
    Convert(change::Convert),
    Repair(repair::Repair),
    Compact(repair::Compact),
    Restore(repair::Restore),
    SecureBoot(secure_boot::SecureBoot),
    Backups(backups::Backups),
}

impl Vars {
    pub(crate) fn run(&self, context: &Context) -> Result {
        match &self.verb {
            Verb::List(verb) => verb.run(context),
            Verb::Show(verb) => verb.run(context),
            Verb::Get(verb) => verb.run(context),
            Verb::Set(verb) => verb.run(context),
            Verb::Delete(verb) => verb.run(context),
            Verb::Diff(verb) => verb.run(context),
            Verb::Export(verb) => verb.run(context),
            Verb::Import(verb) => verb.run(context),
            Verb::Convert(verb) => verb.run(context),
            Verb::Repair(verb) => verb.run(context),
            Verb::Compact(verb) => verb.run(context),
            Verb::Restore(verb) => verb.run(context),
            Verb::SecureBoot(verb) => verb.run(context),
            Verb::Backups(verb) => verb.run(context),
        }
    }
}

/// The store that a verb changes.
#[derive(Debug, Args)]
struct Store {
    /// The variable store: a file, a block device, or pve:VMID
    file: PathBuf,
    /// Change it although a program has it open: a running guest goes on with the old content, its later
    /// changes go to the backup, and the new content counts from its next start
    #[arg(long)]
    even_if_in_use: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Store {
    fn write(&self, context: &Context) -> Result<StoreTarget> {
        let (path, size_bytes) = located(&self.file)?;
        Ok(StoreTarget {
            path,
            even_if_in_use: self.even_if_in_use,
            size_bytes,
            journal: journal(context),
            dry_run: self.dry_run.dry_run,
        })
    }
}

/// Which variable.
#[derive(Debug, Args)]
struct Which {
    /// The variable's name
    name: String,
    /// Its namespace, where the name alone does not say it: a GUID, or a short name as `vars list` prints it
    #[arg(long)]
    guid: Option<String>,
}

impl Which {
    fn selection(&self) -> Result<Selection> {
        let guid = self.guid.as_deref().map(fm_variables::namespace).transpose();
        let guid = guid.map_err(|error| {
            let known: Vec<_> = fm_variables::namespace_aliases().collect();
            Error::Usage(Misuse {
                message: format!(
                    "--guid {} is no namespace",
                    self.guid.as_deref().unwrap_or_default()
                ),
                remedy: Remedy::advice(format!("{error}, or one of {}", known.join(", "))),
            })
        })?;
        Ok(Selection {
            name: self.name.clone(),
            guid,
        })
    }
}
