//! Builds in an OCI layout and in a real registry: stored, read back, deleted, and taken up from older versions.

mod world;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use fm_api::v1::fleet::{BuildState, Digest};
use fm_blobs::{
    Blob, BlobReader, BlobSource, Blobs, Error, FoundManifest, Layout, Reference, Registry, RegistryOptions,
    Result,
};
use fm_fixtures::engines;
use fm_fleet::{Fleet, FleetOptions, PlannerOptions};
use fm_records::{Memory, TestClock};
use tokio::io::AsyncReadExt as _;

use world::{GRACE, Host, code, digest, stored};

struct Place {
    fleet: Fleet,
    clock: Arc<TestClock>,
    blobs: Arc<dyn Blobs>,
}

async fn place(blobs: Arc<dyn Blobs>) -> Place {
    let clock = Arc::new(TestClock::default());
    let records = Arc::new(Memory::new(clock.clone()));
    let fleet = Fleet::open(
        records,
        blobs.clone(),
        Some(clock.clone()),
        FleetOptions::default(),
    )
    .await
    .expect("a fleet");
    Place { fleet, clock, blobs }
}

async fn read(place: &Place, digest: &Digest) -> Option<Vec<u8>> {
    let mut reader = place.fleet.blob(digest).await.expect("asked")?;
    let mut bytes = Vec::new();
    reader.bytes.read_to_end(&mut bytes).await.expect("read");
    assert_eq!(bytes.len() as u64, reader.size_bytes);
    Some(bytes)
}

/// Stores a build, reads it, collects it, and stores it again, as its next generation.
async fn goes_and_comes_back(place: &Place) {
    let (bytes, build) = code(7);
    let view = place.fleet.store(&stored(7), "a test").await.expect("stored");
    assert_eq!((view.state, view.generation), (BuildState::Live, 1));
    assert_eq!(read(place, &build).await, Some(bytes.clone()));
    let first = place.fleet.manifest(&build).await.expect("asked").expect("there");
    let tagged = place
        .blobs
        .manifest(&Reference::Tag(format!("fm-{build}")))
        .await
        .expect("asked");
    assert_eq!(tagged.as_ref(), Some(&first));

    let mut host = Host::new("a");
    host.report(&place.fleet).await;
    let mut planner = place.fleet.planner(
        "p",
        PlannerOptions {
            lease: std::time::Duration::from_secs(1 << 30),
            ..PlannerOptions::default()
        },
    );
    planner.step().await.expect("a step");
    host.acknowledge(&place.fleet).await;
    planner.step().await.expect("a step");
    place.clock.advance(PlannerOptions::default().grace + GRACE);
    assert_eq!(planner.step().await.expect("a step").purged.len(), 1);
    let gone = Reference::Digest(first.digest.clone());
    assert_eq!(place.blobs.manifest(&gone).await.expect("asked"), None);

    let view = place.fleet.store(&stored(7), "a test").await.expect("stored");
    assert_eq!((view.state, view.generation), (BuildState::Live, 2));
    // A deletion that comes late.
    place
        .blobs
        .delete_manifest(&first.digest)
        .await
        .expect("nothing to delete");
    assert_eq!(read(place, &build).await, Some(bytes));
    assert_eq!(
        place.fleet.verify(&build).await.expect("looked").state,
        BuildState::Live
    );
}

#[tokio::test]
async fn a_layout_keeps_builds_that_skopeo_reads_and_gives_back_the_room_of_those_that_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("layout");
    let place = place(Arc::new(Layout::open(&path).expect("a layout"))).await;
    assert!(matches!(Layout::open(&path), Err(Error::InUse { .. })));
    goes_and_comes_back(&place).await;
    let (_, build) = code(7);
    let skopeo = Command::new("skopeo")
        .args(["inspect", "--raw", &format!("oci:{}:fm-{build}", path.display())])
        .output()
        .expect("skopeo runs");
    assert!(
        skopeo.status.success(),
        "{}",
        String::from_utf8_lossy(&skopeo.stderr)
    );
    let manifest = place.fleet.manifest(&build).await.expect("asked").expect("there");
    assert_eq!(digest(skopeo.stdout.trim_ascii_end()), manifest.digest);
    // CODE, the empty config and one manifest.
    let count = std::fs::read_dir(path.join("blobs/sha256"))
        .expect("blobs")
        .count();
    assert_eq!(count, 3);
}

#[tokio::test]
async fn what_is_not_what_its_digest_says_is_refused_and_so_is_a_manifest_of_what_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let layout = Layout::open(&folder.path().join("layout")).expect("a layout");
    let (bytes, build) = code(1);
    let blob = Blob {
        digest: code(2).1,
        size_bytes: bytes.len() as u64,
        source: BlobSource::Bytes(bytes.into()),
    };
    assert!(matches!(layout.put_blob(&blob).await, Err(Error::Corrupt { .. })));
    assert!(!layout.has_blob(&blob.digest).await.expect("asked"));
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"sha256:{build}","size":64}},"layers":[]}}"#
    );
    let refused = layout.put_manifest("t", manifest.as_bytes()).await;
    assert!(matches!(refused, Err(Error::ManifestRefused { .. })));
}

#[tokio::test]
async fn a_build_under_the_tag_of_older_versions_is_taken_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("layout");
    let (_, build) = code(7);
    {
        let place = place(Arc::new(Layout::open(&path).expect("a layout"))).await;
        place.fleet.store(&stored(7), "a test").await.expect("stored");
    }
    let index = std::fs::read_to_string(path.join("index.json")).expect("an index");
    let old = index.replace(&format!("fm-{build}"), &format!("sha256-{build}"));
    assert_ne!(index, old);
    std::fs::write(path.join("index.json"), old).expect("written");
    let place = place(Arc::new(Layout::open(&path).expect("a layout"))).await;
    assert!(place.fleet.adopt(&build, "a test").await.expect("asked"));
    assert_eq!(
        place.fleet.build(&build).await.expect("known").state,
        BuildState::Live
    );
    assert!(read(&place, &build).await.is_some());
    assert!(!place.fleet.adopt(&code(8).1, "a test").await.expect("asked"));
}

#[tokio::test]
async fn a_build_that_the_store_has_lost_is_asked_for_again_when_somebody_wants_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = place(Arc::new(
        Layout::open(&folder.path().join("layout")).expect("a layout"),
    ))
    .await;
    let (bytes, build) = code(7);
    place.fleet.store(&stored(7), "a test").await.expect("stored");
    let mut host = Host::new("a");
    host.runs("g", &build);
    host.report(&place.fleet).await;
    let manifest = place.fleet.manifest(&build).await.expect("asked").expect("there");
    place
        .blobs
        .delete_manifest(&manifest.digest)
        .await
        .expect("deleted");
    assert_eq!(place.fleet.manifest(&build).await.expect("asked"), None);
    assert_eq!(
        place.fleet.build(&build).await.expect("known").state,
        BuildState::Missing
    );
    let answer = place
        .fleet
        .sign_of_life(&"a".parse().expect("a host"))
        .await
        .expect("heard");
    assert_eq!(answer.upload, std::slice::from_ref(&build));
    place.fleet.store(&stored(7), "host a").await.expect("stored");
    assert_eq!(read(&place, &build).await, Some(bytes));
    assert!(place.fleet.manifest(&build).await.expect("asked").is_some());
}

fn client(registry: &engines::Registry) -> Registry {
    Registry::new(&RegistryOptions::parse(&registry.address()).expect("an address")).expect("a client")
}

#[tokio::test]
async fn a_registry_keeps_builds_that_skopeo_reads() {
    let distribution = engines::Registry::start();
    let place = place(Arc::new(client(&distribution))).await;
    goes_and_comes_back(&place).await;
    let (_, build) = code(7);
    let address = format!("docker://{}:fm-{build}", distribution.image());
    let skopeo = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false", &address])
        .output()
        .expect("skopeo runs");
    assert!(
        skopeo.status.success(),
        "{}",
        String::from_utf8_lossy(&skopeo.stderr)
    );
    let manifest = place.fleet.manifest(&build).await.expect("asked").expect("there");
    assert_eq!(digest(skopeo.stdout.trim_ascii_end()), manifest.digest);
    assert!(read(&place, &code(9).1).await.is_none());
}

/// A registry whose own collector runs at the worst moment: after the blobs, before the manifest.
struct Collected {
    registry: Registry,
    distribution: engines::Registry,
    times: AtomicUsize,
    refused: AtomicUsize,
}

#[async_trait]
impl Blobs for Collected {
    async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        self.registry.has_blob(digest).await
    }

    async fn put_blob(&self, blob: &Blob) -> Result<()> {
        self.registry.put_blob(blob).await
    }

    async fn read_blob(&self, digest: &Digest) -> Result<Option<BlobReader>> {
        self.registry.read_blob(digest).await
    }

    async fn manifest(&self, reference: &Reference) -> Result<Option<FoundManifest>> {
        self.registry.manifest(reference).await
    }

    async fn put_manifest(&self, tag: &str, manifest: &[u8]) -> Result<Digest> {
        if self.times.fetch_add(1, Ordering::SeqCst) < 2 {
            self.distribution.collect();
        }
        let done = self.registry.put_manifest(tag, manifest).await;
        if matches!(done, Err(Error::ManifestRefused { .. })) {
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
        done
    }

    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        self.registry.delete_manifest(digest).await
    }
}

#[tokio::test]
async fn a_build_that_the_own_collector_of_the_registry_takes_from_below_ends_live() {
    let distribution = engines::Registry::start();
    let collected = Arc::new(Collected {
        registry: client(&distribution),
        distribution,
        times: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
    });
    // The collector fails on a registry that never held anything.
    let pushed = code(3);
    let first = Blob {
        digest: pushed.1.clone(),
        size_bytes: 64,
        source: BlobSource::Bytes(pushed.0.into()),
    };
    collected.registry.put_blob(&first).await.expect("pushed");
    let place = place(collected.clone()).await;
    let (bytes, build) = code(7);
    let view = place.fleet.store(&stored(7), "a test").await.expect("stored");
    assert_eq!(view.state, BuildState::Live);
    assert!(
        collected.refused.load(Ordering::SeqCst) > 0,
        "the collector took nothing"
    );
    assert_eq!(read(&place, &build).await, Some(bytes));
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_an_error_and_not_an_absence() {
    let options = RegistryOptions::parse("oci+http://127.0.0.1:1/a").expect("an address");
    let registry = Registry::new(&options).expect("a client");
    assert!(matches!(
        registry.has_blob(&code(1).1).await,
        Err(Error::Unreachable { .. })
    ));
    let absent = Reference::Tag("t".into());
    assert!(matches!(
        registry.manifest(&absent).await,
        Err(Error::Unreachable { .. })
    ));
}
