//! The same orders of events as in the model, at random, on the real thing: what is deleted was needed by nobody who
//! had to be heard, and in the end everything that is needed is there.

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use fm_api::v1::fleet::{BuildState, Digest, HostReport, Mark};
use fm_fleet::{Error, Fleet, Planner, Step};
use fm_records::{Memory, Records, Sqlite, SqliteOptions, TestClock};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use world::{GRACE, Host, World, code, planner_of};

const HOSTS: usize = 3;
const BUILDS: u8 = 2;

#[derive(Debug, Clone, Copy)]
enum Event {
    Start(usize, u8),
    Stop(usize, u8),
    /// The host hears what it is asked.
    Hear(usize),
    /// A full scan, whose report is sent later, or never.
    Look(usize),
    Send(usize),
    /// All three, one right after the other.
    Answer(usize),
    /// Reports what is there, without a full scan.
    Report(usize),
    Step(usize),
    /// A planner stops without a word; another may be elected once its lease has run out.
    Depose(usize),
    Grace,
    Upload(u8),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let host = || 0..HOSTS;
    let build = || 0..BUILDS;
    let event = prop_oneof![
        1 => (host(), build()).prop_map(|(host, build)| Event::Start(host, build)),
        3 => (host(), build()).prop_map(|(host, build)| Event::Stop(host, build)),
        2 => host().prop_map(Event::Hear),
        3 => host().prop_map(Event::Look),
        4 => host().prop_map(Event::Send),
        6 => host().prop_map(Event::Answer),
        1 => host().prop_map(Event::Report),
        8 => (0_usize..2).prop_map(Event::Step),
        1 => (0_usize..2).prop_map(Event::Depose),
        3 => Just(Event::Grace),
        2 => build().prop_map(Event::Upload),
    ];
    proptest::collection::vec(event, 40..200)
}

/// A host, and what only somebody who sees everything at once can know.
struct Watched {
    host: Host,
    /// Full scans whose reports are not sent yet.
    scan: Option<HostReport>,
    /// The newest revision that it had heard of when each need began.
    since: BTreeMap<Digest, u64>,
    heard: u64,
}

struct Run {
    world: World,
    /// Two servers: each host reports to one of them, and each has a planner.
    servers: [Fleet; 2],
    hosts: Vec<Watched>,
    planners: Vec<Planner>,
    builds: Vec<Digest>,
    condemned: BTreeMap<Digest, u64>,
    purged: Vec<Digest>,
}

/// How a schedule ended: what was deleted, in turn, and how each build stands.
type End = (Vec<Digest>, Vec<(BuildState, u64)>);

impl Run {
    /// The clocks of the servers are so many days off.
    async fn new(records: Arc<dyn Records>, clock: Arc<TestClock>, days_off: [i64; 2]) -> Self {
        let world = World::on(records, clock, Arc::default()).await;
        let mut builds = Vec::new();
        for number in 0..BUILDS {
            builds.push(world.store(number).await);
        }
        let mut hosts = Vec::new();
        for number in 0..HOSTS {
            let mut host = Host::new(&format!("h{number}"));
            host.report(&world.fleet).await;
            hosts.push(Watched {
                host,
                scan: None,
                since: BTreeMap::new(),
                heard: 0,
            });
        }
        let servers = [world.beside(days_off[0]).await, world.beside(days_off[1]).await];
        Self {
            planners: vec![planner_of(&servers[0], "p"), planner_of(&servers[1], "q")],
            servers,
            world,
            hosts,
            builds,
            condemned: BTreeMap::new(),
            purged: Vec::new(),
        }
    }

    async fn send(&mut self, number: usize, report: &HostReport) -> Result<(), String> {
        match self.servers[number % 2].report(report).await {
            Ok(answer) => {
                // What it is asked, it hears when it comes to that.
                self.hosts[number].host.recorded = answer.recorded;
                Ok(())
            }
            Err(Error::Stale { .. }) => Ok(()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    async fn hear(&mut self, number: usize) -> Result<(), String> {
        let id = self.hosts[number].host.id.clone();
        let answer = self.servers[number % 2].sign_of_life(&id).await;
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        let watched = &mut self.hosts[number];
        if let Some(Mark { revision, .. }) = &answer.scan {
            watched.heard = watched.heard.max(*revision);
        }
        watched.host.hear(&answer);
        Ok(())
    }

    async fn event(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Start(number, build) => {
                let build = self.builds[usize::from(build)].clone();
                let watched = &mut self.hosts[number];
                let heard = watched.heard;
                watched.since.entry(build.clone()).or_insert(heard);
                watched.host.runs(&format!("g-{build:.8}"), &build);
            }
            Event::Stop(number, build) => {
                let build = self.builds[usize::from(build)].clone();
                let watched = &mut self.hosts[number];
                watched.since.remove(&build);
                watched.host.guests.retain(|_, (used, _)| *used != build);
            }
            Event::Answer(number) => {
                self.hear(number).await?;
                let watched = &mut self.hosts[number];
                let report = watched.host.look(watched.host.asked.clone());
                self.send(number, &report).await?;
            }
            Event::Hear(number) => self.hear(number).await?,
            Event::Look(number) => {
                let watched = &mut self.hosts[number];
                let mark = watched.host.asked.clone();
                watched.scan = Some(watched.host.look(mark));
            }
            Event::Send(number) => {
                if let Some(report) = self.hosts[number].scan.take() {
                    self.send(number, &report).await?;
                }
            }
            Event::Report(number) => {
                let report = self.hosts[number].host.look(None);
                self.send(number, &report).await?;
            }
            Event::Step(number) => {
                let step = self.planners[number].step().await;
                self.judge(step).await?;
            }
            Event::Depose(number) => {
                self.planners[number] = planner_of(&self.servers[number], "again");
                self.world.clock.advance(std::time::Duration::from_secs(1 << 31));
            }
            Event::Grace => self.world.clock.advance(GRACE),
            Event::Upload(build) => {
                let wanted = self.world.fleet.build(&self.builds[usize::from(build)]).await;
                if wanted.is_ok_and(|view| view.state == BuildState::Missing) {
                    self.world.store(build).await;
                }
            }
        }
        self.note().await;
        Ok(())
    }

    /// Remembers at which revision each build was condemned.
    async fn note(&mut self) {
        for build in &self.builds {
            let view = self.world.fleet.build(build).await.expect("known");
            if view.state == BuildState::Condemned {
                self.condemned.insert(build.clone(), view.revision);
            }
        }
    }

    async fn judge(&mut self, step: fm_fleet::Result<Step>) -> Result<(), String> {
        let step = match step {
            Ok(step) => step,
            Err(Error::Deposed) => return Ok(()),
            Err(error) => return Err(format!("{error:?}")),
        };
        for build in step.purged {
            self.purged.push(build.clone());
            let users = self.world.fleet.build(&build).await.expect("known").user_count;
            if users > 0 {
                return Err(format!(
                    "{build} was deleted while {users} hosts had it on record"
                ));
            }
            let revision = self.condemned.get(&build).copied().unwrap_or(0);
            for watched in &self.hosts {
                if watched.since.get(&build).is_some_and(|since| *since < revision) {
                    return Err(format!(
                        "{build} was deleted, and {} needed it all the time",
                        watched.host.id
                    ));
                }
            }
        }
        Ok(())
    }

    /// Everybody reports, everything that is asked for is uploaded: then what is needed is there.
    async fn settle(&mut self) -> Result<(), String> {
        for _ in 0..3 {
            for number in 0..HOSTS {
                let report = self.hosts[number].host.look(None);
                self.send(number, &report).await?;
            }
            for number in 0..2 {
                let step = self.planners[number].step().await;
                self.judge(step).await?;
            }
            for build in 0..BUILDS {
                self.event(Event::Upload(build)).await?;
            }
        }
        for watched in &self.hosts {
            for (build, _) in watched.host.guests.values() {
                let view = self.world.fleet.build(build).await.expect("known");
                let there = self.world.fleet.manifest(build).await.expect("read").is_some();
                if view.state != BuildState::Live || !there {
                    return Err(format!("{build} is needed and {:?}", view.state));
                }
            }
        }
        Ok(())
    }
}

/// Lets all of it happen on these records.
fn run(
    events: &[Event],
    days_off: [i64; 2],
    records: impl FnOnce(Arc<TestClock>) -> Arc<dyn Records>,
) -> Result<End, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let clock = Arc::new(TestClock::default());
    let records = records(clock.clone());
    runtime.block_on(async {
        let mut run = Run::new(records, clock, days_off).await;
        for event in events {
            run.event(*event).await?;
        }
        run.settle().await?;
        let mut states = Vec::new();
        for build in &run.builds {
            let view = run.world.fleet.build(build).await.expect("known");
            states.push((view.state, view.generation));
        }
        Ok((run.purged, states))
    })
}

fn check(cases: u32, judge: impl Fn(&[Event]) -> Result<End, String>) -> usize {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let purged = std::cell::Cell::new(0);
    TestRunner::new(config)
        .run(&events(), |events| {
            let (gone, _) = judge(&events).map_err(TestCaseError::fail)?;
            purged.set(purged.get() + gone.len());
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    purged.get()
}

fn in_memory(clock: Arc<TestClock>) -> Arc<dyn Records> {
    Arc::new(Memory::new(clock))
}

#[test]
fn no_order_of_events_deletes_what_is_needed_in_memory() {
    let purged = check(400, |events| run(events, [0, 0], in_memory));
    assert!(
        purged > 20,
        "only {purged} builds went: the events have become too tame"
    );
}

#[test]
fn clocks_that_are_a_year_off_change_nothing_in_any_order_of_events() {
    let purged = check(200, |events| {
        let right = run(events, [0, 0], in_memory)?;
        let off = run(events, [365, -365], in_memory)?;
        match right == off {
            true => Ok(off),
            false => Err(format!(
                "{right:?} with clocks that are right, {off:?} with others"
            )),
        }
    });
    assert!(
        purged > 10,
        "only {purged} builds went: the events have become too tame"
    );
}

#[test]
fn no_order_of_events_deletes_what_is_needed_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let number = std::cell::Cell::new(0);
    check(24, |events| {
        number.set(number.get() + 1);
        run(events, [0, 0], |clock| {
            let options = SqliteOptions {
                clock,
                ..SqliteOptions::default()
            };
            let path = folder.path().join(number.get().to_string());
            Arc::new(Sqlite::open(&path, options).expect("records"))
        })
    });
    assert_eq!(code(0).1, world::digest(&[0; 64]));
}
