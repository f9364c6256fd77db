//! edk2's record of who may change which private authenticated variable, where variables come and go.

use std::collections::{BTreeMap, BTreeSet};

use fm_formats::Guid;
use fm_formats::efi::Name;
use fm_varstore::{CertEntry, CertRecord, Variable};

/// Whether the variable is such a record: `certdb`, or `certdbv` for volatile variables.
pub(super) fn is_record(variable: &Variable) -> bool {
    variable.guid == CertRecord::NAMESPACE
}

fn to_bytes<'e>(entries: impl Iterator<Item = &'e CertEntry<'e>>) -> Vec<u8> {
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
    let key = |entry: &CertEntry| (entry.guid, entry.name.clone());
    let mut merged = CertRecord::parse(&incoming.data).entries;
    let theirs: BTreeMap<_, _> = merged.iter().map(|entry| (key(entry), entry.clone())).collect();
    let mut notes = Vec::new();
    for entry in CertRecord::parse(&own.data).entries {
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
    let found = CertRecord::parse(&record.data).entries;
    let keeps = |entry: &&CertEntry| staying.contains(&(entry.guid, entry.name.clone()));
    record.data = to_bytes(found.iter().filter(keeps));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, certificate: u8) -> (Guid, Name, Vec<u8>) {
        let name = Name::from_units(name.encode_utf16());
        let units = name.units().len();
        let mut bytes = Guid::ZERO.to_bytes().to_vec();
        let len = 28 + units * 2 + 1;
        for number in [len, units, 1] {
            bytes.extend((number as u32).to_le_bytes());
        }
        bytes.extend(name.units().iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.push(certificate);
        (Guid::ZERO, name, bytes)
    }

    fn record(entries: &[&(Guid, Name, Vec<u8>)]) -> Variable {
        let name = Name::from_units("certdb".encode_utf16());
        let entries = entries.iter().map(|(guid, name, bytes)| CertEntry {
            guid: *guid,
            name: name.clone(),
            bytes,
        });
        let entries: Vec<_> = entries.collect();
        Variable::new(CertRecord::NAMESPACE, name, 0x27, to_bytes(entries.iter()))
    }

    #[test]
    fn of_two_records_nobody_is_forgotten_and_a_contradiction_is_said() {
        let (a, b, c) = (entry("A", 1), entry("B", 1), entry("C", 1));
        let staying = [&a, &b].map(|(guid, name, _)| (*guid, name.clone())).into();
        let mut incoming = record(&[&b]);
        assert!(merge(&record(&[&a, &c]), &mut incoming, &staying).is_empty());
        assert_eq!(incoming, record(&[&b, &a]));
        let notes = merge(&record(&[&entry("B", 2)]), &mut incoming, &staying);
        assert!(notes.len() == 1 && notes[0].contains("-B:"), "{notes:?}");
        assert_eq!(incoming, record(&[&b, &a]));
        let mut own = record(&[&c, &b]);
        keep_only(&mut own, &staying);
        assert_eq!(own, record(&[&b]));
    }
}
