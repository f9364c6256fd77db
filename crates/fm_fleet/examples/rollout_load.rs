//! A rollout at the size of a large fleet, on SQLite: the plan, the beginning, and a wave; prints what each took.
//!
//! `cargo run --release -p fm_fleet --example rollout_load -- [HOSTS [GUESTS_PER_HOST]]`
#![allow(clippy::print_stdout, reason = "it is a program that prints figures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use fm_api::v1::fleet::{
    BuildFacts, Digest, GuestFacts, GuestProgress, GuestRow, GuestState, HostReport, ProgressState, Rest,
    Use, UseReason,
};
use fm_api::v1::rollout::RolloutSpec;
use fm_blobs::{Blob, BlobSource, Layout};
use fm_fleet::{Fleet, FleetOptions, Layer, PlannerOptions, StoredBuild};
use fm_formats::Sha256;
use fm_records::{Sqlite, SqliteOptions};

/// So many hosts report at the same time while the fleet is loaded.
const AT_ONCE: u32 = 64;

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn stored(fleet: &Fleet, name: &str) -> Result<Digest, Failure> {
    let mut bytes = name.as_bytes().to_vec();
    // As large as such a build is.
    bytes.resize(0x37_c000, 0xff);
    let build: Digest = Sha256::of(&bytes).to_string().parse()?;
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
        name: Some(name.into()),
        version: None,
        source: None,
        facts: Some(BuildFacts {
            arch: Some("x86-64".into()),
            early_arch: Some("x86-64".into()),
            layout: Some("4M".into()),
            features: Some(Vec::new()),
            is_whole: Some(true),
            finishes_reclaim: Some(true),
            is_recent: Some(true),
            checks_list: Some(true),
        }),
    };
    fleet.store(&stored, "load").await?;
    Ok(build)
}

/// What a host says; its guests differ in machine type, QEMU and how much is in their variables.
fn report(host: u32, guests: u32, old: &Digest, progress: Vec<GuestProgress>) -> Result<HostReport, Failure> {
    let row = |guest: u32| GuestRow {
        uuid: format!("{host:08x}-{guest:04x}-4000-8000-{:012x}", host ^ guest),
        name: Some(format!("guest-{host}-{guest}")),
        build: Some(old.clone()),
        next_build: None,
        next_reset: None,
        layout: Some("4M".into()),
        vars_free_bytes: Some(200_000 + u64::from(guest)),
        secure_boot: Some(guest.is_multiple_of(2)),
        certificates: None,
        machine: Some(format!("pc-q35-{}.2", 7 + guest % 3)),
        qemu: Some(format!("{}.2.0", 9 + host % 2)),
        facts: Some(GuestFacts {
            vars_size_bytes: Some(0x8_4000),
            vars_used_bytes: Some(0x1000 + u64::from(host * 7 + guest) % 0x6000),
            vars_largest_bytes: Some(0x400),
            vars_sound: Some(true),
            vars_authenticated: Some(true),
            vars_keys: Some(guest.is_multiple_of(2)),
            vars_kept: Some(true),
            smm: Some(true),
            secure_flash: Some(false),
            s3: Some(false),
            tpm: Some(guest.is_multiple_of(5)),
            confidential: Some("none".into()),
            adopted: Some(true),
            owner: None,
            rest: Rest::new(),
        }),
        state: GuestState::Running,
        rest: Rest::new(),
    };
    let guests: Vec<GuestRow> = (0..guests).map(row).collect();
    Ok(HostReport {
        schema: fm_api::Schema::default(),
        host: format!("host-{host:05}").parse()?,
        instance: format!("instance-{host}"),
        boot_id: "4c5d1b7a-9c1b-4f0e-8f6e-2f1d1c0b9a88".into(),
        sequence: 1 + progress.len() as u64,
        recorded: None,
        acknowledged: None,
        name: None,
        agent_version: "0.1.0".into(),
        uses: vec![Use {
            build: old.clone(),
            reason: UseReason::Runs,
            guest: None,
        }],
        builds: Vec::new(),
        labels: Default::default(),
        rollouts: progress,
        guests,
        landings: Vec::new(),
        pins: Vec::new(),
        rest: Rest::new(),
    })
}

fn memory(moment: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("memory {moment}: {}", peak.unwrap_or_default());
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let hosts = numbers.next().transpose()?.unwrap_or(10_000);
    let guests = numbers.next().transpose()?.unwrap_or(100);
    let folder = tempfile::tempdir()?;
    let records = Arc::new(Sqlite::open(
        &folder.path().join("records"),
        SqliteOptions::default(),
    )?);
    let layout = Arc::new(Layout::open(&folder.path().join("layout"))?);
    let options = FleetOptions {
        // Nobody says that it is there while this runs.
        alive: Duration::from_secs(24 * 3600),
        ..FleetOptions::default()
    };
    let fleet = Fleet::open(records, layout, None, options).await?;
    let (old, new) = (stored(&fleet, "old").await?, stored(&fleet, "new").await?);
    let began = Instant::now();
    let mut tasks = Vec::new();
    for lane in 0..AT_ONCE {
        let (fleet, old) = (fleet.clone(), old.clone());
        tasks.push(tokio::spawn(async move {
            for host in (lane..hosts).step_by(AT_ONCE as usize) {
                fleet.report(&report(host, guests, &old, Vec::new())?).await?;
            }
            Ok::<_, Failure>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    println!(
        "{hosts} hosts with {guests} guests each loaded in {:.1?}",
        began.elapsed()
    );
    memory("after the load");

    let spec = RolloutSpec {
        // After those that go first, one guest of every host.
        waves: vec![100],
        soak_s: 0,
        max_per_host: 1,
        ..RolloutSpec::new(vec![new.clone()], "machine~q35 and not name~nobody")
    };
    for _ in 0..3 {
        let began = Instant::now();
        let plan = fleet.plan_rollout(&spec).await?;
        println!(
            "plan of {} guests in {} classes: {:.2?}",
            plan.selected_count,
            plan.classes.len(),
            began.elapsed()
        );
    }
    memory("after the plan");

    let began = Instant::now();
    let rollout = fleet.begin_rollout(&spec, "load").await?;
    println!("begun, all guests written down: {:.1?}", began.elapsed());
    let mut planner = fleet.planner("load", PlannerOptions::default());
    let began = Instant::now();
    let step = planner.step().await?;
    println!(
        "first step, {} hosts told: {:.1?}",
        step.rollouts.told_count,
        began.elapsed()
    );
    // Those that go first are well, and the wave of all others begins.
    for host in 0..hosts {
        let id = format!("host-{host:05}").parse()?;
        let targets = fleet.targets(&id).await?;
        if targets.guests.is_empty() {
            continue;
        }
        let progress = targets.guests.iter().map(|target| GuestProgress {
            guest: target.guest.clone(),
            rollout: rollout.id.clone(),
            build: target.build.clone(),
            state: ProgressState::Healthy,
            evidence: None,
            written: Vec::new(),
            rest: Rest::new(),
        });
        fleet
            .report(&report(host, guests, &old, progress.collect())?)
            .await?;
    }
    for _ in 0..6 {
        let began = Instant::now();
        let step = planner.step().await?;
        println!(
            "a step, {} hosts told: {:.1?}",
            step.rollouts.told_count,
            began.elapsed()
        );
    }
    memory("at the end");
    Ok(())
}
