//! Signature lists (PK, KEK, db, dbx, MokList) and signed updates of them (`.auth` files).
//!
//! Source: UEFI 2.10, section 32.4.1 (`EFI_SIGNATURE_LIST`) and section 8.2.2
//! (`EFI_VARIABLE_AUTHENTICATION_2`).

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::time::Time;
use crate::{Error, Guid, Reader, Result};

/// `EFI_SIGNATURE_LIST` without its entries.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSignatureList {
    kind: Guid,
    list_size: U32,
    header_size: U32,
    signature_size: U32,
}
const LIST_HEADER_LEN: u32 = 28;
const _: () = assert!(size_of::<RawSignatureList>() == LIST_HEADER_LEN as usize);

/// `EFI_VARIABLE_AUTHENTICATION_2` up to its PKCS#7 data.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawAuthentication2 {
    timestamp: [u8; 16],
    /// Of the certificate: from this field to the end of the PKCS#7 data.
    len_bytes: U32,
    revision: U16,
    kind: U16,
    certificate_kind: Guid,
}
const _: () = assert!(size_of::<RawAuthentication2>() == 40);

/// `EFI_CERT_TYPE_PKCS7_GUID`.
const PKCS7: Guid = Guid::literal("4aafd29d-68df-49ee-8aa9-347d375665a7");
/// `WIN_CERT_TYPE_EFI_GUID`.
const CERTIFICATE_KIND_EFI_GUID: u16 = 0x0ef1;

/// What a signature list lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureKind {
    /// X.509 certificates.
    X509,
    /// SHA-256 hashes of images.
    Sha256,
    /// Marks a platform whose keys are managed from outside.
    ExternalManagement,
    /// Anything else, by its GUID.
    Other(Guid),
}

impl SignatureKind {
    const KNOWN: [(Guid, Self); 3] = [
        (Guid::literal("a5c059a1-94e4-4aa7-87b5-ab155c2bf072"), Self::X509),
        (
            Guid::literal("c1c41626-504c-4092-aca9-41f936934328"),
            Self::Sha256,
        ),
        (
            Guid::literal("452e8ced-dfff-4b8c-ae01-5118862e682c"),
            Self::ExternalManagement,
        ),
    ];

    /// Its GUID.
    #[must_use]
    pub fn guid(self) -> Guid {
        let known = Self::KNOWN
            .iter()
            .find(|(_, kind)| *kind == self)
            .map(|(guid, _)| *guid);
        match (known, self) {
            (Some(guid), _) | (None, Self::Other(guid)) => guid,
            (None, _) => Guid::ZERO,
        }
    }

    fn from_guid(guid: Guid) -> Self {
        Self::KNOWN
            .iter()
            .find(|(known, _)| *known == guid)
            .map_or(Self::Other(guid), |(_, kind)| *kind)
    }
}

/// One signature: who added it, and the certificate or hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    /// Who added it.
    pub owner: Guid,
    /// Certificate (DER) or hash.
    pub data: Vec<u8>,
}

/// Signatures of one kind and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureList {
    /// What they are.
    pub kind: SignatureKind,
    /// The list's own header; empty for every kind of today.
    pub header: Vec<u8>,
    /// The signatures, all of one length.
    pub signatures: Vec<Signature>,
}

/// The content of a signature database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignatureLists(pub Vec<SignatureList>);

impl SignatureLists {
    /// Reads concatenated lists; no bytes at all are no lists.
    ///
    /// # Errors
    /// With the field whose bytes are missing or whose sizes contradict each other.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::parse_at(bytes, 0)
    }

    /// The same of lists that stand `base` bytes into what errors give offsets of, a signed update for instance.
    ///
    /// # Errors
    /// As [`SignatureLists::parse`].
    pub fn parse_at(bytes: &[u8], base: u64) -> Result<Self> {
        let mut reader = Reader::at(bytes, base);
        let mut lists = Vec::new();
        while !reader.is_empty() {
            lists.push(SignatureList::parse(&mut reader)?);
        }
        Ok(Self(lists))
    }

    /// As a variable holds them. A list without signatures, whose size nobody knows, says nothing and is left out.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let filled = self.0.iter().filter(|list| !list.signatures.is_empty());
        filled.flat_map(SignatureList::to_bytes).collect()
    }

    /// Every signature with its kind.
    pub fn signatures(&self) -> impl Iterator<Item = (SignatureKind, &Signature)> {
        self.0
            .iter()
            .flat_map(|list| list.signatures.iter().map(|signature| (list.kind, signature)))
    }

    /// Whether there is a signature of that kind and content, whoever owns it.
    #[must_use]
    pub fn contains(&self, kind: SignatureKind, data: &[u8]) -> bool {
        self.signatures()
            .any(|(other, signature)| other == kind && signature.data == data)
    }

    /// Adds what `other` has and this has not, hashes into the first list of their kind and size;
    /// returns how many were new.
    pub fn merge(&mut self, other: &Self) -> usize {
        let mut known: alloc::collections::BTreeSet<(Guid, Vec<u8>)> = self
            .signatures()
            .map(|(kind, signature)| (kind.guid(), signature.data.clone()))
            .collect();
        let mut added = 0usize;
        for list in &other.0 {
            for signature in &list.signatures {
                if !known.insert((list.kind.guid(), signature.data.clone())) {
                    continue;
                }
                added = added.saturating_add(1);
                let place = self.0.iter_mut().find(|own| {
                    own.kind == list.kind
                        && own.header == list.header
                        && list.kind != SignatureKind::X509
                        && own
                            .signatures
                            .first()
                            .is_some_and(|first| first.data.len() == signature.data.len())
                });
                match place {
                    Some(own) => own.signatures.push(signature.clone()),
                    None => self.0.push(SignatureList {
                        kind: list.kind,
                        header: list.header.clone(),
                        signatures: vec![signature.clone()],
                    }),
                }
            }
        }
        added
    }
}

impl SignatureList {
    /// A list of one signature.
    #[must_use]
    pub fn one(kind: SignatureKind, owner: Guid, data: Vec<u8>) -> Self {
        Self {
            kind,
            header: Vec::new(),
            signatures: vec![Signature { owner, data }],
        }
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self> {
        let offset = reader.offset();
        let raw: &RawSignatureList = reader.raw("signature list header")?;
        let unexpected = |field, found: u32, expected: &str| Error::Unexpected {
            field,
            offset,
            found: format!("{found:#x}"),
            expected: expected.into(),
        };
        let (list, header, each) = (
            raw.list_size.get(),
            raw.header_size.get(),
            raw.signature_size.get(),
        );
        let entries_len = list
            .checked_sub(LIST_HEADER_LEN)
            .and_then(|len| len.checked_sub(header))
            .ok_or_else(|| unexpected("signature list size", list, "room for the list's headers"))?;
        if each <= 16 {
            return Err(unexpected(
                "signature size",
                each,
                "more than the 16 bytes of its owner",
            ));
        }
        if !entries_len.is_multiple_of(each) {
            return Err(unexpected("signature list size", list, "whole signatures"));
        }
        let size = |len: u32| usize::try_from(len).unwrap_or(usize::MAX);
        let header = reader
            .bytes(size(header), "signature list's own header")?
            .to_vec();
        let mut entries = reader.sub(size(entries_len), "signatures")?;
        let mut signatures = Vec::new();
        while !entries.is_empty() {
            let owner: &Guid = entries.raw("signature owner")?;
            let data = entries.bytes(size(each).saturating_sub(16), "signature data")?;
            signatures.push(Signature {
                owner: *owner,
                data: data.to_vec(),
            });
        }
        Ok(Self {
            kind: SignatureKind::from_guid(raw.kind),
            header,
            signatures,
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let each = self
            .signatures
            .first()
            .map_or(0, |first| len(first.data.len()).saturating_add(16));
        let entries = each.saturating_mul(len(self.signatures.len()));
        let raw = RawSignatureList {
            kind: self.kind.guid(),
            list_size: U32::new(
                LIST_HEADER_LEN
                    .saturating_add(len(self.header.len()))
                    .saturating_add(entries),
            ),
            header_size: U32::new(len(self.header.len())),
            signature_size: U32::new(each),
        };
        let mut bytes = raw.as_bytes().to_vec();
        bytes.extend_from_slice(&self.header);
        for signature in &self.signatures {
            bytes.extend_from_slice(&signature.owner.to_bytes());
            bytes.extend_from_slice(&signature.data);
        }
        bytes
    }
}

/// A signed update of an authenticated variable, as in an `.auth` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthenticatedUpdate<'a> {
    /// When it was signed.
    pub timestamp: Time,
    /// The PKCS#7 signature, not verified here.
    pub pkcs7: &'a [u8],
    /// What is signed: the variable's new content.
    pub payload: &'a [u8],
    /// Where in the update the payload starts.
    pub payload_offset: u64,
}

impl<'a> AuthenticatedUpdate<'a> {
    /// Reads the descriptor and splits signature and payload.
    ///
    /// # Errors
    /// With the field that is missing or not that of a time-based authenticated update.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let raw: &RawAuthentication2 = reader.raw("authentication descriptor")?;
        let (revision, kind) = (raw.revision.get(), raw.kind.get());
        if revision != 0x0200 || kind != CERTIFICATE_KIND_EFI_GUID || raw.certificate_kind != PKCS7 {
            return Err(Error::Unexpected {
                field: "authentication descriptor",
                offset: 16,
                found: format!("revision {revision:#x}, kind {kind:#x}, {}", raw.certificate_kind),
                expected: format!("revision 0x200, kind 0xef1, {PKCS7}"),
            });
        }
        // `dwLength` counts from its own field: 24 bytes lie before the PKCS#7 data.
        let pkcs7_len = usize::try_from(raw.len_bytes.get())
            .unwrap_or(usize::MAX)
            .saturating_sub(24);
        let pkcs7 = reader.bytes(pkcs7_len, "PKCS#7 signature")?;
        Ok(Self {
            timestamp: Time(raw.timestamp),
            pkcs7,
            payload_offset: reader.offset(),
            payload: reader.rest(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWNER: Guid = Guid::literal("77fa9abd-0359-4d32-bd60-28f4e78f784b");

    fn hashes(range: core::ops::Range<u8>) -> SignatureLists {
        SignatureLists(vec![SignatureList {
            kind: SignatureKind::Sha256,
            header: Vec::new(),
            signatures: range
                .map(|byte| Signature {
                    owner: OWNER,
                    data: vec![byte; 32],
                })
                .collect(),
        }])
    }

    #[test]
    fn merging_adds_only_what_is_new_and_keeps_one_list_of_hashes() {
        let mut lists = hashes(0..5);
        assert_eq!(lists.merge(&hashes(3..8)), 3);
        assert_eq!(lists.merge(&hashes(3..8)), 0);
        assert_eq!((lists.0.len(), lists.signatures().count()), (1, 8));
        let x509 = SignatureLists(vec![SignatureList::one(
            SignatureKind::X509,
            OWNER,
            vec![0x30; 700],
        )]);
        assert_eq!(lists.merge(&x509), 1);
        assert!(lists.contains(SignatureKind::X509, &[0x30; 700]));
        assert_eq!(SignatureLists::parse(&lists.to_bytes()), Ok(lists));
    }

    #[test]
    fn lists_cut_anywhere_but_between_lists_are_refused() {
        let mut bytes = hashes(0..3).to_bytes();
        let first = bytes.len();
        bytes.extend(hashes(3..4).to_bytes());
        for end in 0..bytes.len() {
            let whole = end == 0 || end == first;
            assert_eq!(SignatureLists::parse(&bytes[..end]).is_ok(), whole, "{end}");
        }
    }

    #[test]
    fn a_list_without_signatures_does_not_spoil_the_others() {
        let mut bytes = hashes(0..2).to_bytes();
        let mut empty = bytes[..28].to_vec();
        empty[16..20].copy_from_slice(&28u32.to_le_bytes());
        bytes.extend(empty);
        let lists = SignatureLists::parse(&bytes).unwrap();
        assert_eq!(SignatureLists::parse(&lists.to_bytes()), Ok(hashes(0..2)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = SignatureLists::parse(&bytes);
            let _ = AuthenticatedUpdate::parse(&bytes);
        }
    }
}
