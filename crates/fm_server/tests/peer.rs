//! Hosts give builds to each other, over TLS, and to nobody else.

mod bed;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fm_api::v1::enrolment::Role;
use fm_api::v1::fleet::Digest;
use fm_client::{Client, Error, Identity};
use fm_formats::Sha256;
use fm_server::{PeerBuilds, PeerOptions, Serving, serve_peers};

use bed::{Bed, refused};

const LONG: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Shelf {
    manifests: BTreeMap<Digest, Vec<u8>>,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

impl PeerBuilds for Shelf {
    fn manifest(&self, build: &Digest) -> Result<Option<Vec<u8>>, String> {
        Ok(self.manifests.get(build).cloned())
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        Ok(self.blobs.get(digest).cloned())
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Sha256::of(bytes).to_string().parse().unwrap()
}

/// A host that gives one build.
struct Giver {
    serving: Option<Serving>,
    identity: PathBuf,
    _folder: tempfile::TempDir,
}

impl Giver {
    fn start(identity: Option<&Identity>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet");
        if let Some(identity) = identity {
            identity.save(&path).unwrap();
        }
        let mut shelf = Shelf::default();
        shelf.manifests.insert(digest(b"code"), b"{}".to_vec());
        shelf.blobs.insert(digest(b"code"), b"code".to_vec());
        let serving = serve_peers(
            PeerOptions {
                listen: "127.0.0.1:0".parse().unwrap(),
                identity: path.clone(),
                builds: Arc::new(shelf),
            },
            Box::new(|_| {}),
        )
        .unwrap();
        Self {
            serving: Some(serving),
            identity: path,
            _folder: folder,
        }
    }

    fn address(&self) -> String {
        self.serving.as_ref().unwrap().address.to_string()
    }

    fn as_seen_by(&self, identity: &Identity) -> Client {
        Client::of_peer(identity, &self.address(), LONG).unwrap()
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.stop();
        }
    }
}

fn blob() -> String {
    format!("/v2/builds/blobs/sha256:{}", digest(b"code"))
}

#[test]
fn a_host_gives_its_builds_to_hosts_of_its_fleet_and_to_nobody_else() {
    let bed = Bed::start();
    let (a, b) = (bed.join(Role::Host, "a"), bed.join(Role::Host, "b"));
    let giver = Giver::start(Some(&a));
    let client = giver.as_seen_by(&b);
    let manifest = format!("/v2/builds/manifests/fm-{}", digest(b"code"));
    assert_eq!(client.get_bytes(&manifest).unwrap(), b"{}");
    assert_eq!(client.get_bytes(&blob()).unwrap(), b"code");
    let another = format!("/v2/builds/blobs/sha256:{}", digest(b"another"));
    for lacking in [
        &*another,
        "/v2/builds/blobs/sha256:x",
        "/v2/builds/blobs/..%2findex.json",
        "/api/v1/hosts",
    ] {
        assert_eq!(refused(client.get_bytes(lacking)).0, 404, "{lacking}");
    }
    assert_eq!(refused(client.put_bytes(&blob(), b"code").map(|()| 0)).0, 405);

    let administrator = giver.as_seen_by(&bed.administrator());
    assert_eq!(refused(administrator.get_bytes(&blob())).0, 403);
    let other_fleet = Bed::start();
    let stranger = other_fleet.join(Role::Host, "b");
    assert!(matches!(
        giver.as_seen_by(&stranger).get_bytes(&blob()),
        Err(Error::NoAnswer { .. })
    ));
    let trusting = Identity {
        ca: a.ca.clone(),
        ..stranger
    };
    assert!(matches!(
        giver.as_seen_by(&trusting).get_bytes(&blob()),
        Err(Error::NoAnswer { .. })
    ));
}

#[test]
fn a_host_is_no_server_of_the_fleet_and_a_server_is_no_host() {
    let bed = Bed::start();
    let (a, b) = (bed.join(Role::Host, "a"), bed.join(Role::Host, "b"));
    let giver = Giver::start(Some(&a));
    let mut misled = b.clone();
    misled.urls = vec![format!("https://{}", giver.address())];
    let answered = Client::new(&misled, LONG).unwrap().get_bytes(&blob());
    assert!(matches!(answered, Err(Error::NoAnswer { .. })), "{answered:?}");
    let server = bed.url.trim_start_matches("https://");
    let answered = Client::of_peer(&b, server, LONG).unwrap().get_bytes("/v2/");
    assert!(matches!(answered, Err(Error::NoAnswer { .. })), "{answered:?}");
}

#[test]
fn who_has_not_joined_answers_nobody_and_answers_once_he_has() {
    let bed = Bed::start();
    let (a, b) = (bed.join(Role::Host, "a"), bed.join(Role::Host, "b"));
    let giver = Giver::start(None);
    let hasty = Client::of_peer(&b, &giver.address(), Duration::from_millis(50)).unwrap();
    assert!(matches!(hasty.get_bytes(&blob()), Err(Error::NoAnswer { .. })));
    a.save(&giver.identity).unwrap();
    // Its connection waits until the identity is found.
    assert_eq!(giver.as_seen_by(&b).get_bytes(&blob()).unwrap(), b"code");
}
