//! A fleet of a given size in a server's folder, as it is some months after it was made.
#![allow(dead_code, reason = "a test and an example use a part each")]

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fm_api::v1::fleet::{
    BuildFacts, Certificates, Digest, GuestFacts, GuestRow, GuestState, HeldBuild, HostReport, Rest,
    StoredPin, Use, UseReason,
};
use fm_api::v1::rollout::RolloutSpec;
use fm_blobs::{Blob, BlobSource, Layout};
use fm_fleet::{Fleet, FleetOptions, Layer, PlannerOptions, StoredBuild};
use fm_formats::Sha256;
use fm_records::{Sqlite, SqliteOptions};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Name, version and layout of each build; the guests of a host run one of the first six.
const BUILDS: [(&str, &str, &str); 8] = [
    ("ovmf", "2022.11-6", "2M"),
    ("ovmf", "2024.11-5", "4M"),
    ("ovmf", "2025.02-8", "4M"),
    ("edk2-ovmf", "20240524-6.el9", "4M"),
    ("edk2-aarch64", "20240524-6.el9", "armvirt"),
    ("ovmf", "2025.02-8 secboot", "4M"),
    ("ovmf", "2023.05-1", "4M"),
    ("ovmf", "2021.08-3", "2M"),
];
const DAY: Duration = Duration::from_secs(24 * 3600);
/// So many hosts report at the same time.
const AT_ONCE: usize = 32;

/// Every build's bytes and its digest.
fn codes() -> &'static [(Vec<u8>, Digest)] {
    static CODES: OnceLock<Vec<(Vec<u8>, Digest)>> = OnceLock::new();
    CODES.get_or_init(|| {
        let one = |(name, version, _): &(&str, &str, &str)| {
            let mut bytes = format!("{name} {version}").into_bytes();
            // As large as a real one.
            bytes.resize(3_653_632, 0xff);
            let digest = Sha256::of(&bytes).to_string().parse().expect("a digest");
            (bytes, digest)
        };
        BUILDS.iter().map(one).collect()
    })
}

/// A build's digest.
pub(crate) fn build(number: usize) -> Digest {
    codes()[number].1.clone()
}

/// The name of a host.
pub(crate) fn host_name(number: usize) -> String {
    format!("rack{:02}-node{:03}", number / 40, number % 40)
}

/// What judging needs to know of a guest of a build.
fn facts(which: usize) -> GuestFacts {
    GuestFacts {
        vars_size_bytes: Some(if BUILDS[which].2 == "2M" {
            0x2_0000
        } else {
            0x8_4000
        }),
        vars_used_bytes: Some(0x1000),
        vars_largest_bytes: Some(0x400),
        vars_sound: Some(true),
        vars_authenticated: Some(true),
        vars_keys: Some(which == 5),
        vars_kept: Some(true),
        smm: Some(true),
        secure_flash: Some(false),
        s3: Some(false),
        tpm: Some(which == 5),
        confidential: Some("none".into()),
        adopted: Some(true),
        owner: None,
        rest: Rest::new(),
    }
}

/// What a host says.
pub(crate) fn report(number: usize, guest_count: usize, sequence: u64) -> HostReport {
    let host = host_name(number);
    let row = |at: usize| {
        let which = (number + at * at) % 6;
        let drifts = which == 1 && (number + at).is_multiple_of(5);
        let old = (number + at).is_multiple_of(3);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let known: Vec<String> = words(if old { &["2011"] } else { &["2011", "2023"] });
        GuestRow {
            uuid: format!("{number:08x}-{at:04x}-4f1b-8a11-{:012x}", number * 65_536 + at),
            name: Some(format!(
                "{}-{number:02}-{at}",
                ["web", "db", "build", "mail", "cache"][at % 5]
            )),
            build: Some(build(which)),
            next_build: drifts.then(|| build(2)),
            next_reset: None,
            layout: Some(BUILDS[which].2.into()),
            vars_free_bytes: Some(212_000 - (at as u64 * 977) % 90_000),
            secure_boot: Some(which == 5),
            certificates: Some(Certificates {
                pk: words(if which == 3 { &["broken"] } else { &["own"] }),
                kek: known.clone(),
                db: known,
                ..Certificates::default()
            }),
            machine: Some(if which == 4 { "virt-9.2" } else { "pc-q35-9.2" }.into()),
            qemu: Some("9.2.4".into()),
            facts: Some(facts(which)),
            state: match at % 9 {
                7 => GuestState::Off,
                8 => GuestState::Saved,
                _ => GuestState::Running,
            },
            rest: Rest::new(),
        }
    };
    let rows: Vec<GuestRow> = (0..guest_count).map(row).collect();
    let one = |row: &GuestRow, build: &Option<Digest>, reason| {
        build.clone().map(|build| Use {
            build,
            reason,
            guest: Some(row.uuid.clone()),
        })
    };
    let uses = rows.iter().flat_map(|row| {
        let runs = if row.state == GuestState::Saved {
            UseReason::Saved
        } else {
            UseReason::Runs
        };
        [
            one(row, &row.build, runs),
            one(row, &row.next_build, UseReason::NextBoot),
        ]
    });
    HostReport {
        schema: fm_api::Schema::default(),
        host: host.parse().expect("a host's id"),
        instance: format!("instance-{number}"),
        boot_id: "4c5d1b7a-9c1b-4f0e-8f6e-2f1d1c0b9a88".into(),
        sequence,
        recorded: None,
        acknowledged: None,
        name: Some(format!("{host}.example")),
        agent_version: "0.1.0".into(),
        uses: uses.flatten().collect(),
        builds: (0..6)
            .map(|number| HeldBuild {
                build: build(number),
                size_bytes: 3_653_632,
                name: Some(BUILDS[number].0.into()),
                version: Some(BUILDS[number].1.into()),
                rest: Rest::new(),
            })
            .collect(),
        labels: Default::default(),
        rollouts: Vec::new(),
        guests: rows,
        landings: Vec::new(),
        pins: Vec::new(),
        rest: Rest::new(),
    }
}

/// Fills the records and builds below a server's folder. Every tenth host is silent from the beginning; the last build
/// is condemned, and the one before it pinned.
pub(crate) async fn fill(folder: &Path, hosts: usize, guests: usize) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)?;
    let open = async |alive| {
        let records = Arc::new(Sqlite::open(
            &folder.join("records.sqlite"),
            SqliteOptions::default(),
        )?);
        let blobs = Arc::new(Layout::open(&folder.join("builds"))?);
        let options = FleetOptions {
            alive,
            ..FleetOptions::default()
        };
        Fleet::open(records, blobs, None, options).await
    };
    // Signs of life that have run out when somebody looks.
    for (is_silent, alive) in [(true, Duration::from_millis(1)), (false, DAY)] {
        let fleet = open(alive).await?;
        if is_silent {
            for number in 0..BUILDS.len() {
                store(&fleet, number).await?;
            }
        }
        let mut tasks = tokio::task::JoinSet::new();
        for first in 0..AT_ONCE {
            let fleet = fleet.clone();
            tasks.spawn(async move {
                for number in (first..hosts).step_by(AT_ONCE) {
                    if (number % 10 == 9) == is_silent {
                        fleet.report(&report(number, guests.saturating_sub(1), 1)).await?;
                        fleet.report(&report(number, guests, 2)).await?;
                    }
                }
                Ok::<(), Failure>(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        if !is_silent {
            let pin = StoredPin {
                name: "audit-2026".into(),
                reason: "kept until the audit is over".into(),
                by: "olga".into(),
            };
            fleet.pin(&build(6), &pin, None).await?;
            fleet.condemn(&build(7), "olga", None).await?;
            let spec = RolloutSpec::new(vec![build(5)], "layout=4M and not name~db");
            fleet.begin_rollout(&spec, "olga").await?;
            let mut planner = fleet.planner("fill", PlannerOptions::default());
            planner.step().await?;
            planner.resign().await?;
        }
    }
    Ok(())
}

async fn store(fleet: &Fleet, number: usize) -> Result<(), Failure> {
    let (bytes, build) = codes()[number].clone();
    let stored = StoredBuild {
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
        name: Some(BUILDS[number].0.into()),
        version: Some(BUILDS[number].1.into()),
        source: None,
        facts: Some(BuildFacts {
            arch: Some("x86-64".into()),
            early_arch: Some("x86-64".into()),
            layout: Some(BUILDS[number].2.into()),
            features: Some(Vec::new()),
            is_whole: Some(true),
            finishes_reclaim: Some(true),
            is_recent: Some(true),
            checks_list: Some(true),
        }),
    };
    fleet.store(&stored, "rita").await?;
    Ok(())
}
