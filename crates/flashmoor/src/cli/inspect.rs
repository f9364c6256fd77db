//! `flashmoor inspect`.

use std::path::{Path, PathBuf};

use crate::Error;
use clap::Args;
use fm_api::v1::descriptors::DescriptorsDocument;
use fm_api::v1::inspect::{InspectDocument, InspectKind};
use fm_files::output;
use fm_images::descriptors;
use fm_images::inspect::{self, Cache, Catalogue, Request};
use fm_remedy::Misuse;
use serde::Serialize;

use super::{Context, Result, Status};
use fm_render::Output;

/// Say what files are: firmware, variable stores, migration streams, firmware descriptors
///
/// A folder stands for the files in it, not for those in its folders. Firmware descriptors (QEMU's
/// firmware.json) are held against the files that they name, and against those that take their place; the exit
/// status is 10 if one has a problem. Files that cannot be read are named, and the others are still looked at.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Flash images (raw or qcow2) and streams (`-` is standard input), descriptors, folders
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Show every volume, file and section
    #[arg(long)]
    tree: bool,
    /// List the modules with their digests
    #[arg(long)]
    modules: bool,
    /// Of a folder too, all of each file and not a line for each
    #[arg(long)]
    long: bool,
    /// Draw the flash map into this file as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// A channel of the multifd capture whose main channel is FILE; once for each
    #[arg(long, value_name = "FILE")]
    channel: Vec<PathBuf>,
    /// Which internal snapshot of a qcow2 image, by name or number [default: the last one]
    #[arg(long, value_name = "NAME")]
    snapshot: Option<String>,
    /// Exit with status 10 if a file is no firmware
    #[arg(long)]
    exit_code: bool,
}

/// One result, in the form of its own document.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    File(Box<InspectDocument>),
    Descriptors(DescriptorsDocument),
}

/// What is to be looked at, in order; runs of files are looked at together.
enum Work {
    Files(Vec<Request>),
    /// All descriptors of the call, because one may hide another.
    Descriptors,
}

/// What there is to do, and in which form to answer.
#[derive(Default)]
struct Plan {
    work: Vec<Work>,
    descriptors: Vec<PathBuf>,
    /// Whether there is a folder of images: their number says nothing of what was asked for.
    array: bool,
    /// Whether a folder was named.
    is_folder: bool,
    empty: Vec<PathBuf>,
}

impl Inspect {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let catalogue = Catalogue::open(super::catalogue::user_file(context).as_deref())?;
        let cache = Cache::open(context.global.store.as_deref());
        let plan = self.plan(cache.as_ref())?;
        for folder in &plan.empty {
            context
                .output
                .remark(format_args!("no files are in {}", folder.display()));
        }
        let is_brief =
            plan.is_folder && !self.long && !self.tree && !self.modules && !context.output.wants_json();
        let later = context.output.wants_json() || self.svg.is_some() || is_brief;
        context.output.page();
        let (mut kept, mut said) = (Vec::new(), false);
        // Text is shown as it comes; a JSON document must be whole, and a picture is of the only file.
        let mut take = |answer: Answer| {
            if later {
                kept.push(answer);
                return;
            }
            if std::mem::replace(&mut said, true) {
                context.output.line("");
            }
            self.text(&context.output, &answer);
        };
        let alone = self.files.len() == 1 && !plan.array;
        let (mut status, mut failed) = (Status::Done, None);
        let mut is_other = false;
        for work in &plan.work {
            match work {
                Work::Descriptors => {
                    let document = descriptors::lint(&plan.descriptors)?;
                    if document.has_problems() {
                        status = Status::Incompatible;
                    }
                    take(Answer::Descriptors(document));
                }
                // A file that cannot be read is no reason not to look at the others.
                Work::Files(requests) => {
                    inspect::inspect_each(requests, &catalogue, |request, result| match result {
                        Ok(found) => {
                            is_other |= found.kind == InspectKind::NotFirmware;
                            take(Answer::File(Box::new(found.into())));
                        }
                        Err(error) if alone => failed = Some(error.into()),
                        Err(error) => {
                            let document = inspect::unreadable(&request.path, &error);
                            let error = Error::from(error);
                            context.output.error(&error);
                            if context.output.wants_json() {
                                take(Answer::File(Box::new(document)));
                            }
                            failed = Some(error);
                        }
                    })
                }
            }
        }
        match failed {
            Some(error) if alone => return Err(error),
            Some(_) => status = Status::Partly,
            None if status == Status::Done => status = Status::of_no(self.exit_code, is_other),
            None => {}
        }
        if let Some(svg) = &self.svg {
            self.draw(svg, &kept)?;
        }
        if context.output.wants_json() {
            match kept.as_slice() {
                [one] if !plan.array => context.output.json(one),
                several => context.output.json(&several),
            }
        } else if is_brief {
            brief(&context.output, &kept);
        } else {
            kept.iter().for_each(|answer| self.text(&context.output, answer));
        }
        Ok(status)
    }

    fn text(&self, output: &Output, answer: &Answer) {
        match answer {
            Answer::File(document) => fm_render::inspect::text(output, document, self.modules),
            Answer::Descriptors(document) => fm_render::descriptors::text(output, document),
        }
    }

    fn plan(&self, cache: Option<&Cache>) -> Result<Plan> {
        let request = |path| Request {
            path,
            tree: self.tree,
            catalogue: None,
            cache: cache.cloned(),
            channels: self.channel.clone(),
            snapshot: self.snapshot.clone(),
        };
        let mut plan = Plan::default();
        for path in &self.files {
            if path.is_dir() {
                plan.is_folder = true;
                let files = descriptors::files_in(path)?;
                if files.is_empty() {
                    plan.empty.push(path.clone());
                }
                let (described, others): (Vec<_>, Vec<_>) = files
                    .into_iter()
                    .partition(|path| descriptors::is_descriptor(path));
                if !described.is_empty() {
                    plan.describe(path);
                }
                plan.array |= !others.is_empty();
                plan.files(others.into_iter().map(request));
            } else if descriptors::is_descriptor(path) {
                plan.describe(path);
            } else {
                plan.files(std::iter::once(request(path.clone())));
            }
        }
        Ok(plan)
    }

    fn draw(&self, svg: &Path, answers: &[Answer]) -> Result<()> {
        let [Answer::File(document)] = answers else {
            return Err(Error::Usage(Misuse {
                message: "--svg draws one flash image".into(),
                remedy: "name one file".into(),
            }));
        };
        let image = document
            .image
            .as_ref()
            .ok_or_else(|| fm_images::Error::NotFirmware {
                path: document.path.clone().into(),
                why: document
                    .reason
                    .clone()
                    .unwrap_or_else(|| document.kind.to_string())
                    .into(),
            })?;
        let picture = fm_render::svg::flash_map(document, image);
        Ok(output::write(
            svg,
            picture.as_bytes(),
            &[Path::new(&document.path)],
        )?)
    }
}

/// One line a file, and one a descriptor.
fn brief(output: &Output, answers: &[Answer]) {
    let mut files = Vec::new();
    for answer in answers {
        match answer {
            Answer::File(document) => files.push(&**document),
            Answer::Descriptors(document) => fm_render::descriptors::brief(output, document),
        }
    }
    if !files.is_empty() {
        fm_render::inspect::brief(output, &files);
    }
}

impl Plan {
    fn describe(&mut self, path: &Path) {
        if self.descriptors.is_empty() {
            self.work.push(Work::Descriptors);
        }
        self.descriptors.push(path.to_owned());
    }

    fn files(&mut self, requests: impl Iterator<Item = Request>) {
        match self.work.last_mut() {
            Some(Work::Files(all)) => all.extend(requests),
            _ => self.work.push(Work::Files(requests.collect())),
        }
    }
}
