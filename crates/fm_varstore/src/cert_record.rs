//! edk2's record of who may change which private authenticated variable (`certdb`): its length, then entries of GUID,
//! length, length of the name in units, length of the certificate, name, certificate.
//!
//! Source: edk2 `SecurityPkg/Library/AuthVariableLib/AuthServiceInternal.h`, `AUTH_CERT_DB_DATA`.

use alloc::vec::Vec;

use fm_formats::Guid;
use fm_formats::efi::Name;

/// GUID and three lengths.
const HEADER_BYTES: usize = 28;

/// What a record says, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertRecord<'a> {
    /// The entries, up to the first that is cut or contradicts itself.
    pub entries: Vec<CertEntry<'a>>,
    /// Whether they are all of it, and the record's own length says so too. The firmware goes from one entry to the next by
    /// their lengths before anything else asks for variables (`AuthService.c`, `CleanCertsFromDb`).
    pub is_whole: bool,
}

/// Who may change one variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertEntry<'a> {
    /// The variable's namespace.
    pub guid: Guid,
    /// Its name.
    pub name: Name,
    /// All of the entry.
    pub bytes: &'a [u8],
}

impl<'a> CertRecord<'a> {
    /// `gEfiCertDbGuid`, the namespace of these records: `certdb`, and `certdbv` for volatile variables. Source: edk2
    /// `SecurityPkg/SecurityPkg.dec`.
    pub const NAMESPACE: Guid = Guid::literal("d9bee56e-75dc-49d9-b4d7-b534210f637a");

    /// Reads the data of such a variable.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Self {
        let mut entries = Vec::new();
        let (length, mut rest) = data.split_at_checked(4).unwrap_or((data, &[]));
        while let Some(entry) = CertEntry::first(rest) {
            rest = rest.get(entry.bytes.len()..).unwrap_or_default();
            entries.push(entry);
        }
        Self {
            entries,
            is_whole: rest.is_empty() && word(length, 0) == Some(data.len()),
        }
    }
}

impl<'a> CertEntry<'a> {
    /// The one that `bytes` begin with.
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let bytes = bytes.get(..word(bytes, 16)?)?;
        let [name_bytes, cert_bytes] = [word(bytes, 20)?.checked_mul(2)?, word(bytes, 24)?];
        let body = bytes.get(HEADER_BYTES..)?;
        let name = body.get(..name_bytes)?;
        (body.len() >= name_bytes.checked_add(cert_bytes)?).then_some(())?;
        Some(Self {
            guid: Guid::from_bytes(*bytes.first_chunk()?),
            name: Name::from_bytes(name),
            bytes,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_le_bytes(*word)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, certificate: &[u8], more: u32) -> Vec<u8> {
        let units: Vec<u16> = name.encode_utf16().collect();
        let [units_len, cert_len] = [units.len(), certificate.len()].map(|len| u32::try_from(len).unwrap());
        let mut bytes = Guid::ZERO.to_bytes().to_vec();
        for number in [28 + units_len * 2 + cert_len + more, units_len, cert_len] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(certificate);
        bytes.extend(core::iter::repeat_n(0, more as usize));
        bytes
    }

    fn record(entries: &[Vec<u8>]) -> Vec<u8> {
        let body = entries.concat();
        let len = u32::try_from(body.len() + 4).unwrap();
        [len.to_le_bytes().as_slice(), &body].concat()
    }

    #[test]
    fn all_entries_of_a_whole_record_are_read() {
        let data = record(&[entry("A", b"certificate", 0), entry("Bc", b"", 3)]);
        let read = CertRecord::parse(&data);
        assert!(read.is_whole);
        let names: Vec<_> = read
            .entries
            .iter()
            .map(|entry| alloc::format!("{}", entry.name))
            .collect();
        assert_eq!(names, ["A", "Bc"]);
        assert_eq!(read.entries[0].bytes, entry("A", b"certificate", 0));
        assert!(CertRecord::parse(&4u32.to_le_bytes()).is_whole);
    }

    #[test]
    fn a_record_that_contradicts_itself_is_not_whole() {
        let whole = record(&[entry("A", b"x", 0), entry("B", b"y", 0)]);
        let second = 4 + entry("A", b"x", 0).len();
        for (at, value, left) in [
            (0, 5, 2),
            // What the second entry says of its own length, its name's and its certificate's.
            (second + 16, 0, 1),
            (second + 16, 27, 1),
            (second + 16, 30, 1),
            (second + 16, 32, 1),
            (second + 20, 2, 1),
            (second + 20, u8::MAX, 1),
            (second + 24, 2, 1),
        ] {
            let mut data = whole.clone();
            data[at] = value;
            let read = CertRecord::parse(&data);
            assert_eq!(
                (read.is_whole, read.entries.len()),
                (false, left),
                "{at}: {value}"
            );
        }
        for len in 0..whole.len() {
            let read = CertRecord::parse(&whole[..len]);
            assert_eq!(
                (read.is_whole, read.entries.len()),
                (false, usize::from(len >= second)),
                "{len}"
            );
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(!CertRecord::parse(&longer).is_whole);
    }
}
