//! `flashmoor extract`.

use std::io::{IsTerminal as _, Write as _};
use std::num::NonZero;
use std::path::PathBuf;

use crate::Error;
use clap::Args;
use fm_files::output;
use fm_images::extract::{self, Wanted};
use fm_remedy::Misuse;

use super::{Context, Result, Status};

/// Take a volume, a file or a section out of a firmware image
///
/// A section is given decoded, without its header; a file or volume as it lies there.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("wanted").args(["guid", "volume", "section"]).required(true).multiple(true))]
pub(crate) struct Extract {
    /// The flash image, raw or qcow2; `-` is standard input, for a raw one
    file: PathBuf,
    /// The file with this GUID or name, such as CpuDxe
    #[arg(long)]
    guid: Option<String>,
    /// The volume that inspect shows with this GUID, name or offset, such as DXEFV, variables or 0x84000
    #[arg(long)]
    volume: Option<String>,
    /// The section of this type, such as pe32, in that file or volume
    #[arg(long)]
    section: Option<String>,
    /// Of several different pieces that are meant this one, in the order of the image
    #[arg(long, value_name = "N")]
    nth: Option<NonZero<usize>>,
    /// Where to write it; `-` is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Replace an output that is there, and write to a terminal
    #[arg(long)]
    force: bool,
}

impl Extract {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let wanted = Wanted {
            file: self.guid.clone(),
            volume: self.volume.clone(),
            section: self.section.clone(),
            nth: self.nth,
        };
        if context.output.wants_json() && self.output.as_os_str() == "-" {
            return Err(Error::Usage(Misuse {
                message: "the piece and the document about it cannot both go to standard output".into(),
                remedy: "name a file for the piece with --output, or leave out --json".into(),
            }));
        }
        let is_output = self.output.as_os_str() == "-";
        if !self.force && is_output && std::io::stdout().is_terminal() {
            return Err(Error::Usage(Misuse {
                message: "the piece is bytes, and standard output is a terminal".into(),
                remedy: "name a file with --output, or send them on: | xxd; --force writes them here".into(),
            }));
        }
        if !self.force && !is_output && self.output.is_file() {
            return Err(Error::Usage(Misuse {
                message: format!("{} is there already", self.output.display()),
                remedy: "name another file, or replace it with --force".into(),
            }));
        }
        let bytes = extract::extract(&self.file, &wanted)?;
        if self.output.as_os_str() == "-" {
            let written = std::io::stdout().write_all(&bytes);
            written.map_err(|source| Error::file("write", &self.output, source))?;
        } else {
            output::write(&self.output, &bytes, &[&self.file])?;
            if context.output.wants_json() {
                context
                    .output
                    .json(&extract::written(&self.file, &self.output, &bytes));
            } else {
                context
                    .output
                    .remark(format_args!("{} bytes in {}", bytes.len(), self.output.display()));
            }
        }
        Ok(Status::Done)
    }
}
