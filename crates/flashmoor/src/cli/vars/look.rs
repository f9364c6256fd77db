//! `flashmoor vars list|show|get|diff`.

use std::io::Write as _;
use std::path::PathBuf;

use crate::Error;
use clap::Args;
use fm_variables as vars;

use super::located::to_read;
use super::{Context, Result, Status, Which};

/// List the variables of a store, what they mean, and how full it is
#[derive(Debug, Args)]
pub(super) struct List {
    /// The variable store: a file, a running guest by name, pid, uuid or QMP socket, or `-` for standard input
    #[arg(value_name = "SOURCE")]
    file: PathBuf,
    /// Deleted, superseded and unfinished variables too
    #[arg(long, short)]
    all: bool,
    /// Namespaces as GUIDs, and meanings in full
    #[arg(long)]
    long: bool,
}

impl List {
    pub(super) fn run(&self, context: &Context) -> Result {
        let list = vars::list(&to_read(context, &self.file)?, self.all)?;
        if context.output.wants_json() {
            context.output.json(&list);
        } else {
            context.output.page();
            fm_render::vars::list(&context.output, &list, self.long);
        }
        Ok(Status::Done)
    }
}

/// Show variables in full: every field, every certificate, every hash
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The variable store: a file, or a running guest by name, pid, uuid or QMP socket
    #[arg(value_name = "SOURCE")]
    file: PathBuf,
    /// Only the variables of this name
    name: Option<String>,
}

impl Show {
    pub(super) fn run(&self, context: &Context) -> Result {
        let shown = vars::show(&to_read(context, &self.file)?, self.name.as_deref())?;
        if context.output.wants_json() {
            let documents: Vec<_> = shown.iter().map(|shown| &shown.variable).collect();
            context.output.json(&documents);
        } else {
            context.output.page();
            fm_render::vars::show(&context.output, &shown);
        }
        Ok(Status::Done)
    }
}

/// Print one variable's content, hexadecimal
#[derive(Debug, Args)]
pub(super) struct Get {
    /// The variable store: a file, or a running guest by name, pid, uuid or QMP socket
    #[arg(value_name = "SOURCE")]
    file: PathBuf,
    #[command(flatten)]
    which: Which,
    /// The bytes themselves, on standard output
    #[arg(long)]
    raw: bool,
}

impl Get {
    pub(super) fn run(&self, context: &Context) -> Result {
        let (variable, bytes) = vars::get(&to_read(context, &self.file)?, &self.which.selection()?)?;
        if self.raw {
            std::io::stdout()
                .write_all(&bytes)
                .map_err(|source| Error::file("write", "standard output".as_ref(), source))?;
        } else if context.output.wants_json() {
            context.output.json(&variable);
        } else {
            context.output.whole_line(&variable.data);
        }
        Ok(Status::Done)
    }
}

/// Compare the variables of two stores, of whatever kind and layout
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The first store: a file or a running guest
    left: PathBuf,
    /// The second store: a file or a running guest
    right: PathBuf,
    /// Exit with status 10 if the variables differ
    #[arg(long)]
    exit_code: bool,
}

impl Diff {
    pub(super) fn run(&self, context: &Context) -> Result {
        let diff = vars::diff(&to_read(context, &self.left)?, &to_read(context, &self.right)?)?;
        if context.output.wants_json() {
            context.output.json(&diff);
        } else {
            context.output.page();
            fm_render::vars::diff(&context.output, &diff);
        }
        Ok(Status::of_no(self.exit_code, !diff.identical))
    }
}
