//! What is done to a copy of a firmware file before it is used.

use super::{Change, stores};

/// Changes a copy's bytes; offsets as in edk2 `OvmfPkg/Include/Fdf/VarStore.fdf.inc` and
/// `ArmVirtPkg/VarStore.fdf.inc`.
pub(super) fn apply(change: Change, bytes: &mut Vec<u8>) {
    let ftw_offset = match bytes.len() {
        0x2_0000 => 0xf000,
        0x8_4000 => 0x4_1000,
        _ => 0x4_0000,
    };
    match change {
        Change::Erased => bytes.fill(0xff),
        Change::Zeros => bytes.fill(0),
        Change::VolumeDamaged => flip(bytes, 0x28),
        Change::StoreDamaged => flip(bytes, 0x48),
        Change::WithoutFtw => {
            if let Some(header) = bytes.get_mut(ftw_offset..ftw_offset + 32) {
                header.fill(0);
            }
        }
        Change::Plain => {
            // gEfiVariableGuid, ddcf3616-3275-4164-98b6-fe85707ffe7d.
            let guid = [
                0x16, 0x36, 0xcf, 0xdd, 0x75, 0x32, 0x64, 0x41, 0x98, 0xb6, 0xfe, 0x85, 0x70, 0x7f, 0xfe,
                0x7d,
            ];
            if let Some(place) = bytes.get_mut(0x48..0x58) {
                place.copy_from_slice(&guid);
            }
        }
        Change::Cut => bytes.truncate(bytes.len().saturating_sub(1000)),
        Change::Halved => bytes.truncate(bytes.len() / 2),
        _ => {
            stores::build(change, bytes);
        }
    }
}

fn flip(bytes: &mut [u8], offset: usize) {
    if let Some(byte) = bytes.get_mut(offset) {
        *byte ^= 0xff;
    }
}
