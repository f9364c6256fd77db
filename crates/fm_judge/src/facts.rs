//! What is known of one side: a guest, an offer, a host with its files, a saved guest.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use fm_formats::Sha256;
use fm_formats::image::{Arch, Feature, Layout};
use fm_varstore::{Damage, Interrupted};

use crate::{Contradiction, DisplayValue, Features, Known, MachineFamily, MachineType, QemuVersion};

pub use fm_formats::qemu::RamBlock as Block;

/// Everything that a rule may ask about a side. A field that nobody filled is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The version of the QEMU binary that runs, or will run, the guest.
    pub qemu: Known<QemuVersion>,
    /// The machine type by its full name.
    pub machine: Known<MachineType>,
    /// How the machine gets its firmware.
    pub firmware: Known<Firmware>,
    /// All RAM blocks in the order of the migration stream; known for running and saved guests.
    pub blocks: Known<Vec<Block>>,
    /// The sizes of the option ROMs that a host has for devices, by the device's type.
    pub roms: Known<Vec<Block>>,
    /// Flash unit 0, the firmware itself; with [`Firmware::Bios`] the file given to `-bios`.
    pub code: CodeUnit,
    /// Flash unit 1, the variables. On a destination: the store that a cold boot there reads.
    pub vars: VarsUnit,
    /// Whether the machine emulates system management mode (`-machine smm=`).
    pub smm: Known<bool>,
    /// Whether only management mode may write flash (`-global cfi.pflash01.secure=on`).
    pub secure_flash: Known<bool>,
    /// Whether the machine offers suspend to RAM (S3); QEMU does unless told `disable_s3=1`.
    pub s3: Known<bool>,
    /// Whether the guest's memory is encrypted, and how.
    pub confidential: Known<Confidential>,
    /// Whether the guest has a TPM, which measures the firmware.
    pub tpm: Known<bool>,
}

/// How a machine gets its firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Firmware {
    /// From flash devices.
    Flash,
    /// From a file in ROM, `-bios FILE`: the RAM block is `pc.bios` on PCs.
    Bios,
}

/// The encoding of a file that backs a flash device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// The bytes themselves.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
}

impl Format {
    /// The name in documents and on QEMU's command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

impl core::fmt::Display for Firmware {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::Flash => "flash",
            Self::Bios => "-bios",
        })
    }
}

impl DisplayValue for Firmware {
    fn display_value(&self) -> String {
        self.to_string()
    }
}

impl core::fmt::Display for Format {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// How a guest's memory is kept from its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidential {
    /// Not at all.
    No,
    /// AMD SEV.
    Sev,
    /// AMD SEV-ES.
    SevEs,
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
}

impl Confidential {
    /// The feature that a firmware must have to start such a guest.
    #[must_use]
    pub const fn feature(self) -> Option<Feature> {
        match self {
            Self::No => None,
            Self::Sev => Some(Feature::Sev),
            Self::SevEs => Some(Feature::SevEs),
            Self::SevSnp => Some(Feature::SevSnp),
            Self::Tdx => Some(Feature::Tdx),
        }
    }
}

impl core::fmt::Display for Confidential {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.feature().map_or("none", Feature::name))
    }
}

impl DisplayValue for Confidential {
    fn display_value(&self) -> String {
        self.to_string()
    }
}

/// Whether a firmware image is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Soundness {
    /// Nothing is wrong with it.
    Whole,
    /// Something in it is not as it should be, and whether that matters does not show.
    Damaged,
    /// Bytes that are no firmware lie before its first volume.
    Foreign,
    /// The volume that holds nearly all of it cannot be read: cut off, or it does not decompress.
    Undecodable,
    /// One byte throughout where an x86 processor starts, in the last 16 bytes.
    NoResetVector,
}

impl core::fmt::Display for Soundness {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::Whole => "whole",
            Self::Damaged => "damaged in places",
            Self::Foreign => "something else before its first volume",
            Self::Undecodable => "cut off, or its main volume does not decompress",
            Self::NoResetVector => "nothing at its reset vector",
        })
    }
}

/// What is known of the firmware binary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodeUnit {
    /// Whether the image is whole.
    pub soundness: Known<Soundness>,
    /// Whether there is a file at all where the guest's definition names one.
    pub present: Known<bool>,
    /// The file that a cold boot reads.
    pub path: Known<String>,
    /// Digest of what that file holds now, where that can differ from what the guest runs.
    pub next_boot_code: Known<Sha256>,
    /// The architecture that it brings the guest up in.
    pub arch: Known<Arch>,
    /// The architecture of its early phases; an `IA32X64` build starts 32-bit.
    pub early_arch: Known<Arch>,
    /// Where its variables lie.
    pub layout: Known<Layout>,
    /// What it can do, as its binary shows.
    pub features: Known<Features>,
    /// Whether it reads an interrupted reclaim before its variables: it has FaultTolerantWritePei.
    pub finishes_reclaim: Known<bool>,
    /// Whether it has modules that came with edk2-stable202405 or later: several faults end before that.
    pub is_recent: Known<bool>,
    /// Whether its flash driver walks the list of variables as it starts, and makes a new store for an odd one.
    pub checks_list: Known<bool>,
    /// What a firmware descriptor says that it can do.
    pub promised: Known<Features>,
    /// Whether a descriptor says that Secure Boot keys are enrolled in its template.
    pub promised_keys: Known<bool>,
    /// Whether they are in that template.
    pub template_keys: Known<bool>,
    /// The machine types that a descriptor is for, as patterns such as `pc-q35-*`.
    pub promised_machines: Known<Vec<String>>,
    /// The volumes that measured boot hashes into PCR 0: name and digest.
    pub measured: Known<Vec<(String, Sha256)>>,
    /// Size of the flash device, or of the file given to `-bios`.
    pub size_bytes: Known<u64>,
    /// Digest of the bytes that the device holds.
    pub sha256: Known<Sha256>,
    /// What the backing file is.
    pub format: Known<Format>,
    /// What QEMU was, or will be, told that the backing file is.
    pub declared_format: Known<Format>,
}

/// What is known of the variable store's device and content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VarsUnit {
    /// The file.
    pub path: Known<String>,
    /// On a destination: what its file holds until the guest's own store lands in it with a live migration.
    pub landing: Known<StoreState>,
    /// Digest of what Secure Boot depends on, which firmware measures into PCR 7: PK, KEK, db, dbx.
    pub secure_boot: Known<Sha256>,
    /// Digest of the content.
    pub sha256: Known<Sha256>,
    /// What the content is.
    pub state: Known<StoreState>,
    /// What is wrong with the content.
    pub damage: Known<Vec<Damage>>,
    /// What is wrong with the main area, where a whole copy in the spare is the valid store: flash drivers look at it first.
    pub main_damage: Known<Vec<Damage>>,
    /// How far a reclaim had come that was interrupted with its copy whole in the spare, if there is one.
    pub interrupted: Known<Option<Interrupted>>,
    /// How many variables lie behind damage, where firmware does not look.
    pub behind_damage: Known<u64>,
    /// What the list of variables takes, deleted ones and the store's header included.
    pub list_bytes: Known<u64>,
    /// Whether QEMU keeps what the guest writes.
    pub access: Known<VarsAccess>,
    /// Which layout the content has.
    pub layout: Known<Layout>,
    /// Whether variables have the authenticated form.
    pub authenticated: Known<bool>,
    /// What the live variables occupy, headers and padding included.
    pub used_bytes: Known<u64>,
    /// What the largest live variable occupies.
    pub largest_bytes: Known<u64>,
    /// Whether Secure Boot keys are enrolled (`PK` is there).
    pub keys: Known<bool>,
    /// Whether the variables are in QEMU's `uefi-vars` device, and so in JSON, instead of in flash.
    pub in_device: Known<bool>,
    /// Whether there is a second flash device at all.
    pub present: Known<bool>,
    /// Size of the flash device.
    pub size_bytes: Known<u64>,
    /// What the backing file is.
    pub format: Known<Format>,
    /// What QEMU was, or will be, told that the backing file is.
    pub declared_format: Known<Format>,
}

/// What QEMU does with what a guest writes to its VARS device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VarsAccess {
    /// It goes to the file.
    Written,
    /// The device takes no writes (`readonly=on`).
    ReadOnly,
    /// It is dropped when QEMU ends (`snapshot=on`, `-snapshot`).
    Dropped,
}

impl core::fmt::Display for VarsAccess {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::Written => "written to its file",
            Self::ReadOnly => "read-only",
            Self::Dropped => "a snapshot that is dropped",
        })
    }
}

/// What a variable store's bytes are, as edk2 would meet them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreState {
    /// A formatted store with its headers in order.
    Good,
    /// The same, with its FTW working header missing: edk2 writes a new one.
    WithoutFtw,
    /// Every byte is 0xff.
    Erased,
    /// Every byte is zero.
    Zeros,
    /// No sound volume header.
    VolumeDamaged,
    /// A sound volume whose variable store header is not.
    StoreDamaged,
}

impl StoreState {
    /// Whether there is a store in which variables can be found.
    #[must_use]
    pub const fn is_formatted(self) -> bool {
        matches!(self, Self::Good | Self::WithoutFtw)
    }

    /// Whether nothing was ever in it, so that a guest's store can land there and nothing is lost.
    #[must_use]
    pub const fn is_blank(self) -> bool {
        matches!(self, Self::Erased | Self::Zeros)
    }
}

impl core::fmt::Display for StoreState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::Good => "a formatted store",
            Self::WithoutFtw => "a store without FTW header",
            Self::Erased => "erased, all 0xff",
            Self::Zeros => "blank, all zeros",
            Self::VolumeDamaged => "a damaged volume header",
            Self::StoreDamaged => "a damaged store header",
        })
    }
}

/// The two flash devices that carry firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Code,
    Vars,
}

impl Facts {
    /// Fills in what follows from facts that are there: sizes and presence of the flash devices and the
    /// kind of firmware from the RAM blocks.
    ///
    /// # Errors
    ///
    /// If the RAM blocks contradict what another source said.
    pub fn deduce(&mut self) -> Result<(), Contradiction> {
        let Some(blocks) = self.blocks.fact().cloned() else {
            return Ok(());
        };
        let size = |wanted: &[&str]| {
            blocks
                .value
                .iter()
                .find(|block| wanted.contains(&block.name.as_str()))
                .map(|block| block.size_bytes)
        };
        let evidence = || blocks.evidence.clone();
        let code = size(&["system.flash0", "virt.flash0"]);
        let vars = size(&["system.flash1", "virt.flash1"]);
        if let Some(size_bytes) = code {
            self.firmware
                .learn("the kind of firmware", Firmware::Flash, evidence())?;
            self.code
                .size_bytes
                .learn("the size of CODE", size_bytes, evidence())?;
            self.vars
                .present
                .learn("the VARS device", vars.is_some(), evidence())?;
        } else if let Some(size_bytes) = size(&["pc.bios"]) {
            self.firmware
                .learn("the kind of firmware", Firmware::Bios, evidence())?;
            self.code
                .size_bytes
                .learn("the size of the firmware", size_bytes, evidence())?;
        }
        if let Some(size_bytes) = vars {
            self.vars
                .size_bytes
                .learn("the size of VARS", size_bytes, evidence())?;
        }
        Ok(())
    }

    /// The name of a flash unit's RAM block on this side's machine; `x86` names where that is unknown.
    pub(crate) fn flash_block(&self, unit: Unit) -> &'static str {
        let arm = self
            .machine
            .value()
            .is_some_and(|machine| machine.family() == MachineFamily::Virt);
        match (unit, arm) {
            (Unit::Code, false) => "system.flash0",
            (Unit::Vars, false) => "system.flash1",
            (Unit::Code, true) => "virt.flash0",
            (Unit::Vars, true) => "virt.flash1",
        }
    }

    /// Where in the stream's block table `name` stands: at its index where the table is known, else by
    /// size, because QEMU keeps its blocks sorted by size, largest first (`ram_block_add`).
    pub(crate) fn stream_position(&self, name: &str, size_bytes: Option<u64>) -> u64 {
        let known = self
            .blocks
            .value()
            .and_then(|blocks| blocks.iter().position(|block| block.name == name));
        match known {
            Some(index) => u64::try_from(index).unwrap_or(u64::MAX),
            None => u64::MAX.saturating_sub(size_bytes.unwrap_or_default()),
        }
    }
}
