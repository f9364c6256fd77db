//! Where power is cut in what a build was recorded writing, found by what the writes do.

#[cfg(test)]
mod tests;

use std::ops::Range;

use fm_formats::image::Layout;
use fm_varstore::{Area, Geometry, VarStore};

use super::{FlashRecording, PowerCut, Side, stores};
use crate::flash_writes::Run;
use crate::{Error, FlashWrites, Result};

/// The volume header's length, and where the first variable lies: behind it and the store header.
const VOLUME_HEADER_BYTES: u64 = 0x48;
const FIRST_VARIABLE: u64 = VOLUME_HEADER_BYTES + 28;
/// `AUTHENTICATED_VARIABLE_HEADER`: its length, and where its state lies.
const HEADER_BYTES: u64 = 60;
const STATE: usize = 2;
/// The name of the first variable, its terminator too: `Kept00`.
const FIRST_NAME_BYTES: u64 = 14;
/// `VAR_HEADER_VALID_ONLY`, `VAR_ADDED`, and the latter with `VAR_IN_DELETED_TRANSITION` (all active low).
const HEADER_VALID: u8 = 0x7f;
const ADDED: u8 = 0x3f;
const MARKED: u8 = 0x3e;

/// The recording of what `side` writes, if there is one.
pub(super) fn recorded<'a>(recordings: &'a [FlashRecording], side: &Side) -> Option<&'a FlashRecording> {
    let whole = Side {
        power_cut: None,
        ..side.clone()
    };
    recordings.iter().find(|recording| recording.source == whole)
}

/// Makes of the file that was recorded what a power cut at `cut` leaves of it; how many writes are in it then.
///
/// # Errors
/// If the recording is damaged or of another file, or the build never does what is to be cut.
pub(super) fn leave(recording: &FlashRecording, cut: PowerCut, file: &mut [u8]) -> Result<u64> {
    let writes = FlashWrites::from_document(&recording.runs)?;
    if fm_formats::Sha256::of(file).to_string() != recording.before_sha256 {
        return Err(Error::OtherRecording);
    }
    let count = after(&writes, file, cut).ok_or(Error::NoSuchMoment)?;
    writes.replay(file, count)?;
    Ok(count)
}

/// After how many writes over `before` it is; nothing where the build does it with the write that does the next step too.
fn after(writes: &FlashWrites, before: &[u8], cut: PowerCut) -> Option<u64> {
    let layout = VarStore::parse(before).ok()?.layout()?;
    let reclaim = Reclaim::find(writes, layout)?;
    let in_main = |bytes: u64| {
        let writes = bytes / reclaim.main_write_bytes;
        (writes > 0).then(|| reclaim.main_written.start + writes)
    };
    match cut {
        PowerCut::SpareHalf => Some(middle(&reclaim.spare_written)),
        PowerCut::SpareComplete => Some(reclaim.spare_complete),
        PowerCut::MainErasing => {
            Some(reclaim.main_erased.start + 1).filter(|count| *count < reclaim.main_erased.end)
        }
        PowerCut::MainErased => Some(reclaim.main_erased.end),
        PowerCut::MainHeader => in_main(VOLUME_HEADER_BYTES / 2),
        PowerCut::MainFirstName => in_main(FIRST_VARIABLE + HEADER_BYTES + FIRST_NAME_BYTES / 2),
        PowerCut::MainFirstVariable => in_main(FIRST_VARIABLE + HEADER_BYTES / 2)
            .filter(|count| (count - reclaim.main_written.start) * reclaim.main_write_bytes > FIRST_VARIABLE),
        PowerCut::MainHalf => {
            let mut after = before.to_vec();
            writes.replay(&mut after, reclaim.main_written.end).ok()?;
            in_main(
                VarStore::parse_main(&after, after.len() as u64)
                    .ok()?
                    .used_bytes()
                    / 2,
            )
        }
        PowerCut::MainWritten => Some(reclaim.main_written.end),
        PowerCut::MainComplete => Some(reclaim.main_complete),
        PowerCut::BlockErased => Some(
            rewrites(writes, layout)
                .find(|rewrite| rewrite.start >= reclaim.closed)?
                .start
                + 1,
        ),
        PowerCut::OldMarked
        | PowerCut::NewHeader
        | PowerCut::NewHeaderValid
        | PowerCut::NewData
        | PowerCut::NewAdded => Replacement::find(writes, before, &reclaim)?.after(cut),
    }
}

fn middle(writes: &Range<u64>) -> u64 {
    writes.start + (writes.end - writes.start) / 2
}

/// Where a build erases the main area and writes it again without a copy in the spare: its queue says nothing before.
fn rewrites(writes: &FlashWrites, layout: Layout) -> impl Iterator<Item = Range<u64>> {
    let geometry = Geometry::of(layout);
    let mut in_reclaim = false;
    let runs: Vec<_> = writes.runs().collect();
    let mut found = Vec::new();
    for (index, (before, run)) in runs.iter().enumerate() {
        let in_main = lies_in(run, geometry.variables);
        if run.erases && in_main && !in_reclaim {
            let end = runs.get(index + 2).map_or(writes.count(), |(before, _)| *before);
            found.push(*before..end);
        } else if !run.erases || !in_main {
            in_reclaim = !in_main && lies_in(run, geometry.working);
        }
    }
    found.into_iter()
}

fn lies_in(run: &Run, area: Area) -> bool {
    run.offset
        .checked_sub(u64::from(area.offset))
        .is_some_and(|offset| offset < u64::from(area.len_bytes))
}

/// The steps of the first reclaim, as numbers of writes.
struct Reclaim {
    spare_written: Range<u64>,
    spare_complete: u64,
    main_erased: Range<u64>,
    main_written: Range<u64>,
    main_write_bytes: u64,
    main_complete: u64,
    /// When the queue says that all of it is done.
    closed: u64,
}

impl Reclaim {
    /// Source: edk2 `MdeModulePkg/Universal/FaultTolerantWriteDxe/FaultTolerantWrite.c`, `FtwWrite`.
    fn find(writes: &FlashWrites, layout: Layout) -> Option<Self> {
        let geometry = Geometry::of(layout);
        let mut runs = writes.runs().peekable();
        let mut take = |area: Area, erases: bool| -> Option<(Range<u64>, u64)> {
            while runs
                .next_if(|(_, run)| !lies_in(run, area) || run.erases != erases)
                .is_some()
            {}
            let (start, run) = runs.next()?;
            let (mut end, write_bytes) = (start + run.count(), run.write_bytes);
            while let Some((_, run)) = runs.next_if(|(_, run)| lies_in(run, area) && run.erases == erases) {
                end += run.count();
            }
            Some((start..end, write_bytes))
        };
        take(geometry.spare, true)?;
        let (spare_written, _) = take(geometry.spare, false)?;
        let (spare_complete, _) = take(geometry.working, false)?;
        let (main_erased, _) = take(geometry.variables, true)?;
        let (main_written, main_write_bytes) = take(geometry.variables, false)?;
        let (notes, _) = take(geometry.working, false)?;
        Some(Self {
            spare_written,
            spare_complete: spare_complete.start + 1,
            main_erased,
            main_written,
            main_write_bytes,
            main_complete: notes.start + 1,
            closed: notes.end,
        })
    }
}

/// The steps of replacing the last of the store's own variables, behind the reclaim.
struct Replacement {
    old_marked: u64,
    header: Range<u64>,
    header_valid: u64,
    data: Range<u64>,
    added: u64,
}

impl Replacement {
    /// Source: edk2 `MdeModulePkg/Universal/Variable/RuntimeDxe/Variable.c`, `UpdateVariable`.
    fn find(writes: &FlashWrites, before: &[u8], reclaim: &Reclaim) -> Option<Self> {
        let name = stores::name(stores::COUNT - 1);
        let mut device = before.to_vec();
        writes.replay(&mut device, writes.count()).ok()?;
        let places: Vec<(usize, Range<u64>)> = VarStore::parse_main(&device, device.len() as u64)
            .ok()?
            .entries()
            .iter()
            .filter(|entry| entry.guid == stores::GUID && entry.name.to_string() == name)
            .map(|entry| {
                (
                    entry.offset as usize,
                    entry.offset..entry.offset + entry.len_bytes,
                )
            })
            .collect();
        let [.., (old, _), (new, record)] = places.as_slice() else {
            return None;
        };
        let header_end = record.start + HEADER_BYTES;
        let mut device = before.to_vec();
        writes.replay(&mut device, reclaim.closed).ok()?;
        let (mut seen, mut header, mut data) = ([None; 3], None, None);
        let count = writes.count();
        for number in reclaim.closed..count {
            writes.replay_between(&mut device, number, number + 1).ok()?;
            let state = |at: &usize| device.get(at + STATE).copied();
            let now = [
                state(old) == Some(MARKED),
                state(new) == Some(HEADER_VALID),
                state(new) == Some(ADDED),
            ];
            for (seen, now) in seen.iter_mut().zip(now) {
                if now && seen.is_none() {
                    *seen = Some(number + 1);
                }
            }
            let is_clear = |range: Range<u64>| {
                let bytes = device.get(range.start as usize..range.end as usize);
                bytes.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0xff))
            };
            if header.is_none() && !is_clear(record.start..header_end) {
                header = Some(number);
            }
            if data.is_none() && !is_clear(header_end..record.end) {
                data = Some(number);
            }
        }
        let [old_marked, header_valid, added] = seen;
        Some(Self {
            old_marked: old_marked?,
            header: header?..header_valid?,
            header_valid: header_valid?,
            data: data?..added?,
            added: added?,
        })
    }

    fn after(&self, cut: PowerCut) -> Option<u64> {
        match cut {
            PowerCut::OldMarked => Some(self.old_marked),
            PowerCut::NewHeader => Some(middle(&self.header)).filter(|count| *count > self.header.start),
            PowerCut::NewHeaderValid => Some(self.header_valid),
            PowerCut::NewData => Some(middle(&self.data)).filter(|count| *count > self.data.start),
            PowerCut::NewAdded => Some(self.added),
            _ => None,
        }
    }
}
