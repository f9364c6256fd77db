//! `flashmoor vars set|delete|export|import|convert`.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use crate::Error;
use clap::{Args, ValueEnum};
use fm_formats::image::Layout;
use fm_images::inspect::Cache;
use fm_remedy::{Misuse, Remedy};
use fm_variables as vars;
use fm_variables::{
    ConvertRequest, ConvertTarget, DeleteRequest, ExportRequest, FileFormat, ImportRequest, SetRequest,
};
use fm_varstore::attribute;

use super::located::{journal, located};
use super::{Context, DryRun, Result, Store, Which, changed};

/// Set one variable
#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    store: Store,
    #[command(flatten)]
    which: Which,
    /// Attributes, as names (nv,bs,rt,auth) or a number [default: those it has, or is known to have, else nv,bs,rt]
    #[arg(long, value_parser = attributes)]
    attributes: Option<u32>,
    #[command(flatten)]
    data: Data,
}

/// Where the content comes from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Data {
    /// The content, hexadecimal
    #[arg(long)]
    hex: Option<String>,
    /// The content as text: its UTF-8 bytes and a terminating zero
    #[arg(long)]
    text: Option<String>,
    /// The content is that of a file
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

impl Data {
    fn bytes(&self) -> Result<Vec<u8>> {
        if let Some(path) = &self.from {
            // A pipe may be named too. What is cut off here is too long for any store.
            let mut bytes = Vec::new();
            return File::open(path)
                .and_then(|file| file.take(fm_store::MAX_FLASH_BYTES).read_to_end(&mut bytes))
                .map(|_| bytes)
                .map_err(|source| Error::file("read", path, source));
        }
        if let Some(text) = &self.text {
            return Ok([text.as_bytes(), &[0]].concat());
        }
        let text = self.hex.as_deref().unwrap_or_default();
        let digits: String = text
            .chars()
            .filter(|character| !character.is_whitespace())
            .collect();
        vars::hex_bytes(&digits).ok_or_else(|| {
            Error::Usage(Misuse {
                message: "--hex takes pairs of hexadecimal digits".into(),
                remedy: "for example --hex 0100".into(),
            })
        })
    }
}

/// Names joined by commas, or a number.
fn attributes(text: &str) -> Result<u32, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    if let Some(number) = number {
        return Ok(number);
    }
    text.split(',').try_fold(0, |bits, word| {
        attribute::NAMES
            .iter()
            .find(|(_, name)| *name == word)
            .map(|(bit, _)| bits | bit)
            .ok_or_else(|| {
                let known: Vec<_> = attribute::NAMES.iter().map(|(_, name)| *name).collect();
                format!("{word:?} is none of {}", known.join(", "))
            })
    })
}

impl Set {
    pub(super) fn run(&self, context: &Context) -> Result {
        let change = vars::set(SetRequest {
            write: self.store.write(context)?,
            which: self.which.selection()?,
            attributes: self.attributes,
            data: self.data.bytes()?,
        })?;
        changed(context, &change)
    }
}

/// Delete one variable
#[derive(Debug, Args)]
pub(super) struct Delete {
    #[command(flatten)]
    store: Store,
    #[command(flatten)]
    which: Which,
}

impl Delete {
    pub(super) fn run(&self, context: &Context) -> Result {
        let change = vars::delete(&DeleteRequest {
            write: self.store.write(context)?,
            which: self.which.selection()?,
        })?;
        changed(context, &change)
    }
}

/// Write the variables as JSON for QEMU's uefi-vars device and virt-firmware
///
/// What JSON has no place for is said. `flashmoor vars list --json` gives everything.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The variable store: a file, or a running guest by name, pid, uuid or QMP socket
    #[arg(value_name = "SOURCE")]
    file: PathBuf,
    /// Where the JSON goes
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Replace an output that is there; the old file is kept as a backup
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Export {
    pub(super) fn run(&self, context: &Context) -> Result {
        let change = vars::export(&ExportRequest {
            input: located(&self.file)?.0,
            output: located(&self.output)?.0,
            replace: self.replace,
            journal: journal(context),
            dry_run: self.dry_run.dry_run,
        })?;
        changed(context, &change)
    }
}

/// Set every variable that a JSON or another store holds
#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(flatten)]
    store: Store,
    /// Where the variables come from: a file or a running guest
    #[arg(long, value_name = "SOURCE")]
    from: PathBuf,
    /// Delete what the source does not have
    #[arg(long)]
    only: bool,
}

impl Import {
    pub(super) fn run(&self, context: &Context) -> Result {
        let change = vars::import(&ImportRequest {
            write: self.store.write(context)?,
            from: self.from.clone(),
            only: self.only,
        })?;
        changed(context, &change)
    }
}

/// Move every variable into a store of another layout, or between flash and JSON
///
/// Every live variable arrives with the same name, GUID, attributes, data, timestamp, count and key index, or
/// nothing is written. Deleted ones are not carried.
#[derive(Debug, Args)]
pub(super) struct Convert {
    /// The variable store: a file, or a running guest by name, pid, uuid or QMP socket
    #[arg(value_name = "SOURCE")]
    input: PathBuf,
    #[command(flatten)]
    into: Destination,
    /// How the store lies in its file [default: as that of --like does, or else as SOURCE does]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Where the new store goes
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Replace an output that is there (the input, say); the old file is kept as a backup
    #[arg(long)]
    replace: bool,
    /// Replace it although a program has it open for writing
    #[arg(long)]
    even_if_in_use: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Of the file.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Raw,
    Qcow2,
}

/// What is made.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Destination {
    /// The layout: 1M, 2M, 4M, armvirt, riscv, loongarch, or json
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<String>,
    /// The layout, size and format of this VARS template; of a combined image its firmware too
    #[arg(long, value_name = "TEMPLATE")]
    like: Option<PathBuf>,
    /// The layout that this firmware needs
    #[arg(long = "for", value_name = "CODE")]
    code: Option<PathBuf>,
}

impl Destination {
    fn wanted(&self) -> Result<ConvertTarget> {
        if let Some(path) = &self.like {
            return Ok(ConvertTarget::Like(path.clone()));
        }
        if let Some(path) = &self.code {
            return Ok(ConvertTarget::ForCode(path.clone()));
        }
        let name = self.layout.as_deref().unwrap_or_default();
        if name == "json" {
            return Ok(ConvertTarget::Json);
        }
        name.parse::<Layout>()
            .map(ConvertTarget::Layout)
            .map_err(|error| {
                Error::Usage(Misuse {
                    message: format!("there is no layout called {name:?}"),
                    remedy: Remedy::advice(format!("{error}, or json for QEMU's uefi-vars device")),
                })
            })
    }
}

impl Convert {
    fn wanted(&self) -> Result<ConvertTarget> {
        let wanted = self.into.wanted()?;
        if wanted == ConvertTarget::Json && self.format.is_some() {
            return Err(Error::Usage(Misuse {
                message: "--format is about flash images, and JSON is none".into(),
                remedy: "leave one of --format and --layout json out".into(),
            }));
        }
        Ok(wanted)
    }

    pub(super) fn run(&self, context: &Context) -> Result {
        let change = vars::convert(&ConvertRequest {
            input: located(&self.input)?.0,
            into: self.wanted()?,
            format: self.format.map(|format| match format {
                Format::Raw => FileFormat::Raw,
                Format::Qcow2 => FileFormat::Qcow2,
            }),
            output: located(&self.output)?.0,
            replace: self.replace,
            even_if_in_use: self.even_if_in_use,
            journal: journal(context),
            cache: Cache::open(context.global.store.as_deref()),
            dry_run: self.dry_run.dry_run,
        })?;
        changed(context, &change)
    }
}
