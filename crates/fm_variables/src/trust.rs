//! What guests trust: whether Secure Boot is on, whose keys are enrolled, which of Microsoft's generations.

use std::path::{Path, PathBuf};

use fm_api::Schema;
use fm_api::v1::secure_boot::{MicrosoftTrust, SecureBootStatus};
use fm_formats::efi::{SignatureKind, SignatureLists};
use fm_libvirt::{Domain, Virsh, VirshError};
use virtfw_libefi::sb::certs;

use crate::Error;
use crate::certificate::Certificate;
use crate::describe::sbat_level;
use crate::names::{CUSTOM_MODE, GLOBAL, SECURE_BOOT_ENABLE, SECURITY, find};
use crate::revocation::{Dbx, THIRD_PARTIES, WINDOWS, nothing_trusted_for};
use crate::source::Source;

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
            Err(error) => remarks.push(fm_remedy::one_line(&error)),
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
            Err(error) => remarks.push(fm_remedy::one_line(&error)),
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
            fm_remedy::one_line(&error)
        )),
    }
    Ok((found, remarks))
}

/// The status of a domain that is off; nothing if it has no variables yet or none at all.
fn status_of_domain(virsh: &Virsh, name: &str) -> Result<Option<SecureBootStatus>, String> {
    let xml = virsh.off(name).map_err(|error| fm_remedy::one_line(&error))?;
    let domain = Domain::parse(&xml).map_err(|error| fm_remedy::one_line(&error))?;
    let Some(path) = domain
        .nvram
        .and_then(|nvram| nvram.path)
        .filter(|path| path.exists())
    else {
        return Ok(None);
    };
    let status = Source::read(&path)
        .and_then(|source| status_of(&source))
        .map_err(|error| fm_remedy::one_line(&error))?;
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
    let trusted =
        |der: &[u8]| db.contains(SignatureKind::X509, der) && dbx.revokes_certificate(der).is_none();
    Ok(SecureBootStatus {
        schema: Schema::default(),
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
        microsoft: trust(
            trusted,
            &[WINDOWS.of_2011, THIRD_PARTIES.of_2011].concat(),
            &[WINDOWS.of_2023, THIRD_PARTIES.of_2023].concat(),
        ),
        microsoft_windows: trust(trusted, WINDOWS.of_2011, WINDOWS.of_2023),
        microsoft_third_party: trust(trusted, THIRD_PARTIES.of_2011, THIRD_PARTIES.of_2023),
        microsoft_kek: trust(
            |der| kek.contains(SignatureKind::X509, der),
            &[certs::MICROSOFT_KEK_2011],
            &[certs::MICROSOFT_KEK_2023],
        ),
        db: people(&db),
    })
}

/// Of which generations some certificate is trusted.
fn trust(trusted: impl Fn(&[u8]) -> bool, of_2011: &[&[u8]], of_2023: &[&[u8]]) -> MicrosoftTrust {
    let any = |certificates: &[&[u8]]| certificates.iter().any(|der| trusted(der));
    match (any(of_2011), any(of_2023)) {
        (false, false) => MicrosoftTrust::None,
        (true, false) => MicrosoftTrust::Only2011,
        (false, true) => MicrosoftTrust::Only2023,
        (true, true) => MicrosoftTrust::Both,
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
