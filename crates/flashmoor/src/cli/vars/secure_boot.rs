//! `flashmoor vars secure-boot`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use fm_variables as vars;
use fm_variables::{Enrolment, Keys};

use super::{Context, Result, Store, changed};
use crate::cli::Status;

/// What guests trust; enrol keys and take them out, while the guest is off
#[derive(Debug, Args)]
pub(super) struct SecureBoot {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Status(StatusOf),
    Enroll(Enroll),
    Unenroll(Unenroll),
    Forecast(Forecast),
}

impl SecureBoot {
    pub(super) fn run(&self, context: &Context) -> Result {
        match &self.verb {
            Verb::Status(verb) => verb.run(context),
            Verb::Enroll(verb) => verb.run(context),
            Verb::Unenroll(verb) => verb.run(context),
            Verb::Forecast(verb) => verb.run(context),
        }
    }
}

/// Say whether Secure Boot is on, whose keys are enrolled, and which stores trust only Microsoft's 2011
/// certificates
#[derive(Debug, Args)]
struct StatusOf {
    /// The variable stores: files, or running guests by name, pid, uuid or QMP socket
    #[arg(value_name = "SOURCE", required_unless_present = "guests")]
    files: Vec<PathBuf>,
    /// Every guest on this host: those that run, and libvirt's that are off
    #[arg(long)]
    guests: bool,
    /// Exit with status 10 if Secure Boot is off in any of them
    #[arg(long)]
    exit_code: bool,
}

impl StatusOf {
    fn run(&self, context: &Context) -> Result {
        if let ([file], false) = (self.files.as_slice(), self.guests) {
            let status = vars::status(file)?;
            let is_off = !status.enabled;
            if context.output.wants_json() {
                context.output.json(&status);
            } else {
                fm_render::vars::secure_boot(&context.output, &[status]);
            }
            return Ok(Status::of_no(self.exit_code, is_off));
        }
        let (mut all, remarks) = vars::statuses(&self.files);
        let result = if remarks.is_empty() {
            Status::Done
        } else {
            Status::Partly
        };
        for remark in remarks {
            context.output.remark(remark);
        }
        if self.guests {
            let (guests, remarks) = vars::status_of_guests()?;
            all.extend(guests);
            for remark in remarks {
                context.output.remark(remark);
            }
        }
        if context.output.wants_json() {
            context.output.json(&all);
        } else {
            fm_render::vars::secure_boot(&context.output, &all);
        }
        if result != Status::Done {
            return Ok(result);
        }
        Ok(Status::of_no(
            self.exit_code,
            all.iter().any(|status| !status.enabled),
        ))
    }
}

/// Microsoft's generations.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Generation {
    #[value(name = "2011")]
    Only2011,
    #[value(name = "2023")]
    Only2023,
    Both,
}

/// Enrol keys; with --microsoft or --pk switch Secure Boot on
///
/// Files are certificates (PEM, several in one, or DER), signature lists or signed updates (.auth). Keys are
/// added to those that are there; a platform key, which is one certificate, replaces the old one. Without
/// --microsoft and --pk Secure Boot stays on or off as it is.
#[derive(Debug, Args)]
struct Enroll {
    #[command(flatten)]
    store: Store,
    /// Microsoft's certificates; with their OEM platform key if there is none and --pk is not given
    #[arg(long, value_name = "GENERATION")]
    microsoft: Option<Generation>,
    /// Merge Microsoft's revocations for x86 or AArch64 into dbx
    #[arg(long)]
    microsoft_dbx: bool,
    /// Platform key
    #[arg(long, value_name = "FILE")]
    pk: Option<PathBuf>,
    /// Key exchange key: who may update db and dbx
    #[arg(long, value_name = "FILE")]
    kek: Vec<PathBuf>,
    /// Who may sign what boots
    #[arg(long, value_name = "FILE")]
    db: Vec<PathBuf>,
    /// What is revoked
    #[arg(long, value_name = "FILE")]
    dbx: Vec<PathBuf>,
    /// In the lists that get keys, drop those that are there instead of adding to them; other lists stay
    #[arg(long)]
    only: bool,
}

impl Enroll {
    fn run(&self, context: &Context) -> Result {
        let enrolment = Enrolment {
            microsoft: self.microsoft.map(|generation| match generation {
                Generation::Only2011 => Keys::Microsoft2011,
                Generation::Only2023 => Keys::Microsoft2023,
                Generation::Both => Keys::MicrosoftBoth,
            }),
            pk: self.pk.clone(),
            kek: self.kek.clone(),
            db: self.db.clone(),
            dbx: self.dbx.clone(),
            microsoft_dbx: self.microsoft_dbx,
            only: self.only,
        };
        changed(context, &vars::enroll(&self.store.write(context)?, &enrolment)?)
    }
}

/// Take the platform key out, which ends Secure Boot
#[derive(Debug, Args)]
struct Unenroll {
    #[command(flatten)]
    store: Store,
    /// KEK, db and dbx too
    #[arg(long)]
    all: bool,
}

impl Unenroll {
    fn run(&self, context: &Context) -> Result {
        changed(context, &vars::unenroll(&self.store.write(context)?, self.all)?)
    }
}

/// Say whether a dbx update would still fit
#[derive(Debug, Args)]
struct Forecast {
    /// The variable store: a file, or a running guest by name, pid, uuid or QMP socket
    #[arg(value_name = "SOURCE")]
    file: PathBuf,
    /// The update: a signature list or .auth file [default: Microsoft's for the architecture]
    #[arg(long, value_name = "FILE")]
    dbx: Option<PathBuf>,
    /// Exit with status 10 if the running operating system could not write it now
    #[arg(long)]
    exit_code: bool,
}

impl Forecast {
    fn run(&self, context: &Context) -> Result {
        let forecast = vars::forecast(&self.file, self.dbx.as_deref())?;
        if context.output.wants_json() {
            context.output.json(&forecast);
        } else {
            fm_render::vars::forecast(&context.output, &forecast);
        }
        Ok(Status::of_no(self.exit_code, !forecast.fits_now))
    }
}
