//! Load on the records: so many hosts with so many guests each, on SQLite; prints what each thing took.
//!
//! `cargo run --release -p fm_fleet --example fleet_load -- [HOSTS [GUESTS_PER_HOST]]`
#![allow(clippy::print_stdout, reason = "it is a program that prints figures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use fm_api::v1::fleet::{
    Certificates, Digest, GuestRow, GuestState, HeldBuild, HostReport, PageRequest, Use, UseReason,
};
use fm_blobs::{Blob, BlobSource, Layout};
use fm_fleet::{
    BuildFilter, Fleet, FleetOptions, GuestFilter, HostFilter, Layer, PlannerOptions, StoredBuild,
};
use fm_formats::Sha256;
use fm_records::{Sqlite, SqliteOptions};

/// Builds of the fleet; the last one is nobody's.
const BUILDS: u32 = 20;
const PER_HOST: u32 = 4;
const CHANGES_PER_SECOND: u64 = 100;
const CHANGE_SECONDS: u64 = 20;
/// So many hosts report at the same time while the fleet is loaded.
const AT_ONCE: u32 = 64;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn code(number: u32) -> Result<(Vec<u8>, Digest), Failure> {
    let bytes = format!("build {number}").into_bytes();
    let digest = Sha256::of(&bytes).to_string().parse()?;
    Ok((bytes, digest))
}

/// What host number `host` says, with one guest other than the time before for each `turn`.
fn report(host: u32, guests: u32, turn: u64, builds: &[Digest]) -> Result<HostReport, Failure> {
    let build = |at: u64| {
        let at = (u64::from(host) * u64::from(PER_HOST) + at % u64::from(PER_HOST)) % (builds.len() as u64);
        builds[at as usize].clone()
    };
    let row = |guest: u32| GuestRow {
        uuid: format!("{host:08x}-{guest:04x}-4000-8000-{:012x}", host ^ guest),
        name: Some(format!("guest-{host}-{guest}")),
        build: Some(build(
            u64::from(guest)
                + if u64::from(guest) == turn % u64::from(guests) {
                    turn
                } else {
                    0
                },
        )),
        next_build: None,
        next_reset: None,
        layout: Some("4M".into()),
        vars_free_bytes: Some(200_000 + u64::from(guest)),
        secure_boot: Some(guest.is_multiple_of(2)),
        certificates: Some(Certificates {
            pk: vec!["2011".into()],
            kek: vec!["2011".into(), "2023".into()],
            db: vec!["2011".into(), "2023".into()],
            ..Certificates::default()
        }),
        machine: Some("pc-q35-9.2".into()),
        qemu: Some("9.2.0".into()),
        facts: None,
        state: GuestState::Running,
        rest: Default::default(),
    };
    let rows: Vec<GuestRow> = (0..guests).map(row).collect();
    let uses = rows.iter().filter_map(|row| {
        Some(Use {
            build: row.build.clone()?,
            reason: UseReason::Runs,
            guest: Some(row.uuid.clone()),
        })
    });
    Ok(HostReport {
        schema: fm_api::Schema::default(),
        host: format!("host-{host:05}").parse()?,
        instance: format!("instance-{host}"),
        boot_id: "4c5d1b7a-9c1b-4f0e-8f6e-2f1d1c0b9a88".into(),
        sequence: turn + 1,
        recorded: None,
        acknowledged: None,
        name: Some(format!("host {host}")),
        agent_version: "0.1.0".into(),
        uses: uses.collect(),
        builds: (0..u64::from(PER_HOST))
            .map(|at| HeldBuild {
                build: build(at),
                size_bytes: 3_653_632,
                name: Some("ovmf".into()),
                version: None,
                rest: Default::default(),
            })
            .collect(),
        labels: Default::default(),
        rollouts: Vec::new(),
        guests: rows,
        landings: Vec::new(),
        pins: Vec::new(),
        rest: Default::default(),
    })
}

fn shown(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    println!(
        "{what}: {} times, median {:.1?}, p99 {:.1?}, worst {:.1?}",
        times.len(),
        at(50).copied().unwrap_or_default(),
        at(99).copied().unwrap_or_default(),
        times.last().copied().unwrap_or_default(),
    );
}

fn memory(moment: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    let text: Vec<String> = lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    println!("memory {moment}: {}", text.join(", "));
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let hosts = numbers.next().transpose()?.unwrap_or(10_000);
    let guests = numbers.next().transpose()?.unwrap_or(100);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("records");
    let records = Arc::new(Sqlite::open(&path, SqliteOptions::default())?);
    let layout = Arc::new(Layout::open(&folder.path().join("layout"))?);
    let fleet = Fleet::open(records, layout, None, FleetOptions::default()).await?;
    let mut builds = Vec::new();
    for number in 0..=BUILDS {
        let (bytes, build) = code(number)?;
        let stored = StoredBuild {
            build: build.clone(),
            layers: vec![Layer {
                media_type: "application/vnd.flashmoor.code.v1".into(),
                title: "CODE.fd".into(),
                blob: Blob {
                    digest: build.clone(),
                    size_bytes: bytes.len() as u64,
                    source: BlobSource::Bytes(bytes.into()),
                },
            }],
            name: None,
            version: None,
            source: None,
            facts: None,
        };
        fleet.store(&stored, "load").await?;
        builds.push(build);
    }
    let unused = builds.pop().ok_or("no builds")?;
    let builds: Arc<[Digest]> = builds.into();

    let size = serde_json::to_vec(&report(0, guests, 0, &builds)?)?.len();
    println!("{hosts} hosts with {guests} guests each; a report has {size} bytes");
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for first in 0..AT_ONCE {
        let (fleet, builds) = (fleet.clone(), builds.clone());
        tasks.spawn(async move {
            for host in (first..hosts).step_by(AT_ONCE as usize) {
                fleet.report(&report(host, guests, 0, &builds)?).await?;
            }
            Ok::<(), Failure>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let took = begun.elapsed();
    println!(
        "first load: {took:.1?}, {:.0} hosts/s",
        f64::from(hosts) / took.as_secs_f64()
    );
    memory("after the first load");

    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / CHANGES_PER_SECOND));
    let mut tasks = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for turn in 1..=CHANGES_PER_SECOND * CHANGE_SECONDS {
        ticks.tick().await;
        let (fleet, builds) = (fleet.clone(), builds.clone());
        let host = u32::try_from(turn * 7919 % u64::from(hosts))?;
        tasks.spawn(async move {
            let report = report(host, guests, turn, &builds)?;
            let begun = Instant::now();
            fleet.report(&report).await?;
            Ok::<Duration, Failure>(begun.elapsed())
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.push(done??);
    }
    println!("{} changes in {:.1?}", times.len(), begun.elapsed());
    shown("a host's change", times);

    let filter = GuestFilter {
        build: Some(builds[3].clone()),
        ..GuestFilter::default()
    };
    let mut page = PageRequest::default();
    let (mut times, mut count) = (Vec::new(), 0);
    for _ in 0..50 {
        let begun = Instant::now();
        let found = fleet.guests(&filter, &page).await?;
        times.push(begun.elapsed());
        count += found.items.len();
        page.cursor = found.next;
        if page.cursor.is_none() {
            break;
        }
    }
    shown(&format!("a page of guests by build ({count} guests)"), times);
    let begun = Instant::now();
    let found = fleet
        .hosts(&HostFilter::default(), &PageRequest::default())
        .await?;
    println!("a page of hosts ({}): {:.1?}", found.items.len(), begun.elapsed());
    let begun = Instant::now();
    let found = fleet
        .builds(&BuildFilter::default(), &PageRequest::default())
        .await?;
    println!(
        "a page of builds ({}): {:.1?}",
        found.items.len(),
        begun.elapsed()
    );
    let begun = Instant::now();
    let why = fleet.why(&builds[3]).await?;
    println!(
        "why a build stays ({} needs): {:.1?}",
        why.need_count,
        begun.elapsed()
    );
    let uuid = report(hosts / 2, guests, 0, &builds)?.guests[0].uuid.clone();
    for moment in ["first, which reads every guest", "again"] {
        let filter = GuestFilter {
            uuid: Some(uuid.clone()),
            ..GuestFilter::default()
        };
        let begun = Instant::now();
        let found = fleet.guests(&filter, &PageRequest::default()).await?;
        println!(
            "one guest by uuid, {moment} ({}): {:.1?}",
            found.items.len(),
            begun.elapsed()
        );
    }

    let mut planner = fleet.planner("load", PlannerOptions::default());
    for moment in [
        "elects and condemns",
        "hears every host, every use read at one revision",
    ] {
        let begun = Instant::now();
        let step = planner.step().await?;
        println!(
            "a step of the planner that {moment} ({} awaited): {:.1?}",
            step.awaited_count,
            begun.elapsed()
        );
    }
    let begun = Instant::now();
    let why = fleet.why(&unused).await?;
    println!(
        "why the unused one stays ({} obstacles): {:.1?}",
        why.obstacle_count,
        begun.elapsed()
    );
    let bytes = std::fs::metadata(&path)?.len();
    println!("records: {:.0} MiB", bytes as f64 / f64::from(1 << 20));
    memory("at the end");
    Ok(())
}
