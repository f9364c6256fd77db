//! Names for well-known GUIDs: edk2's modules, volumes and the GUIDs of its package declarations.

use alloc::string::ToString;

use crate::Guid;

/// One GUID a line, sorted, a tab, the name. `scripts/guid-names` makes it from an edk2 tree.
const TABLE: &str = include_str!("names.tsv");

/// The name that edk2 gives `guid`, such as `VariableRuntimeDxe` or `gEfiHobListGuid`.
#[must_use]
pub fn name_of(guid: Guid) -> Option<&'static str> {
    let key = guid.to_string();
    let (mut low, mut high) = (0usize, TABLE.len());
    while low < high {
        let middle = low.midpoint(high);
        let start = TABLE
            .get(..middle)?
            .rfind('\n')
            .map_or(0, |at| at.saturating_add(1));
        let rest = TABLE.get(start..)?;
        let line = rest.split('\n').next()?;
        let (found, name) = line.split_once('\t')?;
        match found.cmp(key.as_str()) {
            core::cmp::Ordering::Equal => return Some(name),
            core::cmp::Ordering::Less => low = start.saturating_add(line.len()).saturating_add(1),
            core::cmp::Ordering::Greater => high = start,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_found_by_its_guid_and_sorted() {
        let mut before = "";
        for line in TABLE.lines() {
            let (guid, name) = line.split_once('\t').unwrap();
            assert!(before < guid, "{guid} after {before}");
            assert_eq!(name_of(guid.parse().unwrap()), Some(name));
            before = guid;
        }
        assert!(TABLE.lines().count() > 1000);
        assert_eq!(name_of(Guid::from_bytes([0xfe; 16])), None);
    }
}
