//! `flashmoor inspect`.

use std::path::{Path, PathBuf};

use clap::Args;
use fm_jobs::inspect::{self, Cache, Catalogue, InspectDocument, Request};
use fm_jobs::{Error, descriptors};
use serde::Serialize;

use super::{Context, Result, Status};
use crate::render::{self, Output};

/// Say what files are: firmware, variable stores, migration streams, firmware descriptors
///
/// A folder stands for the files in it. Firmware descriptors (QEMU's firmware.json) are held against the
/// files that they name.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Flash images (raw or qcow2), streams (`-` is standard input), descriptors, folders
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Show every volume, file and section
    #[arg(long)]
    tree: bool,
    /// List the modules with their digests
    #[arg(long)]
    modules: bool,
    /// Draw the flash map into this file as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// A channel of the multifd capture whose main channel is FILE; once for each
    #[arg(long, value_name = "FILE")]
    channel: Vec<PathBuf>,
    /// Which internal snapshot of a qcow2 image, by name or number [default: the last one]
    #[arg(long, value_name = "NAME")]
    snapshot: Option<String>,
}

/// One result, in the form of its own document.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    File(Box<InspectDocument>),
    Descriptors(descriptors::DescriptorsDocument),
}

/// What is to be looked at, in order; runs of files are looked at together.
enum Work {
    Files(Vec<Request>),
    Descriptors(PathBuf),
}

impl Inspect {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let catalogue = Catalogue::open(super::catalogue::user_file(context).as_deref())?;
        let cache = Cache::open(context.global.store.as_deref());
        let several = context.output.wants_json() || self.svg.is_some();
        let (mut kept, mut said) = (Vec::new(), false);
        // Text is shown as it comes; a JSON document must be whole, and a picture is of the only file.
        let mut take = |answer: Answer| {
            if several {
                kept.push(answer);
                return;
            }
            if std::mem::replace(&mut said, true) {
                context.output.line("");
            }
            self.text(&context.output, &answer);
        };
        for work in self.work(cache.as_ref())? {
            match work {
                Work::Descriptors(path) => take(Answer::Descriptors(descriptors::lint(&[path])?)),
                Work::Files(requests) => inspect::inspect_each(&requests, &catalogue, |document| {
                    take(Answer::File(Box::new(document)));
                })?,
            }
        }
        if let Some(svg) = &self.svg {
            self.draw(svg, &kept)?;
        }
        if context.output.wants_json() {
            match kept.as_slice() {
                [one] => context.output.json(one),
                several => context.output.json(&several),
            }
        } else {
            kept.iter().for_each(|answer| self.text(&context.output, answer));
        }
        Ok(Status::Done)
    }

    fn text(&self, output: &Output, answer: &Answer) {
        match answer {
            Answer::File(document) => render::inspect::text(output, document, self.modules),
            Answer::Descriptors(document) => render::descriptors::text(output, document),
        }
    }

    fn work(&self, cache: Option<&Cache>) -> Result<Vec<Work>> {
        let is_descriptor = |path: &Path| path.extension().is_some_and(|extension| extension == "json");
        let request = |path| Request {
            path,
            tree: self.tree,
            catalogue: None,
            cache: cache.cloned(),
            channels: self.channel.clone(),
            snapshot: self.snapshot.clone(),
        };
        let mut all = Vec::new();
        for path in &self.files {
            if path.is_dir() {
                let files = descriptors::files_in(path)?;
                if files.iter().any(|path| is_descriptor(path)) {
                    all.push(Work::Descriptors(path.clone()));
                }
                let others = files.into_iter().filter(|path| !is_descriptor(path));
                all.push(Work::Files(others.map(request).collect()));
            } else if is_descriptor(path) {
                all.push(Work::Descriptors(path.clone()));
            } else if let Some(Work::Files(requests)) = all.last_mut() {
                requests.push(request(path.clone()));
            } else {
                all.push(Work::Files(vec![request(path.clone())]));
            }
        }
        Ok(all)
    }

    fn draw(&self, svg: &Path, answers: &[Answer]) -> Result<()> {
        let [Answer::File(document)] = answers else {
            return Err(Error::Usage {
                message: "--svg draws one flash image".into(),
                remedy: "name one file".into(),
            });
        };
        let image = document.image.as_ref().ok_or_else(|| Error::NotFirmware {
            path: document.path.clone().into(),
            why: document.reason.clone().unwrap_or_else(|| document.kind.clone()),
        })?;
        let picture = render::svg::flash_map(document, image);
        std::fs::write(svg, picture).map_err(|source| Error::File {
            action: "write",
            path: svg.to_owned(),
            source,
        })
    }
}
