//! `flashmoor store export`.

use std::path::{Path, PathBuf};

use clap::Args;
use fm_store::verbs::{self as store, ExportForm};

use crate::cli::{Context, Result, Status};
use fm_render::store as render;

/// Write a build elsewhere: plain files, or `oci:DIR[:TAG]`, an OCI layout for skopeo and oras
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The build: its id, the first digits of it, or its name
    build: String,
    /// A folder for CODE.fd, VARS.fd and descriptor.json; or `oci:DIR[:TAG]`; or `-`, a tar stream for `store import -`
    to: PathBuf,
}

impl Export {
    pub(crate) fn run(&self, context: &Context) -> Result {
        if self.to.as_os_str() == "-" {
            let store = context.store()?;
            store.export_stream(&store.find(&self.build)?.id, &mut std::io::stdout().lock())?;
            return Ok(Status::Done);
        }
        let layout = self.to.to_str().and_then(|to| to.strip_prefix("oci:"));
        let (to, form) = match layout.map(|layout| {
            layout
                .split_once(':')
                .map_or((layout, None), |(dir, tag)| (dir, Some(tag)))
        }) {
            Some((dir, tag)) => (Path::new(dir), ExportForm::Layout { tag }),
            None => (self.to.as_path(), ExportForm::Files),
        };
        let done = store::export(&context.store()?, &self.build, to, form)?;
        context.output.document(&done, render::exported);
        Ok(Status::Done)
    }
}
