//! Documents' words for what firmware is told apart by, and what they mean.

use fm_api::v1::firmware::{self as api, StoreFormat};
use fm_api::v1::inspect::{FileType, InspectKind, RunsFrom};
use fm_formats::image::{self, Arch, CpuMode, Layout, Role};
use fm_formats::volume::FileKind;
use fm_varstore::Format;

/// The word for an architecture.
#[must_use]
pub const fn arch(arch: Arch) -> api::Arch {
    match arch {
        Arch::X86_64 => api::Arch::X86_64,
        Arch::Ia32 => api::Arch::Ia32,
        Arch::Aarch64 => api::Arch::Aarch64,
        Arch::Arm => api::Arch::Arm,
        Arch::Riscv64 => api::Arch::Riscv64,
        Arch::Loongarch64 => api::Arch::Loongarch64,
    }
}

/// The word for a layout.
#[must_use]
pub const fn layout(layout: Layout) -> api::Layout {
    match layout {
        Layout::X86Size1M => api::Layout::X86Size1M,
        Layout::X86Size2M => api::Layout::X86Size2M,
        Layout::X86Size4M => api::Layout::X86Size4M,
        Layout::ArmVirt => api::Layout::ArmVirt,
        Layout::Riscv => api::Layout::Riscv,
        Layout::Loongarch => api::Layout::Loongarch,
    }
}

/// The layout that the word stands for.
#[must_use]
pub const fn layout_of(word: api::Layout) -> Layout {
    match word {
        api::Layout::X86Size1M => Layout::X86Size1M,
        api::Layout::X86Size2M => Layout::X86Size2M,
        api::Layout::X86Size4M => Layout::X86Size4M,
        api::Layout::ArmVirt => Layout::ArmVirt,
        api::Layout::Riscv => Layout::Riscv,
        api::Layout::Loongarch => Layout::Loongarch,
    }
}

/// The word for modes of the processor.
#[must_use]
pub const fn cpu_mode(mode: CpuMode) -> api::CpuMode {
    match mode {
        CpuMode::Ia32 => api::CpuMode::Ia32,
        CpuMode::Ia32X64 => api::CpuMode::Ia32X64,
        CpuMode::X64 => api::CpuMode::X64,
    }
}

/// The word for the form of a variable store in flash.
#[must_use]
pub const fn store_format(format: Format) -> StoreFormat {
    match format {
        Format::Authenticated => StoreFormat::Authenticated,
        Format::Plain => StoreFormat::Plain,
        Format::Blank => StoreFormat::Blank,
    }
}

/// The word for a type of file.
pub(crate) const fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Raw => FileType::Raw,
        FileKind::Freeform => FileType::Freeform,
        FileKind::SecCore => FileType::SecCore,
        FileKind::PeiCore => FileType::PeiCore,
        FileKind::DxeCore => FileType::DxeCore,
        FileKind::Peim => FileType::Peim,
        FileKind::Driver => FileType::Driver,
        FileKind::CombinedPeimDriver => FileType::CombinedPeimDriver,
        FileKind::Application => FileType::Application,
        FileKind::Mm => FileType::Mm,
        FileKind::VolumeImage => FileType::VolumeImage,
        FileKind::CombinedMmDxe => FileType::CombinedMmDxe,
        FileKind::MmCore => FileType::MmCore,
        FileKind::MmStandalone => FileType::MmStandalone,
        FileKind::MmCoreStandalone => FileType::MmCoreStandalone,
        FileKind::Pad => FileType::Pad,
        FileKind::Other(_) => FileType::Unknown,
    }
}

/// The word for where code runs from.
pub(crate) const fn runs_from(from: image::RunsFrom) -> RunsFrom {
    match from {
        image::RunsFrom::Flash => RunsFrom::Flash,
        image::RunsFrom::RamAfterDecompression => RunsFrom::RamAfterDecompression,
    }
}

/// The word for what an image is for.
pub(crate) const fn role(role: Role) -> InspectKind {
    match role {
        Role::Code => InspectKind::Code,
        Role::Vars => InspectKind::Vars,
        Role::Combined => InspectKind::Combined,
    }
}
