//! The same API on an embedded server's engines and on those of a fleet that has grown: real etcd, a real registry, two
//! servers.

mod bed;

use std::time::Duration;

use fm_api::v1::enrolment::Role;
use fm_api::v1::fleet::{
    BuildState, BuildView, Event, EventKind, GuestRow, GuestState, GuestView, HostView, Mark, ObstacleKind,
    Page, ReportAnswer, Rest, Use, UseReason, Why,
};
use fm_client::{Client, Precondition};
use fm_fixtures::engines::{Cluster, Registry, RegistrySetup, TlsFiles};
use fm_formats::Sha256;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use bed::{Bed, Engines, join, refused, report, send, unavailable};

const CODE: &[u8] = b"CODE of a guest";
const GUEST: &str = "6d2b0f4e-33f1-4a51-9a43-2f2a3b8f1c01";

/// What host `a` says: that the guest is here, or not; and how far it has answered.
fn say(client: &Client, sequence: u64, has_guest: bool, acknowledged: Option<Mark>) -> ReportAnswer {
    let build = Sha256::of(CODE).to_string().parse().unwrap();
    let mut said = report("a");
    said.sequence = sequence;
    said.acknowledged = acknowledged;
    if has_guest {
        said.guests.push(GuestRow {
            uuid: GUEST.into(),
            name: Some("g".into()),
            build: Some(build),
            next_build: None,
            next_reset: None,
            layout: Some("4M".into()),
            vars_free_bytes: None,
            secure_boot: Some(true),
            certificates: None,
            machine: None,
            qemu: None,
            facts: None,
            state: GuestState::Running,
            rest: Rest::new(),
        });
        said.uses.push(Use {
            build: Sha256::of(CODE).to_string().parse().unwrap(),
            reason: UseReason::Runs,
            guest: Some(GUEST.into()),
        });
    }
    send(client, "a", &said).unwrap()
}

fn upload(client: &Client) -> BuildView {
    let code = Sha256::of(CODE);
    client.put_bytes(&format!("/api/v1/blobs/{code}"), CODE).unwrap();
    let layers = serde_json::json!([{
        "media_type": "application/vnd.flashmoor.code.v1", "title": "CODE.fd", "digest": code.to_string(),
    }]);
    client
        .write(
            "PUT",
            &format!("/api/v1/builds/{code}"),
            &serde_json::json!({ "layers": layers, "name": "ovmf" }),
            Precondition::None,
        )
        .unwrap()
}

/// A build comes, is needed, is needed no more, goes, and comes back. What one server is told the other one knows.
fn a_build_lives(one: &Bed, two: &Bed) {
    let mut identity = one.join(Role::Host, "a");
    let host = one.client(&identity);
    let mut administrator = one.administrator();
    administrator.urls = vec![two.url.clone()];
    let other = two.client(&administrator);
    let code = Sha256::of(CODE);
    let path = format!("/api/v1/builds/{code}");

    let asked = say(&host, 1, true, None);
    assert_eq!(asked.upload.len(), 1, "the fleet lacks it: {asked:?}");
    assert_eq!(upload(&host).state, BuildState::Live);

    let hosts: Page<HostView> = other.get("/api/v1/hosts?limit=1").unwrap();
    assert_eq!((hosts.items[0].host.as_str(), hosts.items[0].alive), ("a", true));
    let guests: Page<GuestView> = other.get(&format!("/api/v1/guests?build={code}")).unwrap();
    assert_eq!(guests.items[0].guest.uuid, GUEST);
    let why: Why = other.get(&format!("{path}/why")).unwrap();
    assert_eq!(
        (why.needed_by.len(), why.needed_by[0].reason),
        (1, UseReason::Runs)
    );
    assert_eq!(other.get_bytes(&format!("/api/v1/blobs/{code}")).unwrap(), CODE);

    // A pin that relies on what is not so any more, and one that does not.
    let (view, tag) = other.get_tagged::<BuildView>(&path).unwrap();
    let tag = tag.unwrap();
    let pin = |tag: &str| {
        let wanted = serde_json::json!({ "reason": "audit" });
        let path = format!("{path}/pins/audit");
        other.write::<BuildView>("PUT", &path, &wanted, Precondition::Matches(tag))
    };
    assert_eq!(refused(pin(&format!("\"{}\"", view.revision + 1))).0, 412);
    assert_eq!(pin(&tag).unwrap().pins.len(), 1);
    assert_eq!(refused(pin(&tag)).0, 412);
    let why: Why = other.get(&format!("{path}/why")).unwrap();
    assert!(
        why.blocked_by
            .iter()
            .any(|obstacle| obstacle.kind == ObstacleKind::Pinned)
    );
    let unpinned: BuildView = other
        .write(
            "DELETE",
            &format!("{path}/pins/audit"),
            &serde_json::json!({}),
            Precondition::None,
        )
        .unwrap();
    assert!(unpinned.pins.is_empty());

    // The guest is gone, and the only host says so until the build is purged.
    let mut events = other
        .events(&format!("/api/v1/events?build={code}"))
        .unwrap()
        .map(|line| serde_json::from_str::<Event>(&line).unwrap().kind);
    say(&host, 2, false, None);
    assert!(events.any(|kind| kind == EventKind::BuildCondemned));
    let mark = loop {
        let heard: ReportAnswer = host
            .write(
                "POST",
                "/api/v1/hosts/a/alive",
                &serde_json::json!({}),
                Precondition::None,
            )
            .unwrap();
        if let Some(mark) = heard.scan {
            break mark;
        }
    };
    say(&host, 3, false, Some(mark));
    assert!(events.any(|kind| kind == EventKind::BuildPurged));
    drop(events);
    assert_eq!(refused(other.get_bytes(&format!("{path}/manifest"))).0, 404);

    // It is needed again, and the host's next server is told.
    identity.urls = vec![two.url.clone()];
    let host = two.client(&identity);
    assert_eq!(say(&host, 4, true, None).upload.len(), 1);
    let back = upload(&host);
    assert_eq!((back.state, back.generation), (BuildState::Live, 2));
    let one_says: BuildView = one.client(&one.administrator()).get(&path).unwrap();
    assert_eq!(one_says.manifest, back.manifest);
}

/// What one server refuses the other one refuses as well.
fn who_may_what_is_one(one: &Bed, two: &Bed) {
    let token = one.token(Role::Reader, None);
    let mut elsewhere = token.clone();
    elsewhere.url = two.url.clone();
    let reader = two.client(&join(&elsewhere, "r").unwrap());
    assert_eq!(
        refused(join(&token, "s")).0,
        401,
        "it was used at the other server"
    );
    reader.get::<serde_json::Value>("/api/v1/hosts").unwrap();
    let administrator = one.client(&one.administrator());
    let keys: serde_json::Value = administrator.get("/api/v1/keys").unwrap();
    let keys = keys["certificates"].as_array().unwrap();
    let serial = keys.iter().find(|key| key["name"] == "r").unwrap()["serial"]
        .as_str()
        .unwrap();
    let revoke = format!("/api/v1/keys/{serial}/revoke");
    administrator
        .write::<serde_json::Value>("POST", &revoke, &serde_json::json!({}), Precondition::None)
        .unwrap();
    assert_eq!(refused(reader.get::<serde_json::Value>("/api/v1/hosts")).0, 401);
}

/// Others than us pull as well, with a certificate; and nobody without.
fn is_pulled_by_skopeo(bed: &Bed) {
    let host = bed.join(Role::Host, "puller");
    let client = bed.client(&host);
    upload(&client);
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("ca.crt", &host.ca),
        ("client.cert", &host.certificate),
        ("client.key", &host.key),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let code = Sha256::of(CODE);
    let copy = |to: &str, options: &[&str]| {
        std::process::Command::new("skopeo")
            .args(["copy", "--quiet"])
            .args(options)
            .arg(format!(
                "docker://{}/builds:fm-{code}",
                bed.url.trim_start_matches("https://")
            ))
            .arg(format!("oci:{}:pulled", folder.path().join(to).display()))
            .output()
            .unwrap()
    };
    let certificates = folder.path().to_str().unwrap();
    let pulled = copy("copy", &["--src-cert-dir", certificates]);
    assert!(
        pulled.status.success(),
        "{}",
        String::from_utf8_lossy(&pulled.stderr)
    );
    let blob = folder.path().join(format!("copy/blobs/sha256/{code}"));
    assert_eq!(std::fs::read(blob).unwrap(), CODE);
    assert!(!copy("stranger", &["--src-tls-verify=false"]).status.success());
    let absent = [
        format!("manifests/fm-{}", "0".repeat(64)),
        "manifests/latest".into(),
        "blobs/x".into(),
    ];
    for path in absent {
        assert_eq!(
            refused(client.get_bytes(&format!("/v2/builds/{path}"))).0,
            404,
            "{path}"
        );
    }
}

#[test]
fn one_server_with_a_database_and_a_layout() {
    let bed = Bed::start_on(&Engines {
        grace: Duration::ZERO,
        ..Engines::default()
    });
    who_may_what_is_one(&bed, &bed);
    a_build_lives(&bed, &bed);
    is_pulled_by_skopeo(&bed);
}

#[test]
fn two_servers_over_etcd_and_a_registry_one_member_down() {
    let (mut cluster, registry) = (Cluster::start(), Registry::start());
    let engines = Engines {
        records: Some(cluster.address()),
        blobs: Some(registry.address()),
        grace: Duration::ZERO,
        ..Engines::default()
    };
    let one = Bed::start_on(&engines);
    let two = one.beside(&engines);
    who_may_what_is_one(&one, &two);
    cluster.kill(0);
    a_build_lives(&one, &two);
    is_pulled_by_skopeo(&one);
}

/// Who signs the certificates of engines and of those who ask them.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A certificate for 127.0.0.1, and its key.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        (
            params.signed_by(&key, &self.issuer).unwrap().pem(),
            key.serialize_pem(),
        )
    }

    fn files(&self, name: &str) -> TlsFiles {
        let (certificate, key) = self.sign(name);
        let write = |kind: &str, text: &str| {
            let path = self.folder.path().join(format!("{name}.{kind}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            ca: write("ca", &self.certificate),
            certificate: write("crt", &certificate),
            key: write("key", &key),
        }
    }
}

/// From now on etcd wants a name and a password: `fleet` may do what a server does, and nothing else.
fn want_passwords(cluster: &Cluster, tls: &TlsFiles, password: &str) {
    for words in [
        &["user", "add", &format!("root:{password}")][..],
        &["user", "grant-role", "root", "root"],
        &["user", "add", &format!("fleet:{password}")],
        &["role", "add", "fleet"],
        &[
            "role",
            "grant-permission",
            "fleet",
            "readwrite",
            "/fm/",
            "--prefix",
        ],
        &["user", "grant-role", "fleet", "fleet"],
        &["auth", "enable"],
    ] {
        let done = std::process::Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg("--endpoints")
            .arg(cluster.endpoints().join(","))
            .arg("--cacert")
            .arg(&tls.ca)
            .arg("--cert")
            .arg(&tls.certificate)
            .arg("--key")
            .arg(&tls.key)
            .args(words)
            .output()
            .expect("etcdctl runs; Debian's package is etcd-client");
        // A role `root` comes with the first user of that name, or has to be made, by version.
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{words:?}: {said}");
    }
}

/// `correct horse` as the registry keeps it (`htpasswd -B`).
const HASHED: &str = "fleet:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n";
const PASSWORD: &str = "correct horse";

#[test]
fn two_servers_over_etcd_and_a_registry_that_want_certificates_and_passwords() {
    let authority = Authority::new();
    let cluster = Cluster::start_with(Some(authority.files("etcd")));
    // A certificate's name is that of no user: the password counts.
    let own = authority.files("anybody");
    want_passwords(&cluster, &own, PASSWORD);
    let registry = Registry::start_with(RegistrySetup {
        tls: Some(authority.files("registry")),
        users: Some(HASHED.into()),
        ..RegistrySetup::default()
    });
    let (certificate, key) = authority.sign("server");
    let with = |password: &str| Engines {
        records: Some(cluster.address()),
        blobs: Some(registry.address()),
        grace: Duration::ZERO,
        secrets: vec![
            ("etcd/ca.crt", authority.certificate.clone()),
            ("etcd/client.crt", certificate.clone()),
            ("etcd/client.key", key.clone()),
            ("etcd/user", format!("fleet:{password}\n")),
            ("registry/ca.crt", authority.certificate.clone()),
            ("registry/user", format!("fleet:{password}\n")),
        ],
    };
    let without = |name: &str| {
        let mut engines = with(PASSWORD);
        engines.secrets.retain(|(secret, _)| *secret != name);
        engines
    };
    // etcd is asked at once.
    for engines in [with("wrong"), without("etcd/user"), without("etcd/client.key")] {
        assert!(Bed::try_start_on(&engines).is_err());
    }
    // The registry when there is something to ask it for.
    for lacking in ["registry/user", "registry/ca.crt"] {
        let bed = Bed::start_on(&without(lacking));
        let host = bed.client(&bed.join(Role::Host, lacking.trim_start_matches("registry/")));
        let code = Sha256::of(CODE);
        host.put_bytes(&format!("/api/v1/blobs/{code}"), CODE).unwrap();
        let layers = serde_json::json!([{
            "media_type": "application/vnd.flashmoor.code.v1", "title": "CODE.fd", "digest": code.to_string(),
        }]);
        let wanted = serde_json::json!({ "layers": layers });
        let path = format!("/api/v1/builds/{code}");
        unavailable(host.write::<BuildView>("PUT", &path, &wanted, Precondition::None));
    }
    let one = Bed::start_on(&with(PASSWORD));
    let two = one.beside(&with(PASSWORD));
    who_may_what_is_one(&one, &two);
    a_build_lives(&one, &two);
    is_pulled_by_skopeo(&one);
}

#[test]
fn engines_on_other_machines_are_not_spoken_to_in_the_clear() {
    assert!(
        "oci+http://10.255.255.1/builds"
            .parse::<fm_server::BlobsAt>()
            .is_err()
    );
    let folder = tempfile::tempdir().unwrap();
    let options = fm_server::ServeOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        folder: folder.path().to_owned(),
        records: Some("etcd://10.255.255.1:2379".parse().unwrap()),
        blobs: None,
        pki: None,
        name: "test".into(),
        grace: Duration::ZERO,
        health: fm_server::HealthOptions::default(),
    };
    let refused = fm_server::start(&options, Box::new(|_| {})).unwrap_err();
    assert!(
        matches!(refused, fm_server::Error::EtcdInTheClear { .. }),
        "{refused}"
    );
}
