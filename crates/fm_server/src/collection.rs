//! The task that takes the collection on, step by step, and counts what metrics tell.

use std::time::{Duration, Instant};

use fm_api::v1::fleet::{BuildState, HostState, PageRequest};
use fm_fleet::{BuildFilter, Fleet, HostFilter, Planner};
use fm_remedy::one_line;
use tokio::sync::watch;

use crate::log::{Log, ServerEvent};
use crate::metrics::{Metrics, StateLabels};
use fm_access::now_s;

/// Between two steps.
const STEP: Duration = Duration::from_secs(5);
/// Between two counts of everything.
const COUNT: Duration = Duration::from_secs(60);
/// The largest page.
const PAGE_COUNT: usize = 1000;

/// Runs until it is told to stop.
pub(crate) async fn run(
    mut planner: Planner,
    fleet: Fleet,
    metrics: Metrics,
    log: Log,
    mut stop: watch::Receiver<bool>,
) {
    let mut led = false;
    let mut counted: Option<Instant> = None;
    loop {
        match planner.step().await {
            Ok(step) => {
                if step.leads != led {
                    led = step.leads;
                    log.tell(&ServerEvent::Planner { leads: led });
                }
                metrics.is_planner.set(i64::from(led));
                metrics.condemned.inc_by(step.condemned.len() as u64);
                metrics.purged.inc_by(step.purged.len() as u64);
                metrics
                    .awaited_hosts
                    .set(i64::try_from(step.awaited_count).unwrap_or(i64::MAX));
                for build in step.purged {
                    log.tell(&ServerEvent::Purged {
                        build: build.to_string(),
                    });
                }
            }
            Err(error) => log.failed(format!("the collection waits: {}", one_line(&error))),
        }
        if led && counted.is_none_or(|last| last.elapsed() >= COUNT) {
            match count(&fleet, &metrics).await {
                Ok(()) => counted = Some(Instant::now()),
                Err(error) => log.failed(format!("the fleet cannot be counted: {}", one_line(&error))),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(STEP) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    // If that fails, the lease runs out by itself.
    let _ = planner.resign().await;
}

/// Counts hosts, their guests, and builds.
async fn count(fleet: &Fleet, metrics: &Metrics) -> fm_fleet::Result<()> {
    let first = || PageRequest {
        cursor: None,
        limit: Some(PAGE_COUNT),
    };
    let (mut alive, mut silent, mut retired, mut guests) = (0, 0, 0, 0_u64);
    let mut page = first();
    loop {
        let hosts = fleet.hosts(&HostFilter::default(), &page).await?;
        for host in &hosts.items {
            match (host.state, host.alive) {
                (HostState::Retired, _) => retired += 1,
                (_, true) => alive += 1,
                (_, false) => silent += 1,
            }
            guests = guests.saturating_add(host.guest_count);
        }
        page.cursor = hosts.next;
        if page.cursor.is_none() {
            break;
        }
    }
    for (state, count) in [("alive", alive), ("silent", silent), ("retired", retired)] {
        metrics.hosts.get_or_create(&StateLabels { state }).set(count);
    }
    metrics.guests.set(i64::try_from(guests).unwrap_or(i64::MAX));
    let mut counts = STATES.map(|(state, name)| (state, name, 0));
    let mut page = first();
    loop {
        let builds = fleet.builds(&BuildFilter::default(), &page).await?;
        for build in &builds.items {
            if let Some(count) = counts.iter_mut().find(|(state, ..)| *state == build.state) {
                count.2 += 1;
            }
        }
        page.cursor = builds.next;
        if page.cursor.is_none() {
            break;
        }
    }
    for (_, state, count) in counts {
        metrics.builds.get_or_create(&StateLabels { state }).set(count);
    }
    // Nobody takes seconds since 1970 for anything but seconds.
    #[expect(clippy::cast_precision_loss, reason = "a time of day in 53 bits")]
    metrics.last_count_s.set(now_s() as f64);
    Ok(())
}

const STATES: [(BuildState, &str); 6] = [
    (BuildState::Missing, "missing"),
    (BuildState::Live, "live"),
    (BuildState::Condemned, "condemned"),
    (BuildState::Deleting, "deleting"),
    (BuildState::Purged, "purged"),
    (BuildState::Unknown, "unknown"),
];
