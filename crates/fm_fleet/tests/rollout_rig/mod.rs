//! Hosts whose agents do what they are told, and a planner.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fm_api::v1::fleet::{
    BuildFacts, Certificates, Digest, GuestFacts, GuestProgress, PageRequest, ProgressState as S, Rest,
    TargetAction,
};
use fm_api::v1::rollout::{MemberView, RolloutSpec, RolloutState, RolloutView};
use fm_blobs::{Blob, BlobSource};
use fm_fleet::{Fleet, Planner};

use crate::world::{Host, World, digest, stored};

/// A build of a layout, with what an agent that looked at it says.
pub(crate) async fn build(fleet: &Fleet, number: u8) -> Digest {
    let mut build = stored(number);
    // As large as such a build is.
    let bytes = vec![number; 0x37_c000];
    build.build = digest(&bytes);
    build.layers[0].blob = Blob {
        digest: build.build.clone(),
        size_bytes: bytes.len() as u64,
        source: BlobSource::Bytes(bytes.into()),
    };
    build.facts = Some(BuildFacts {
        arch: Some("x86-64".into()),
        early_arch: Some("x86-64".into()),
        layout: Some("4M".into()),
        features: Some(Vec::new()),
        is_whole: Some(true),
        finishes_reclaim: Some(true),
        is_recent: Some(true),
        checks_list: Some(true),
    });
    fleet.store(&build, "a test").await.expect("stored").build
}

pub(crate) fn facts() -> GuestFacts {
    GuestFacts {
        vars_size_bytes: Some(0x8_4000),
        vars_used_bytes: Some(0x1000),
        vars_largest_bytes: Some(0x100),
        vars_sound: Some(true),
        vars_authenticated: Some(true),
        vars_keys: Some(false),
        vars_kept: Some(true),
        smm: Some(true),
        secure_flash: Some(false),
        s3: Some(false),
        tpm: Some(false),
        confidential: Some("none".into()),
        adopted: Some(true),
        owner: None,
        rest: Rest::new(),
    }
}

/// A host whose agent does what it is told.
pub(crate) struct Agent {
    pub(crate) host: Host,
    pub(crate) progress: BTreeMap<String, GuestProgress>,
    /// Guests that hang when they boot something new.
    pub(crate) hang: BTreeSet<String>,
    /// Whether guests are started anew at each turn.
    pub(crate) restarts: bool,
}

impl Agent {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            host: Host::new(name),
            progress: BTreeMap::new(),
            hang: BTreeSet::new(),
            restarts: true,
        }
    }

    pub(crate) async fn report(&mut self, fleet: &Fleet) {
        let mark = self.host.asked.take();
        let mut report = self.host.look(mark);
        for guest in &mut report.guests {
            guest.facts = Some(facts());
            guest.machine = Some("pc-q35-7.2".into());
            guest.qemu = Some("7.2.0".into());
            guest.secure_boot = Some(true);
            guest.certificates = Some(Certificates {
                pk: vec!["enrolled".into()],
                kek: vec!["2011".into()],
                db: vec!["2011".into()],
                ..Certificates::default()
            });
        }
        report.rollouts = self.progress.values().cloned().collect();
        let answer = fleet.report(&report).await.expect("taken");
        self.host.hear(&answer);
    }

    /// One turn: what is wanted is looked at, guests start anew if they do, and all of it is told.
    pub(crate) async fn turn(&mut self, fleet: &Fleet) {
        let targets = fleet.targets(&self.host.id).await.expect("targets");
        let wanted: BTreeSet<&String> = targets.guests.iter().map(|target| &target.guest).collect();
        self.progress.retain(|guest, progress| {
            wanted.contains(guest) || !matches!(progress.state, S::Waiting | S::Armed)
        });
        for target in &targets.guests {
            let Some(known) = self.host.guests.get(&target.guest) else {
                continue;
            };
            let runs = known.0.clone();
            let rollout = target.rollout.clone().expect("a rollout's");
            let before = self.progress.get(&target.guest).map(|progress| progress.state);
            let state = match (target.action, before) {
                (TargetAction::Take, None) => S::Armed,
                (TargetAction::Take, Some(S::Armed)) if self.restarts => {
                    self.host.runs(&target.guest, &target.build);
                    S::Booting
                }
                (TargetAction::Take, Some(S::Booting)) => match self.hang.contains(&target.guest) {
                    true => S::Failed,
                    false => S::Healthy,
                },
                (TargetAction::Take, Some(state)) => state,
                (TargetAction::Back, _) if self.restarts || runs == target.build => {
                    self.host.runs(&target.guest, &target.build);
                    S::Reverted
                }
                (TargetAction::Back, _) => S::Reverting,
                (TargetAction::Enroll, None) => S::Armed,
                (TargetAction::Enroll, Some(_)) => S::Healthy,
                (TargetAction::TakeAtReset, None) => S::Armed,
                (TargetAction::TakeAtReset, Some(_)) => {
                    self.host.runs(&target.guest, &target.build);
                    S::Healthy
                }
                (TargetAction::Unknown, _) => continue,
            };
            let progress = GuestProgress {
                guest: target.guest.clone(),
                rollout,
                build: target.build.clone(),
                state,
                evidence: Some(format!("{state:?}")),
                written: Vec::new(),
                rest: Rest::new(),
            };
            self.progress.insert(target.guest.clone(), progress);
        }
        self.report(fleet).await;
    }
}

pub(crate) struct Rig {
    pub(crate) world: World,
    pub(crate) agents: Vec<Agent>,
    pub(crate) planner: Planner,
    pub(crate) old: Digest,
    pub(crate) new: Digest,
}

impl Rig {
    pub(crate) async fn on(world: World, host_count: usize, guest_count: usize) -> Self {
        let old = build(&world.fleet, 1).await;
        let new = build(&world.fleet, 2).await;
        let mut agents = Vec::new();
        for host in 0..host_count {
            let mut agent = Agent::new(&format!("host-{host}"));
            for guest in 0..guest_count {
                agent.host.runs(&format!("guest-{host}-{guest}"), &old);
            }
            agent.report(&world.fleet).await;
            agents.push(agent);
        }
        let planner = world.planner("p");
        Self {
            world,
            agents,
            planner,
            old,
            new,
        }
    }

    pub(crate) async fn new(host_count: usize, guest_count: usize) -> Self {
        Self::on(World::in_memory().await, host_count, guest_count).await
    }

    pub(crate) fn spec(&self, select: &str) -> RolloutSpec {
        RolloutSpec {
            waves: vec![50, 100],
            soak_s: 60,
            ..RolloutSpec::new(vec![self.new.clone()], select)
        }
    }

    pub(crate) async fn begin(&self, spec: &RolloutSpec) -> RolloutView {
        self.world
            .fleet
            .begin_rollout(spec, "a test")
            .await
            .expect("begun")
    }

    /// A step of the planner, a turn of every host, and time.
    pub(crate) async fn turn(&mut self) {
        self.planner.step().await.expect("a step");
        // Whoever was asked something answers.
        tokio::task::yield_now().await;
        for agent in &mut self.agents {
            agent.turn(&self.world.fleet).await;
        }
        self.world.clock.advance(Duration::from_secs(30));
    }

    pub(crate) async fn until(&mut self, id: &str, state: RolloutState) -> RolloutView {
        for _ in 0..60 {
            let view = self.view(id).await;
            if view.state == state {
                return view;
            }
            self.turn().await;
        }
        panic!("it does not become {state:?}: {:#?}", self.view(id).await);
    }

    pub(crate) async fn view(&self, id: &str) -> RolloutView {
        self.world.fleet.rollout(id).await.expect("there")
    }

    pub(crate) async fn members(&self, id: &str) -> Vec<MemberView> {
        let mut found = Vec::new();
        let mut page = PageRequest::default();
        loop {
            let next = self.world.fleet.rollout_guests(id, &page).await.expect("guests");
            found.extend(next.items);
            page.cursor = next.next;
            if page.cursor.is_none() {
                return found;
            }
        }
    }

    pub(crate) fn run(&self, build: &Digest) -> usize {
        let guests = self.agents.iter().flat_map(|agent| agent.host.guests.values());
        guests.filter(|(runs, _)| runs == build).count()
    }
}
