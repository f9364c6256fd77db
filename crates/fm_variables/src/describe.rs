//! What variables mean, for people: boot entries, keys, flags.

use fm_formats::Guid;
use fm_formats::efi::{DevicePath, LoadOption, SignatureKind, SignatureLists};
use fm_varstore::{CertRecord, Variable};

use crate::certificate::Certificate;
use crate::hex;
use crate::names::{CUSTOM_MODE, GLOBAL, SECURE_BOOT_ENABLE, SECURITY, SHIM, VENDOR_KEYS, find};
use crate::revocation::{certificate_digest, secure_version};

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
        (GLOBAL, "Lang" | "PlatformLang") | (SHIM, "SbatLevel" | "SbatLevelRT") => text(data),
        (GLOBAL, "PK" | "KEK") | (SECURITY, _) | (SHIM, "MokList" | "MokListX") => keys(data),
        (GLOBAL, "SetupMode" | "SecureBoot" | "AuditMode" | "DeployedMode")
        | (SECURE_BOOT_ENABLE | CUSTOM_MODE | VENDOR_KEYS, _) => match data {
            [0] => Some("off".into()),
            [1] => Some("on".into()),
            _ => None,
        },
        (GLOBAL, _) if is_boot_entry(&name) => Some(boot_entry(data)),
        (MTC, "MTC") => Some(format!("{}", u32::from_le_bytes(data.try_into().ok()?))),
        (CertRecord::NAMESPACE, "certdb" | "certdbv") => Some(cert_db(data)),
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
            lines.push(match own_text(option.optional_data) {
                Some(text) => format!("its own text: {text:?}"),
                None => format!("its own bytes: {}", hex::encode(option.optional_data)),
            });
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
            SignatureKind::Sha256 => match secure_version(&signature.data) {
                Some(version) => format!("secure version: {version}, owner {}", signature.owner),
                None => format!(
                    "sha256 {}, owner {}",
                    hex::encode(&signature.data),
                    signature.owner
                ),
            },
            SignatureKind::ExternalManagement => "keys are managed from outside".into(),
            SignatureKind::Other(guid) => match certificate_digest(kind, &signature.data) {
                Some((name, digest, _)) => format!(
                    "certificate of {name} {}, owner {}",
                    hex::encode(digest),
                    signature.owner
                ),
                None => format!("{guid}: {}", hex::encode(&signature.data)),
            },
        })
        .collect()
}

/// Shim's own revocations: the lines of its level.
pub(super) fn sbat_level(variables: &[Variable]) -> Option<String> {
    ["SbatLevel", "SbatLevelRT"]
        .into_iter()
        .find_map(|name| find(variables, SHIM, name))
        .and_then(|level| text(&level.data))
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
        text += &match own_text(option.optional_data) {
            Some(own) => format!(", with {own:?}"),
            None => format!(", with {} bytes of its own", option.optional_data.len()),
        };
    }
    text
}

/// What a boot entry gives its program, if that is text: of two bytes a character, as the shell and Linux take it, or
/// of one.
fn own_text(data: &[u8]) -> Option<String> {
    let is_text =
        |text: &str| text.chars().count() >= 3 && text.chars().all(|character| !character.is_control());
    let (units, rest) = data.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    let is_padding = units[end..].iter().all(|unit| *unit == 0);
    // Text of one byte a character makes characters of far scripts here.
    let has_plain = units[..end].iter().filter(|unit| **unit < 0x100).count() * 2 >= end;
    if rest.is_empty() && is_padding && has_plain {
        let wide = String::from_utf16(&units[..end]).ok();
        if let Some(text) = wide.filter(|text| is_text(text)) {
            return Some(text);
        }
    }
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let is_padding = data[end..].iter().all(|byte| *byte == 0);
    let narrow = std::str::from_utf8(&data[..end]).ok().filter(|_| is_padding)?;
    is_text(narrow).then(|| narrow.to_owned())
}

/// Certificates by subject and last day, hashes by their number.
fn keys(data: &[u8]) -> Option<String> {
    let lists = SignatureLists::parse(data).ok()?;
    let mut parts = Vec::new();
    let mut hashes = 0usize;
    for (kind, signature) in lists.signatures() {
        match kind {
            SignatureKind::X509 => parts.push(match Certificate::parse(&signature.data) {
                Some(certificate) => certificate.in_short(),
                None => "a certificate that cannot be read".into(),
            }),
            SignatureKind::Sha256 => match secure_version(&signature.data) {
                Some(version) => parts.push(version.to_string()),
                None => hashes += 1,
            },
            SignatureKind::ExternalManagement => parts.push("managed from outside".into()),
            SignatureKind::Other(guid) => parts.push(match certificate_digest(kind, &signature.data) {
                Some(_) => "a certificate by its digest".into(),
                None => format!("one of {guid}"),
            }),
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
    let record = CertRecord::parse(data);
    let names = record.entries.iter().map(|entry| entry.name.to_string());
    let mut parts: Vec<_> = names.collect();
    if !record.is_whole {
        parts.push("bytes that cannot be read".into());
    } else if parts.is_empty() {
        parts.push("no entries".into());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_boot_entry_gives_its_program_is_shown_as_text_where_it_is_text() {
        let wide: Vec<u8> = "root=/dev/vda1 🛢\0"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(own_text(&wide).as_deref(), Some("root=/dev/vda1 🛢"));
        assert_eq!(own_text(b"quiet splash\0").as_deref(), Some("quiet splash"));
        assert_eq!(own_text(b"quiet").as_deref(), Some("quiet"));
        for data in [
            &b""[..],
            &[0, 0],
            &[1, 2, 3, 4],
            &[0x4e, 0xac, 0x08, 0x81, 0x11, 0x9f],
            b"ab",
        ] {
            assert_eq!(own_text(data), None, "{data:?}");
        }
    }
}
