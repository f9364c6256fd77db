//! Secure Boot of a guest that is off: what it trusts, enrolling keys, taking them out, room for a dbx update.

use std::path::{Path, PathBuf};

use fm_formats::Guid;
use fm_formats::efi::{AuthenticatedUpdate, SignatureKind, SignatureList, SignatureLists};
use fm_formats::image::Layout;
use fm_formats::varstore::{self, Checks, Geometry, Name, Time, Variable, Writer};
use schemars::JsonSchema;
use serde::Serialize;
use virtfw_libefi::sb::{certs, dbx};

use super::Error;
use super::certificate::Certificate;
use super::change::{Write, open};
use super::describe::{CUSTOM_MODE, GLOBAL, SECURE_BOOT_ENABLE, SECURITY};
use super::document::VarsChange;
use super::save::Report;
use super::source::Source;

/// Microsoft's signature owner.
const MICROSOFT: Guid = Guid::literal("77fa9abd-0359-4d32-bd60-28f4e78f784b");
/// The owner that OVMF's own enrolment writes (`EnrollDefaultKeys`), taken for custom keys too.
const CUSTOM_OWNER: Guid = Guid::literal("a0baa8a3-041d-48a8-bc87-c36d121b5e3d");
/// Time-based authenticated, as the specification wants of key variables.
const KEY_ATTRIBUTES: u32 = 0x27;
/// Older than any signed update, so that none is refused as outdated.
const FRESH_KEY_TIME: Time = Time::utc(2010, 1, 1, 0, 0, 0);

/// `flashmoor/vars-secure-boot/1`: what a guest trusts.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SecureBootStatus {
    /// `flashmoor/vars-secure-boot/1`.
    pub schema: &'static str,
    /// Where it was read.
    pub source: String,
    /// Whether firmware with Secure Boot will enforce it: a platform key is enrolled and it is not switched off.
    pub enabled: bool,
    /// No platform key: anybody may enrol keys.
    pub setup_mode: bool,
    /// Whether keys may be changed by a person at the machine without a signature.
    pub custom_mode: bool,
    /// Platform key.
    pub pk: Vec<String>,
    /// Who may update db and dbx.
    pub kek: Vec<String>,
    /// Who may sign what boots.
    pub db: Vec<String>,
    /// How many hashes are revoked.
    pub dbx_hashes: u64,
    /// How many certificates are revoked.
    pub dbx_certificates: u64,
    /// Which generations of Microsoft's certificates db holds.
    pub microsoft: Trust,
}

/// Generations of Microsoft's certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// None of them.
    None,
    /// Only those of 2011, which expire in 2026: what is signed with the new ones will not boot.
    #[serde(rename = "only_2011")]
    Only2011,
    /// Only those of 2023.
    #[serde(rename = "only_2023")]
    Only2023,
    /// Both.
    Both,
}

/// What a store says of Secure Boot.
///
/// # Errors
/// If the file is no variable store.
pub fn status(path: &Path) -> Result<SecureBootStatus, Error> {
    let variables = Source::read(path)?.variables()?;
    let lists = |guid, name: &str| -> SignatureLists {
        find(&variables, guid, name)
            .and_then(|variable| SignatureLists::parse(&variable.data).ok())
            .unwrap_or_default()
    };
    let (pk, kek) = (lists(GLOBAL, "PK"), lists(GLOBAL, "KEK"));
    let (db, dbx) = (lists(SECURITY, "db"), lists(SECURITY, "dbx"));
    let setup_mode = find(&variables, GLOBAL, "PK").is_none();
    let flag = |guid, name: &str| find(&variables, guid, name).map(|variable| variable.data == [1]);
    let count =
        |lists: &SignatureLists, kind| lists.signatures().filter(|(other, _)| *other == kind).count() as u64;
    let old = [certs::MICROSOFT_DB_WINDOWS_2011, certs::MICROSOFT_DB_UEFI_2011];
    let new = [
        certs::MICROSOFT_DB_WINDOWS_2023,
        certs::MICROSOFT_DB_UEFI_2023,
        certs::MICROSOFT_DB_UEFI_ROM_2023,
    ];
    let holds = |certificates: &[&[u8]]| certificates.iter().any(|der| db.holds(SignatureKind::X509, der));
    Ok(SecureBootStatus {
        schema: "flashmoor/vars-secure-boot/1",
        source: path.display().to_string(),
        // edk2 writes SecureBootEnable = 1 itself when a platform key is there and the switch is not.
        enabled: !setup_mode && flag(SECURE_BOOT_ENABLE, "SecureBootEnable").unwrap_or(true),
        setup_mode,
        custom_mode: flag(CUSTOM_MODE, "CustomMode").unwrap_or(false),
        pk: people(&pk),
        kek: people(&kek),
        dbx_hashes: count(&dbx, SignatureKind::Sha256),
        dbx_certificates: count(&dbx, SignatureKind::X509),
        microsoft: match (holds(&old), holds(&new)) {
            (false, false) => Trust::None,
            (true, false) => Trust::Only2011,
            (false, true) => Trust::Only2023,
            (true, true) => Trust::Both,
        },
        db: people(&db),
    })
}

fn people(lists: &SignatureLists) -> Vec<String> {
    lists
        .signatures()
        .filter(|(kind, _)| *kind == SignatureKind::X509)
        .map(|(_, signature)| match Certificate::parse(&signature.data) {
            Some(certificate) => format!("{} (until {})", certificate.subject, certificate.until),
            None => "a certificate that cannot be read".into(),
        })
        .collect()
}

fn find<'v>(variables: &'v [Variable], guid: Guid, name: &str) -> Option<&'v Variable> {
    variables
        .iter()
        .find(|variable| variable.guid == guid && variable.name == plain(name))
}

/// A name of plain letters.
fn plain(name: &str) -> Name {
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
fn microsoft_updates(layout: Option<Layout>) -> Vec<&'static [u8]> {
    match layout {
        Some(Layout::ArmVirt) => vec![dbx::DBX_2011_AARCH64, dbx::DBX_2023_AARCH64],
        Some(Layout::Riscv | Layout::Loongarch) => Vec::new(),
        _ => vec![dbx::DBX_2011_X86_64, dbx::DBX_2023_X86_64],
    }
}

fn update_lists(path: &Path, bytes: &[u8]) -> Result<SignatureLists, Error> {
    AuthenticatedUpdate::parse(bytes)
        .and_then(|update| SignatureLists::parse(update.payload))
        .map_err(|source| Error::Signature {
            path: path.to_path_buf(),
            source,
        })
}

/// Whatever key material a file holds: PEM, DER, `.auth`, or a bare signature list.
fn key_material(path: &Path) -> Result<SignatureLists, Error> {
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

/// `flashmoor/vars-dbx-forecast/1`: whether a revocation update would still fit.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DbxForecast {
    /// `flashmoor/vars-dbx-forecast/1`.
    pub schema: &'static str,
    /// Which store.
    pub source: String,
    /// Signatures in the update that the store has not.
    pub new_signatures: u64,
    /// Size of dbx after it, header and name included.
    pub needed_bytes: u64,
    /// What firmware of the layout accepts for one variable.
    pub limit_bytes: u64,
    /// What is free now.
    pub free_bytes: u64,
    /// What would be free after a reclaim or `vars compact`.
    pub free_after_compact_bytes: u64,
    /// Whether the running operating system can write it: firmware does not reclaim once the system runs.
    pub fits_now: bool,
    /// Whether it fits after `vars compact` or the firmware's own reclaim.
    pub fits_after_compact: bool,
}

/// Whether a dbx update (a file, or Microsoft's for the architecture) would still fit.
///
/// # Errors
/// If the store or the update cannot be read.
pub fn forecast(path: &Path, update: Option<&Path>) -> Result<DbxForecast, Error> {
    let source = Source::read(path)?;
    let variables = source.variables()?;
    let view = source.view()?.ok_or_else(|| Error::UnknownLayout {
        path: path.to_path_buf(),
    })?;
    let layout = view.layout().ok_or_else(|| Error::UnknownLayout {
        path: path.to_path_buf(),
    })?;
    let old = find(&variables, SECURITY, "dbx");
    let mut lists = match old {
        Some(old) => SignatureLists::parse(&old.data).map_err(|source| Error::Signature {
            path: path.to_path_buf(),
            source,
        })?,
        None => SignatureLists::default(),
    };
    let mut new_signatures = 0usize;
    match update {
        Some(file) => new_signatures += lists.merge(&key_material(file)?),
        None => {
            for update in microsoft_updates(Some(layout)) {
                new_signatures += lists.merge(&update_lists(Path::new("Microsoft's dbx"), update)?);
            }
        }
    }
    let writer = Writer {
        format: view.format(),
        ..Writer::new(layout)
    };
    let after = Variable::new(SECURITY, plain("dbx"), KEY_ATTRIBUTES, lists.to_bytes());
    let needed_bytes = writer.variable_len_bytes(&after);
    let limit_bytes = u64::from(Geometry::of(layout).limit_bytes(KEY_ATTRIBUTES));
    let old_bytes = old.map_or(0, |old| writer.variable_len_bytes(old).next_multiple_of(4));
    let free_after_compact_bytes = view.free_bytes() + view.reclaimable_bytes();
    let possible = needed_bytes <= limit_bytes;
    Ok(DbxForecast {
        schema: "flashmoor/vars-dbx-forecast/1",
        source: path.display().to_string(),
        new_signatures: new_signatures as u64,
        needed_bytes,
        limit_bytes,
        free_bytes: view.free_bytes(),
        free_after_compact_bytes,
        // The new copy is written before the old one is given up.
        fits_now: possible && needed_bytes.next_multiple_of(4) <= view.free_bytes(),
        fits_after_compact: possible
            && needed_bytes.next_multiple_of(4) <= free_after_compact_bytes + old_bytes,
    })
}
