//! The fleet's CA: made once, kept in a folder that only its owner enters, and asked to sign.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fm_access::{Issued, hex, now_s};
use fm_api::v1::enrolment::Role;
use fm_client::{Identity, PEER_NAME, is_name, random_hex};
use fm_files::{Folder, Place};
use fm_formats::Sha256;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::time::ASN1Time;

use crate::{Error, Result};

const DAY_S: i64 = 24 * 3600;
/// Hosts whose clock is years off still find the server's certificate valid: time decides nothing in a fleet, and a
/// certificate that must go is revoked.
const CLOCKS_ARE_OFF_S: i64 = 2 * 365 * DAY_S;
const CA_LIFETIME_S: i64 = 10 * 365 * DAY_S;
/// What is issued to a client holds so long by the server's clock; hosts renew theirs long before.
const CLIENT_LIFETIME_S: i64 = 365 * DAY_S;
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a server's certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PkiFiles {
    /// The server's certificate, with what leads to its CA.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The CA whose certificates clients have.
    pub client_ca: PathBuf,
    /// That CA's key; without it nobody can join here.
    pub ca_key: Option<PathBuf>,
}

impl PkiFiles {
    /// Those that [`init`] makes in a server's folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        let file = |name: &str| folder.join("pki").join(name);
        Self {
            certificate: file("server.crt"),
            key: file("server.key"),
            client_ca: file("ca.crt"),
            ca_key: Some(file("ca.key")),
        }
    }

    /// Those of a host that has joined, in its agent's folder.
    pub(crate) fn of_host(folder: &Path) -> Self {
        let files = Identity::files(folder);
        Self {
            certificate: files.certificate,
            key: files.key,
            client_ca: files.ca,
            ca_key: None,
        }
    }

    /// Whether there are any.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.certificate.exists() || self.key.exists() || self.client_ca.exists()
    }
}

/// What a new fleet is to be.
#[derive(Debug, Clone)]
pub struct InitPlan<'a> {
    /// The server's folder.
    pub folder: &'a Path,
    /// Names and addresses of servers, besides this machine's loopback.
    pub names: &'a [String],
    /// Addresses of the API that the administrator gets.
    pub urls: &'a [String],
    /// What the administrator is called.
    pub administrator: &'a str,
}

/// What [`init`] made.
#[derive(Debug, Clone)]
pub struct Initialised {
    /// The certificates of the server.
    pub files: PkiFiles,
    /// The administrator's identity.
    pub administrator: PathBuf,
    /// The digest by which tokens pin the CA.
    pub ca: Sha256,
    /// The names in the server's certificate.
    pub names: Vec<String>,
}

/// Makes a CA, a server's and an administrator's certificate.
///
/// # Errors
/// [`Error::Exists`] if there is one, or if the disk refuses.
pub fn init(plan: &InitPlan<'_>) -> Result<Initialised> {
    if !is_name(plan.administrator) {
        return Err(fm_client::Error::BadName {
            name: plan.administrator.into(),
        }
        .into());
    }
    let files = PkiFiles::in_folder(plan.folder);
    let administrator = plan.folder.join("administrator");
    if files.exist() || administrator.exists() {
        return Err(Error::Exists {
            path: plan.folder.to_owned(),
        });
    }
    let mut names = vec![
        "localhost".to_owned(),
        Ipv4Addr::LOCALHOST.to_string(),
        Ipv6Addr::LOCALHOST.to_string(),
    ];
    names.extend(
        plan.names
            .iter()
            .filter(|name| !names.contains(name))
            .cloned()
            .collect::<Vec<_>>(),
    );
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name = DistinguishedName::new();
    ca.distinguished_name
        .push(DnType::CommonName, format!("Flashmoor fleet {}", random_hex(4)?));
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.serial_number = Some(serial()?);
    let now = now_s();
    set_validity(&mut ca, now - CLOCKS_ARE_OFF_S, now + CA_LIFETIME_S);
    let ca_certificate = ca.self_signed(&ca_key)?;
    let signer = Signer {
        issuer: Issuer::new(ca, ca_key),
        certificate: ca_certificate.pem(),
    };
    let server_key = KeyPair::generate()?;
    let server = signer.server(&names, &server_key)?;
    let own_key = KeyPair::generate()?;
    let issued = signer.client(plan.administrator, Role::Administrator, &own_key)?;

    let folder = private_folder(&plan.folder.join("pki"))?;
    let write = |name: &str, text: &str| Place::in_folder(&folder, name).write(text.as_bytes(), 0o600);
    write("ca.key", &signer.issuer.key().serialize_pem())?;
    write("server.key", &server_key.serialize_pem())?;
    write("server.crt", &server)?;
    write("ca.crt", &signer.certificate)?;
    Identity {
        name: plan.administrator.into(),
        urls: plan.urls.to_vec(),
        ca: signer.certificate.clone(),
        certificate: issued.pem,
        key: own_key.serialize_pem(),
    }
    .save(&administrator)?;
    Ok(Initialised {
        files,
        administrator,
        ca: Sha256::of(ca_certificate.der()),
        names,
    })
}

/// The digest by which tokens pin the CA in a PEM file: that of its first certificate.
///
/// # Errors
/// If the file cannot be read or holds no certificate.
pub fn pin_of(path: &Path) -> Result<Sha256> {
    let pem = read(path)?;
    let certificate = CertificateDer::from_pem_slice(&pem).map_err(|error| Error::bad(path, error))?;
    Ok(Sha256::of(&certificate))
}

/// The CA with its key.
pub(crate) struct Signer {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Signer {
    /// The CA in these files.
    pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Self> {
        let text = |path: &Path| -> Result<String> {
            String::from_utf8(read(path)?).map_err(|error| Error::bad(path, error))
        };
        let pem = text(certificate)?;
        let key_pair = KeyPair::from_pem(&text(key)?).map_err(|error| Error::bad(key, error))?;
        let issuer =
            Issuer::from_ca_cert_pem(&pem, key_pair).map_err(|error| Error::bad(certificate, error))?;
        Ok(Self {
            issuer,
            certificate: pem,
        })
    }

    fn server(&self, names: &[String], key: &KeyPair) -> Result<String> {
        let mut params = CertificateParams::default();
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Flashmoor fleet server");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.serial_number = Some(serial()?);
        let now = now_s();
        set_validity(&mut params, now - CLOCKS_ARE_OFF_S, now + CA_LIFETIME_S);
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }

    /// A certificate for the key in a request; nothing else is taken from it.
    pub(crate) fn client_of_request(
        &self,
        name: &str,
        role: Role,
        csr: &str,
    ) -> Result<Issued, rcgen::Error> {
        let request = CertificateSigningRequestParams::from_pem(csr)?;
        self.client(name, role, &request.public_key)
            .map_err(|error| match error {
                Error::Certificate(error) => error,
                _ => rcgen::Error::RingUnspecified,
            })
    }

    fn client(&self, name: &str, role: Role, key: &impl PublicKeyData) -> Result<Issued> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
            .distinguished_name
            .push(DnType::OrganizationalUnitName, role.name());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if role == Role::Host {
            // Hosts give builds to each other. The name is none that a server of the fleet is reached by.
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
            params
                .subject_alt_names
                .push(SanType::DnsName(PEER_NAME.try_into()?));
        }
        let number = serial()?;
        let text = hex(&number.to_bytes());
        params.serial_number = Some(number);
        let (issued_s, expires_s) = (now_s(), now_s() + CLIENT_LIFETIME_S);
        // From long ago, for servers and other hosts whose clocks are behind.
        set_validity(&mut params, issued_s - CLOCKS_ARE_OFF_S, expires_s);
        Ok(Issued {
            pem: params.signed_by(key, &self.issuer)?.pem(),
            serial: text,
            issued_s,
            expires_s,
        })
    }
}

/// Lets a certificate hold from one moment to another.
fn set_validity(params: &mut CertificateParams, from_s: i64, until_s: i64) {
    if let Ok(from) = ASN1Time::from_timestamp(from_s) {
        params.not_before = from.to_datetime();
    }
    // What no certificate can say is what they are good for at most.
    params.not_after = match ASN1Time::from_timestamp(until_s) {
        Ok(until) => until.to_datetime(),
        Err(_) => rcgen::date_time_ymd(2049, 12, 31),
    };
}

/// 16 random bytes, a positive number of one length.
fn serial() -> Result<SerialNumber> {
    let digits = random_hex(16)?;
    let mut bytes: Vec<u8> = (0..digits.len())
        .step_by(2)
        .filter_map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

/// A file of certificates or a key.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let place = Place::behind_links(path).map_err(|_| Error::Missing {
        path: path.to_owned(),
    })?;
    place
        .folder()
        .read(place.name(), MAX_FILE_BYTES)?
        .ok_or_else(|| Error::Missing {
            path: path.to_owned(),
        })
}

/// The folder, made if need be, and its owner's alone.
pub(crate) fn private_folder(path: &Path) -> Result<Folder> {
    let failed = |source| Error::file("create", path, source);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    Folder::open(path)?.ok_or_else(|| Error::Missing {
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_fleet_is_made_once_and_its_keys_are_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let plan = InitPlan {
            folder: &folder.path().join("server"),
            names: &["fleet.example".into(), "192.0.2.7".into()],
            urls: &["https://fleet.example:7117".into()],
            administrator: "root",
        };
        let made = init(&plan).unwrap();
        assert_eq!(pin_of(&made.files.client_ca).unwrap(), made.ca);
        for path in [Some(&made.files.key), made.files.ca_key.as_ref()]
            .into_iter()
            .flatten()
        {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let administrator = Identity::load(&made.administrator).unwrap();
        assert_eq!(administrator.name, "root");
        assert!(matches!(init(&plan), Err(Error::Exists { .. })));
        Signer::load(&made.files.client_ca, made.files.ca_key.as_ref().unwrap()).unwrap();
    }

    #[test]
    fn nothing_but_the_key_is_taken_from_a_request() {
        let folder = tempfile::tempdir().unwrap();
        let made = init(&InitPlan {
            folder: folder.path(),
            names: &[],
            urls: &[],
            administrator: "root",
        })
        .unwrap();
        let signer = Signer::load(&made.files.client_ca, made.files.ca_key.as_ref().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut wants = CertificateParams::default();
        wants.distinguished_name = DistinguishedName::new();
        wants.distinguished_name.push(DnType::CommonName, "root");
        wants
            .distinguished_name
            .push(DnType::OrganizationalUnitName, "administrator");
        let csr = wants.serialize_request(&key).unwrap().pem().unwrap();
        let issued = signer.client_of_request("a", Role::Host, &csr).unwrap();
        let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(certificate.subject().to_string(), "CN=a, OU=host");
        let year_ago = ASN1Time::from_timestamp(now_s() - 365 * DAY_S).unwrap();
        assert!(
            certificate.validity().is_valid_at(year_ago),
            "a clock that is behind takes it"
        );
        assert!(signer.client_of_request("a", Role::Host, "nonsense").is_err());
    }
}
