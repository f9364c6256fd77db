//! What variables mean, for people: boot entries, keys, flags.

use fm_formats::Guid;
use fm_formats::efi::{DevicePath, LoadOption, SignatureKind, SignatureLists};
use fm_formats::varstore::Variable;

pub(super) use fm_formats::varstore::GLOBAL_VARIABLE as GLOBAL;

use crate::certificate::Certificate;
use crate::{certdb, hex};

pub(super) const SECURITY: Guid = Guid::literal("d719b2cb-3d3a-4596-a3bc-dad00e67656f");
pub(super) const SECURE_BOOT_ENABLE: Guid = Guid::literal("f0a30bc7-af08-4556-99c4-001009c93a44");
pub(super) const CUSTOM_MODE: Guid = Guid::literal("c076ec0c-7028-4399-a072-71ee5c448b9f");
pub(super) const SHIM: Guid = Guid::literal("605dab50-e046-4300-abb6-3dd810dd8b23");
pub(super) const VENDOR_KEYS: Guid = Guid::literal("9073e4e0-60ec-4b6e-9903-4c223c260f3c");
const MTC: Guid = Guid::literal("eb704011-1402-11d3-8e77-00a0c969723b");

/// Namespace and attributes that the specification or edk2 gives a name.
pub(super) fn well_known(name: &str) -> Option<(Guid, u32)> {
    Some(match name {
        "PK" | "KEK" => (GLOBAL, 0x27),
        "db" | "dbx" | "dbt" | "dbr" => (SECURITY, 0x27),
        "SecureBootEnable" => (SECURE_BOOT_ENABLE, 3),
        "CustomMode" => (CUSTOM_MODE, 3),
        "SbatLevel" | "MokList" | "MokListX" | "MokListTrusted" | "MokSBState" => (SHIM, 3),
        "MTC" => (MTC, 7),
        "BootOrder" | "BootNext" | "DriverOrder" | "SysPrepOrder" | "Timeout" | "Lang" | "PlatformLang"
        | "ConIn" | "ConOut" | "ErrOut" | "OsIndications" => (GLOBAL, 7),
        _ if is_numbered(name) => (GLOBAL, 7),
        _ => return None,
    })
}

/// `Boot####` and its kin.
fn is_numbered(name: &str) -> bool {
    [
        "Boot",
        "Driver",
        "SysPrep",
        "Key",
        "PlatformRecovery",
        "OsRecovery",
    ]
    .iter()
    .filter_map(|kind| name.strip_prefix(kind))
    .any(|number| number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// One line, or nothing if the content is not of a known form.
pub(super) fn in_short(variable: &Variable) -> Option<String> {
    let name = variable.name.to_string();
    let data = variable.data.as_slice();
    match (variable.guid, name.as_str()) {
        (GLOBAL, "BootOrder" | "DriverOrder" | "SysPrepOrder" | "BootNext" | "BootCurrent") => {
            let (numbers, rest) = data.as_chunks::<2>();
            let numbers: Vec<_> = numbers
                .iter()
                .map(|pair| format!("{:04X}", u16::from_le_bytes(*pair)))
                .collect();
            Some(match rest {
                [] => numbers.join(","),
                _ => format!("malformed: {} bytes are no whole numbers", data.len()),
            })
        }
        (GLOBAL, "ConIn" | "ConOut" | "ErrOut") => Some(DevicePath::new(data).to_string()),
        (GLOBAL, "Timeout") => Some(format!("{} s", u16::from_le_bytes(data.try_into().ok()?))),
        (GLOBAL, "Lang" | "PlatformLang") | (SHIM, "SbatLevel") => text(data),
        (GLOBAL, "PK" | "KEK") | (SECURITY, _) | (SHIM, "MokList" | "MokListX") => keys(data),
        (GLOBAL, "SetupMode" | "SecureBoot" | "AuditMode" | "DeployedMode")
        | (SECURE_BOOT_ENABLE | CUSTOM_MODE | VENDOR_KEYS, _) => match data {
            [0] => Some("off".into()),
            [1] => Some("on".into()),
            _ => None,
        },
        (GLOBAL, _) if is_boot_entry(&name) => Some(boot_entry(data)),
        (MTC, "MTC") => Some(format!("{}", u32::from_le_bytes(data.try_into().ok()?))),
        (certdb::NAMESPACE, "certdb" | "certdbv") => Some(cert_db(data)),
        _ => None,
    }
}

/// Line by line, for `vars show`.
pub(super) fn in_full(variable: &Variable) -> Vec<String> {
    let signatures = match (variable.guid, variable.name.to_string().as_str()) {
        (GLOBAL, "PK" | "KEK") | (SECURITY, _) | (SHIM, "MokList" | "MokListX") => {
            SignatureLists::parse(&variable.data).ok()
        }
        _ => None,
    };
    let Some(lists) = signatures else {
        let mut lines: Vec<_> = in_short(variable).into_iter().collect();
        if variable.guid == GLOBAL
            && is_boot_entry(&variable.name.to_string())
            && let Ok(option) = LoadOption::parse(&variable.data)
            && !option.optional_data.is_empty()
        {
            lines.push(format!("its own bytes: {}", hex::encode(option.optional_data)));
        }
        return lines;
    };
    lists
        .signatures()
        .map(|(kind, signature)| match kind {
            SignatureKind::X509 => match Certificate::parse(&signature.data) {
                Some(certificate) => format!("certificate {certificate}, owner {}", signature.owner),
                None => format!(
                    "certificate that cannot be read, {} bytes, owner {}",
                    signature.data.len(),
                    signature.owner
                ),
            },
            SignatureKind::Sha256 => format!(
                "sha256 {}, owner {}",
                hex::encode(&signature.data),
                signature.owner
            ),
            SignatureKind::ExternalManagement => "keys are managed from outside".into(),
            SignatureKind::Other(guid) => format!("{guid}: {}", hex::encode(&signature.data)),
        })
        .collect()
}

/// Text that ends at its first zero; nothing unless all of it can be shown.
fn text(data: &[u8]) -> Option<String> {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let text = std::str::from_utf8(&data[..end]).ok()?.trim_end();
    let plain = text
        .chars()
        .all(|character| !character.is_control() || character == '\n');
    plain.then(|| text.replace('\n', "; "))
}

fn is_boot_entry(name: &str) -> bool {
    is_numbered(name) && !name.starts_with("Key")
}

fn boot_entry(data: &[u8]) -> String {
    let option = match LoadOption::parse(data) {
        Ok(option) => option,
        Err(why) => return format!("malformed: {why}"),
    };
    let mut text = format!("{:?} {}", option.description, option.path);
    if !option.is_active() {
        text += ", not active";
    }
    if option.is_hidden() {
        text += ", hidden";
    }
    if !option.optional_data.is_empty() {
        text += &format!(", with {} bytes of its own", option.optional_data.len());
    }
    text
}

/// Certificates by subject and last day, hashes by their number.
fn keys(data: &[u8]) -> Option<String> {
    let lists = SignatureLists::parse(data).ok()?;
    let mut parts = Vec::new();
    let mut hashes = 0usize;
    for (kind, signature) in lists.signatures() {
        match kind {
            SignatureKind::X509 => parts.push(match Certificate::parse(&signature.data) {
                Some(certificate) => format!("{} (until {})", certificate.subject, certificate.until),
                None => "a certificate that cannot be read".into(),
            }),
            SignatureKind::Sha256 => hashes += 1,
            SignatureKind::ExternalManagement => parts.push("managed from outside".into()),
            SignatureKind::Other(guid) => parts.push(format!("one of {guid}")),
        }
    }
    if hashes > 0 {
        parts.push(format!(
            "{hashes} sha256 {}",
            if hashes == 1 { "hash" } else { "hashes" }
        ));
    }
    Some(parts.join(", "))
}

fn cert_db(data: &[u8]) -> String {
    let names: Vec<_> = certdb::entries(data)
        .iter()
        .map(|entry| entry.name.to_string())
        .collect();
    if names.is_empty() {
        "no entries".into()
    } else {
        names.join(", ")
    }
}
