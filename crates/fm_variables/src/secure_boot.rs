//! Secure Boot of a guest that is off: enrolling keys, taking them out.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use fm_api::v1::vars::VarsChange;
use fm_formats::Guid;
use fm_formats::efi::{AuthenticatedUpdate, SignatureKind, SignatureList, SignatureLists, Time};
use fm_formats::image::Layout;
use fm_varstore::{Checks, Variable};
use virtfw_libefi::sb::{certs, dbx};

use crate::Error;
use crate::certificate::Certificate;
use crate::change::open;
use crate::names::{CUSTOM_MODE, GLOBAL, SECURE_BOOT_ENABLE, SECURITY, find, plain};
use crate::report::Report;
use crate::revocation::{Dbx, nothing_trusted_for};
use crate::save::Edit;
use crate::store_target::StoreTarget;

/// Microsoft's signature owner.
const MICROSOFT: Guid = Guid::literal("77fa9abd-0359-4d32-bd60-28f4e78f784b");
/// The owner that OVMF's own enrolment writes (`EnrollDefaultKeys`), taken for custom keys too.
const CUSTOM_OWNER: Guid = Guid::literal("a0baa8a3-041d-48a8-bc87-c36d121b5e3d");
/// Time-based authenticated, as the specification wants of key variables.
pub(super) const KEY_ATTRIBUTES: u32 = 0x27;
/// Older than any signed update, so that none is refused as outdated.
const FRESH_KEY_TIME: Time = Time::utc(2010, 1, 1, 0, 0, 0);

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
    /// Start from empty lists instead of adding to them; lists for which nothing is named stay.
    pub only: bool,
}

/// Enrols keys; with a set of Microsoft's or a platform key Secure Boot is switched on.
///
/// # Errors
/// If nothing was named, a file is no key material, or the store has no room; then nothing is changed.
pub fn enroll(write: &StoreTarget, enrolment: &Enrolment) -> Result<VarsChange, Error> {
    let (edit, report) = enrolled(write, enrolment)?;
    edit.commit_changes(Checks::Sizes, report)
}

/// The same, into another file: the store itself stays as it is. With `replace` the file may be there already.
///
/// # Errors
/// As [`enroll`], and if the file cannot be made.
pub fn enroll_to(
    from: &StoreTarget,
    output: &Path,
    replace: bool,
    enrolment: &Enrolment,
) -> Result<VarsChange, Error> {
    let (edit, report) = enrolled(from, enrolment)?;
    edit.commit_to(output, replace, Checks::Sizes, report)
}

fn enrolled(write: &StoreTarget, enrolment: &Enrolment) -> Result<(Edit, Report), Error> {
    let mut edit = open(write)?;
    let layout = edit.source.layout()?;
    let mut wanted: [KeyMaterial; 4] = Default::default();
    let [pk, kek, db, dbx] = &mut wanted;
    if let Some(set) = enrolment.microsoft {
        // A platform key that is there is the owner's; it stays unless another is named.
        if enrolment.pk.is_none() && (enrolment.only || find(&edit.variables, GLOBAL, "PK").is_none()) {
            pk.lists.merge(&microsoft(&[certs::MICROSOFT_PK_2023]));
        }
        if set != Keys::Microsoft2023 {
            kek.lists.merge(&microsoft(&[certs::MICROSOFT_KEK_2011]));
            db.lists.merge(&microsoft(&[
                certs::MICROSOFT_DB_WINDOWS_2011,
                certs::MICROSOFT_DB_UEFI_2011,
            ]));
        }
        if set != Keys::Microsoft2011 {
            kek.lists.merge(&microsoft(&[certs::MICROSOFT_KEK_2023]));
            db.lists.merge(&microsoft(&[
                certs::MICROSOFT_DB_WINDOWS_2023,
                certs::MICROSOFT_DB_UEFI_2023,
                certs::MICROSOFT_DB_UEFI_ROM_2023,
            ]));
        }
    }
    if let Some(file) = &enrolment.pk {
        pk.add(&platform_key(file)?);
    }
    for (material, files) in [
        (kek, &enrolment.kek),
        (db, &enrolment.db),
        (&mut *dbx, &enrolment.dbx),
    ] {
        for file in files {
            material.add(&key_material(file)?);
        }
    }
    if enrolment.microsoft_dbx {
        for update in microsoft_updates(layout) {
            dbx.add(&signed_update(Path::new("Microsoft's dbx"), update)?);
        }
    }
    if wanted.iter().all(|material| material.lists.0.is_empty()) {
        return Err(Error::NothingToEnroll);
    }
    let mut report = Report::default();
    for ((guid, name), material) in [
        (GLOBAL, "PK"),
        (GLOBAL, "KEK"),
        (SECURITY, "db"),
        (SECURITY, "dbx"),
    ]
    .into_iter()
    .zip(&wanted)
    {
        if material.lists.0.is_empty() {
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
        let added = merged.merge(&material.lists);
        report.steps.push(format!(
            "{name}: {added} added, {} in all",
            merged.signatures().count()
        ));
        let mut variable = Variable::new(guid, plain(name), KEY_ATTRIBUTES, merged.to_bytes());
        // As the firmware does when it appends: an update that was signed before is refused afterwards.
        variable.timestamp = old
            .map_or(FRESH_KEY_TIME, |old| old.timestamp)
            .later(material.signed);
        fm_varstore::set(&mut edit.variables, variable);
    }
    switch_on(&mut edit.variables, enrolment, &mut report);
    tell_revoked(&edit.variables, &mut report);
    Ok((edit, report))
}

/// Whose keys are trusted is one thing, whether they are asked is the owner's switch: it is turned on where the
/// platform's keys are enrolled, and left as it is where some are added.
fn switch_on(variables: &mut Vec<Variable>, enrolment: &Enrolment, report: &mut Report) {
    let stays_off = if find(variables, GLOBAL, "PK").is_none() {
        "there is no platform key, so Secure Boot stays off: enrol one, or Microsoft's keys"
    } else if enrolment.pk.is_some() || enrolment.microsoft.is_some() {
        for (guid, name, data) in [
            (SECURE_BOOT_ENABLE, "SecureBootEnable", 1),
            (CUSTOM_MODE, "CustomMode", 0),
        ] {
            fm_varstore::set(variables, Variable::new(guid, plain(name), 3, vec![data]));
        }
        report.steps.push("Secure Boot is switched on".into());
        return;
    } else if find(variables, SECURE_BOOT_ENABLE, "SecureBootEnable").is_some_and(|switch| switch.data != [1])
    {
        "Secure Boot stays off, as it was: the variable SecureBootEnable with the one byte 01 switches it on"
    } else {
        return;
    };
    report.notes.push(stays_off.into());
}

/// What of db does not count after all: dbx is asked first.
fn tell_revoked(variables: &[Variable], report: &mut Report) {
    let db = find(variables, SECURITY, "db")
        .and_then(|db| SignatureLists::parse(&db.data).ok())
        .unwrap_or_default();
    let dbx = Dbx::of(variables);
    for revoked in dbx.revokes(&db) {
        report.notes.push(format!(
            "in db, but revoked, so that nothing boots by it: {revoked}"
        ));
    }
    for what in nothing_trusted_for(&db, &dbx) {
        report.notes.push(format!(
            "the guest trusts nothing for {what} any more: dbx revokes every certificate of db for it"
        ));
    }
}

/// Takes the platform key out, which ends Secure Boot; with `all` KEK, db and dbx too.
///
/// # Errors
/// If the store cannot be changed.
pub fn unenroll(write: &StoreTarget, all: bool) -> Result<VarsChange, Error> {
    let mut edit = open(write)?;
    let mut report = Report::default();
    let keys = [(GLOBAL, "PK"), (SECURE_BOOT_ENABLE, "SecureBootEnable")];
    let more = [
        (GLOBAL, "KEK"),
        (SECURITY, "db"),
        (SECURITY, "dbx"),
        (CUSTOM_MODE, "CustomMode"),
    ];
    for (guid, name) in keys.iter().chain(more.iter().filter(|_| all)) {
        if fm_varstore::delete(&mut edit.variables, *guid, &plain(name)).is_some() {
            report.steps.push(format!("deleted {name}"));
        }
    }
    edit.commit_changes(Checks::Representable, report)
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

/// Keys to enrol.
#[derive(Debug, Default)]
pub(super) struct KeyMaterial {
    pub(super) lists: SignatureLists,
    /// When it was signed; zero if it is not.
    pub(super) signed: Time,
}

impl KeyMaterial {
    fn of(certificates: impl Iterator<Item = Vec<u8>>) -> Self {
        let list = |der| SignatureList::one(SignatureKind::X509, CUSTOM_OWNER, der);
        Self {
            lists: SignatureLists(certificates.map(list).collect()),
            signed: Time::default(),
        }
    }

    /// Returns how many signatures were new.
    pub(super) fn add(&mut self, other: &Self) -> usize {
        self.signed = self.signed.later(other.signed);
        self.lists.merge(&other.lists)
    }
}

pub(super) fn signed_update(path: &Path, bytes: &[u8]) -> Result<KeyMaterial, Error> {
    let read = |bytes| {
        let update = AuthenticatedUpdate::parse(bytes)?;
        Ok(KeyMaterial {
            lists: SignatureLists::parse_at(update.payload, update.payload_offset)?,
            signed: update.timestamp,
        })
    };
    read(bytes).map_err(|source| Error::Signature {
        path: path.to_path_buf(),
        source,
    })
}

/// One certificate. edk2 refuses more (`CheckSignatureListFormat`), and with anything but a certificate nobody
/// could ever change the keys.
fn platform_key(path: &Path) -> Result<KeyMaterial, Error> {
    let material = key_material(path)?;
    let found: Vec<_> = material.lists.signatures().map(|(kind, _)| kind).collect();
    let why = match found.as_slice() {
        [SignatureKind::X509] => return Ok(material),
        [_] => "it holds a hash, and no certificate".to_owned(),
        several => format!("it holds {} keys, and there is one platform key", several.len()),
    };
    Err(Error::PlatformKey {
        path: path.to_path_buf(),
        why,
    })
}

/// Nobody has a larger list of keys; dbx updates have some tens of KiB.
const MAX_KEY_BYTES: u64 = 16 << 20;

/// Whatever key material a file holds: PEM, DER, `.auth`, or a bare signature list.
pub(super) fn key_material(path: &Path) -> Result<KeyMaterial, Error> {
    let mut bytes = Vec::new();
    fm_files::open_regular(path)
        .and_then(|file| file.take(MAX_KEY_BYTES).read_to_end(&mut bytes))
        .map_err(|source| Error::File {
            action: "read",
            path: path.to_path_buf(),
            source,
        })?;
    let certificates = pem_certificates(&bytes).map_err(|why| Error::KeyFile {
        path: path.to_path_buf(),
        why,
    })?;
    if !certificates.is_empty() {
        return Ok(KeyMaterial::of(certificates.into_iter()));
    }
    if Certificate::is_whole(&bytes) {
        return Ok(KeyMaterial::of(std::iter::once(bytes)));
    }
    // What is signed and holds something else is told so, with where in the file that is.
    if AuthenticatedUpdate::parse(&bytes).is_ok() {
        return signed_update(path, &bytes);
    }
    let why = match SignatureLists::parse(&bytes) {
        Ok(lists) if !lists.0.is_empty() => {
            return Ok(KeyMaterial {
                lists,
                signed: Time::default(),
            });
        }
        // PEM without a certificate is no list whose sizes could be talked about.
        Err(why) if !bytes.starts_with(b"-----BEGIN") => why,
        _ => fm_formats::Error::Truncated {
            field: "certificate or signature list",
            offset: 0,
            needed_bytes: 28,
            available_bytes: 0,
        },
    };
    Err(Error::Signature {
        path: path.to_path_buf(),
        source: why,
    })
}

/// Every certificate of a PEM file. One that cannot be read is an error: left out, the guest would trust less, or
/// refuse less, than whoever gave the file believes.
fn pem_certificates(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    const BEGIN: &[u8] = b"-----BEGIN";
    let mut certificates = Vec::new();
    if !bytes.windows(BEGIN.len()).any(|found| found == BEGIN) {
        return Ok(certificates);
    }
    for (index, block) in x509_parser::pem::Pem::iter_from_buffer(bytes).enumerate() {
        let number = index + 1;
        let pem = block.map_err(|error| format!("PEM block {number} cannot be read: {error}"))?;
        if !pem.label.ends_with("CERTIFICATE") {
            continue;
        }
        if !Certificate::is_whole(&pem.contents) {
            return Err(format!(
                "PEM block {number} is no X.509 certificate, or holds more than one"
            ));
        }
        certificates.push(pem.contents);
    }
    Ok(certificates)
}
