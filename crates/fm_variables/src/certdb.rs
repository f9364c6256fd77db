//! edk2's record on flash of who may change which private authenticated variable.
//!
//! Source: edk2 `SecurityPkg/Library/AuthVariableLib/AuthServiceInternal.h`, `AUTH_CERT_DB_DATA`: a total
//! length, then entries of GUID, length, name length, certificate length, name, certificate.

use std::collections::{BTreeMap, BTreeSet};

use fm_formats::Guid;
use fm_formats::efi::Name;
use fm_varstore::Variable;

/// `gEfiCertDbGuid`.
pub(super) const NAMESPACE: Guid = Guid::literal("d9bee56e-75dc-49d9-b4d7-b534210f637a");

/// GUID and three lengths.
const HEADER_BYTES: usize = 28;

/// Whose record an entry is, and all of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) guid: Guid,
    pub(super) name: Name,
    bytes: Vec<u8>,
}

/// Whether the variable is such a record: `certdb`, or `certdbv` for volatile variables.
pub(super) fn is_record(variable: &Variable) -> bool {
    variable.guid == NAMESPACE
}

/// The entries, up to the first that is cut or contradicts itself.
pub(super) fn entries(data: &[u8]) -> Vec<Entry> {
    let number = |at: usize| -> Option<usize> {
        let bytes = data.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let one = |at: usize| -> Option<Entry> {
        let len = number(at + 16)?;
        let name_len = number(at + 20)?.checked_mul(2)?;
        let bytes = data.get(at..at.checked_add(len)?)?;
        Some(Entry {
            guid: Guid::from_bytes(bytes.get(..16)?.try_into().ok()?),
            name: Name::from_bytes(bytes.get(HEADER_BYTES..)?.get(..name_len)?),
            bytes: bytes.to_vec(),
        })
    };
    let mut found = Vec::new();
    let mut at = 4usize;
    while let Some(entry) = one(at) {
        at += entry.bytes.len();
        found.push(entry);
    }
    found
}

fn to_bytes<'e>(entries: impl Iterator<Item = &'e Entry>) -> Vec<u8> {
    let body: Vec<u8> = entries.flat_map(|entry| entry.bytes.iter().copied()).collect();
    let len = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [len.to_le_bytes().as_slice(), &body].concat()
}

/// Adds to `incoming` the entries of `own` that it has not, for variables that stay. Where both have one, the
/// incoming one comes with the incoming variable; a sentence for each that says otherwise.
pub(super) fn merge(
    own: &Variable,
    incoming: &mut Variable,
    staying: &BTreeSet<(Guid, Name)>,
) -> Vec<String> {
    let key = |entry: &Entry| (entry.guid, entry.name.clone());
    let mut merged = entries(&incoming.data);
    let theirs: BTreeMap<_, _> = merged.iter().map(|entry| (key(entry), entry.clone())).collect();
    let mut notes = Vec::new();
    for entry in entries(&own.data) {
        match theirs.get(&key(&entry)) {
            None if staying.contains(&key(&entry)) => merged.push(entry),
            Some(other) if *other != entry => notes.push(format!(
                "{}-{}: who may change it is now what the source says; here it was somebody else",
                entry.guid, entry.name
            )),
            _ => {}
        }
    }
    incoming.data = to_bytes(merged.iter());
    notes
}

/// Drops the entries of variables that do not stay, as edk2 does at its next boot.
pub(super) fn keep_only(record: &mut Variable, staying: &BTreeSet<(Guid, Name)>) {
    let found = entries(&record.data);
    let keeps = |entry: &&Entry| staying.contains(&(entry.guid, entry.name.clone()));
    record.data = to_bytes(found.iter().filter(keeps));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, certificate: u8) -> Entry {
        let name = Name::from_units(name.encode_utf16());
        let units = name.units().len();
        let mut bytes = Guid::ZERO.to_bytes().to_vec();
        let len = HEADER_BYTES + units * 2 + 1;
        for number in [len, units, 1] {
            bytes.extend((number as u32).to_le_bytes());
        }
        bytes.extend(name.units().iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.push(certificate);
        Entry {
            guid: Guid::ZERO,
            name,
            bytes,
        }
    }

    fn record(entries: &[Entry]) -> Variable {
        let name = Name::from_units("certdb".encode_utf16());
        Variable::new(NAMESPACE, name, 0x27, to_bytes(entries.iter()))
    }

    #[test]
    fn of_two_records_nobody_is_forgotten_and_a_contradiction_is_said() {
        let (a, b, c) = (entry("A", 1), entry("B", 1), entry("C", 1));
        let staying = [&a, &b].map(|entry| (entry.guid, entry.name.clone())).into();
        let mut incoming = record(std::slice::from_ref(&b));
        assert!(merge(&record(&[a.clone(), c.clone()]), &mut incoming, &staying).is_empty());
        assert_eq!(entries(&incoming.data), [b.clone(), a.clone()]);
        let notes = merge(&record(&[entry("B", 2)]), &mut incoming, &staying);
        assert!(notes.len() == 1 && notes[0].contains("-B:"), "{notes:?}");
        assert_eq!(entries(&incoming.data), [b.clone(), a.clone()]);
        let mut own = record(&[c, b.clone()]);
        keep_only(&mut own, &staying);
        assert_eq!(entries(&own.data), [b]);
    }

    #[test]
    fn a_record_cut_anywhere_has_the_entries_before_the_cut() {
        let data = record(&[entry("A", 1), entry("B", 2)]).data;
        let first = 4 + entry("A", 1).bytes.len();
        for len in 0..data.len() {
            assert_eq!(entries(&data[..len]).len(), usize::from(len >= first), "{len}");
        }
        assert_eq!(entries(&[0xff; 64]), []);
        assert_eq!(entries(&[0; 64]), []);
    }
}
