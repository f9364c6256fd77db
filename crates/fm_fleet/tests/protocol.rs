//! The protocol of collection as a model: every order of what hosts, two planners and the network can do with builds.
//! What is not atomic in the program is not atomic here. A crash needs no action of its own: whoever does nothing from
//! some moment on, or is elected or scans anew, has lost what he had in mind.

use stateright::{Checker, Model, Property};

const HOSTS: usize = 3;
const BUILDS: usize = 2;

const SAFE: &str = "a build that is needed is never deleted";

/// What could be wrong with the protocol: each of these is to be caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Silence is taken for an answer.
    SilenceIsAnAnswer,
    /// A host answers with the newest mark that it has heard, not with the one from before its scan.
    MarkAfterScan,
    /// A use is written without a look at how the build stands.
    UseWithoutRevival,
    /// A planner does not look whether it still is the elected one, and what was condemned may have been revived and
    /// condemned again since it looked.
    NoCompare,
    /// A build that comes back gets the manifest that it had.
    SameManifest,
    /// Answers to one condemnation count for a later one.
    OldAnswersCount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stands {
    Missing,
    Live,
    /// At a revision.
    Condemned(u8),
    Deleting,
    Purged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Build {
    stands: Stands,
    generation: u8,
    /// Generations whose manifest is in the registry, a bit each.
    manifests: u8,
}

/// A planner's term and a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
struct Mark {
    term: u8,
    revision: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
struct Host {
    /// Builds that it needs, in truth.
    needs: u8,
    /// The revision that it had heard of when each need began.
    since: [u8; BUILDS],
    /// Builds that it needs, on record.
    uses: u8,
    /// What it has heard that it is to acknowledge.
    heard: Mark,
    /// A full scan that was made and not reported yet: what it found, and the mark from before.
    scan: Option<(u8, Mark)>,
    /// What it has acknowledged, on record.
    acknowledged: Mark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Planner {
    /// The term that it believes to have.
    term: u8,
    /// Builds that may go as far as it has read, each with the revision that condemned it.
    may_go: [Option<u8>; BUILDS],
    /// The manifest that it is about to delete, of which generation.
    deletes: Option<(u8, u8)>,
    /// The build whose deletion it is about to write down.
    writes: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    builds: [Build; BUILDS],
    hosts: [Host; HOSTS],
    planners: [Planner; 2],
    term: u8,
    revision: u8,
    asked: Mark,
    starts: u8,
    /// A build went that was needed.
    lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Start(usize, usize),
    Stop(usize, usize),
    Hear(usize),
    Scan(usize),
    Report(usize),
    Upload(usize),
    Elect(usize),
    Condemn(usize, usize),
    Read(usize),
    Begin(usize, usize),
    Resume(usize, usize),
    Delete(usize),
    Write(usize),
    Want(usize),
}

/// How far each thing may go, to keep the number of states finite.
struct Protocol {
    flaw: Flaw,
    hosts: usize,
    builds: usize,
    max_starts: u8,
    max_condemnations: u8,
    max_terms: u8,
}

impl Protocol {
    fn new(flaw: Flaw, hosts: usize, builds: usize) -> Self {
        Self {
            flaw,
            hosts,
            builds,
            max_starts: 1,
            max_condemnations: 2,
            max_terms: 2,
        }
    }

    fn report(&self, state: &mut State, number: usize) {
        let host = &mut state.hosts[number];
        let Some((found, before)) = host.scan.take() else {
            return;
        };
        let mark = if self.flaw == Flaw::MarkAfterScan {
            host.heard
        } else {
            before
        };
        let added = found & !host.uses;
        host.uses = found;
        if mark.term == state.asked.term && mark > host.acknowledged {
            host.acknowledged = mark;
        }
        for (number, build) in state.builds.iter_mut().enumerate() {
            if added & (1 << number) != 0 && self.flaw != Flaw::UseWithoutRevival {
                build.stands = match build.stands {
                    Stands::Condemned(_) => Stands::Live,
                    Stands::Purged => Stands::Missing,
                    other => other,
                };
            }
        }
    }

    /// One look at every record, all of one revision.
    fn read(&self, state: &mut State, number: usize) {
        let term = state.planners[number].term;
        for build in 0..self.builds {
            let Stands::Condemned(revision) = state.builds[build].stands else {
                state.planners[number].may_go[build] = None;
                continue;
            };
            let has_answered = |host: &Host| {
                let mark = host.acknowledged;
                match self.flaw {
                    Flaw::SilenceIsAnAnswer => true,
                    Flaw::OldAnswersCount => mark.revision > 0,
                    _ => mark.term == term && mark.revision >= revision,
                }
            };
            let is_free = state.hosts[HOSTS - self.hosts..]
                .iter()
                .all(|host| host.uses & (1 << build) == 0 && has_answered(host));
            state.planners[number].may_go[build] = is_free.then_some(revision);
        }
    }

    fn begin(&self, state: &mut State, planner: usize, build: usize) -> Option<()> {
        let revision = state.planners[planner].may_go[build]?;
        let is_elected = state.planners[planner].term == state.term;
        let holds = match state.builds[build].stands {
            Stands::Condemned(found) => (found == revision && is_elected) || self.flaw == Flaw::NoCompare,
            Stands::Live => self.flaw == Flaw::NoCompare,
            _ => false,
        };
        if !holds {
            return None;
        }
        state.planners[planner].may_go[build] = None;
        state.builds[build].stands = Stands::Deleting;
        state.planners[planner].deletes = Some((build as u8, state.builds[build].generation));
        for host in &state.hosts {
            let is_recorded = host.uses & (1 << build) != 0;
            // A need that began before the host had heard of the condemnation.
            let is_old = host.needs & (1 << build) != 0 && host.since[build] < revision;
            state.lost |= is_recorded || is_old;
        }
        Some(())
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let live = Build {
            stands: Stands::Live,
            generation: 1,
            manifests: 1 << 1,
        };
        let mut hosts = [Host::default(); HOSTS];
        hosts[HOSTS - 1].needs = 1;
        hosts[HOSTS - 1].uses = 1;
        let mut planners = [Planner::default(); 2];
        planners[0].term = 1;
        vec![State {
            builds: [live; BUILDS],
            hosts,
            planners,
            term: 1,
            revision: 0,
            asked: Mark::default(),
            starts: 0,
            lost: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for host in HOSTS - self.hosts..HOSTS {
            // Hosts that are alike do alike.
            if host > HOSTS - self.hosts && state.hosts[host] == state.hosts[host - 1] {
                continue;
            }
            for build in 0..self.builds {
                actions.extend([Action::Start(host, build), Action::Stop(host, build)]);
            }
            actions.extend([Action::Hear(host), Action::Scan(host), Action::Report(host)]);
        }
        for build in 0..self.builds {
            actions.extend([Action::Upload(build), Action::Want(build)]);
        }
        for planner in 0..2 {
            actions.extend([Action::Elect(planner), Action::Read(planner)]);
            actions.extend([Action::Delete(planner), Action::Write(planner)]);
            for build in 0..self.builds {
                actions.extend([Action::Condemn(planner, build), Action::Begin(planner, build)]);
                actions.push(Action::Resume(planner, build));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Start(number, build) => {
                let host = &mut state.hosts[number];
                if host.needs & (1 << build) != 0 || state.starts == self.max_starts {
                    return None;
                }
                host.needs |= 1 << build;
                host.since[build] = host.heard.revision;
                state.starts += 1;
            }
            Action::Stop(number, build) => {
                let host = &mut state.hosts[number];
                if host.needs & (1 << build) == 0 {
                    return None;
                }
                host.needs &= !(1 << build);
                host.since[build] = 0;
            }
            Action::Hear(number) => state.hosts[number].heard = state.asked,
            Action::Scan(number) => {
                let host = &mut state.hosts[number];
                // One that says what is on record already changes nothing, whenever it comes.
                if host.needs == host.uses && host.heard <= host.acknowledged {
                    return None;
                }
                host.scan = Some((host.needs, host.heard));
            }
            Action::Report(number) => self.report(&mut state, number),
            Action::Upload(number) => {
                let is_wanted = state.hosts.iter().any(|host| host.needs & (1 << number) != 0);
                let build = &mut state.builds[number];
                if build.stands != Stands::Missing || !is_wanted || build.generation == 2 {
                    return None;
                }
                if self.flaw != Flaw::SameManifest {
                    build.generation += 1;
                }
                build.manifests |= 1 << build.generation;
                build.stands = Stands::Live;
            }
            Action::Elect(number) => {
                if state.term == self.max_terms || state.planners[number].term == state.term {
                    return None;
                }
                state.term += 1;
                // The one before may not notice for a long time.
                state.planners[number] = Planner {
                    term: state.term,
                    ..Planner::default()
                };
                let revisions = state.builds.iter().filter_map(|build| match build.stands {
                    Stands::Condemned(revision) => Some(revision),
                    _ => None,
                });
                if let Some(revision) = revisions.max() {
                    state.asked = Mark {
                        term: state.term,
                        revision,
                    };
                }
            }
            Action::Condemn(number, build) => {
                // Whatever it took for unused: what it knows may be old.
                let is_elected = state.planners[number].term == state.term;
                if !is_elected
                    || state.builds[build].stands != Stands::Live
                    || state.revision == self.max_condemnations
                {
                    return None;
                }
                state.revision += 1;
                state.builds[build].stands = Stands::Condemned(state.revision);
                state.asked = Mark {
                    term: state.term,
                    revision: state.revision,
                };
            }
            Action::Read(number) => {
                if state.planners[number].term == 0 {
                    return None;
                }
                let known = state.planners[number].may_go;
                self.read(&mut state, number);
                // Only what it finds to go leads anywhere.
                if state.planners[number]
                    .may_go
                    .iter()
                    .zip(known)
                    .all(|(now, known)| now.is_none() || *now == known)
                {
                    return None;
                }
            }
            Action::Begin(number, build) => self.begin(&mut state, number, build)?,
            Action::Resume(number, build) => {
                let planner = &mut state.planners[number];
                let is_free = planner.deletes.is_none() && planner.writes.is_none();
                if planner.term != state.term || state.builds[build].stands != Stands::Deleting || !is_free {
                    return None;
                }
                planner.deletes = Some((build as u8, state.builds[build].generation));
            }
            Action::Delete(number) => {
                let (build, generation) = state.planners[number].deletes.take()?;
                state.builds[usize::from(build)].manifests &= !(1 << generation);
                state.planners[number].writes = Some(build);
            }
            Action::Write(number) => {
                let build = usize::from(state.planners[number].writes.take()?);
                let is_elected = state.planners[number].term == state.term;
                if is_elected && state.builds[build].stands == Stands::Deleting {
                    state.builds[build].stands = Stands::Purged;
                }
            }
            Action::Want(number) => {
                let is_used = state.hosts.iter().any(|host| host.uses & (1 << number) != 0);
                let build = &mut state.builds[number];
                if build.stands != Stands::Purged || !is_used {
                    return None;
                }
                build.stands = Stands::Missing;
            }
        }
        state.hosts[HOSTS - self.hosts..].sort();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let safe = Property::always(SAFE, |_: &Self, state: &State| {
            let is_there = |build: &Build| match build.stands {
                Stands::Live | Stands::Condemned(_) => build.manifests & (1 << build.generation) != 0,
                _ => true,
            };
            !state.lost && state.builds.iter().all(is_there)
        });
        if self.flaw != Flaw::None {
            return vec![safe];
        }
        vec![
            safe,
            Property::sometimes("a build is purged", |_, state: &State| {
                state.builds.iter().any(|build| build.stands == Stands::Purged)
            }),
            Property::sometimes("a build comes back", |_, state: &State| {
                state
                    .builds
                    .iter()
                    .any(|build| build.generation == 2 && build.stands == Stands::Live)
            }),
            Property::sometimes("a condemned build is revived", |_, state: &State| {
                state.revision > 0
                    && state
                        .builds
                        .iter()
                        .all(|build| build.stands == Stands::Live && build.generation == 1)
            }),
        ]
    }
}

/// Every order of events; gives the number of states.
fn explore(hosts: usize, builds: usize, max_condemnations: u8) -> usize {
    let protocol = Protocol {
        max_condemnations,
        ..Protocol::new(Flaw::None, hosts, builds)
    };
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    checker.assert_no_discovery(SAFE);
    checker.unique_state_count()
}

#[test]
fn no_order_of_events_deletes_a_build_that_is_needed() {
    // A model that has lost a part would have far fewer.
    assert!(explore(3, 1, 2) > 100_000);
    assert!(explore(2, 2, 2) > 300_000);
    assert!(explore(3, 2, 1) > 100_000);
}

#[test]
fn builds_go_and_come_back_and_are_revived_in_the_model() {
    Protocol::new(Flaw::None, 2, 1)
        .checker()
        .spawn_bfs()
        .join()
        .assert_properties();
}

#[test]
fn every_flaw_of_the_protocol_is_caught() {
    for flaw in [
        Flaw::SilenceIsAnAnswer,
        Flaw::MarkAfterScan,
        Flaw::UseWithoutRevival,
        Flaw::NoCompare,
        Flaw::SameManifest,
        Flaw::OldAnswersCount,
    ] {
        let checker = Protocol::new(flaw, 2, 2).checker().threads(2).spawn_bfs().join();
        let caught = checker.discovery(SAFE);
        assert!(caught.is_some(), "{flaw:?} was not caught");
    }
}
