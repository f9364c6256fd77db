//! `flashmoor store import`.

use std::path::{Path, PathBuf};

use clap::Args;
use fm_api::Schema;
use fm_api::v1::store::{BuildFact, StoreImport};
use fm_check::next_boot_code;
use fm_images::inspect::Catalogue;
use fm_store::verbs::{self as store, ImportFrom};

use crate::cli::dry_run::DryRun;
use crate::cli::{Context, Result, Status};
use fm_remedy::Misuse;
use fm_render::store as render;

/// Store a build: a CODE file, or one out of an OCI layout
///
/// A build that the catalogue knows gets its name and version from there, unless they are given.
///
/// Importing a build again completes what is known of it and heals what is damaged; nothing that is stored
/// is replaced without --replace.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// CODE, raw; or `oci:DIR[:TAG]`, an OCI layout as skopeo writes it; or `-`, the stream of `store export -`
    #[arg(value_name = "CODE")]
    from: PathBuf,
    /// The VARS template that belongs to it
    #[arg(long, value_name = "FILE")]
    vars_template: Option<PathBuf>,
    /// The firmware descriptor that it came with
    #[arg(long, value_name = "FILE")]
    descriptor: Option<PathBuf>,
    /// What to call it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Which version it is
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Let what is given here replace what the store says differently
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Import {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let kept = context.store_for(self.dry_run)?;
        if self.from.as_os_str() == "-" {
            self.refuse_facts()?;
            let done = kept.import_stream(&mut std::io::stdin().lock())?;
            let done = StoreImport {
                schema: Schema::default(),
                dry_run: kept.is_dry_run(),
                id: done.id.to_string(),
                path: done.path,
                new: done.new,
                kept: done.kept,
            };
            context.output.document(&done, render::imported);
            return Ok(Status::Done);
        }
        let known = self.known(context, &kept);
        let (name, version) = known.unwrap_or_default();
        let request = store::Import {
            from: self.source()?,
            name: self.name.as_deref().or(name.as_deref()),
            version: self.version.as_deref().or(version.as_deref()),
            replace: self.replace,
        };
        let done = store::import(&kept, &request)?;
        context.output.document(&done, render::imported);
        for what in &done.kept {
            let beside = match *what == BuildFact::VarsTemplate {
                true => "this one is kept beside it, and --replace would make it the first",
                false => "--replace would take this one",
            };
            context
                .output
                .remark(format_args!("the stored build has another {what}; {beside}"));
        }
        Ok(Status::Done)
    }

    /// Name and version by the catalogue, for a build that nobody named yet.
    fn known(&self, context: &Context, store: &fm_store::Store) -> Option<(Option<String>, Option<String>)> {
        if self.name.is_some() || self.from.to_str().is_some_and(|from| from.starts_with("oci:")) {
            return None;
        }
        let (digest, _) = next_boot_code::digest_at(&self.from)?;
        let stored = store.build(&digest).ok()?;
        if stored.is_some_and(|build| build.name.is_some()) {
            return None;
        }
        let catalogue = Catalogue::open(crate::cli::catalogue::user_file(context).as_deref()).ok()?;
        let build = catalogue.build(&digest.to_string())?;
        Some((Some(build.name), build.version))
    }

    fn refuse_facts(&self) -> Result<()> {
        let given = [
            self.vars_template.is_some(),
            self.descriptor.is_some(),
            self.name.is_some(),
            self.version.is_some(),
            self.replace,
        ];
        if given.contains(&true) {
            return Err(crate::Error::Usage(Misuse {
                message: "a build of an OCI layout brings its own files and facts".into(),
                remedy: "leave the other options away".into(),
            }));
        }
        Ok(())
    }

    fn source(&self) -> Result<ImportFrom<'_>> {
        let Some(layout) = self.from.to_str().and_then(|from| from.strip_prefix("oci:")) else {
            return Ok(ImportFrom::Files {
                code: &self.from,
                vars_template: self.vars_template.as_deref(),
                descriptor: self.descriptor.as_deref(),
            });
        };
        let given = [
            self.vars_template.is_some(),
            self.descriptor.is_some(),
            self.name.is_some(),
            self.version.is_some(),
            self.replace,
        ];
        if given.contains(&true) {
            return Err(crate::Error::Usage(Misuse {
                message: "a build of an OCI layout brings its own files and facts".into(),
                remedy: "leave the other options away".into(),
            }));
        }
        // As skopeo reads it: the folder ends at the first colon.
        let (dir, tag) = match layout.split_once(':') {
            Some((dir, tag)) => (dir, Some(tag)),
            None => (layout, None),
        };
        Ok(ImportFrom::Layout {
            dir: Path::new(dir),
            tag,
        })
    }
}
