//! `flashmoor saved`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fm_saved as saved;
use fm_saved::stream;

use super::dry_run::DryRun;
use super::{Context, Result, Status};
use fm_remedy::Misuse;

/// Take the firmware out of saved guests and captured streams, and bring them back
///
/// FILE is anything that holds a QEMU migration stream: the stream itself, also compressed; a libvirt save
/// image; a mapped-ram file; the main channel of a multifd capture; a qcow2 image with internal snapshots.
/// `-` reads standard input.
#[derive(Debug, Args)]
pub(crate) struct Saved {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Extract(Extract),
    Vars(Vars),
    Offer(Offer),
    RestorePlan(RestorePlan),
    Diff(Diff),
    Adopt(Adopt),
}

/// Which stream to read.
#[derive(Debug, Args)]
pub(crate) struct Input {
    /// What holds the stream; `-` is standard input
    file: PathBuf,
    /// A channel of the same multifd capture; once for each
    #[arg(long, value_name = "FILE")]
    channel: Vec<PathBuf>,
    /// Which internal snapshot of a qcow2 image, by name or number [default: the last one]
    #[arg(long, value_name = "NAME")]
    snapshot: Option<String>,
}

impl Input {
    pub(crate) fn request(&self) -> stream::Request {
        stream::Request {
            path: self.file.clone(),
            channels: self.channel.clone(),
            snapshot: self.snapshot.clone(),
        }
    }
}

/// Write blocks of the saved guest to new files
///
/// CODE is the build that the guest runs; its digest is the build's id. A block that is not whole in the
/// stream is never written, and a file that exists is never overwritten.
#[derive(Debug, Args)]
struct Extract {
    #[command(flatten)]
    input: Input,
    /// Write CODE, flash unit 0, to this file
    #[arg(long, value_name = "OUT")]
    code: Option<PathBuf>,
    /// Write VARS, flash unit 1, to this file
    #[arg(long, value_name = "OUT")]
    vars: Option<PathBuf>,
    /// Write the block of that name to a file, such as `pc.rom=pc.rom.bin`
    #[arg(long, value_name = "NAME=OUT", value_parser = block)]
    block: Vec<(String, PathBuf)>,
}

fn block(text: &str) -> Result<(String, PathBuf), String> {
    match text.rsplit_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.into(), path.into())),
        _ => Err("write NAME=OUT, such as pc.rom=pc.rom.bin".into()),
    }
}

/// List the variables that the saved guest had
#[derive(Debug, Args)]
struct Vars {
    #[command(flatten)]
    input: Input,
}

/// Print the saved guest's offer, as `flashmoor offer` does of a running one: always JSON
#[derive(Debug, Args)]
struct Offer {
    #[command(flatten)]
    input: Input,
}

/// Store the build that the saved guest runs, put its variables in place, and say how to restore it
#[derive(Debug, Args)]
struct RestorePlan {
    #[command(flatten)]
    input: Input,
    /// Where the guest's variables shall live; not needed for libvirt save images
    #[arg(long, value_name = "PATH")]
    vars: Option<PathBuf>,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Show what differs between two saved states: blocks, firmware, variables, device versions
#[derive(Debug, Args)]
struct Diff {
    /// What holds the first stream
    a: PathBuf,
    /// What holds the second stream
    b: PathBuf,
    /// A channel of the multifd capture whose main channel the first is; once for each
    #[arg(long, value_name = "FILE")]
    channel_a: Vec<PathBuf>,
    /// A channel of the second
    #[arg(long, value_name = "FILE")]
    channel_b: Vec<PathBuf>,
    /// Which internal snapshot of the first, by name or number
    #[arg(long, value_name = "NAME")]
    snapshot_a: Option<String>,
    /// Which internal snapshot of the second, by name or number
    #[arg(long, value_name = "NAME")]
    snapshot_b: Option<String>,
}

/// Point a libvirt save image to the build that its guest runs, stored for good
///
/// The build goes into the store, and the image's XML names the store's path. The image is replaced by a
/// rewritten copy, never changed in place; its XML before that is kept beside it.
#[derive(Debug, Args)]
struct Adopt {
    /// The save image
    file: PathBuf,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Saved {
    pub(crate) fn run(&self, context: &Context) -> Result {
        match &self.verb {
            Verb::Extract(extract) => extract.run(context),
            Verb::Vars(vars) => vars.run(context),
            Verb::Offer(offer) => offer.run(context),
            Verb::RestorePlan(plan) => plan.run(context),
            Verb::Diff(diff) => diff.run(context),
            Verb::Adopt(adopt) => adopt.run(context),
        }
    }
}

impl Extract {
    fn run(&self, context: &Context) -> Result {
        if self.code.is_none() && self.vars.is_none() && self.block.is_empty() {
            return Err(crate::Error::Usage(Misuse {
                message: "nothing to extract was named".into(),
                remedy: "name a file with --code, --vars or --block".into(),
            }));
        }
        let extracted = saved::extract(&saved::Extract {
            input: self.input.request(),
            code: self.code.clone(),
            vars: self.vars.clone(),
            blocks: self.block.clone(),
        })?;
        let output = &context.output;
        if output.wants_json() {
            output.json(&extracted);
        } else {
            fm_render::saved::extracted(output, &extracted);
        }
        Ok(Status::Done)
    }
}

impl Vars {
    fn run(&self, context: &Context) -> Result {
        let vars = saved::vars(&self.input.request())?;
        let output = &context.output;
        if output.wants_json() {
            output.json(&vars);
        } else {
            fm_render::saved::vars(output, &vars);
        }
        Ok(Status::Done)
    }
}

impl Offer {
    fn run(&self, context: &Context) -> Result {
        context.output.json(&saved::offer(&self.input.request())?);
        Ok(Status::Done)
    }
}

impl RestorePlan {
    fn run(&self, context: &Context) -> Result {
        let store = context.store_for(self.dry_run)?;
        let plan = saved::restore_plan(
            &store,
            &saved::Plan {
                input: self.input.request(),
                vars: self.vars.clone(),
            },
        )?;
        let output = &context.output;
        if output.wants_json() {
            output.json(&plan);
        } else {
            fm_render::saved::plan(output, &plan);
        }
        Ok(Status::Done)
    }
}

impl Diff {
    fn run(&self, context: &Context) -> Result {
        let request = |path: &PathBuf, channels: &[PathBuf], snapshot: &Option<String>| stream::Request {
            path: path.clone(),
            channels: channels.to_vec(),
            snapshot: snapshot.clone(),
        };
        let diff = saved::diff(
            &request(&self.a, &self.channel_a, &self.snapshot_a),
            &request(&self.b, &self.channel_b, &self.snapshot_b),
        )?;
        let output = &context.output;
        if output.wants_json() {
            output.json(&diff);
        } else {
            fm_render::saved::diff(output, &diff);
        }
        Ok(match diff.unknown.is_empty() {
            true => Status::Done,
            false => Status::Unknown,
        })
    }
}

impl Adopt {
    fn run(&self, context: &Context) -> Result {
        let store = context.store_for(self.dry_run)?;
        let adopted = saved::adopt(
            &store,
            &saved::AdoptRequest {
                path: self.file.clone(),
            },
        )?;
        let output = &context.output;
        if output.wants_json() {
            output.json(&adopted);
        } else {
            fm_render::saved::adopted(output, &adopted);
        }
        Ok(Status::Done)
    }
}
