//! What dbx takes back: certificates, hashes, old versions of Windows' boot manager; and shim's level of SBAT.
//!
//! Source: edk2 `SecurityPkg/Library/DxeImageVerificationLib`: dbx is asked first (`IsForbiddenByDbx`,
//! `IsCertHashFoundInDbx`), and what it names does not boot whatever db says.

use fm_api::v1::secure_boot::{Revoked, RevokedBy, SecureVersion};
use fm_formats::efi::{SignatureKind, SignatureLists};
use fm_formats::{Guid, Sha256};
use fm_varstore::Variable;
use sha2::{Digest as _, Sha384, Sha512};
use virtfw_libefi::sb::certs;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::certificate::Certificate;
use crate::hex;
use crate::names::{SECURITY, find};

/// `EFI_CERT_X509_SHA256_GUID` and its kin: digest of what is signed of a certificate, then a time.
const CERTIFICATE_DIGESTS: [(Guid, usize, &str); 3] = [
    (
        Guid::literal("3bd2a492-96c0-4079-b420-fcf98ef103ed"),
        32,
        "sha256",
    ),
    (
        Guid::literal("7076876e-80c2-4ee6-aad2-28b349a6865b"),
        48,
        "sha384",
    ),
    (
        Guid::literal("446dbf63-2502-4cda-bcfa-2465d2b0fe9d"),
        64,
        "sha512",
    ),
];

/// Whose secure version a dbx entry of Microsoft's `DBXUpdateSVN` sets.
/// Source: microsoft/secureboot_objects, `PreSignedObjects/DBX/HashesJsonSchema.json`.
const APPLICATIONS: [(Guid, &str); 3] = [
    (
        Guid::literal("9d132b61-59d5-4388-ab1c-185c3cb2eb92"),
        "Windows' boot manager",
    ),
    (
        Guid::literal("e8f82e9d-e127-4158-a488-4c18abe2f284"),
        "Windows' boot manager for CDs",
    ),
    (
        Guid::literal("c999cac2-7ffe-496f-8127-9e2a8a535976"),
        "Windows' network boot manager",
    ),
];

/// Reads an entry that Microsoft writes in the form of a hash: a version of the form, GUID, two numbers, zeros.
pub(super) fn secure_version(data: &[u8]) -> Option<SecureVersion> {
    let (&form, rest) = data.split_first()?;
    let (guid, rest) = rest.split_first_chunk::<16>()?;
    let ([minor_low, minor_high, major_low, major_high], reserved) = rest.split_first_chunk::<4>()?;
    if form != 1 || reserved.len() != 11 || reserved.iter().any(|byte| *byte != 0) {
        return None;
    }
    let guid = Guid::from_bytes(*guid);
    let known = APPLICATIONS.iter().find(|(known, _)| *known == guid);
    Some(SecureVersion {
        application: known.map_or_else(|| guid.to_string(), |(_, name)| (*name).to_owned()),
        major: u16::from_le_bytes([*major_low, *major_high]),
        minor: u16::from_le_bytes([*minor_low, *minor_high]),
    })
}

/// The digest of a certificate that a dbx entry of another kind names, and from when on; nothing for other kinds.
pub(super) fn certificate_digest(kind: SignatureKind, data: &[u8]) -> Option<(&'static str, &[u8], &[u8])> {
    let SignatureKind::Other(guid) = kind else {
        return None;
    };
    let (_, len, name) = CERTIFICATE_DIGESTS.iter().find(|(known, ..)| *known == guid)?;
    let (digest, from) = data.split_at_checked(*len)?;
    Some((name, digest, from))
}

/// A store's dbx, and what else bears on what it revokes.
#[derive(Debug, Default)]
pub(super) struct Dbx {
    lists: SignatureLists,
    /// Whether dbt holds anything: only then a signature's date may save it from a dated revocation.
    dates_count: bool,
}

impl Dbx {
    /// Of a store's variables; one that cannot be read revokes nothing.
    pub(super) fn of(variables: &[Variable]) -> Self {
        let lists = find(variables, SECURITY, "dbx")
            .and_then(|dbx| SignatureLists::parse(&dbx.data).ok())
            .unwrap_or_default();
        let dates_count = find(variables, SECURITY, "dbt").is_some_and(|dbt| !dbt.data.is_empty());
        Self { lists, dates_count }
    }

    /// The same with other lists.
    pub(super) fn with(&self, lists: SignatureLists) -> Self {
        Self {
            lists,
            dates_count: self.dates_count,
        }
    }

    /// How many hashes of images it holds: no secure versions, which are written as hashes.
    pub(super) fn hashes(&self) -> u64 {
        let is_hash = |(kind, data): (SignatureKind, &[u8])| {
            kind == SignatureKind::Sha256 && secure_version(data).is_none()
        };
        self.entries().filter(|entry| is_hash(*entry)).count() as u64
    }

    /// Subjects of the certificates it holds.
    pub(super) fn certificates(&self) -> Vec<String> {
        self.entries()
            .filter(|(kind, _)| *kind == SignatureKind::X509)
            .map(|(_, der)| subject(der))
            .collect()
    }

    /// How many digests of certificates it holds.
    pub(super) fn certificate_hashes(&self) -> u64 {
        self.entries()
            .filter(|(kind, data)| certificate_digest(*kind, data).is_some())
            .count() as u64
    }

    /// The highest version of each application.
    pub(super) fn secure_versions(&self) -> Vec<SecureVersion> {
        let mut found: Vec<SecureVersion> = Vec::new();
        for (kind, data) in self.entries() {
            let Some(version) = secure_version(data).filter(|_| kind == SignatureKind::Sha256) else {
                continue;
            };
            match found
                .iter_mut()
                .find(|other| other.application == version.application)
            {
                Some(other) if (other.major, other.minor) < (version.major, version.minor) => {
                    *other = version
                }
                Some(_) => {}
                None => found.push(version),
            }
        }
        found
    }

    /// What counts against a certificate in db.
    pub(super) fn revokes_certificate(&self, der: &[u8]) -> Option<Revoked> {
        let revoked = |by, issuer| Revoked {
            signature: subject(der),
            by,
            issuer,
        };
        if self.lists.contains(SignatureKind::X509, der) {
            return Some(revoked(RevokedBy::Certificate, None));
        }
        let (_, ours) = X509Certificate::from_der(der).ok()?;
        let signed: &[u8] = ours.tbs_certificate.as_ref();
        for (kind, data) in self.entries() {
            if kind == SignatureKind::X509 {
                let Ok((_, other)) = X509Certificate::from_der(data) else {
                    continue;
                };
                if other.subject().as_raw() == ours.subject().as_raw()
                    && other.public_key().raw == ours.public_key().raw
                {
                    return Some(revoked(RevokedBy::SameKey, None));
                }
                if is_issuer(&other, &ours) {
                    return Some(revoked(RevokedBy::Issuer, Some(subject(data))));
                }
            } else if let Some((name, digest, from)) = certificate_digest(kind, data) {
                let same = match name {
                    "sha256" => Sha256::of(signed).to_bytes() == digest,
                    "sha384" => Sha384::digest(signed).as_slice() == digest,
                    _ => Sha512::digest(signed).as_slice() == digest,
                };
                // From a date on, and dates can be proved: what was signed before still boots.
                let for_later_ones = self.dates_count && from.iter().any(|byte| *byte != 0);
                if same && !for_later_ones {
                    return Some(revoked(RevokedBy::CertificateHash, None));
                }
            }
        }
        None
    }

    /// Everything in `db` that does not count.
    pub(super) fn revokes(&self, db: &SignatureLists) -> Vec<Revoked> {
        db.signatures()
            .filter_map(|(kind, signature)| match kind {
                SignatureKind::X509 => self.revokes_certificate(&signature.data),
                SignatureKind::Sha256 if self.lists.contains(kind, &signature.data) => Some(Revoked {
                    signature: format!("sha256 {}", hex::encode(&signature.data)),
                    by: RevokedBy::Hash,
                    issuer: None,
                }),
                _ => None,
            })
            .collect()
    }

    fn entries(&self) -> impl Iterator<Item = (SignatureKind, &[u8])> {
        self.lists
            .signatures()
            .map(|(kind, signature)| (kind, signature.data.as_slice()))
    }
}

/// A use of db that Microsoft has certificates for.
pub(super) struct Use {
    pub(super) name: &'static str,
    pub(super) of_2011: &'static [&'static [u8]],
    pub(super) of_2023: &'static [&'static [u8]],
}

pub(super) const WINDOWS: Use = Use {
    name: "Windows",
    of_2011: &[certs::MICROSOFT_DB_WINDOWS_2011],
    of_2023: &[certs::MICROSOFT_DB_WINDOWS_2023],
};
pub(super) const THIRD_PARTIES: Use = Use {
    name: "third parties",
    of_2011: &[certs::MICROSOFT_DB_UEFI_2011],
    of_2023: &[certs::MICROSOFT_DB_UEFI_2023, certs::MICROSOFT_DB_UEFI_ROM_2023],
};

/// What nothing boots for any more: db has Microsoft's certificates for it, and dbx revokes every one.
pub(super) fn nothing_trusted_for(db: &SignatureLists, dbx: &Dbx) -> Vec<String> {
    let nothing = |one: &Use| {
        let mut held = one
            .of_2011
            .iter()
            .chain(one.of_2023)
            .filter(|der| db.contains(SignatureKind::X509, der))
            .peekable();
        held.peek().is_some() && held.all(|der| dbx.revokes_certificate(der).is_some())
    };
    [WINDOWS, THIRD_PARTIES]
        .iter()
        .filter(|one| nothing(one))
        .map(|one| one.name.to_owned())
        .collect()
}

/// Whether `other` signed `ours`, by its names and key identifiers; the signature itself is not computed.
fn is_issuer(other: &X509Certificate<'_>, ours: &X509Certificate<'_>) -> bool {
    let key_of_other = other
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0),
            _ => None,
        });
    let key_of_issuer = ours
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => {
                authority.key_identifier.as_ref().map(|key| key.0)
            }
            _ => None,
        });
    let keys_differ = matches!((key_of_other, key_of_issuer), (Some(other), Some(issuer)) if other != issuer);
    // What signed itself has no other issuer, whatever else bears the name.
    let signed_itself = ours.subject().as_raw() == ours.issuer().as_raw();
    other.subject().as_raw() == ours.issuer().as_raw() && !keys_differ && !signed_itself
}

fn subject(der: &[u8]) -> String {
    Certificate::parse(der).map_or_else(
        || "a certificate that cannot be read".into(),
        |certificate| certificate.subject,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use fm_formats::efi::SignatureList;

    const OWNER: Guid = Guid::literal("77fa9abd-0359-4d32-bd60-28f4e78f784b");

    fn dbx(kind: SignatureKind, data: Vec<u8>) -> Dbx {
        Dbx::default().with(SignatureLists(vec![SignatureList::one(kind, OWNER, data)]))
    }

    fn signed_part(der: &[u8]) -> Vec<u8> {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        certificate.tbs_certificate.as_ref().to_vec()
    }

    #[test]
    fn a_certificate_is_revoked_by_itself_and_by_each_digest_of_it() {
        let ours = certs::MICROSOFT_DB_WINDOWS_2011;
        let signed = signed_part(ours);
        let digests = [
            Sha256::of(&signed).to_bytes().to_vec(),
            Sha384::digest(&signed).to_vec(),
            Sha512::digest(&signed).to_vec(),
        ];
        let by = |dbx: &Dbx, der| dbx.revokes_certificate(der).map(|revoked| revoked.by);
        let whole = dbx(SignatureKind::X509, ours.to_vec());
        assert_eq!(by(&whole, ours), Some(RevokedBy::Certificate));
        assert_eq!(by(&whole, certs::MICROSOFT_DB_WINDOWS_2023), None);
        assert_eq!(whole.certificates().len(), 1);
        for ((guid, ..), digest) in CERTIFICATE_DIGESTS.iter().zip(digests) {
            let at_once = [digest.clone(), vec![0; 16]].concat();
            let one = dbx(SignatureKind::Other(*guid), at_once);
            assert_eq!(by(&one, ours), Some(RevokedBy::CertificateHash), "{guid}");
            assert_eq!(by(&one, certs::MICROSOFT_DB_UEFI_2011), None, "{guid}");
            assert_eq!(one.certificate_hashes(), 1);
            // A date saves older signatures only where it can be proved.
            let mut dated = dbx(SignatureKind::Other(*guid), [digest, vec![1; 16]].concat());
            assert_eq!(by(&dated, ours), Some(RevokedBy::CertificateHash), "{guid}");
            dated.dates_count = true;
            assert_eq!(by(&dated, ours), None, "{guid}");
        }
    }

    #[test]
    fn what_an_issuer_signed_is_revoked_with_it_and_so_is_its_key() {
        let der = |file: &str| {
            let text = std::fs::read(format!(
                "{}/tests/certificates/{file}.pem",
                env!("CARGO_MANIFEST_DIR")
            ))
            .unwrap();
            x509_parser::pem::parse_x509_pem(&text).unwrap().1.contents
        };
        let ours = der("signer");
        for (revoked, by) in [
            ("root", Some(RevokedBy::Issuer)),
            // The same name and another key.
            ("other-root", None),
            ("signer", Some(RevokedBy::Certificate)),
            ("signer-again", Some(RevokedBy::SameKey)),
        ] {
            let found = dbx(SignatureKind::X509, der(revoked)).revokes_certificate(&ours);
            assert_eq!(found.map(|found| found.by), by, "{revoked}");
        }
        // What signed itself is not revoked with others of its name.
        let root = dbx(SignatureKind::X509, der("other-root")).revokes_certificate(&der("root"));
        assert_eq!(root, None);
    }

    #[test]
    fn a_secure_version_is_no_hash_of_an_image_and_the_highest_counts() {
        let entry = |guid: Guid, minor: u8, major: u8| {
            let mut data = vec![1];
            data.extend(guid.to_bytes());
            data.extend([minor, 0, major, 0]);
            data.resize(32, 0);
            data
        };
        let boot_manager = APPLICATIONS[0].0;
        let mut lists = SignatureLists::default();
        for data in [
            entry(boot_manager, 0, 5),
            entry(boot_manager, 1, 7),
            entry(boot_manager, 2, 2),
            entry(OWNER, 0, 3),
            vec![1; 32],
        ] {
            lists
                .0
                .push(SignatureList::one(SignatureKind::Sha256, OWNER, data));
        }
        let dbx = Dbx::default().with(lists);
        let found: Vec<_> = dbx
            .secure_versions()
            .iter()
            .map(|version| (version.major, version.minor))
            .collect();
        assert_eq!(found, [(7, 1), (3, 0)]);
        assert_eq!(dbx.hashes(), 1);
        assert_eq!(secure_version(&[1; 31]), None);
        assert_eq!(secure_version(&[]), None);
    }

    #[test]
    fn a_hash_in_both_lists_does_not_boot() {
        let hash = SignatureLists(vec![SignatureList::one(
            SignatureKind::Sha256,
            OWNER,
            vec![7; 32],
        )]);
        let revoked = Dbx::default().with(hash.clone()).revokes(&hash);
        assert_eq!(revoked.len(), 1);
        assert_eq!(revoked[0].by, RevokedBy::Hash);
        assert!(Dbx::default().revokes(&hash).is_empty());
    }
}
