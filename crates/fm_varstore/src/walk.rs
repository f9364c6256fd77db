//! Walks the variables of a store as the firmware does, and past damage where it would stop.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::cert_record::CertRecord;
use crate::damage::{Damage, DamageKind};
use crate::raw::{RawAuthVariable, RawPlainVariable};
use crate::variable::{Entry, State};
use fm_formats::efi::Name;
use fm_formats::efi::Time;
use fm_formats::{Guid, Reader};

const START_ID: u16 = 0x55aa;

/// What lies in the variables' area.
pub(crate) struct Walk<'a> {
    pub(crate) entries: Vec<Entry<'a>>,
    pub(crate) damage: Vec<Damage>,
    /// Bytes from the first variable to where the firmware would write the next one.
    pub(crate) used_bytes: usize,
}

/// One header, whichever its format.
struct Header<'a> {
    state: u8,
    attributes: u32,
    monotonic_count: u64,
    timestamp: Time,
    public_key_index: u32,
    name_size: u32,
    data_size: u32,
    guid: &'a Guid,
}

/// Reads `area`, the store behind its header.
pub(crate) fn walk<'a>(area: &Reader<'a>, authenticated: bool) -> Walk<'a> {
    let mut reader = area.clone();
    let mut walk = Walk {
        entries: Vec::new(),
        damage: Vec::new(),
        used_bytes: 0,
    };
    // As the firmware: header after header, until one does not start with the id.
    while starts_with_id(&reader) {
        let mut next = reader.clone();
        match entry(&mut next, authenticated) {
            Ok((entry, fault)) => {
                let fault = fault.map(|kind| Damage::new(kind, entry.offset, 0));
                walk.damage.extend(fault);
                walk.push(entry, &mut next);
                reader = next;
            }
            Err(kind) => {
                walk.damage.push(Damage::new(kind, reader.offset(), 0));
                break;
            }
        }
    }
    walk.used_bytes = reader.position();
    walk.name_torn_headers();
    // Past what it sees: bytes that are not erased are damage, and may still hold whole variables; unless they
    // are what was written so far of one variable, to which the firmware never got round to giving a state.
    let mut begun = walk
        .entries
        .last()
        .map_or(0, |last| begun_bytes(area, last, authenticated));
    // A header that tells of more than the store can hold was not begun, it is damaged.
    while !reader.rest().get(begun..).is_some_and(is_erased) && !is_begun(reader.rest()) {
        begun = 0;
        let found = find_sound(&reader, authenticated);
        let gap_end = found.unwrap_or_else(|| reader.all().len());
        let gap = reader.rest().get(..gap_end.saturating_sub(reader.position()));
        // Erased bytes are the end of the list for the firmware, whatever lies behind them.
        if let Some(gap) = gap.filter(|gap| !gap.is_empty() && (found.is_some() || !is_erased(gap))) {
            walk.damage
                .push(Damage::new(DamageKind::Gap, reader.offset(), gap.len() as u64));
        }
        let _ = reader.seek(gap_end, "variable");
        if found.is_none() {
            break;
        }
        let Ok((mut recovered, _)) = entry(&mut reader, authenticated) else {
            break;
        };
        if recovered.state.is_live() {
            recovered.state = State::Recovered;
        }
        walk.push(recovered, &mut reader);
    }
    let twice = judge_twins(&mut walk.entries);
    walk.damage.extend(twice);
    let contradict = walk.entries.iter().filter(|entry| entry.state.is_live());
    let contradict = contradict
        .filter(|entry| entry.guid == CertRecord::NAMESPACE && !CertRecord::parse(entry.data).is_whole);
    let contradict =
        contradict.map(|entry| Damage::new(DamageKind::CertRecord, entry.offset, entry.len_bytes));
    let contradict: Vec<Damage> = contradict.collect();
    walk.damage.extend(contradict);
    walk
}

impl<'a> Walk<'a> {
    /// Takes an entry whose data ends where `reader` stands; the reader moves to the next header.
    fn push(&mut self, mut entry: Entry<'a>, reader: &mut Reader<'a>) {
        reader.align(4);
        entry.len_bytes = reader.offset().saturating_sub(entry.offset);
        self.entries.push(entry);
    }

    /// A header of which nothing but the start was written is what a power cut leaves at the end; with more behind it
    /// the firmware went over it, and not every reader can.
    fn name_torn_headers(&mut self) {
        let Some((_, before)) = self.entries.split_last() else {
            return;
        };
        let torn = before.iter().filter(|entry| entry.raw_state == 0xff);
        let torn = torn.map(|entry| Damage::new(DamageKind::HeaderTorn, entry.offset, 0));
        self.damage.extend(torn);
    }
}

pub(crate) fn is_erased(bytes: &[u8]) -> bool {
    is_all::<0xff>(bytes)
}

/// Whether there is nothing but `BYTE`. Most of a store is: by whole lines this is as quick as memory.
pub(crate) fn is_all<const BYTE: u8>(bytes: &[u8]) -> bool {
    let (lines, rest) = bytes.as_chunks::<64>();
    lines.iter().all(|line| *line == [BYTE; 64]) && rest.iter().all(|byte| *byte == BYTE)
}

/// The first byte of a header and no more: flash is written byte by byte, and that is where the power failed.
/// The firmware's next variable goes there, over the same byte.
fn is_begun(bytes: &[u8]) -> bool {
    let [first, ..] = START_ID.to_le_bytes();
    bytes
        .split_first()
        .is_some_and(|(found, rest)| *found == first && is_erased(rest))
}

/// How much of name and data may lie behind the header of `last`, if that has no state yet: Debian's 2025.02
/// is seen to write header, name and data first and the state after them. The firmware looks for the next
/// header right behind this one, finds none, and writes its next variable there.
fn begun_bytes(area: &Reader<'_>, last: &Entry<'_>, authenticated: bool) -> usize {
    let within = last.offset.saturating_sub(area.offset());
    let mut at = area.clone();
    let sought = usize::try_from(within).is_ok_and(|within| at.seek(within, "variable").is_ok());
    let Some(header) = sought.then(|| header(&mut at, authenticated)).flatten() else {
        return 0;
    };
    match (header.state, header.name_size, header.data_size) {
        (0xff, name, data) if name != u32::MAX && data != u32::MAX => {
            usize::try_from(name.saturating_add(data)).unwrap_or(usize::MAX)
        }
        _ => 0,
    }
}

fn starts_with_id(reader: &Reader<'_>) -> bool {
    reader.rest().starts_with(&START_ID.to_le_bytes())
}

/// A longer name in front of garbage is garbage: this keeps the search linear.
const SEARCHED_NAME_BYTES: u32 = 1024;

/// Position of the next place at or behind the reader that looks like a whole variable.
fn find_sound(reader: &Reader<'_>, authenticated: bool) -> Option<usize> {
    let mut position = reader.position().checked_next_multiple_of(4)?;
    loop {
        let mut probe = reader.clone();
        probe.seek(position, "variable").ok()?;
        if probe.is_empty() {
            return None;
        }
        if starts_with_id(&probe) && looks_sound(&probe, authenticated) {
            return Some(position);
        }
        position = position.checked_add(4)?;
    }
}

fn looks_sound(probe: &Reader<'_>, authenticated: bool) -> bool {
    header(&mut probe.clone(), authenticated).is_some_and(|header| {
        matches!(header.state, 0x3c..=0x3f)
            && header.attributes & !0x7f == 0
            && header.name_size <= SEARCHED_NAME_BYTES
            && entry(&mut probe.clone(), authenticated).is_ok_and(|(_, fault)| fault.is_none())
    })
}

fn header<'a>(reader: &mut Reader<'a>, authenticated: bool) -> Option<Header<'a>> {
    if authenticated {
        let raw: &RawAuthVariable = reader.raw("authenticated variable header").ok()?;
        Some(Header {
            state: raw.state,
            attributes: raw.attributes.get(),
            monotonic_count: raw.monotonic_count.get(),
            timestamp: Time(raw.timestamp),
            public_key_index: raw.public_key_index.get(),
            name_size: raw.name_size.get(),
            data_size: raw.data_size.get(),
            guid: &raw.vendor,
        })
    } else {
        let raw: &RawPlainVariable = reader.raw("variable header").ok()?;
        Some(Header {
            state: raw.state,
            attributes: raw.attributes.get(),
            monotonic_count: 0,
            timestamp: Time::default(),
            public_key_index: 0,
            name_size: raw.name_size.get(),
            data_size: raw.data_size.get(),
            guid: &raw.vendor,
        })
    }
}

/// The variable at the reader, which moves behind its data, and what is wrong with its name or state.
fn entry<'a>(
    reader: &mut Reader<'a>,
    authenticated: bool,
) -> Result<(Entry<'a>, Option<DamageKind>), DamageKind> {
    let offset = reader.offset();
    let header = header(reader, authenticated).ok_or(DamageKind::VariableCut)?;
    // An interrupted header write: edk2 counts no name and no data while a size or the state is erased
    // (`NameSizeOfVariable`, `DataSizeOfVariable`).
    let unwritten = header.state == 0xff
        || header.attributes == u32::MAX
        || header.name_size == u32::MAX
        || header.data_size == u32::MAX;
    let (name_size, data_size) = if unwritten {
        (0, 0)
    } else {
        (header.name_size, header.data_size)
    };
    let size = |bytes: u32| usize::try_from(bytes).map_err(|_| DamageKind::VariableCut);
    let name_bytes = reader
        .bytes(size(name_size)?, "variable name")
        .map_err(|_| DamageKind::VariableCut)?;
    let data = reader
        .bytes(size(data_size)?, "variable data")
        .map_err(|_| DamageKind::VariableCut)?;
    let state = match header.state {
        _ if unwritten => State::HeaderOnly,
        0x3f => State::Live,
        0x3e => State::InDeletedTransition,
        0x3d | 0x3c => State::Deleted,
        0x7f => State::HeaderOnly,
        _ => State::Unknown,
    };
    // The firmware reads on behind a name that is none: it goes by the sizes alone (`GetNextVariablePtr`).
    let (state, fault) = match (state, name_fault(name_bytes)) {
        (State::HeaderOnly, _) if unwritten => match unwritten_fault(header.state) {
            Some(DamageKind::NameEmpty) => (State::Unknown, Some(DamageKind::NameEmpty)),
            fault => (state, fault),
        },
        // A name that was not written yet is what a power cut leaves; one that was to be none is not.
        (State::HeaderOnly, fault)
            if name_bytes.len() < SHORTEST_NAME_BYTES || fault == Some(DamageKind::NameOdd) =>
        {
            (state, Some(DamageKind::NameUnterminated))
        }
        (State::Unknown, _) => (state, Some(DamageKind::StateImpossible)),
        (State::Live | State::InDeletedTransition, Some(fault)) if fault != DamageKind::NameUnterminated => {
            (State::Unknown, Some(fault))
        }
        (State::Live | State::InDeletedTransition, fault) => (state, fault),
        // Nobody asks for it, but some builds check the names of deleted variables too.
        (State::Deleted, Some(fault)) if !matches!(fault, DamageKind::NameBlank | DamageKind::NameSplit) => {
            (state, Some(DamageKind::NameUnterminated))
        }
        (state, _) => (state, None),
    };
    let entry = Entry {
        offset,
        len_bytes: 0,
        state,
        raw_state: header.state,
        guid: *header.guid,
        name: Name::from_bytes(name_bytes),
        attributes: header.attributes,
        timestamp: header.timestamp,
        monotonic_count: header.monotonic_count,
        public_key_index: header.public_key_index,
        data,
    };
    Ok((entry, fault))
}

/// One unit and the terminator.
const SHORTEST_NAME_BYTES: usize = 4;

/// What is wrong with a header that lacks its sizes or attributes and has `state`. With a valid one the firmware takes it
/// for a variable whose name is empty.
const fn unwritten_fault(state: u8) -> Option<DamageKind> {
    match state {
        0xff => None,
        0x3e | 0x3f => Some(DamageKind::NameEmpty),
        _ => Some(DamageKind::SizesUnwritten),
    }
}

/// What is wrong with a name: it is at least one unit, then the terminator, and no other terminator before it. Some builds
/// look at its last unit only.
fn name_fault(bytes: &[u8]) -> Option<DamageKind> {
    if !bytes.len().is_multiple_of(2) {
        return Some(DamageKind::NameOdd);
    }
    let units = bytes.as_chunks::<2>().0;
    let is_ended = bytes.len() >= SHORTEST_NAME_BYTES && units.last() == Some(&[0, 0]);
    match units.iter().position(|unit| *unit == [0, 0]) {
        Some(0) if is_ended => Some(DamageKind::NameBlank),
        _ if bytes.is_empty() => Some(DamageKind::NameEmpty),
        Some(0) => Some(DamageKind::NameEmpty),
        None => Some(DamageKind::NameUnterminated),
        Some(_) if !is_ended => Some(DamageKind::NameOdd),
        Some(end) if end.saturating_add(1) == units.len() => None,
        _ => Some(DamageKind::NameSplit),
    }
}

/// Of several valid places of one variable only one is shown: the first 0x3F, else the last 0x3E. A second 0x3F is
/// damage: who asks for the next name behind it is sent back to the first (`VariableServiceGetNextVariableInternal`).
///
/// Source: edk2 `VariableParsing.c`, `FindVariableEx`.
fn judge_twins(entries: &mut [Entry<'_>]) -> Vec<Damage> {
    let mut chosen: BTreeMap<(Guid, Name), usize> = BTreeMap::new();
    let rank = |state: State| match state {
        State::Live => 2,
        State::InDeletedTransition => 1,
        State::Recovered => 0,
        _ => -1,
    };
    let mut superseded = Vec::new();
    let mut twice = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if !entry.state.is_live() {
            continue;
        }
        let key = (entry.guid, entry.name.clone());
        let earlier = chosen.get(&key).copied();
        let earlier_state = earlier.and_then(|at| entries.get(at)).map(|entry| entry.state);
        if (earlier_state, entry.state) == (Some(State::Live), State::Live) {
            twice.push(Damage::new(DamageKind::NameTwice, entry.offset, 0));
        }
        let wins = match earlier_state {
            None => true,
            Some(State::InDeletedTransition | State::Recovered) => {
                rank(entry.state) >= earlier_state.map_or(-1, rank)
            }
            Some(_) => false,
        };
        if wins {
            superseded.extend(earlier);
            chosen.insert(key, index);
        } else {
            superseded.push(index);
        }
    }
    for index in superseded {
        if let Some(entry) = entries.get_mut(index) {
            entry.state = State::Superseded;
        }
    }
    twice
}
