//! One variable changed as the firmware changes it in flash: a few small writes, after each of which the store is valid.
//!
//! Source: edk2 `MdeModulePkg/Universal/Variable/RuntimeDxe/Variable.c`, `UpdateVariable`: the old variable is marked as
//! about to be deleted; the new one's header is written behind the last, then its state, then name and data, then its
//! state again; then the old one is deleted. States only lose bits, as flash does.

use fm_varstore::{ActiveCopy, Checks, Entry, Format, Ftw, VarStore, Variable, Writer};

/// Where `State` lies in a variable's header.
const STATE: u64 = 2;
/// `VAR_HEADER_VALID_ONLY`, `VAR_ADDED`, and what the others take away.
const HEADER_VALID_ONLY: u8 = 0x7f;
const ADDED: u8 = 0x3f;
const IN_DELETED_TRANSITION: u8 = 0xfe;
const DELETED: u8 = 0xfd;
/// Volume header and store header, behind which variables start.
const VOLUME_HEADER_BYTES: u64 = 0x48;
const HEADERS_BYTES: usize = 0x48 + 28;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// The writes that make `view`, of the volume `bytes`, hold `after`; nothing if that takes more than one variable's change,
/// the store is not as sound as firmware needs it, or there is no room behind the last.
pub(super) fn plan(view: &VarStore<'_>, bytes: &[u8], after: &[Variable]) -> Option<Vec<Step>> {
    let is_sound = view.active_copy() == ActiveCopy::Main
        && view.damage_found().is_empty()
        && matches!(view.ftw(), Ftw::Idle { .. })
        && matches!(view.format(), Format::Authenticated | Format::Plain);
    if !is_sound {
        return None;
    }
    let is_of =
        |entry: &Entry<'_>, variable: &Variable| entry.guid == variable.guid && entry.name == variable.name;
    let mut changed = after.iter().filter(|variable| {
        !view
            .variables()
            .any(|entry| is_of(entry, variable) && entry.to_variable() == **variable)
    });
    let mut gone = view
        .variables()
        .filter(|entry| !after.iter().any(|variable| is_of(entry, variable)));
    let old = |variable: &Variable| view.variables().find(|entry| is_of(entry, variable));
    match ((changed.next(), changed.next()), (gone.next(), gone.next())) {
        ((Some(new), None), (None, None)) => put(view, bytes, new, old(new)),
        ((None, _), (Some(entry), None)) => Some(vec![state(entry.offset, entry.raw_state & DELETED)]),
        _ => None,
    }
}

fn put(view: &VarStore<'_>, bytes: &[u8], new: &Variable, old: Option<&Entry<'_>>) -> Option<Vec<Step>> {
    let writer = Writer {
        layout: view.layout()?,
        format: view.format(),
        checks: Checks::Representable,
    };
    // A fresh store of this one variable has its bytes where the first one lies.
    let fresh = writer.emit(std::slice::from_ref(new)).ok()?;
    let len = usize::try_from(writer.variable_len_bytes(new)).ok()?;
    let written = fresh.get(HEADERS_BYTES..HEADERS_BYTES + len)?;
    let name_and_data = len - new.name.to_bytes().len() - new.data.len();
    let (header, content) = written.split_at_checked(name_and_data)?;
    let start = VOLUME_HEADER_BYTES + view.used_bytes().next_multiple_of(4);
    let end = VOLUME_HEADER_BYTES + view.size_bytes();
    let place = usize::try_from(start).ok()?..usize::try_from(start).ok()? + len;
    if place.end as u64 > end || !bytes.get(place)?.iter().all(|byte| *byte == 0xff) {
        return None;
    }
    let mut header = header.to_vec();
    *header.get_mut(usize::try_from(STATE).ok()?)? = 0xff;
    let mut steps = Vec::new();
    // One that was about to be replaced and never was has lost that bit already.
    let marked = old.map(|old| old.raw_state & IN_DELETED_TRANSITION);
    if let (Some(old), Some(marked)) = (old, marked)
        && marked != old.raw_state
    {
        steps.push(state(old.offset, marked));
    }
    steps.push(Step {
        offset: start,
        bytes: header,
    });
    steps.push(state(start, HEADER_VALID_ONLY));
    steps.push(Step {
        offset: start + name_and_data as u64,
        bytes: content.to_vec(),
    });
    steps.push(state(start, ADDED));
    if let (Some(old), Some(marked)) = (old, marked) {
        steps.push(state(old.offset, marked & DELETED));
    }
    Some(steps)
}

fn state(header: u64, state: u8) -> Step {
    Step {
        offset: header + STATE,
        bytes: vec![state],
    }
}

#[cfg(test)]
mod tests {
    use fm_formats::efi::Name;
    use fm_formats::image::Layout;

    use super::*;

    const STORES: [&str; 4] = [
        "bookworm/OVMF_VARS_4M.ms.fd",
        "bookworm/OVMF_VARS.ms.fd",
        "trixie/OVMF_VARS_4M.ms.fd",
        "bookworm/AAVMF_VARS.ms.fd",
    ];

    fn sorted(mut variables: Vec<Variable>) -> Vec<Variable> {
        variables.sort_by_key(|variable| (variable.guid.to_string(), variable.name.to_string()));
        variables
    }

    fn new() -> Variable {
        let guid = "605dab50-e046-4300-abb6-3dd810dd8b23".parse().unwrap();
        let name = Name::from_units("Ours".encode_utf16());
        Variable::new(guid, name, 7, vec![1, 2, 3])
    }

    /// After each write the store holds all variables as they were, or all as they are to be, to us and to firmware that
    /// reads the main area alone.
    fn holds_at_each_step(bytes: &[u8], after: &[Variable]) -> Vec<u8> {
        let view = VarStore::parse(bytes).unwrap();
        let before = sorted(view.to_variables());
        let after = sorted(after.to_vec());
        let steps = plan(&view, bytes, &after).expect("it can be done in flash");
        let mut bytes = bytes.to_vec();
        let mut is_new = false;
        for (number, step) in steps.iter().enumerate() {
            let start = step.offset as usize;
            for (place, byte) in bytes[start..].iter_mut().zip(&step.bytes) {
                assert_eq!(
                    *place & byte,
                    *byte,
                    "step {number} sets bits, which flash does not"
                );
                *place = *byte;
            }
            let view = VarStore::parse(&bytes).unwrap();
            assert!(view.first_lossy_damage().is_none(), "step {number}");
            let now = sorted(view.to_variables());
            assert!(now == before || now == after, "step {number}");
            assert!(!is_new || now == after, "step {number}");
            is_new = now == after;
            let main = VarStore::parse_main(&bytes, bytes.len() as u64).unwrap();
            let found: Vec<_> = main.found_by_firmware().map(Entry::to_variable).collect();
            assert_eq!(sorted(found), now, "step {number}");
        }
        assert!(is_new);
        bytes
    }

    #[test]
    fn a_variable_is_set_changed_and_deleted_and_the_store_is_valid_after_every_write() {
        for store in STORES {
            let bytes = fm_fixtures::bytes(store);
            let mut variables = VarStore::parse(&bytes).unwrap().to_variables();
            fm_varstore::set(&mut variables, new());
            let bytes = holds_at_each_step(&bytes, &variables);
            let changed = Variable {
                data: vec![9; 700],
                ..new()
            };
            fm_varstore::set(&mut variables, changed);
            let bytes = holds_at_each_step(&bytes, &variables);
            fm_varstore::delete(&mut variables, new().guid, &new().name);
            holds_at_each_step(&bytes, &variables);
        }
    }

    #[test]
    fn what_is_more_than_one_change_or_has_no_room_is_left_to_a_whole_write() {
        let bytes = fm_fixtures::bytes(STORES[0]);
        let view = VarStore::parse(&bytes).unwrap();
        let mut variables = view.to_variables();
        fm_varstore::set(&mut variables, new());
        let another = Variable {
            guid: "605dab50-e046-4300-abb6-3dd810dd8b24".parse().unwrap(),
            ..new()
        };
        fm_varstore::set(&mut variables, another);
        assert_eq!(plan(&view, &bytes, &variables), None);
        let mut variables = view.to_variables();
        let large = Variable {
            data: vec![1; view.free_bytes() as usize],
            ..new()
        };
        fm_varstore::set(&mut variables, large);
        assert_eq!(plan(&view, &bytes, &variables), None);
        let fresh = Writer::new(Layout::X86Size4M).emit(&[]).unwrap();
        let mut torn = fresh.clone();
        torn[HEADERS_BYTES + 40] = 0;
        let view = VarStore::parse(&torn).unwrap();
        assert_eq!(plan(&view, &torn, &[new()]), None);
    }
}
