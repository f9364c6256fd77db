//! Where the parts of a variable store lie in each layout, and how large a variable may be there.

use fm_formats::image::Layout;

/// A part of the volume: offset from its start, and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// From the start of the volume.
    pub offset: u32,
    /// How long.
    pub len_bytes: u32,
}

/// How a layout divides the volume that holds variables.
///
/// Sources: edk2 `OvmfPkg/Include/Fdf/VarStore.fdf.inc`, `ArmVirtPkg/VarStore.fdf.inc`; variable limits
/// `OvmfPkg/Include/Dsc/OvmfPkgPcd…`, `ArmVirtPkg/ArmVirtQemu.dsc` (`PcdMaxVariableSize`,
/// `PcdMaxAuthVariableSize`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Volume header, store header, variables.
    pub variables: Area,
    /// Erased in every build of today.
    pub event_log: Option<Area>,
    /// The queue of fault-tolerant writes.
    pub working: Area,
    /// The copy that a fault-tolerant write makes first.
    pub spare: Area,
    /// Erase block.
    pub block_len_bytes: u32,
    /// Header, name and data of a variable together, at most.
    pub max_variable_bytes: u32,
    /// The same for authenticated variables.
    pub max_auth_variable_bytes: u32,
}

/// Length of the volume header that every build writes: one block-map entry and its end mark.
pub(crate) const VOLUME_HEADER_LEN: u32 = 0x48;

impl Geometry {
    /// The division of `layout`.
    #[must_use]
    pub const fn of(layout: Layout) -> Self {
        match layout {
            Layout::X86Size1M | Layout::X86Size2M => Self {
                variables: area(0, 0xe000),
                event_log: Some(area(0xe000, 0x1000)),
                working: area(0xf000, 0x1000),
                spare: area(0x1_0000, 0x1_0000),
                block_len_bytes: 0x1000,
                max_variable_bytes: 0x2000,
                max_auth_variable_bytes: 0x2800,
            },
            Layout::X86Size4M => Self {
                variables: area(0, 0x4_0000),
                event_log: Some(area(0x4_0000, 0x1000)),
                working: area(0x4_1000, 0x1000),
                spare: area(0x4_2000, 0x4_2000),
                block_len_bytes: 0x1000,
                max_variable_bytes: 0x8400,
                max_auth_variable_bytes: 0x8400,
            },
            Layout::ArmVirt | Layout::Riscv | Layout::Loongarch => Self {
                variables: area(0, 0x4_0000),
                event_log: None,
                working: area(0x4_0000, 0x4_0000),
                spare: area(0x8_0000, 0x4_0000),
                block_len_bytes: 0x4_0000,
                max_variable_bytes: 0x2000,
                max_auth_variable_bytes: 0x2800,
            },
        }
    }

    /// `Size` of the store header: from it to the end of the variables' area.
    #[must_use]
    pub const fn store_size_bytes(&self) -> u32 {
        self.variables.len_bytes.saturating_sub(VOLUME_HEADER_LEN)
    }

    /// How large a variable with these attributes may be, header, name and data together.
    #[must_use]
    pub const fn limit_bytes(&self, attributes: u32) -> u32 {
        if attributes & 0x30 == 0 {
            self.max_variable_bytes
        } else {
            self.max_auth_variable_bytes
        }
    }
}

const fn area(offset: u32, len_bytes: u32) -> Area {
    Area { offset, len_bytes }
}

/// The layout of a store, from what its volume header says (`FvLength`) and how large its file is.
///
/// 1M and 2M builds have the same store; it is called 2M. ARM, RISC-V and LoongArch differ only in the size
/// of the flash chip; a bare volume is called armvirt.
pub(crate) fn detect(volume_len_bytes: u64, file_len_bytes: u64) -> Option<Layout> {
    match volume_len_bytes {
        0x2_0000 => Some(Layout::X86Size2M),
        0x8_4000 => Some(Layout::X86Size4M),
        0xc_0000 => [Layout::Riscv, Layout::Loongarch]
            .into_iter()
            .find(|layout| layout.vars_size_bytes() == file_len_bytes)
            .or(Some(Layout::ArmVirt)),
        _ => None,
    }
}

/// The layout of a file that has no volume header to ask, from its size alone.
pub(crate) fn detect_by_file(file_len_bytes: u64) -> Option<Layout> {
    [
        Layout::X86Size2M,
        Layout::X86Size4M,
        Layout::ArmVirt,
        Layout::Riscv,
        Layout::Loongarch,
    ]
    .into_iter()
    .find(|layout| file_len_bytes == layout.vars_size_bytes())
    .or_else(|| (file_len_bytes == Layout::ArmVirt.vars_volume_size_bytes()).then_some(Layout::ArmVirt))
    .or_else(|| Layout::of_x86_combined_size(file_len_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_every_layout_lie_end_to_end() {
        for layout in Layout::ALL {
            let geometry = Geometry::of(layout);
            let mut end = 0;
            for part in [
                Some(geometry.variables),
                geometry.event_log,
                Some(geometry.working),
                Some(geometry.spare),
            ]
            .into_iter()
            .flatten()
            {
                assert_eq!(part.offset, end, "{layout}");
                assert_eq!(part.len_bytes % geometry.block_len_bytes, 0);
                end += part.len_bytes;
            }
            assert_eq!(u64::from(end), layout.vars_volume_size_bytes());
            assert!(geometry.spare.len_bytes >= geometry.variables.len_bytes);
        }
    }
}
