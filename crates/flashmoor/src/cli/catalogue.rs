//! `flashmoor catalogue`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fm_api::v1::catalogue::CatalogueDocument;
use fm_images::catalogue;
use fm_store::verbs as store;

use super::dry_run::DryRun;
use super::{Context, Result, Status};

/// Names of known firmware builds, by digest
#[derive(Debug, Args)]
pub(crate) struct Catalogue {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List every build that has a name
    List,
    /// Give a build a name
    Add {
        /// The flash image, or a folder or firmware descriptor for all images in it
        file: PathBuf,
        /// What it is called, such as the package
        #[arg(long)]
        name: String,
        /// Its version; not --version, which is flashmoor's own
        #[arg(long = "build-version", value_name = "VERSION")]
        version: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Take a name away that was added
    Remove {
        /// A digest, its first digits, or a name
        what: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Add the firmware of installed packages, as dpkg or rpm names them
    Update {
        /// Images, folders and firmware descriptors
        #[arg(default_value = "/usr/share/qemu/firmware")]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

/// The file with the user's entries, if there is a place for a store.
pub(crate) fn user_file(context: &Context) -> Option<PathBuf> {
    let store = context
        .global
        .store
        .clone()
        .or_else(|| store::default_dir().ok())?;
    Some(catalogue::file_in(&store))
}

impl Catalogue {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let user = match &context.global.store {
            Some(store) => catalogue::file_in(store),
            None => catalogue::file_in(&store::default_dir()?),
        };
        let document = match &self.command {
            Command::List => catalogue::list(&user)?,
            Command::Add {
                file,
                name,
                version,
                dry_run,
            } => catalogue::add(&user, file, name, version, dry_run.dry_run)?,
            Command::Remove { what, dry_run } => catalogue::remove(&user, what, dry_run.dry_run)?,
            Command::Update { paths, dry_run } => catalogue::update(&user, paths, dry_run.dry_run)?,
        };
        if context.output.wants_json() {
            context.output.json(&document);
        } else {
            self.text(context, &document);
        }
        Ok(Status::Done)
    }

    fn text(&self, context: &Context, document: &CatalogueDocument) {
        for entry in &document.entries {
            context.output.line(format_args!(
                "{} {} {} {}",
                entry.sha256, entry.name, entry.version, entry.file
            ));
        }
        for path in &document.unnamed {
            context
                .output
                .remark(format_args!("no package brought {path} as it is"));
        }
        let done = match (&self.command, document.dry_run) {
            (Command::List, _) => return,
            (Command::Remove { .. }, false) => "removed",
            (Command::Remove { .. }, true) => "would be removed",
            (_, false) => "added",
            (_, true) => "would be added",
        };
        context
            .output
            .remark(format_args!("{} {done}", document.entries.len()));
    }
}
