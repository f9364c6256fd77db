//! What the atlas tries, in an order in which the most telling come first: made from what the files are and which
//! machines the QEMU programs make, whatever they are called.

mod boots;
mod migrations;
mod odd;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::act::Bench;
use super::files::Code;
use super::{Change, Image, Side};
use crate::Arch;
use fm_formats::image::Arch as Machine;

/// What observations have in common; one file each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Every build on every store.
    ColdBoot,
    /// Stores that are blank or damaged.
    DamagedStore,
    /// Every build to every build, between QEMU versions.
    BuildMigration,
    /// Machines that differ in something else than the build.
    MachineMigration,
    /// Stores converted from one layout to another, and booted there.
    Conversion,
    /// Guests whose CODE flash is overwritten while they run.
    Overwritten,
    /// Guests that write a variable while they migrate.
    LateWrite,
    /// Stores that a power cut left in the midst of a reclaim.
    InterruptedWrite,
    /// Stores with damage inside their list of variables.
    DamagedList,
    /// Stores whose headers say something odd.
    OddHeader,
    /// Files that are longer than the store in them.
    PaddedFile,
    /// Files that QEMU may not write to.
    NotWritten,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::InterruptedWrite,
        Self::DamagedList,
        Self::OddHeader,
        Self::PaddedFile,
        Self::NotWritten,
        Self::Conversion,
        Self::Overwritten,
        Self::LateWrite,
        Self::DamagedStore,
        Self::MachineMigration,
        Self::BuildMigration,
        Self::ColdBoot,
    ];

    /// The name of its file, without the ending.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ColdBoot => "cold_boot",
            Self::DamagedStore => "damaged_store",
            Self::BuildMigration => "build_migration",
            Self::MachineMigration => "machine_migration",
            Self::Conversion => "conversion",
            Self::Overwritten => "overwritten",
            Self::LateWrite => "late_write",
            Self::InterruptedWrite => "interrupted_write",
            Self::DamagedList => "damaged_list",
            Self::OddHeader => "odd_header",
            Self::PaddedFile => "padded_file",
            Self::NotWritten => "not_written",
        }
    }
}

/// What a group tries on a bench, and what of it cannot be tried there, each with the reason.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) lacks: Vec<String>,
}

/// One thing to try.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) id: String,
    /// Which of the bench's QEMU programs runs the source, and which the destination.
    pub(super) qemu: [usize; 2],
    pub(super) source: Side,
    pub(super) destination: Option<Side>,
    pub(super) act: Act,
}

/// What is done with the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// It is booted.
    Boot,
    /// It is booted, ended, and booted again.
    BootTwice,
    /// It is migrated, and followed through its boot and a reset at the destination if it is to be.
    Migrate { follow: bool },
    /// Its store is converted for the destination's build, and booted there.
    Convert,
    /// Its CODE flash is overwritten: before its first instruction, or when it no longer executes there.
    Overwrite { from_start: bool },
    /// It sets a variable when the pages of its VARS have been sent.
    WriteLate,
}

/// The plan of a group for what this bench has.
pub(super) fn plan(group: Group, bench: &Bench) -> Plan {
    let mut plan = Plan::default();
    for arch in Arch::ALL {
        match group {
            Group::ColdBoot => boots::cold_boots(bench, arch, &mut plan),
            Group::DamagedStore => boots::damaged_stores(bench, arch, &mut plan),
            Group::BuildMigration => migrations::builds(bench, arch, &mut plan),
            Group::MachineMigration => migrations::machines(bench, arch, &mut plan),
            Group::Conversion => boots::conversions(bench, arch, &mut plan),
            Group::Overwritten => migrations::overwritten(bench, arch, &mut plan),
            Group::LateWrite => migrations::late_writes(bench, arch, &mut plan),
            Group::InterruptedWrite
            | Group::DamagedList
            | Group::OddHeader
            | Group::PaddedFile
            | Group::NotWritten => odd::stores(group, bench, arch, &mut plan),
        }
    }
    plan
}

impl Plan {
    fn lack(&mut self, what: impl Into<String>) {
        self.lacks.push(what.into());
    }
}

/// What is said where an architecture has builds and no QEMU, or the reverse.
fn word_of(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86",
        arch => arch.name(),
    }
}

/// The first program of an architecture, if there are builds for it as well. Builds without a program are said
/// to be left out; where there is neither, there is nothing to say.
fn first_program(bench: &Bench, arch: Arch, plan: &mut Plan) -> Option<usize> {
    let program = bench.programs_of(arch).next();
    let builds = bench.files.codes_of(arch).count();
    match (program, builds) {
        (Some(program), 1..) => Some(program),
        (None, 1..) => {
            plan.lack(format!(
                "the {} builds are left out: no QEMU for them was named (--qemu PROGRAM)",
                word_of(arch)
            ));
            None
        }
        (_, _) => {
            if arch == Arch::X86_64 || program.is_some() {
                plan.lack(format!(
                    "the folder holds no {} CODE whose size is that of its flash",
                    word_of(arch)
                ));
            }
            None
        }
    }
}

/// The machine that `code` is made for. 64-bit SMM builds of some years hang where suspend to RAM is on (see
/// `docs/findings/FM-S3.md`), and which do does not show in them.
fn side(bench: &Bench, program: usize, machine: &str, code: &Code, vars: Option<&Image>) -> Side {
    let smm = code.class.smm;
    Side {
        qemu: bench.version(program),
        machine: format!("{machine}{}", if smm { ",smm=on" } else { "" }),
        secure_flash: smm,
        s3_off: smm && code.class.machines == [Machine::X86_64; 2],
        code: Some(code.image.clone()),
        vars: vars.cloned(),
        vars_access: None,
        bios: None,
        rom_bytes: None,
    }
}

/// The side on the newest machine of its program, with the template of its layout.
fn plain_side(bench: &Bench, program: usize, code: &Code) -> Side {
    let machine = bench.programs.get(program).map_or("", |program| &program.newest);
    side(
        bench,
        program,
        machine,
        code,
        bench.files.template(code.class.layout),
    )
}

fn changed(image: &Image, change: Change) -> Image {
    Image {
        change: Some(change),
        size_bytes: match change {
            Change::Cut => image.size_bytes.saturating_sub(1000),
            Change::Halved => image.size_bytes / 2,
            Change::PaddedTo1M => 0x10_0000,
            Change::PaddedTo4M => 0x40_0000,
            _ => image.size_bytes,
        },
        ..image.clone()
    }
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Erased => "erased",
        Change::Zeros => "zeroed",
        Change::VolumeDamaged => "with a damaged volume header",
        Change::StoreDamaged => "with a damaged store header",
        Change::WithoutFtw => "without FTW header",
        Change::Plain => "in plain form",
        Change::Cut => "cut",
        Change::Halved => "halved",
        Change::Qcow2 => "as qcow2",
        Change::Filled => "filled",
        Change::SpareMainOld => "with a whole spare, the main area old",
        Change::SpareMainErased => "with a whole spare, the main area erased",
        Change::SpareMainHalf => "with a whole spare, the main area half written",
        Change::SpareHalf => "with half a spare, the main area old",
        Change::NameUnterminated => "with a name without terminator",
        Change::NameEmpty => "with an empty name",
        Change::StateOdd => "with an impossible state",
        Change::DataBeyond => "with data beyond the store",
        Change::HeaderTorn => "with a torn header",
        Change::ZeroPage => "with a page of zeros",
        Change::FreeZeros => "with zeros behind the list",
        Change::BlockMap => "with another block map",
        Change::VolumeAttributes => "with odd attributes",
        Change::StoreSizeSmall => "with a small store size",
        Change::StoreSizeFull => "with a store size without room",
        Change::StoreSizeLarge => "with a large store size",
        Change::PaddedTo1M => "padded to 1 MiB",
        Change::PaddedTo4M => "padded to 4 MiB",
    }
}
