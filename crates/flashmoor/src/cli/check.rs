//! `flashmoor check`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use fm_check as check;
use fm_check::{MatrixRequest, Options, Request, SideSpec};
use fm_files::output;
use fm_judge::Confidential;
use fm_judge::Outcome;

use super::{Context, Result, Status};
use fm_render::check as render;
use fm_render::matrix as matrix_text;
use fm_render::remedy::WORDING;

/// Tell what a firmware change does to a guest: while it migrates, at a reset, at a cold boot
///
/// Takes a source and a destination, each as files, a guest, an offer, a stored build or a firmware folder, and
/// judges them without touching either. Exit status: 0 compatible or caution, 10 incompatible, 11 unknown.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // each is an option of its own
pub(crate) struct Check {
    /// The guest on this host: a pid, name, uuid or QMP socket
    #[arg(
        long,
        value_name = "GUEST",
        visible_alias = "from-guest",
        help_heading = "Source"
    )]
    guest: Option<String>,
    /// The offer that its host made
    #[arg(long, value_name = "OFFER", help_heading = "Source")]
    from_offer: Option<PathBuf>,
    /// The firmware it runs: a CODE file, an offer, a stored build, a descriptor or a folder
    #[arg(long, value_name = "CODE", help_heading = "Source")]
    from_code: Option<String>,
    /// Its variable store
    #[arg(long, value_name = "VARS", help_heading = "Source")]
    from_vars: Option<PathBuf>,
    /// The file that it was given with -bios
    #[arg(long, value_name = "FILE", help_heading = "Source")]
    from_bios: Option<PathBuf>,
    /// Its QEMU's version, such as 7.2
    #[arg(long, value_name = "VERSION", help_heading = "Source")]
    qemu_from: Option<String>,
    /// Its machine type, where the destination's is another
    #[arg(long, value_name = "MACHINE", help_heading = "Source")]
    machine_from: Option<String>,

    /// The offer of a guest that waits there
    #[arg(long, value_name = "OFFER", help_heading = "Destination")]
    to_offer: Option<PathBuf>,
    /// A guest on this host that waits for the migration
    #[arg(long, value_name = "GUEST", help_heading = "Destination")]
    to_guest: Option<String>,
    /// The firmware there: a CODE file, an offer, a stored build, a descriptor or a folder
    #[arg(long, value_name = "CODE", help_heading = "Destination")]
    to_code: Option<String>,
    /// The variable store there [default: the guest's own goes along]
    #[arg(long, value_name = "VARS", help_heading = "Destination")]
    to_vars: Option<PathBuf>,
    /// The file that it is given with -bios
    #[arg(long, value_name = "FILE", help_heading = "Destination")]
    to_bios: Option<PathBuf>,
    /// The host's firmware: a folder of files or descriptors, or one descriptor
    #[arg(long, value_name = "DIR", help_heading = "Destination")]
    to_host_firmware: Option<PathBuf>,
    /// Folders with that host's option ROMs, which network and graphics devices load
    #[arg(long, value_name = "DIR", num_args = 1.., help_heading = "Destination")]
    to_roms: Vec<PathBuf>,
    /// The destination's QEMU version
    #[arg(long, value_name = "VERSION", help_heading = "Destination")]
    qemu_to: Option<String>,
    /// The machine type there, where it is another
    #[arg(long, value_name = "MACHINE", help_heading = "Destination")]
    machine_to: Option<String>,

    /// The machine type on both sides, as -machine has it: pc-q35-7.2, or q35,smm=on
    #[arg(long, value_name = "MACHINE", help_heading = "Both sides")]
    machine: Option<String>,
    /// The guest has no VARS device
    #[arg(long, help_heading = "Both sides")]
    no_vars: bool,
    /// Whether the machine has system management mode
    #[arg(long, value_name = "ON", help_heading = "Both sides")]
    smm: Option<Switch>,
    /// Whether only that mode may write flash
    #[arg(long, value_name = "ON", help_heading = "Both sides")]
    secure_flash: Option<Switch>,
    /// Whether the machine offers suspend to RAM
    #[arg(long, value_name = "ON", help_heading = "Both sides")]
    s3: Option<Switch>,
    /// Whether the guest has a TPM
    #[arg(long, value_name = "ON", help_heading = "Both sides")]
    tpm: Option<Switch>,
    /// How the guest's memory is encrypted
    #[arg(long, value_name = "KIND", help_heading = "Both sides")]
    confidential: Option<Kind>,

    /// Judge every pair of builds in these folders instead
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["guest", "from_offer", "to_offer", "to_guest", "from_code", "to_code", "from_bios", "to_bios", "to_host_firmware", "from_vars", "to_vars", "no_vars", "to_roms", "all"])]
    matrix: Vec<PathBuf>,
    /// Write the matrix as a page with colours as well
    #[arg(long, value_name = "FILE", requires = "matrix")]
    html: Option<PathBuf>,
    /// Assume nothing: what is not told stays unknown
    ///
    /// Otherwise a QEMU that is not told is this host's, and a machine type that is not told is the newest q35 or virt of
    /// it; what was assumed is said.
    #[arg(long)]
    no_assumptions: bool,
    /// Assume nothing, and exit with 10 for a caution too; with --matrix, exit as the worst pair says
    #[arg(long)]
    strict: bool,
    /// Print every finding, those that are in order too
    #[arg(long, short)]
    all: bool,
    /// Print values in full and where they were read; with --matrix, what decides each pair
    #[arg(long)]
    long: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    None,
    Sev,
    SevEs,
    SevSnp,
    Tdx,
}

fn is_on(switch: Option<Switch>) -> Option<bool> {
    switch.map(|switch| switch == Switch::On)
}

impl Check {
    pub(crate) fn run(&self, context: &Context) -> Result {
        for remark in fm_adopt::interrupted::remarks(context.global.store.as_deref()) {
            context.output.remark(remark);
        }
        let options = Options {
            machine: self.machine.clone(),
            smm: is_on(self.smm),
            secure_flash: is_on(self.secure_flash),
            s3: is_on(self.s3),
            tpm: is_on(self.tpm),
            confidential: self.confidential.map(|kind| match kind {
                Kind::None => Confidential::No,
                Kind::Sev => Confidential::Sev,
                Kind::SevEs => Confidential::SevEs,
                Kind::SevSnp => Confidential::SevSnp,
                Kind::Tdx => Confidential::Tdx,
            }),
        };
        if !self.matrix.is_empty() {
            return self.matrix(context, &options);
        }
        let request = Request {
            source: SideSpec {
                guest: self.guest.clone(),
                offer: self.from_offer.clone(),
                code: self.from_code.clone(),
                vars: self.from_vars.clone(),
                no_vars: self.no_vars,
                bios: self.from_bios.clone(),
                host_firmware: None,
                machine: self.machine_from.clone(),
                qemu: self.qemu_from.clone(),
                ..SideSpec::default()
            },
            destination: SideSpec {
                guest: self.to_guest.clone(),
                offer: self.to_offer.clone(),
                code: self.to_code.clone(),
                vars: self.to_vars.clone(),
                no_vars: self.no_vars,
                bios: self.to_bios.clone(),
                host_firmware: self.to_host_firmware.clone(),
                roms: self.to_roms.clone(),
                machine: self.machine_to.clone(),
                qemu: self.qemu_to.clone(),
            },
            options,
            store: context.global.store.clone(),
            assume: self.assumes(),
        };
        let checked = check::check(&request)?;
        let document = check::check_document(&checked, WORDING);
        if context.output.wants_json() {
            context.output.json(&document);
        } else {
            context.output.page();
            let (all, long) = (self.all, self.long);
            render::check(&context.output, &document, render::Detail { all, long });
        }
        Ok(self.status(checked.verdict.outcome()))
    }

    fn assumes(&self) -> bool {
        !self.no_assumptions && !self.strict
    }

    fn status(&self, outcome: Outcome) -> Status {
        match outcome {
            Outcome::Compatible => Status::Done,
            Outcome::Caution if self.strict => Status::Incompatible,
            Outcome::Caution => Status::Done,
            Outcome::Unknown => Status::Unknown,
            Outcome::Incompatible => Status::Incompatible,
        }
    }

    fn matrix(&self, context: &Context, options: &Options) -> Result {
        let spec = |qemu: &Option<String>, machine: &Option<String>| SideSpec {
            qemu: qemu.clone(),
            machine: machine.clone(),
            ..SideSpec::default()
        };
        let (matrix, worst) = check::matrix(&MatrixRequest {
            folders: &self.matrix,
            options,
            from: &spec(&self.qemu_from, &self.machine_from),
            to: &spec(&self.qemu_to, &self.machine_to),
            store: context.global.store.as_deref(),
            assume: self.assumes(),
            reasons: self.long || self.html.is_some(),
        })?;
        if let Some(path) = &self.html {
            let page = matrix_text::html(&matrix);
            let read: Vec<&Path> = self.matrix.iter().map(AsRef::as_ref).collect();
            output::write(path, page.as_bytes(), &read)?;
            context.output.remark(format_args!("wrote {}", path.display()));
        }
        if context.output.wants_json() {
            context.output.json(&matrix);
        } else {
            context.output.page();
            matrix_text::text(&context.output, &matrix, self.long);
        }
        // The table is the answer: among many builds some pair nearly always fails.
        Ok(match worst {
            Some(worst) if self.strict => self.status(worst),
            _ => Status::Done,
        })
    }
}
