//! Stores as nothing but an accident or a foreign tool leaves them, built field by field in place of a template.
//!
//! Sources of the fields: edk2 `MdeModulePkg/Include/Guid/VariableFormat.h`, `SystemNvDataGuid.h`,
//! `FaultTolerantWrite.h`; `MdePkg/Include/Pi/PiFirmwareVolume.h`.

use fm_formats::Guid;
use fm_formats::image::Layout;
use fm_varstore::{Geometry, VarStore, Variable, Writer};

use super::Change;

/// The namespace of what lies in such a store.
pub(super) const GUID: Guid = Guid::literal("9c1f6c2e-4f0a-4b7c-9a55-0f6c6d0a7a12");
/// How many variables lie there before anything is damaged.
pub(super) const COUNT: usize = 32;
/// The one whose record is damaged, in the middle of the list.
const DAMAGED: usize = 16;
/// Where flash that was being written again ends: a whole block, in the midst of the list.
const CUT: usize = 0x2000;

/// The name of one of them.
pub(super) fn name(index: usize) -> String {
    format!("Kept{index:02}")
}

/// Puts a store with `change` into the place of the template `bytes`; whether there is such a store.
pub(super) fn build(change: Change, bytes: &mut Vec<u8>) -> bool {
    let Some(layout) = Layout::ALL
        .into_iter()
        .rev()
        .find(|layout| layout.vars_size_bytes() == bytes.len() as u64)
    else {
        return false;
    };
    let Some(volume) = made(change, layout) else {
        return false;
    };
    let end = volume.len().min(bytes.len());
    if let (Some(place), Some(volume)) = (bytes.get_mut(..end), volume.get(..end)) {
        place.copy_from_slice(volume);
    }
    let padded_len = match change {
        Change::PaddedTo1M => 0x10_0000,
        Change::PaddedTo4M => 0x40_0000,
        _ => bytes.len(),
    };
    bytes.resize(padded_len.max(bytes.len()), 0);
    true
}

fn made(change: Change, layout: Layout) -> Option<Vec<u8>> {
    let mut volume = fresh(layout, 0..COUNT);
    match change {
        Change::Filled | Change::PaddedTo1M | Change::PaddedTo4M => {}
        Change::NearlyFull => return nearly_full(layout),
        Change::SpareMainOld | Change::SpareMainErased | Change::SpareMainHalf | Change::SpareHalf => {
            return Some(interrupted(change, layout));
        }
        Change::NameUnterminated => {
            let at = record(&volume)?;
            let [name, data] = sizes(&volume, at)?;
            put(&mut volume, at + 36, &(name - 2).to_le_bytes());
            put(&mut volume, at + 40, &(data + 2).to_le_bytes());
        }
        Change::NameEmpty => {
            let at = record(&volume)?;
            let [name, data] = sizes(&volume, at)?;
            put(&mut volume, at + 36, &2u32.to_le_bytes());
            put(&mut volume, at + 40, &(data + name - 2).to_le_bytes());
            put(&mut volume, at + 60, &[0, 0]);
        }
        // `Kept…` has more than two characters.
        Change::NameBlank => {
            let at = record(&volume)?;
            put(&mut volume, at + 60, &[0, 0]);
        }
        Change::NameSplit => {
            let at = record(&volume)?;
            put(&mut volume, at + 64, &[0, 0]);
        }
        Change::NameOdd => {
            let at = record(&volume)?;
            let [name, data] = sizes(&volume, at)?;
            put(&mut volume, at + 36, &(name - 1).to_le_bytes());
            put(&mut volume, at + 40, &(data + 1).to_le_bytes());
        }
        Change::StateOdd => {
            let at = record(&volume)?;
            put(&mut volume, at + 2, &[0x1f]);
        }
        Change::DataBeyond => {
            let at = record(&volume)?;
            put(&mut volume, at + 40, &0x10_0000u32.to_le_bytes());
        }
        Change::HeaderTorn => {
            let at = record(&volume)?;
            let end = used_end(&volume)?;
            let rest = volume.get(at..end)?.to_vec();
            put(&mut volume, at, &[0xff; 60]);
            put(&mut volume, at, &[0xaa, 0x55]);
            put(&mut volume, at + 60, &rest);
        }
        Change::ZeroPage => put(&mut volume, 0x1000, &[0; 0x1000]),
        Change::FreeZeros => {
            let end = used_end(&volume)?;
            volume.get_mut(end..)?.fill(0);
        }
        Change::BlockMap => {
            let map = 0x38;
            let [count, len] = [word_at(&volume, map)?, word_at(&volume, map + 4)?];
            put(&mut volume, map, &(count / 2).to_le_bytes());
            put(&mut volume, map + 4, &(len * 2).to_le_bytes());
            seal(&mut volume);
        }
        Change::VolumeAttributes => {
            let attributes = word_at(&volume, 0x2c)?;
            // EFI_FVB2_WEAK_ALIGNMENT
            put(&mut volume, 0x2c, &(attributes | 0x8000_0000).to_le_bytes());
            seal(&mut volume);
        }
        Change::StoreSizeSmall => put(&mut volume, STORE_SIZE, &0x4000u32.to_le_bytes()),
        Change::StoreSizeFull => {
            let size = u32::try_from(used_end(&volume)? - 0x48).ok()?;
            put(&mut volume, STORE_SIZE, &size.to_le_bytes());
        }
        Change::StoreSizeLarge => {
            let size = Geometry::of(layout).store_size_bytes() + 0x1_0048;
            put(&mut volume, STORE_SIZE, &size.to_le_bytes());
        }
        _ => return None,
    }
    Some(volume)
}

/// `VARIABLE_STORE_HEADER.Size`.
const STORE_SIZE: usize = 0x48 + 16;

/// How much a nearly full store leaves free: less than a boot writes.
const FREE_BYTES: usize = 0x200;
/// What a deleted variable takes beside its data: header and name.
const DELETED_BYTES: usize = 76;
/// The data of one of them: within every layout's limit.
const DELETED_DATA_BYTES: usize = 0x1c00;

/// The variables of a filled store, and deleted ones up to the end: what a guest's store comes to after some time, and
/// what the next boot must reclaim.
fn nearly_full(layout: Layout) -> Option<Vec<u8>> {
    let mut room_bytes = (Geometry::of(layout).variables.len_bytes as usize)
        .checked_sub(used_end(&fresh(layout, 0..COUNT))? + FREE_BYTES)?;
    let mut variables = kept(0..COUNT);
    while room_bytes > DELETED_BYTES {
        let data_bytes = (room_bytes - DELETED_BYTES).min(DELETED_DATA_BYTES);
        let name = format!("Gone{:03}", variables.len()).parse().ok()?;
        variables.push(Variable::new(GUID, name, 7, vec![0x5a; data_bytes]));
        room_bytes -= DELETED_BYTES + data_bytes;
    }
    let mut volume = Writer::new(layout).emit(&variables).ok()?;
    for at in entries(&volume).into_iter().skip(COUNT) {
        put(&mut volume, at + 2, &[0x3c]);
    }
    Some(volume)
}

/// What a power cut leaves of a reclaim: the queue, a copy in the spare, and the main area at one moment of being
/// written again (`FtwWrite`, `FlushSpareBlockToTargetBlock`: all blocks erased, then written one by one).
fn interrupted(change: Change, layout: Layout) -> Vec<u8> {
    let geometry = Geometry::of(layout);
    let main_len = geometry.variables.len_bytes as usize;
    let spare_at = geometry.spare.offset as usize;
    // Before it: eight that were deleted, and the rest; after it one more.
    let mut volume = fresh(layout, 0..COUNT + 8);
    let offsets: Vec<usize> = entries(&volume);
    for at in offsets.iter().skip(COUNT) {
        put(&mut volume, at + 2, &[0x3c]);
    }
    let compacted = fresh(layout, 0..COUNT + 1);
    let whole = change != Change::SpareHalf;
    let spare = compacted
        .get(..if whole { main_len } else { CUT })
        .unwrap_or_default();
    put(&mut volume, spare_at, spare);
    let main = match change {
        Change::SpareMainErased => vec![0xff; main_len],
        Change::SpareMainHalf => {
            let mut half = compacted.get(..CUT).unwrap_or_default().to_vec();
            half.resize(main_len, 0xff);
            half
        }
        _ => Vec::new(),
    };
    put(&mut volume, 0, &main);
    let queue = geometry.working.offset as usize + 32;
    put(&mut volume, queue, &write_header());
    let len = u64::from(geometry.store_size_bytes());
    let distance = -i64::from(geometry.spare.offset);
    put(&mut volume, queue + 40, &write_record(whole, len, distance));
    volume
}

/// `EFI_FAULT_TOLERANT_WRITE_HEADER` with its header and its one record allocated; state bits are active low.
fn write_header() -> [u8; 40] {
    let mut header = [0xff; 40];
    header[0] = 0xfc;
    // gEfiSystemNvDataFvGuid's writer: the caller is the variable driver, by gEfiCallerIdGuid.
    header[4..20].copy_from_slice(&[
        0x76, 0xca, 0xe5, 0xfe, 0x72, 0x4f, 0x6e, 0x49, 0x98, 0x6f, 0x2c, 0xd8, 0x99, 0xdf, 0xfe, 0x5d,
    ]);
    header[24..32].copy_from_slice(&1u64.to_le_bytes());
    header[32..40].fill(0);
    header
}

/// `EFI_FAULT_TOLERANT_WRITE_RECORD` of a reclaim of the whole store.
fn write_record(spare_complete: bool, len_bytes: u64, distance: i64) -> [u8; 40] {
    let mut record = [0xff; 40];
    if spare_complete {
        record[0] = 0xfd;
    }
    record[8..16].fill(0);
    record[16..24].copy_from_slice(&0x48u64.to_le_bytes());
    record[24..32].copy_from_slice(&len_bytes.to_le_bytes());
    record[32..40].copy_from_slice(&distance.to_le_bytes());
    record
}

fn fresh(layout: Layout, indexes: std::ops::Range<usize>) -> Vec<u8> {
    Writer::new(layout).emit(&kept(indexes)).unwrap_or_default()
}

fn kept(indexes: std::ops::Range<usize>) -> Vec<Variable> {
    let one = |index: usize| {
        let byte = u8::try_from(index).ok()?;
        Some(Variable::new(GUID, name(index).parse().ok()?, 7, vec![byte; 256]))
    };
    indexes.filter_map(one).collect()
}

/// Where the records of a sound volume start.
fn entries(volume: &[u8]) -> Vec<usize> {
    VarStore::parse(volume).map_or_else(
        |_| Vec::new(),
        |store| {
            let offsets = store.entries().iter().map(|entry| entry.offset);
            offsets.filter_map(|at| usize::try_from(at).ok()).collect()
        },
    )
}

fn record(volume: &[u8]) -> Option<usize> {
    entries(volume).get(DAMAGED).copied()
}

fn used_end(volume: &[u8]) -> Option<usize> {
    let store = VarStore::parse(volume).ok()?;
    usize::try_from(store.used_bytes() + 0x48).ok()
}

/// Name and data size of the authenticated variable at `at`.
fn sizes(volume: &[u8], at: usize) -> Option<[u32; 2]> {
    Some([word_at(volume, at + 36)?, word_at(volume, at + 40)?])
}

fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + new.len()) {
        place.copy_from_slice(new);
    }
}

/// Makes the sum of the volume header's words zero again.
fn seal(volume: &mut [u8]) {
    put(volume, 0x32, &[0, 0]);
    let header = volume.get(..0x48).unwrap_or_default();
    let sum = header.chunks_exact(2).fold(0u16, |sum, pair| {
        sum.wrapping_add(u16::from_le_bytes([pair[0], pair[1]]))
    });
    put(volume, 0x32, &sum.wrapping_neg().to_le_bytes());
}
