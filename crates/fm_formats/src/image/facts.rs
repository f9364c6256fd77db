//! What an image means: its role, architecture, layout and features, and where its parts run from.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::known;
use super::reset_vector::{Entry, ResetVector, Technology};
use super::{Arch, Feature, Layout};
use crate::volume::pe::PeFacts;
use crate::volume::{FileKind, Node, NodeId, NodeKind, SectionFacts, SectionKind, Tree, VolumeHeader};
use crate::{Error, Guid};

/// What a flash image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Firmware code, without a place for variables.
    Code,
    /// Variables only.
    Vars,
    /// Variables, then code, in one file.
    Combined,
}

impl Role {
    /// The name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Vars => "vars",
            Self::Combined => "combined",
        }
    }
}

/// The processor modes of the SEC/PEI and DXE phases of an x86 build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CpuMode {
    /// 32-bit throughout.
    Ia32,
    /// 32-bit SEC and PEI, 64-bit DXE.
    Ia32X64,
    /// 64-bit throughout.
    X64,
}

impl CpuMode {
    /// The name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ia32 => "IA32",
            Self::Ia32X64 => "IA32X64",
            Self::X64 => "X64",
        }
    }

    /// The modes that documents call `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = [Self::Ia32, Self::Ia32X64, Self::X64].into_iter();
        all.find(|mode| mode.name() == name)
    }
}

/// Where code is when the processor executes it. It decides what a migration can meet: code in RAM travels
/// in the stream as RAM, code in flash as the flash device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RunsFrom {
    /// In place, from the flash device.
    Flash,
    /// From RAM, once decompressed.
    RamAfterDecompression,
}

impl RunsFrom {
    /// The name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flash => "flash",
            Self::RamAfterDecompression => "ram-after-decompression",
        }
    }
}

/// Why bytes are no flash image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotFirmware {
    /// Nothing is there.
    #[error("the file is empty")]
    Empty,
    /// One byte throughout.
    #[error("all bytes are {fill:#04x}: erased flash or a placeholder, not of the size of a variable store")]
    Blank {
        /// The byte.
        fill: u8,
    },
    /// Firmware of another kind.
    #[error("it is firmware of {platform}, and not of a QEMU machine")]
    Foreign {
        /// Of what.
        platform: &'static str,
    },
    /// No volume header.
    #[error("no firmware volume was found: no `_FVH` signature with a header around it")]
    NoVolume,
    /// Volumes without code and without variables.
    #[error("its firmware volumes hold neither code nor a variable store")]
    NothingInside,
    /// Volumes for code that cannot be read: the image is cut or damaged.
    #[error("it is damaged firmware{}: no code in it can be read", platform.map_or_else(String::new, |name| alloc::format!(" of {name}")))]
    Damaged {
        /// The platform, where the name of a volume tells.
        platform: Option<&'static str>,
    },
}

/// What an image means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// What it is for.
    pub role: Role,
    /// Whether it is a variable store of nothing but one byte.
    pub blank: bool,
    /// The architecture that it brings up.
    pub arch: Option<Arch>,
    /// The processor modes of its phases, on x86.
    pub cpu_mode: Option<CpuMode>,
    /// The edk2 platform that it was built from.
    pub platform: Option<&'static str>,
    /// Where things lie in its flash.
    pub layout: Option<Layout>,
    /// What it can do, in the order of [`Feature::ALL`].
    pub features: Vec<Feature>,
    /// The table below the reset vector.
    pub reset_vector: Option<ResetVector>,
    /// What is wrong with the image as a whole.
    pub damages: Vec<Error>,
}

impl ImageFacts {
    /// The facts of a parsed image. `file_len_bytes` is the length of the whole file: the tree may be of
    /// its start only, where the rest is padding.
    ///
    /// # Errors
    /// [`NotFirmware`] if it is no flash image.
    pub fn of(tree: &Tree<'_>, file_len_bytes: u64) -> Result<Self, NotFirmware> {
        let modules = Modules::of(tree);
        let stores = volumes(tree).any(|facts| facts.0 == VolumeHeader::NV_DATA);
        let code = modules.first(FileKind::is_executable);
        let role = match (code, stores) {
            (Some(_), true) => Role::Combined,
            (Some(_), false) => Role::Code,
            (None, _) if is_damaged_code(tree) => {
                return Err(NotFirmware::Damaged {
                    platform: modules.platform(modules.any_machine()),
                });
            }
            (None, true) => Role::Vars,
            (None, false) => {
                return match board(tree.buffer(0)) {
                    Some(platform) => Err(NotFirmware::Foreign { platform }),
                    None => Self::blank(tree, file_len_bytes),
                };
            }
        };
        let dxe = modules.machine(FileKind::DxeCore);
        let early = modules
            .machine(FileKind::PeiCore)
            .or_else(|| modules.machine(FileKind::SecCore));
        let arch = dxe.or(early).or_else(|| modules.any_machine());
        let cpu_mode = match (early, dxe) {
            (Some(Arch::Ia32), Some(Arch::Ia32)) => Some(CpuMode::Ia32),
            (Some(Arch::Ia32), Some(Arch::X86_64)) => Some(CpuMode::Ia32X64),
            (Some(Arch::X86_64) | None, Some(Arch::X86_64)) => Some(CpuMode::X64),
            _ => None,
        };
        // Padding after x86 code would move the reset vector: the image ends where the file does.
        let reset_vector = arch
            .is_some_and(Arch::is_x86)
            .then(|| ResetVector::parse(tree.buffer(0)))
            .flatten();
        let platform = board(tree.buffer(0)).or_else(|| modules.platform(arch));
        let layout = layout(role, arch, platform, file_len_bytes, tree);
        let features = modules.features(tree, cpu_mode, reset_vector.as_ref());
        let unstartable = arch.filter(|arch| arch.is_x86()).and_then(|_| {
            // Not a volume that was taken out of an image.
            let has = |kind| modules.first(|found| found == kind).is_some();
            let is_whole = layout.is_some()
                || has(FileKind::SecCore)
                || (has(FileKind::PeiCore) && has(FileKind::DxeCore));
            unstartable(tree, file_len_bytes, is_whole)
        });
        Ok(Self {
            role,
            blank: false,
            arch,
            cpu_mode,
            platform,
            layout,
            features,
            reset_vector,
            damages: unstartable
                .into_iter()
                .chain(arch.filter(|arch| arch.is_x86()).and_then(|_| foreign(tree)))
                .collect(),
        })
    }

    /// A file of one byte throughout is a blank store if it has a store's size, as Debian's `AAVMF_VARS.fd`.
    fn blank(tree: &Tree<'_>, file_len_bytes: u64) -> Result<Self, NotFirmware> {
        if file_len_bytes == 0 {
            return Err(NotFirmware::Empty);
        }
        let fill = match tree.nodes() {
            [] => Some(0),
            [
                Node {
                    kind: NodeKind::Padding { fill },
                    ..
                },
            ] => *fill,
            [
                Node {
                    kind: NodeKind::Padding { .. },
                    ..
                },
                ..,
            ] => None,
            _ => return Err(NotFirmware::NothingInside),
        };
        // Zeros come out of a file that was never written, ones out of erased flash.
        let fill = fill
            .filter(|fill| matches!(fill, 0 | 0xff))
            .ok_or(NotFirmware::NoVolume)?;
        let mut layouts = Layout::ALL.into_iter();
        let layout = layouts.find(|layout| {
            layout.vars_size_bytes() == file_len_bytes || layout.vars_volume_size_bytes() == file_len_bytes
        });
        let layout = layout.ok_or(NotFirmware::Blank { fill })?;
        Ok(Self {
            role: Role::Vars,
            blank: true,
            arch: None,
            cpu_mode: None,
            platform: None,
            // Two layouts may share a size.
            layout: (layout.vars_size_bytes() != Layout::X86Size2M.vars_size_bytes()
                && layout.vars_volume_size_bytes() != file_len_bytes)
                .then_some(layout)
                .or_else(|| (file_len_bytes == Layout::X86Size4M.vars_size_bytes()).then_some(layout)),
            features: Vec::new(),
            reset_vector: None,
            damages: Vec::new(),
        })
    }

    /// Whether it can do `feature`.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }
}

/// Content before the first volume. On Arm and RISC-V a jump is there, on x86 a header of ELF for loaders that want one.
fn foreign(tree: &Tree<'_>) -> Option<Error> {
    let first = tree.nodes().first()?;
    let is_told = tree.damages().iter().any(|damage| {
        matches!(
            damage.error,
            Error::Unexpected {
                field: "flash outside of volumes",
                offset: 0,
                ..
            }
        )
    });
    let is_foreign =
        matches!(first.kind, NodeKind::Padding { fill: None }) && !tree.bytes(first).starts_with(b"\x7fELF");
    (is_foreign && !is_told).then(|| Error::Unexpected {
        field: "flash before the first volume",
        offset: first.start as u64,
        found: format!("{:#x} bytes of content", first.len_bytes),
        expected: "a volume, or an ELF header".into(),
    })
}

/// Firmware of physical machines, which no QEMU machine starts: what its flash chip holds beside volumes tells.
fn board(bytes: &[u8]) -> Option<&'static str> {
    /// Where flash of AMD's machines has its table: `EFS` in coreboot's `util/amdfwtool`.
    const AMD_TABLES: [usize; 6] = [0x2_0000, 0x8_2000, 0xc2_0000, 0xe2_0000, 0xf2_0000, 0xfa_0000];
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if is_coreboot(bytes) {
        Some("coreboot")
    } else if at(0x10, &[0x5a, 0xa5, 0xf0, 0x0f]) {
        Some("a board with Intel's flash descriptor")
    } else if bytes.len() >= 8 << 20
        && AMD_TABLES
            .iter()
            .any(|offset| at(*offset, &[0xaa, 0x55, 0xaa, 0x55]))
    {
        Some("a board with AMD's firmware table")
    } else {
        None
    }
}

/// Whether it holds coreboot's file system: files start with `LARCHIVE` at multiples of 64 bytes, and the map of the
/// flash with `__FMAP__`.
fn is_coreboot(bytes: &[u8]) -> bool {
    let (chunks, _) = bytes.as_chunks::<64>();
    chunks
        .iter()
        .any(|chunk| chunk.starts_with(b"LARCHIVE") || chunk.starts_with(b"__FMAP__"))
}

/// Whether damage may be why a volume shows no code.
fn is_damaged_code(tree: &Tree<'_>) -> bool {
    !tree.damages().is_empty()
        && volumes(tree)
            .any(|(file_system, ..)| matches!(file_system, VolumeHeader::FFS2 | VolumeHeader::FFS3))
}

/// An x86 processor starts 16 bytes below 4 GiB, where the image ends: its last volume has to end there, and with code.
fn unstartable(tree: &Tree<'_>, file_len_bytes: u64, is_whole: bool) -> Option<Error> {
    const START_BYTES: usize = 16;
    let top = tree.nodes().iter().filter(|node| node.parent.is_none());
    let (end, file_system) = top
        .filter_map(|node| match &node.kind {
            NodeKind::Volume(facts) => Some((
                node.start.saturating_add(node.len_bytes),
                facts.header.file_system,
            )),
            _ => None,
        })
        .max_by_key(|(end, _)| *end)?;
    let start = tree.buffer(0).get(end.checked_sub(START_BYTES)?..end)?;
    let found = if (end as u64) < file_len_bytes {
        alloc::format!("behind the last volume, which ends at {end:#x}")
    } else if !is_whole {
        return None;
    } else if file_system == VolumeHeader::NV_DATA {
        "in a volume of variables".into()
    } else if start.iter().all(|byte| Some(byte) == start.first()) {
        "without code".into()
    } else {
        return None;
    };
    Some(Error::Unexpected {
        field: "reset vector",
        offset: file_len_bytes.saturating_sub(START_BYTES as u64),
        found: alloc::format!("{found}: no x86 machine can start this"),
        expected: "code in the last 16 bytes of the image".into(),
    })
}

fn volumes(tree: &Tree<'_>) -> impl Iterator<Item = (Guid, Option<Guid>, u64)> {
    tree.nodes().iter().filter_map(|node| match &node.kind {
        NodeKind::Volume(facts) => Some((
            facts.header.file_system,
            facts.name,
            facts.header.volume_len_bytes,
        )),
        _ => None,
    })
}

fn layout(
    role: Role,
    arch: Option<Arch>,
    platform: Option<&str>,
    file_len_bytes: u64,
    tree: &Tree<'_>,
) -> Option<Layout> {
    let store = volumes(tree).find(|(file_system, ..)| *file_system == VolumeHeader::NV_DATA);
    match (role, arch) {
        (Role::Code, Some(arch)) if arch.is_x86() => Layout::of_x86_code_size(file_len_bytes),
        (Role::Combined, Some(arch)) if arch.is_x86() => Layout::of_x86_combined_size(file_len_bytes),
        (_, Some(Arch::Aarch64 | Arch::Arm)) => platform
            .filter(|name| name.starts_with("ArmVirt"))
            .map(|_| Layout::ArmVirt),
        // A board's flash is laid out as its maker likes.
        (_, Some(Arch::Riscv64)) => platform
            .filter(|name| name.starts_with("RiscVVirt"))
            .map(|_| Layout::Riscv),
        (_, Some(Arch::Loongarch64)) => platform
            .filter(|name| name.starts_with("LoongArchVirt"))
            .map(|_| Layout::Loongarch),
        (Role::Vars, None) => match (store?.2, file_len_bytes) {
            (0x8_4000, _) => Some(Layout::X86Size4M),
            // The stores of the 1 MB and 2 MB builds are the same.
            (0x2_0000, _) => Some(Layout::X86Size2M),
            // So are those of the `virt` machines, but for the padding to the chip's size.
            (0xc_0000, len) => [Layout::ArmVirt, Layout::Riscv, Layout::Loongarch]
                .into_iter()
                .find(|layout| layout.vars_size_bytes() == len),
            _ => None,
        },
        _ => None,
    }
}

/// The files of an image by name, for the questions above.
struct Modules<'t, 'a> {
    tree: &'t Tree<'a>,
    files: Vec<(Guid, FileKind, NodeId)>,
}

impl<'t, 'a> Modules<'t, 'a> {
    fn of(tree: &'t Tree<'a>) -> Self {
        let files = tree
            .nodes()
            .iter()
            .enumerate()
            .filter_map(|(id, node)| match node.kind {
                NodeKind::File(facts) if facts.kind != FileKind::Pad && facts.is_live() => {
                    Some((facts.name, facts.kind, id))
                }
                _ => None,
            });
        Self {
            tree,
            files: files.collect(),
        }
    }

    fn has(&self, guid: Guid) -> bool {
        self.files.iter().any(|(name, ..)| *name == guid)
    }

    fn has_volume(&self, guid: Guid) -> bool {
        volumes(self.tree).any(|(_, name, _)| name == Some(guid))
    }

    fn platform(&self, arch: Option<Arch>) -> Option<&'static str> {
        known::platform(arch, |guid| self.has_volume(guid), |guid| self.has(guid))
    }

    fn first(&self, wanted: impl Fn(FileKind) -> bool) -> Option<NodeId> {
        self.files
            .iter()
            .find(|(_, kind, _)| wanted(*kind))
            .map(|(.., id)| *id)
    }

    fn executable(&self, id: NodeId) -> Option<PeFacts> {
        self.tree.descendants(id).find_map(|(_, node)| match node.kind {
            NodeKind::Section(SectionFacts {
                kind: SectionKind::Pe32 | SectionKind::Te,
                ..
            }) => PeFacts::parse(self.tree.body(node), node.start as u64).ok(),
            _ => None,
        })
    }

    fn machine(&self, kind: FileKind) -> Option<Arch> {
        self.executable(self.first(|found| found == kind)?)?.arch()
    }

    fn any_machine(&self) -> Option<Arch> {
        self.files.iter().find_map(|(_, kind, id)| {
            if kind.is_executable() {
                self.executable(*id)?.arch()
            } else {
                None
            }
        })
    }

    fn features(
        &self,
        tree: &Tree<'_>,
        cpu_mode: Option<CpuMode>,
        table: Option<&ResetVector>,
    ) -> Vec<Feature> {
        let reset_block = table.and_then(|table| table.entry(Entry::SEV_ES_RESET));
        let has_reset_block = reset_block.is_some_and(|entry| entry.data.iter().any(|byte| *byte != 0));
        // SEV works below a 32-bit PEI phase, where all memory counts as private; SEV-ES needs the exception
        // handlers of a 64-bit SEC phase.
        let sev = self.has(known::AMD_SEV_DXE) && matches!(cpu_mode, Some(CpuMode::X64 | CpuMode::Ia32X64));
        let x64 = sev && cpu_mode == Some(CpuMode::X64);
        let debug = self.is_debug(tree);
        let has = |feature: Feature| match feature {
            Feature::Sev => sev,
            // In builds with another SEC phase the block is there, and says nowhere.
            Feature::SevEs => x64 && has_reset_block,
            Feature::SevSnp => x64 && table.is_some_and(|table| table.has(Technology::SevSnp)),
            Feature::SevHashes => {
                self.verifies_hashes()
                    && table.is_some_and(|table| {
                        table.ranges.iter().any(|range| {
                            range.technology == Technology::Sev && range.purpose.starts_with("hashes")
                        })
                    })
            }
            Feature::Tdx => self.has(known::TDX_DXE) && table.is_some_and(|table| table.has(Technology::Tdx)),
            Feature::Debug => debug == Some(true),
            Feature::Release => debug == Some(false),
            Feature::PvVars => {
                self.has(known::VIRT_MM_COMMUNICATION)
                    && !known::FLASH_STORES.iter().any(|guid| self.has(*guid))
            }
            other => known::modules_of(other).iter().any(|guid| self.has(*guid)),
        };
        Feature::ALL.into_iter().filter(|feature| has(*feature)).collect()
    }

    /// Whether kernel, initrd and command line are held against the table of hashes.
    fn verifies_hashes(&self) -> bool {
        let loaders = self
            .files
            .iter()
            .filter(|(name, ..)| *name == known::KERNEL_LOADER);
        loaders
            .take(1)
            .filter_map(|(.., id)| self.tree.node(*id))
            .any(|node| contains(self.tree.body(node), &known::KERNEL_HASH.to_bytes()))
    }

    /// DEBUG or RELEASE by the path that the linker left, or by the text of assertions, which only DEBUG
    /// and NOOPT builds hold. Nothing if neither shows.
    fn is_debug(&self, tree: &Tree<'_>) -> Option<bool> {
        let core = self.first(|kind| kind == FileKind::DxeCore)?;
        let path: Option<String> = self.executable(core).and_then(|facts| facts.debug_path);
        if let Some(path) = path {
            if path.contains("/DEBUG_") || path.contains("/NOOPT_") {
                return Some(true);
            }
            if path.contains("/RELEASE_") {
                return Some(false);
            }
        }
        let body = tree.node(core).map_or(&[][..], |node| tree.body(node));
        contains(body, b"ASSERT [%a]").then_some(true)
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Where the code in the node runs from: what is encoded in the image must be decoded into RAM first.
#[must_use]
pub fn runs_from(tree: &Tree<'_>, id: NodeId) -> RunsFrom {
    if tree.is_compressed(id) {
        RunsFrom::RamAfterDecompression
    } else {
        RunsFrom::Flash
    }
}
