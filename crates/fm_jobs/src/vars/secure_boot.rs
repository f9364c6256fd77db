//! Secure Boot of a guest that is off: enrolling keys, taking them out.

use std::path::{Path, PathBuf};

use fm_formats::Guid;
use fm_formats::efi::{AuthenticatedUpdate, SignatureKind, SignatureList, SignatureLists};
use fm_formats::image::Layout;
use fm_formats::varstore::{self, Checks, Name, Time, Variable};
use virtfw_libefi::sb::{certs, dbx};

use super::Error;
use super::certificate::Certificate;
use super::change::{Write, open};
use super::describe::{CUSTOM_MODE, GLOBAL, SECURE_BOOT_ENABLE, SECURITY};
use super::document::VarsChange;
use super::save::Report;

/// Microsoft's signature owner.
const MICROSOFT: Guid = Guid::literal("77fa9abd-0359-4d32-bd60-28f4e78f784b");
/// The owner that OVMF's own enrolment writes (`EnrollDefaultKeys`), taken for custom keys too.
const CUSTOM_OWNER: Guid = Guid::literal("a0baa8a3-041d-48a8-bc87-c36d121b5e3d");
/// Time-based authenticated, as the specification wants of key variables.
pub(super) const KEY_ATTRIBUTES: u32 = 0x27;
/// Older than any signed update, so that none is refused as outdated.
const FRESH_KEY_TIME: Time = Time::utc(2010, 1, 1, 0, 0, 0);

pub(super) fn find<'v>(variables: &'v [Variable], guid: Guid, name: &str) -> Option<&'v Variable> {
    variables
        .iter()
        .find(|variable| variable.guid == guid && variable.name == plain(name))
}

/// A name of plain letters.
pub(super) fn plain(name: &str) -> Name {
    Name::from_units(name.encode_utf16())
}

/// Which of Microsoft's generations to enrol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// 2011.
    Microsoft2011,
    /// 2023.
    Microsoft2023,
    /// Both, as a machine sold today has them.
    MicrosoftBoth,
}

/// What to enrol: files are certificates (PEM or DER), signature lists or signed updates (`.auth`).
#[derive(Debug, Clone, Default)]
pub struct Enrolment {
    /// A set of Microsoft's, with their OEM platform key if none is there and none is given.
    pub microsoft: Option<Keys>,
    /// Platform key.
    pub pk: Option<PathBuf>,
    /// Who may update db and dbx.
    pub kek: Vec<PathBuf>,
    /// Who may sign what boots.
    pub db: Vec<PathBuf>,
    /// What is revoked; merged into what is there.
    pub dbx: Vec<PathBuf>,
    /// Merge Microsoft's revocations for the store's architecture (x86 or AArch64).
    pub microsoft_dbx: bool,
    /// Start from empty KEK, db and dbx instead of adding to them.
    pub only: bool,
}

/// Enrols keys and switches Secure Boot on if a platform key is there afterwards.
///
/// # Errors
/// If a file is no key material, or the store has no room; then nothing is changed.
pub fn enroll(write: &Write, enrolment: &Enrolment) -> Result<VarsChange, Error> {
    let mut edit = open(&write.path, write.even_if_in_use)?;
    let layout = edit.source.layout()?;
    let mut wanted = [
        SignatureLists::default(),
        SignatureLists::default(),
        SignatureLists::default(),
        SignatureLists::default(),
    ];
    let [pk, kek, db, dbx] = &mut wanted;
    if let Some(set) = enrolment.microsoft {
        // A platform key that is there is the owner's; it stays unless another is named.
        if enrolment.pk.is_none() && (enrolment.only || find(&edit.variables, GLOBAL, "PK").is_none()) {
            pk.merge(&microsoft(&[certs::MICROSOFT_PK_2023]));
        }
        if set != Keys::Microsoft2023 {
            kek.merge(&microsoft(&[certs::MICROSOFT_KEK_2011]));
            db.merge(&microsoft(&[
                certs::MICROSOFT_DB_WINDOWS_2011,
                certs::MICROSOFT_DB_UEFI_2011,
            ]));
        }
        if set != Keys::Microsoft2011 {
            kek.merge(&microsoft(&[certs::MICROSOFT_KEK_2023]));
            db.merge(&microsoft(&[
                certs::MICROSOFT_DB_WINDOWS_2023,
                certs::MICROSOFT_DB_UEFI_2023,
                certs::MICROSOFT_DB_UEFI_ROM_2023,
            ]));
        }
    }
    for (lists, files) in [
        (&mut *pk, enrolment.pk.as_slice()),
        (kek, &enrolment.kek),
        (db, &enrolment.db),
        (&mut *dbx, &enrolment.dbx),
    ] {
        for file in files {
            lists.merge(&key_material(file)?);
        }
    }
    if enrolment.microsoft_dbx {
        for update in microsoft_updates(layout) {
            dbx.merge(&update_lists(Path::new("Microsoft's dbx"), update)?);
        }
    }
    let mut report = Report::default();
    for ((guid, name), lists) in [
        (GLOBAL, "PK"),
        (GLOBAL, "KEK"),
        (SECURITY, "db"),
        (SECURITY, "dbx"),
    ]
    .into_iter()
    .zip(&wanted)
    {
        if lists.0.is_empty() {
            continue;
        }
        let old = find(&edit.variables, guid, name).cloned();
        // There is one platform key: a new one replaces the old.
        let mut merged = match &old {
            Some(old) if name != "PK" && !enrolment.only => {
                SignatureLists::parse(&old.data).map_err(|source| Error::Signature {
                    path: write.path.clone(),
                    source,
                })?
            }
            _ => SignatureLists::default(),
        };
        let added = merged.merge(lists);
        report.steps.push(format!(
            "{name}: {added} added, {} in all",
            merged.signatures().count()
        ));
        let timestamp = old.map_or(FRESH_KEY_TIME, |old| old.timestamp);
        let mut variable = Variable::new(guid, plain(name), KEY_ATTRIBUTES, merged.to_bytes());
        variable.timestamp = timestamp;
        varstore::set(&mut edit.variables, variable);
    }
    if find(&edit.variables, GLOBAL, "PK").is_some() {
        varstore::set(
            &mut edit.variables,
            Variable::new(SECURE_BOOT_ENABLE, plain("SecureBootEnable"), 3, vec![1]),
        );
        varstore::set(
            &mut edit.variables,
            Variable::new(CUSTOM_MODE, plain("CustomMode"), 3, vec![0]),
        );
        report.steps.push("Secure Boot is switched on".into());
    } else {
        report
            .notes
            .push("there is no platform key, so Secure Boot stays off: give --pk or --microsoft".into());
    }
    edit.commit(Checks::Sizes, report)
}

/// Takes the platform key out, which ends Secure Boot; with `all` KEK, db and dbx too.
///
/// # Errors
/// If the store cannot be changed.
pub fn unenroll(write: &Write, all: bool) -> Result<VarsChange, Error> {
    let mut edit = open(&write.path, write.even_if_in_use)?;
    let mut report = Report::default();
    let keys = [(GLOBAL, "PK"), (SECURE_BOOT_ENABLE, "SecureBootEnable")];
    let more = [
        (GLOBAL, "KEK"),
        (SECURITY, "db"),
        (SECURITY, "dbx"),
        (CUSTOM_MODE, "CustomMode"),
    ];
    for (guid, name) in keys.iter().chain(more.iter().filter(|_| all)) {
        if varstore::delete(&mut edit.variables, *guid, &plain(name)).is_some() {
            report.steps.push(format!("deleted {name}"));
        }
    }
    edit.commit(Checks::Representable, report)
}

fn microsoft(certificates: &[&[u8]]) -> SignatureLists {
    SignatureLists(
        certificates
            .iter()
            .map(|der| SignatureList::one(SignatureKind::X509, MICROSOFT, der.to_vec()))
            .collect(),
    )
}

/// Signed by the key of 2011 and of 2023, for the architecture of the store.
pub(super) fn microsoft_updates(layout: Option<Layout>) -> Vec<&'static [u8]> {
    match layout {
        Some(Layout::ArmVirt) => vec![dbx::DBX_2011_AARCH64, dbx::DBX_2023_AARCH64],
        Some(Layout::Riscv | Layout::Loongarch) => Vec::new(),
        _ => vec![dbx::DBX_2011_X86_64, dbx::DBX_2023_X86_64],
    }
}

pub(super) fn update_lists(path: &Path, bytes: &[u8]) -> Result<SignatureLists, Error> {
    AuthenticatedUpdate::parse(bytes)
        .and_then(|update| SignatureLists::parse(update.payload))
        .map_err(|source| Error::Signature {
            path: path.to_path_buf(),
            source,
        })
}

/// Whatever key material a file holds: PEM, DER, `.auth`, or a bare signature list.
pub(super) fn key_material(path: &Path) -> Result<SignatureLists, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_path_buf(),
        source,
    })?;
    let certificate = |der: &[u8]| {
        SignatureLists(vec![SignatureList::one(
            SignatureKind::X509,
            CUSTOM_OWNER,
            der.to_vec(),
        )])
    };
    if let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(&bytes)
        && Certificate::parse(&pem.contents).is_some()
    {
        return Ok(certificate(&pem.contents));
    }
    if Certificate::parse(&bytes).is_some() {
        return Ok(certificate(&bytes));
    }
    update_lists(path, &bytes).or_else(|_| {
        SignatureLists::parse(&bytes)
            .ok()
            .filter(|lists| !lists.0.is_empty())
            .ok_or(())
            .map_err(|()| Error::Signature {
                path: path.to_path_buf(),
                source: SignatureLists::parse(&bytes)
                    .err()
                    .unwrap_or(fm_formats::Error::Truncated {
                        field: "certificate or signature list",
                        offset: 0,
                        needed_bytes: 28,
                        available_bytes: bytes.len() as u64,
                    }),
            })
    })
}
