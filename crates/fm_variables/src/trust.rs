//! What guests trust: whether Secure Boot is on, whose keys are enrolled, which of Microsoft's generations.

use std::path::{Path, PathBuf};

use fm_formats::efi::{SignatureKind, SignatureLists};
use fm_libvirt::{Domain, Virsh, VirshError};
use schemars::JsonSchema;
use serde::Serialize;
use virtfw_libefi::sb::certs;

use crate::Error;
use crate::certificate::Certificate;
use crate::describe::sbat_level;
use crate::names::{CUSTOM_MODE, GLOBAL, SECURE_BOOT_ENABLE, SECURITY, find};
use crate::revocation::{Dbx, Revoked, SecureVersion, THIRD_PARTIES, WINDOWS, nothing_trusted_for};
use crate::source::Source;

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
    /// How many hashes of images are revoked.
    pub dbx_hashes: u64,
    /// How many certificates are revoked.
    pub dbx_certificates: u64,
    /// Subjects of these certificates.
    pub dbx_certificate_names: Vec<String>,
    /// How many digests of certificates are revoked.
    pub dbx_certificate_hashes: u64,
    /// Lowest versions of Windows' boot managers that still start (`DBXUpdateSVN`).
    pub dbx_secure_versions: Vec<SecureVersion>,
    /// Shim's own revocations: generations of what it starts.
    pub sbat_level: Option<String>,
    /// What of db does not count, because dbx holds it too, its issuer or its digest: dbx is asked first.
    pub revoked: Vec<Revoked>,
    /// What nothing of Microsoft's boots for: db has certificates for it, and dbx revokes every one.
    pub nothing_trusted_for: Vec<&'static str>,
    /// Which generations of Microsoft's certificates db holds and dbx does not revoke: whose signatures boot.
    pub microsoft: Trust,
    /// Of these, whose signatures Windows boots by.
    pub microsoft_windows: Trust,
    /// Of these, whose signatures everything else boots by: shim, option ROMs.
    pub microsoft_third_party: Trust,
    /// Which generations of Microsoft's keys KEK holds: whose updates of db and dbx are taken.
    pub microsoft_kek: Trust,
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

impl SecureBootStatus {
    /// What is trusted by a certificate of 2011 alone, whose successor of 2023 is missing.
    #[must_use]
    pub fn behind(&self) -> Vec<&'static str> {
        [
            (self.microsoft_windows, WINDOWS.name),
            (self.microsoft_third_party, THIRD_PARTIES.name),
            (self.microsoft_kek, "updates of keys"),
        ]
        .into_iter()
        .filter(|(trust, _)| *trust == Trust::Only2011)
        .map(|(_, what)| what)
        .collect()
    }
}

/// What a store says of Secure Boot: a file's, or a running guest's.
///
/// # Errors
/// If there is neither a file nor a guest called so, or it has no variable store.
pub fn status(path: &Path) -> Result<SecureBootStatus, Error> {
    status_of(&Source::find(path)?)
}

/// The same of several; one that cannot be read is no reason to keep silent of the others, and is a sentence.
#[must_use]
pub fn statuses(paths: &[PathBuf]) -> (Vec<SecureBootStatus>, Vec<String>) {
    let (mut found, mut remarks) = (Vec::new(), Vec::new());
    for path in paths {
        match status(path) {
            Ok(status) => found.push(status),
            Err(error) => remarks.push(fm_host::in_one_line(&error)),
        }
    }
    (found, remarks)
}

/// The same of every guest on this host, and a sentence for each that has no variables or may not be looked at:
/// those that run, and libvirt's that are off.
///
/// # Errors
/// If there is no process table to read.
pub fn status_of_guests() -> Result<(Vec<SecureBootStatus>, Vec<String>), Error> {
    let listing = fm_host::guests()?;
    let (mut found, mut remarks) = (Vec::new(), listing.remarks);
    for guest in &listing.guests {
        match Source::of_guest(guest).and_then(|source| status_of(&source)) {
            Ok(status) => found.push(status),
            Err(error) => remarks.push(fm_host::in_one_line(&error)),
        }
    }
    let virsh = Virsh::new(None);
    match virsh.names_off() {
        Ok(names) => {
            for name in names {
                match status_of_domain(&virsh, &name) {
                    Ok(status) => found.extend(status),
                    Err(why) => remarks.push(format!("{name}: {why}")),
                }
            }
        }
        // No libvirt, no domains.
        Err(VirshError::NoVirsh { .. }) => {}
        Err(error) => remarks.push(format!(
            "libvirt's guests that are off are not looked at: {}",
            fm_host::in_one_line(&error)
        )),
    }
    Ok((found, remarks))
}

/// The status of a domain that is off; nothing if it has no variables yet or none at all.
fn status_of_domain(virsh: &Virsh, name: &str) -> Result<Option<SecureBootStatus>, String> {
    let xml = virsh.off(name).map_err(|error| fm_host::in_one_line(&error))?;
    let domain = Domain::parse(&xml).map_err(|error| fm_host::in_one_line(&error))?;
    let Some(path) = domain
        .nvram
        .and_then(|nvram| nvram.path)
        .filter(|path| path.exists())
    else {
        return Ok(None);
    };
    let status = Source::read(&path)
        .and_then(|source| status_of(&source))
        .map_err(|error| fm_host::in_one_line(&error))?;
    Ok(Some(SecureBootStatus {
        source: format!("{name} (off, {})", path.display()),
        ..status
    }))
}

fn status_of(source: &Source) -> Result<SecureBootStatus, Error> {
    let variables = source.variables()?;
    let lists = |guid, name: &str| -> SignatureLists {
        find(&variables, guid, name)
            .and_then(|variable| SignatureLists::parse(&variable.data).ok())
            .unwrap_or_default()
    };
    let (pk, kek) = (lists(GLOBAL, "PK"), lists(GLOBAL, "KEK"));
    let db = lists(SECURITY, "db");
    let dbx = Dbx::of(&variables);
    let setup_mode = find(&variables, GLOBAL, "PK").is_none();
    let flag = |guid, name: &str| find(&variables, guid, name).map(|variable| variable.data == [1]);
    let trusted = |der: &[u8]| db.holds(SignatureKind::X509, der) && dbx.revokes_certificate(der).is_none();
    Ok(SecureBootStatus {
        schema: "flashmoor/vars-secure-boot/1",
        source: source.path.display().to_string(),
        // edk2 writes SecureBootEnable = 1 itself when a platform key is there and the switch is not.
        enabled: !setup_mode && flag(SECURE_BOOT_ENABLE, "SecureBootEnable").unwrap_or(true),
        setup_mode,
        custom_mode: flag(CUSTOM_MODE, "CustomMode").unwrap_or(false),
        pk: people(&pk),
        kek: people(&kek),
        dbx_hashes: dbx.hashes(),
        dbx_certificates: dbx.certificates().len() as u64,
        dbx_certificate_names: dbx.certificates(),
        dbx_certificate_hashes: dbx.certificate_hashes(),
        dbx_secure_versions: dbx.secure_versions(),
        sbat_level: sbat_level(&variables),
        revoked: dbx.revokes(&db),
        nothing_trusted_for: nothing_trusted_for(&db, &dbx),
        microsoft: Trust::of(
            trusted,
            &[WINDOWS.of_2011, THIRD_PARTIES.of_2011].concat(),
            &[WINDOWS.of_2023, THIRD_PARTIES.of_2023].concat(),
        ),
        microsoft_windows: Trust::of(trusted, WINDOWS.of_2011, WINDOWS.of_2023),
        microsoft_third_party: Trust::of(trusted, THIRD_PARTIES.of_2011, THIRD_PARTIES.of_2023),
        microsoft_kek: Trust::of(
            |der| kek.holds(SignatureKind::X509, der),
            &[certs::MICROSOFT_KEK_2011],
            &[certs::MICROSOFT_KEK_2023],
        ),
        db: people(&db),
    })
}

impl Trust {
    fn of(trusted: impl Fn(&[u8]) -> bool, of_2011: &[&[u8]], of_2023: &[&[u8]]) -> Self {
        let any = |certificates: &[&[u8]]| certificates.iter().any(|der| trusted(der));
        match (any(of_2011), any(of_2023)) {
            (false, false) => Self::None,
            (true, false) => Self::Only2011,
            (false, true) => Self::Only2023,
            (true, true) => Self::Both,
        }
    }
}

fn people(lists: &SignatureLists) -> Vec<String> {
    lists
        .signatures()
        .filter(|(kind, _)| *kind == SignatureKind::X509)
        .map(|(_, signature)| match Certificate::parse(&signature.data) {
            Some(certificate) => certificate.in_short(),
            None => "a certificate that cannot be read".into(),
        })
        .collect()
}
