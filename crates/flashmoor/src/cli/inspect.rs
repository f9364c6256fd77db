//! `flashmoor inspect`.

use std::path::{Path, PathBuf};

use clap::Args;
use fm_jobs::inspect::{self, Catalogue, InspectDocument, Request};
use fm_jobs::{Error, descriptors};
use serde::Serialize;

use super::{Context, Result, Status};
use crate::render;

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

impl Inspect {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let catalogue = Catalogue::open(super::catalogue::user_file(context).as_deref())?;
        let mut answers = Vec::new();
        for path in &self.files {
            self.answer(path, &catalogue, &mut answers)?;
        }
        if let Some(svg) = &self.svg {
            self.draw(svg, &answers)?;
        }
        if context.output.wants_json() {
            match answers.as_slice() {
                [one] => context.output.json(one),
                several => context.output.json(&several),
            }
            return Ok(Status::Done);
        }
        for (at, answer) in answers.iter().enumerate() {
            if at > 0 {
                context.output.line("");
            }
            match answer {
                Answer::File(document) => render::inspect::text(&context.output, document, self.modules),
                Answer::Descriptors(document) => render::descriptors::text(&context.output, document),
            }
        }
        Ok(Status::Done)
    }

    fn answer(&self, path: &Path, catalogue: &Catalogue, answers: &mut Vec<Answer>) -> Result<()> {
        let is_descriptor = |path: &Path| path.extension().is_some_and(|extension| extension == "json");
        let one = |path: PathBuf| {
            let request = Request {
                path,
                tree: self.tree,
                catalogue: None,
                channels: self.channel.clone(),
                snapshot: self.snapshot.clone(),
            };
            inspect::inspect_with(&request, catalogue).map(|document| Answer::File(Box::new(document)))
        };
        if path.is_dir() {
            let files = descriptors::files_in(path)?;
            if files.iter().any(|path| is_descriptor(path)) {
                answers.push(Answer::Descriptors(descriptors::lint(&[path.to_owned()])?));
            }
            let others = files.into_iter().filter(|path| !is_descriptor(path));
            answers.extend(others.map(one).collect::<Result<Vec<_>>>()?);
        } else if is_descriptor(path) {
            answers.push(Answer::Descriptors(descriptors::lint(&[path.to_owned()])?));
        } else {
            answers.push(one(path.to_owned())?);
        }
        Ok(())
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
