//! A small fleet on a clock that is turned by hand: hosts that report what they need, a store of builds in memory.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fm_api::v1::fleet::{
    Digest, GuestRow, GuestState, HostId, HostReport, Mark, Recorded, ReportAnswer, Use, UseReason,
};
use fm_blobs::{Blob, BlobReader, BlobSource, Blobs, Error, FoundManifest, Reference, Result};
use fm_fleet::{Fleet, FleetOptions, Layer, Planner, PlannerOptions, StoredBuild};
use fm_formats::Sha256;
use fm_records::{Clock, Memory, Records, TestClock};

pub(crate) const GRACE: Duration = Duration::from_secs(3600);

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Sha256::of(bytes).to_string().parse().expect("a digest")
}

/// The bytes of build number `n`, and its digest.
pub(crate) fn code(number: u8) -> (Vec<u8>, Digest) {
    let bytes = vec![number; 64];
    let digest = digest(&bytes);
    (bytes, digest)
}

/// Build number `n` as it is stored.
pub(crate) fn stored(number: u8) -> StoredBuild {
    let (bytes, build) = code(number);
    StoredBuild {
        build: build.clone(),
        layers: vec![Layer {
            media_type: "application/vnd.flashmoor.code.v1".into(),
            title: "CODE.fd".into(),
            blob: Blob {
                digest: build,
                size_bytes: bytes.len() as u64,
                source: BlobSource::Bytes(bytes.into()),
            },
        }],
        name: Some("ovmf".into()),
        version: None,
        source: None,
        facts: None,
    }
}

/// Manifests and blobs in memory.
#[derive(Default)]
pub(crate) struct Shelf {
    pub manifests: Mutex<BTreeMap<Digest, Vec<u8>>>,
    pub tags: Mutex<BTreeMap<String, Digest>>,
    pub blobs: Mutex<BTreeSet<Digest>>,
    /// So many manifests are refused, and every blob lost with each: a collector that runs in between.
    pub refusals: Mutex<u32>,
}

#[async_trait]
impl Blobs for Shelf {
    async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        Ok(self.blobs.lock().unwrap().contains(digest))
    }

    async fn put_blob(&self, blob: &Blob) -> Result<()> {
        self.blobs.lock().unwrap().insert(blob.digest.clone());
        Ok(())
    }

    async fn read_blob(&self, _: &Digest) -> Result<Option<BlobReader>> {
        Ok(None)
    }

    async fn manifest(&self, reference: &Reference) -> Result<Option<FoundManifest>> {
        let digest = match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(tag) => self.tags.lock().unwrap().get(tag).cloned(),
        };
        let manifests = self.manifests.lock().unwrap();
        Ok(digest.and_then(|digest| {
            let bytes = manifests.get(&digest)?.clone();
            Some(FoundManifest { digest, bytes })
        }))
    }

    async fn put_manifest(&self, tag: &str, manifest: &[u8]) -> Result<Digest> {
        let own = digest(manifest);
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            self.blobs.lock().unwrap().clear();
            return Err(Error::ManifestRefused {
                digest: own,
                why: "blob unknown".into(),
            });
        }
        self.manifests
            .lock()
            .unwrap()
            .insert(own.clone(), manifest.to_vec());
        self.tags.lock().unwrap().insert(tag.into(), own.clone());
        Ok(own)
    }

    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        self.manifests.lock().unwrap().remove(digest);
        self.tags.lock().unwrap().retain(|_, named| named != digest);
        Ok(())
    }
}

/// The clock of a machine that somebody set wrong: days ahead, or behind if negative. Its durations began elsewhere as
/// well, and pass as they should.
struct ClockOff {
    true_clock: Arc<TestClock>,
    days: i64,
}

const DAY_S: u64 = 24 * 3600;

impl Clock for ClockOff {
    fn monotonic(&self) -> Duration {
        let began = Duration::from_secs(self.days.unsigned_abs() * DAY_S);
        self.true_clock.monotonic() + began
    }

    fn display(&self) -> String {
        // Ten years behind 1970, so that there is room for less.
        let shown_d = (3650 + self.days).unsigned_abs();
        let shown = TestClock::default();
        shown.advance(self.true_clock.monotonic() + Duration::from_secs(shown_d * DAY_S));
        shown.display()
    }
}

/// A planner of one server.
pub(crate) fn planner_of(fleet: &Fleet, name: &str) -> Planner {
    let options = PlannerOptions {
        grace: GRACE,
        // So that only the tests that mean it see one run out.
        lease: Duration::from_secs(1 << 30),
        ..PlannerOptions::default()
    };
    fleet.planner(name, options)
}

/// Records, builds and time of one fleet.
pub(crate) struct World {
    pub fleet: Fleet,
    pub clock: Arc<TestClock>,
    pub shelf: Arc<Shelf>,
}

impl World {
    pub(crate) async fn in_memory() -> Self {
        let clock = Arc::new(TestClock::default());
        let records = Arc::new(Memory::new(clock.clone()));
        Self::on(records, clock, Arc::default()).await
    }

    pub(crate) async fn on(records: Arc<dyn Records>, clock: Arc<TestClock>, shelf: Arc<Shelf>) -> Self {
        Self::with(records, clock, shelf, FleetOptions::default()).await
    }

    pub(crate) async fn with(
        records: Arc<dyn Records>,
        clock: Arc<TestClock>,
        shelf: Arc<Shelf>,
        options: FleetOptions,
    ) -> Self {
        let fleet = Fleet::open(records, shelf.clone(), Some(clock.clone()), options)
            .await
            .expect("a fleet");
        Self { fleet, clock, shelf }
    }

    pub(crate) fn planner(&self, name: &str) -> Planner {
        planner_of(&self.fleet, name)
    }

    /// Another server on the same records and builds, whose clocks are `days` off.
    pub(crate) async fn beside(&self, days: i64) -> Fleet {
        let clock = ClockOff {
            true_clock: self.clock.clone(),
            days,
        };
        Fleet::open(
            self.fleet.records().clone(),
            self.shelf.clone(),
            Some(Arc::new(clock)),
            FleetOptions::default(),
        )
        .await
        .expect("a fleet")
    }

    pub(crate) async fn store(&self, number: u8) -> Digest {
        self.fleet.store(&stored(number), "a test").await.expect("stored");
        code(number).1
    }
}

/// A host: what it runs is its own business until it reports.
pub(crate) struct Host {
    pub id: HostId,
    pub instance: String,
    pub sequence: u64,
    pub recorded: Option<Recorded>,
    /// What it was last asked to acknowledge.
    pub asked: Option<Mark>,
    /// Its guests, each with its build and why it is needed.
    pub guests: BTreeMap<String, (Digest, UseReason)>,
}

impl Host {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            id: name.parse().expect("a host's id"),
            instance: format!("{name}-1"),
            sequence: 0,
            recorded: None,
            asked: None,
            guests: BTreeMap::new(),
        }
    }

    pub(crate) fn runs(&mut self, guest: &str, build: &Digest) {
        self.guests.insert(guest.into(), (build.clone(), UseReason::Runs));
    }

    /// What it would report now; `mark` is what a full scan that begins now answers to.
    pub(crate) fn look(&mut self, mark: Option<Mark>) -> HostReport {
        self.sequence += 1;
        let guests = self.guests.iter().map(|(uuid, (build, reason))| GuestRow {
            uuid: uuid.clone(),
            name: Some(format!("name of {uuid}")),
            build: Some(build.clone()),
            next_build: None,
            next_reset: None,
            layout: Some("4M".into()),
            vars_free_bytes: None,
            secure_boot: Some(false),
            certificates: None,
            machine: None,
            qemu: None,
            facts: None,
            state: match reason {
                UseReason::Departing => GuestState::Departing,
                UseReason::Landing => GuestState::Arriving,
                _ => GuestState::Running,
            },
            rest: Default::default(),
        });
        HostReport {
            schema: fm_api::Schema::default(),
            host: self.id.clone(),
            instance: self.instance.clone(),
            boot_id: "boot-1".into(),
            sequence: self.sequence,
            recorded: self.recorded.clone(),
            acknowledged: mark,
            name: None,
            agent_version: "0.1.0".into(),
            labels: Default::default(),
            rollouts: Vec::new(),
            guests: guests.collect(),
            builds: Vec::new(),
            landings: Vec::new(),
            pins: Vec::new(),
            uses: self
                .guests
                .iter()
                .map(|(guest, (build, reason))| Use {
                    build: build.clone(),
                    reason: *reason,
                    guest: Some(guest.clone()),
                })
                .collect(),
            rest: Default::default(),
        }
    }

    pub(crate) fn hear(&mut self, answer: &ReportAnswer) {
        self.recorded.clone_from(&answer.recorded);
        self.asked.clone_from(&answer.scan);
        for guest in &answer.arrived {
            self.guests.remove(guest);
        }
    }

    /// Looks, reports and hears the answer, acknowledging what it was asked for.
    pub(crate) async fn report(&mut self, fleet: &Fleet) -> ReportAnswer {
        let mark = self.asked.take();
        let report = self.look(mark);
        let answer = fleet.report(&report).await.expect("taken");
        self.hear(&answer);
        answer
    }

    /// Hears what it is asked, and answers to that.
    pub(crate) async fn acknowledge(&mut self, fleet: &Fleet) {
        let answer = fleet.sign_of_life(&self.id).await.expect("answered");
        self.hear(&answer);
        self.report(fleet).await;
    }
}
