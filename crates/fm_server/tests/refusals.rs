//! What a server refuses: strangers, expired and foreign certificates, what is too much, and what is another's.

mod bed;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fm_api::v1::enrolment::{IssuedCertificate, Role};
use fm_api::v1::fleet::HostView;
use fm_client::{Client, Error, Identity, JoinToken, Precondition};
use fm_server::{InitPlan, ServeOptions, init, start};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use bed::{Bed, join, refused, report, send};

/// A certificate that the fleet's CA signed beside the server.
fn signed(bed: &Bed, name: &str, role: &str, from: (i32, u8, u8), until: (i32, u8, u8)) -> Identity {
    let text = |file: &str| std::fs::read_to_string(bed.file(file)).unwrap();
    let issuer = Issuer::from_ca_cert_pem(
        &text("pki/ca.crt"),
        KeyPair::from_pem(&text("pki/ca.key")).unwrap(),
    )
    .unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationalUnitName, role);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
    params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
    Identity {
        certificate: params.signed_by(&key, &issuer).unwrap().pem(),
        key: key.serialize_pem(),
        ..bed.administrator()
    }
}

/// A request as bytes, and the head of the answer.
fn raw(identity: &Identity, url: &str, request: &[u8]) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(identity.ca.as_bytes()).unwrap())
        .unwrap();
    let config = rustls::ClientConfig::builder_with_provider(fm_client::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
        )
        .unwrap();
    let address = url.strip_prefix("https://").unwrap();
    let connection =
        rustls::ClientConnection::new(Arc::new(config), "127.0.0.1".try_into().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    stream.write_all(request).unwrap();
    let mut head = [0; 64];
    let read = stream.read(&mut head).unwrap();
    String::from_utf8_lossy(&head[..read]).into_owned()
}

#[test]
fn a_host_writes_its_own_records_and_a_person_writes_no_hosts() {
    let bed = Bed::start();
    let host = bed.client(&bed.join(Role::Host, "a"));
    let answer = send(&host, "a", &report("a")).unwrap();
    assert_eq!(answer.recorded.unwrap().sequence, 1);
    for (address, of) in [("b", "b"), ("a", "b"), ("b", "a")] {
        let (status, kind) = refused(send(&host, address, &report(of)));
        assert_eq!((status, kind.as_str()), (403, "urn:flashmoor:problem:not-yours"));
    }
    assert_eq!(
        refused(send(&bed.client(&bed.administrator()), "a", &report("a"))).0,
        403
    );
    assert_eq!(refused(host.get::<serde_json::Value>("/api/v1/hosts")).0, 403);
    let reader = bed.client(&bed.join(Role::Reader, "r"));
    let view: HostView = reader.get("/api/v1/hosts/a").unwrap();
    assert_eq!(view.sequence, 1);
    let retire = |client: &Client, tag: Precondition<'_>| {
        client.write::<HostView>("POST", "/api/v1/hosts/a/retire", &serde_json::json!({}), tag)
    };
    assert_eq!(refused(retire(&reader, Precondition::None)).0, 403);
    let operator = bed.client(&bed.join(Role::Operator, "o"));
    let stale = format!("\"{}\"", view.revision + 1);
    assert_eq!(refused(retire(&operator, Precondition::Matches(&stale))).0, 412);
    let (_, tag) = operator.get_tagged::<HostView>("/api/v1/hosts/a").unwrap();
    retire(&operator, Precondition::Matches(&tag.unwrap())).unwrap();
    // Its certificate went with it.
    assert_eq!(refused(send(&host, "a", &report("a"))).0, 401);
}

#[test]
fn certificates_that_are_foreign_expired_or_without_a_role_are_refused() {
    let (bed, other) = (Bed::start(), Bed::start());
    let foreign = Identity {
        ca: bed.administrator().ca,
        urls: vec![bed.url.clone()],
        ..other.administrator()
    };
    for identity in [
        foreign,
        signed(&bed, "x", "administrator", (2000, 1, 1), (2001, 1, 1)),
    ] {
        // Its request is under way when the server refuses the certificate, and it learns why all the same.
        for _ in 0..50 {
            let asked = bed.client(&identity).get::<serde_json::Value>("/api/v1/meta");
            let Err(Error::NoAnswer { tried }) = asked else {
                panic!("{asked:?}");
            };
            assert!(tried[0].contains("received fatal alert"), "{tried:?}");
        }
    }
    for role in ["", "root", "administrators"] {
        let identity = signed(&bed, "x", role, (2020, 1, 1), (2049, 1, 1));
        let asked = bed.client(&identity).get::<serde_json::Value>("/api/v1/meta");
        assert_eq!(refused(asked).0, 401, "{role}");
    }
    let good = signed(&bed, "x", "reader", (2020, 1, 1), (2049, 1, 1));
    bed.client(&good)
        .get::<serde_json::Value>("/api/v1/meta")
        .unwrap();
    assert!(bed.told("handshake") >= 2);
    assert_eq!(bed.told("unknown-caller"), 1, "what is the same is told once");
}

#[test]
fn a_revoked_certificate_is_refused_on_a_connection_that_stands() {
    let bed = Bed::start();
    let client = bed.client(&bed.join(Role::Reader, "r"));
    client.get::<serde_json::Value>("/api/v1/hosts").unwrap();
    let administrator = bed.client(&bed.administrator());
    let keys: serde_json::Value = administrator.get("/api/v1/keys").unwrap();
    let serial = keys["certificates"][0]["serial"].as_str().unwrap();
    let path = format!("/api/v1/keys/{serial}/revoke");
    let revoked: IssuedCertificate = administrator
        .write("POST", &path, &serde_json::json!({}), Precondition::None)
        .unwrap();
    assert!(revoked.revoked.is_some());
    assert_eq!(refused(client.get::<serde_json::Value>("/api/v1/hosts")).0, 401);
}

#[test]
fn a_token_is_used_once_and_only_for_its_own_fleet() {
    let (bed, other) = (Bed::start(), Bed::start());
    let token = bed.token(Role::Host, None);
    let elsewhere = JoinToken {
        url: other.url.clone(),
        ..token.clone()
    };
    assert!(matches!(join(&elsewhere, "a"), Err(Error::WrongFleet { .. })));
    join(&token, "a").unwrap();
    assert_eq!(refused(join(&token, "b")).0, 401);
    let made_up = JoinToken {
        secret: "0".repeat(64),
        ..token
    };
    assert_eq!(refused(join(&made_up, "c")).0, 401);
    assert_eq!(refused(join(&bed.token(Role::Host, None), "a")).0, 409);
    // Made for this very name, it replaces who had it.
    join(&bed.token(Role::Host, Some("a")), "anything").unwrap();
}

#[test]
fn a_gibibyte_is_refused_before_it_is_read() {
    let bed = Bed::start();
    let identity = bed.join(Role::Host, "a");
    let said = raw(
        &identity,
        &bed.url,
        b"PUT /api/v1/hosts/a/report HTTP/1.1\r\nhost: x\r\ncontent-length: 1073741824\r\n\r\n",
    );
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
}

#[test]
fn nonsense_is_answered_with_a_problem() {
    let bed = Bed::start();
    let client = bed.client(&bed.administrator());
    for (path, status) in [
        ("/api/v1/nothing", 404),
        ("/api/v1/hosts?nonsense=1", 400),
        ("/api/v1/hosts?limit=x", 400),
        ("/api/v1/hosts/-", 400),
        ("/api/v1/hosts/nobody", 404),
        ("/api/v1/builds/xyz", 400),
        ("/api/v1/join", 405),
    ] {
        assert_eq!(refused(client.get::<serde_json::Value>(path)).0, status, "{path}");
    }
    let metrics = String::from_utf8(client.get_bytes("/metrics").unwrap()).unwrap();
    assert!(metrics.contains("flashmoor_fleet_requests_total{"), "{metrics}");
    assert!(
        !metrics.contains("nobody"),
        "no label is made of what somebody sent: {metrics}"
    );
}

#[test]
fn others_than_this_machine_are_not_served_with_certificates_that_nobody_chose() {
    let folder = tempfile::tempdir().unwrap();
    let options = |folder: &Path| ServeOptions {
        listen: "0.0.0.0:0".parse().unwrap(),
        folder: folder.to_owned(),
        records: None,
        blobs: None,
        pki: None,
        name: "test".into(),
        grace: Duration::from_secs(1),
        health: fm_server::HealthOptions::default(),
    };
    let refused = start(&options(folder.path()), Box::new(|_| {})).unwrap_err();
    assert!(matches!(refused, fm_server::Error::Exposed { .. }));
    assert!(!folder.path().join("pki").exists());
    init(&InitPlan {
        folder: folder.path(),
        names: &["fleet.example".into()],
        urls: &[],
        administrator: "root",
    })
    .unwrap();
    start(&options(folder.path()), Box::new(|_| {})).unwrap().stop();
}

#[test]
fn bytes_that_are_not_what_they_are_called_are_no_build() {
    let bed = Bed::start();
    let client = bed.client(&bed.join(Role::Host, "a"));
    let digest = fm_formats::Sha256::of(b"something else");
    let path = format!("/api/v1/blobs/{digest}");
    assert_eq!(refused(client.put_bytes(&path, b"code")).0, 400);
    let code = fm_formats::Sha256::of(b"code");
    client
        .put_bytes(&format!("/api/v1/blobs/{code}"), b"code")
        .unwrap();
    let store = |layers: serde_json::Value| {
        client.write::<serde_json::Value>(
            "PUT",
            &format!("/api/v1/builds/{code}"),
            &serde_json::json!({ "layers": layers }),
            Precondition::None,
        )
    };
    let layer = |digest: &fm_formats::Sha256| {
        serde_json::json!({
            "media_type": "application/vnd.flashmoor.code.v1", "title": "CODE.fd", "digest": digest.to_string(),
        })
    };
    assert_eq!(refused(store(serde_json::json!([layer(&digest)]))).0, 409);
    let view = store(serde_json::json!([layer(&code)])).unwrap();
    assert_eq!(view["state"], "live");
    assert_eq!(
        client.get_bytes(&format!("/api/v1/blobs/{code}")).unwrap(),
        b"code"
    );
}
