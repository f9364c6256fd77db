//! Agents, servers and the leader of etcd are killed while builds are brought and collected: what is needed can be pulled,
//! byte for byte, all the time.
//!
//! Ten kills in `make test`; `FLEET_KILLS` says another number, and `make soak` takes 200.

mod fleet_bed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleet_bed::{Agent, Fleet, alone, serve};
use fm_e2e::{document, flashmoor, stderr};
use fm_fixtures::engines::{Cluster, Registry};
use fm_formats::Sha256;
use fm_lab::PATIENCE;
use serde_json::Value;

const HOSTS: usize = 3;
const BUILDS: usize = 6;
/// A kill hits at some moment of what an agent does, which takes about as long.
const LONGEST_MS: u64 = 1200;

/// A sequence of numbers that looks like chance and is the same each time (Knuth's MMIX constants).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Who is killed besides agents.
#[derive(Debug, Clone, Copy)]
enum Victim {
    First,
    Second,
    Leader,
}

/// Two servers over three members of etcd and a registry, three hosts, and what each host needs.
struct Scene {
    fleet: Fleet,
    /// The second server: its command's adjustment, where it listens, itself.
    second: (fleet_bed::Adjust, String, Agent),
    cluster: Cluster,
    builds: Vec<(PathBuf, Sha256)>,
    /// Which host has pinned which build.
    pinned: BTreeSet<(usize, usize)>,
    /// Those of them that the fleet has confirmed and that stayed pinned since: by host, the builds.
    confirmed: BTreeMap<usize, BTreeSet<usize>>,
    pulled: usize,
    /// How often whom.
    killed: BTreeMap<&'static str, usize>,
    chance: Chance,
    certificates: PathBuf,
    _registry: Registry,
}

impl Scene {
    fn start() -> Self {
        let (cluster, registry) = (Cluster::start(), Registry::start());
        let (records, blobs) = (cluster.address(), registry.address());
        let engines = move |mut command: Command| {
            command.args(["--grace", "0", "--records", &records, "--blobs", &blobs]);
            command
        };
        let fleet = Fleet::start_with(Box::new(engines.clone()));
        let pki = fleet.bench.path("controller/server/pki");
        let adjust: fleet_bed::Adjust = Box::new(move |command| {
            let mut command = engines(command);
            for (option, file) in [
                ("--tls-cert", "server.crt"),
                ("--tls-key", "server.key"),
                ("--client-ca", "ca.crt"),
                ("--ca-key", "ca.key"),
            ] {
                command.arg(option).arg(pki.join(file));
            }
            command
        });
        let (server, url) = serve(&fleet.bench.path("second"), "127.0.0.1:0", &adjust);
        let builds = (0..BUILDS)
            .map(|number| fleet.own_build(&format!("build-{number}")))
            .collect();
        let certificates = fleet.bench.path("certificates");
        std::fs::create_dir(&certificates).unwrap();
        for (from, to) in [
            ("ca.crt", "ca.crt"),
            ("client.crt", "client.cert"),
            ("client.key", "client.key"),
        ] {
            std::fs::copy(fleet.administrator().join(from), certificates.join(to)).unwrap();
        }
        let scene = Self {
            second: (adjust, url, Agent::of(server)),
            fleet,
            cluster,
            builds,
            pinned: BTreeSet::new(),
            confirmed: BTreeMap::new(),
            pulled: 0,
            killed: BTreeMap::new(),
            chance: Chance(20),
            certificates,
            _registry: registry,
        };
        for host in 0..HOSTS {
            let name = host_name(host);
            let mut command = scene.fleet.host(&name);
            command.args([
                "agent",
                "join",
                &scene.fleet.url,
                &scene.second.1,
                "--name",
                &name,
            ]);
            let joined = command
                .args(["--token", &scene.fleet.token(&[])])
                .output()
                .unwrap();
            assert!(joined.status.success(), "{}", stderr(&joined));
            assert!(scene.agent(host).wait().unwrap().success());
        }
        scene
    }

    /// The agent of a host, which looks once and does what it is asked for.
    fn agent(&self, host: usize) -> Child {
        let mut command = self.fleet.host(&host_name(host));
        command.args(["agent", "--once", "--connect", "test:///default"]);
        alone(&command)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// What a host needs changes: a build more, or one less.
    fn change(&mut self, host: usize, build: usize) {
        let (path, digest) = &self.builds[build];
        let name = host_name(host);
        let must = |words: &[&str]| {
            let done = self.fleet.flashmoor(&name, words);
            assert!(done.status.success(), "{words:?}: {}", stderr(&done));
        };
        let digest = digest.to_string();
        if self.pinned.remove(&(host, build)) {
            self.confirmed.entry(host).or_default().remove(&build);
            must(&["store", "unpin", &digest, "--reason", "needed"]);
        } else {
            must(&["store", "import", path.to_str().unwrap()]);
            must(&["store", "pin", &digest, "--reason", "needed"]);
            self.pinned.insert((host, build));
        }
    }

    /// After an agent's run that ended well: what it needs is in the fleet, and has to stay there.
    fn confirm(&mut self, host: usize) {
        let needed = self.pinned.iter().filter(|(of, _)| *of == host);
        let needed: Vec<usize> = needed.map(|(_, build)| *build).collect();
        for build in needed {
            let why = self.ask(&["why", &self.builds[build].1.to_string()]);
            // Another run of the agent may be wanted, to bring it.
            if why.is_some_and(|why| why["state"] == "live") {
                self.confirmed.entry(host).or_default().insert(build);
            }
        }
    }

    /// Asks either server; nothing if that is refused, as a build is that nobody has reported.
    fn ask(&self, words: &[&str]) -> Option<Value> {
        let urls = format!("{},{}", self.fleet.url, self.second.1);
        let mut command = flashmoor();
        command.arg("--store").arg(self.fleet.bench.path("nobody"));
        command.arg("fleet").args(words).args(["--json", "--url", &urls]);
        command.arg("--identity").arg(self.fleet.administrator());
        let said = command.output().unwrap();
        said.status.success().then(|| document(&said))
    }

    /// Pulls a build as others than we do, from any server that answers; the bytes.
    fn pull(&mut self, build: usize) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        let digest = self.builds[build].1;
        let folder = tempfile::tempdir().unwrap();
        for url in [&self.fleet.url, &self.second.1].into_iter().cycle() {
            let image = format!(
                "docker://{}/builds:fm-{digest}",
                url.trim_start_matches("https://")
            );
            let pulled = Command::new("skopeo")
                .args(["copy", "--quiet", "--src-cert-dir"])
                .args([&*self.certificates, Path::new(&image)])
                .arg(format!("oci:{}:pulled", folder.path().display()))
                .output()
                .unwrap();
            if pulled.status.success() {
                break;
            }
            let why = self.ask(&["why", &digest.to_string()]);
            assert!(
                Instant::now() < deadline,
                "{digest}: {}: {why:#?}",
                stderr(&pulled)
            );
        }
        self.pulled += 1;
        std::fs::read(folder.path().join(format!("blobs/sha256/{digest}"))).unwrap()
    }

    /// Everything that is needed, and was there once, is there.
    fn check(&mut self) {
        let needed: BTreeSet<usize> = self.confirmed.values().flatten().copied().collect();
        for build in needed {
            let expected = std::fs::read(&self.builds[build].0).unwrap();
            assert!(self.pull(build) == expected, "build {build}");
        }
    }

    /// Kills a server, or the leader of etcd, and starts it again.
    fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::First => {
                self.fleet.end_server();
                self.fleet.restart_server();
            }
            Victim::Second => self.restart_second(),
            Victim::Leader => {
                let leader = self.cluster.leader().expect("somebody leads");
                self.cluster.kill(leader);
                self.cluster.restart(leader);
            }
        }
        let name = match victim {
            Victim::Leader => "leader of etcd",
            _ => "server",
        };
        *self.killed.entry(name).or_default() += 1;
    }

    /// The agent of a host runs, and in the middle of that somebody is killed: `victim`, or the agent itself.
    fn run_and_kill(&mut self, host: usize, victim: Option<Victim>) {
        let mut agent = self.agent(host);
        // The moment is what is tried out, not something that is waited for.
        std::thread::sleep(Duration::from_millis(self.chance.below(LONGEST_MS)));
        match victim {
            Some(victim) => self.kill(victim),
            None => {
                agent.kill().unwrap();
                *self.killed.entry("agent").or_default() += 1;
            }
        }
        if agent.wait().unwrap().success() {
            self.confirm(host);
        }
    }

    /// The agents of all hosts run.
    fn run_all(&mut self) {
        let agents: Vec<Child> = (0..HOSTS).map(|host| self.agent(host)).collect();
        for (host, mut agent) in agents.into_iter().enumerate() {
            if agent.wait().unwrap().success() {
                self.confirm(host);
            }
        }
    }

    /// Runs all agents until a build stands so.
    fn until(&mut self, build: usize, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        let digest = self.builds[build].1.to_string();
        loop {
            let why = self.ask(&["why", &digest]);
            if why.as_ref().is_some_and(|why| why["state"] == state) {
                return;
            }
            assert!(Instant::now() < deadline, "not {state}: {why:#?}");
            self.run_all();
        }
    }

    /// A build is needed by nobody any more, is collected and comes back, with a kill at each stage: three of them.
    fn collection(&mut self, build: usize, victim: Victim) {
        let is_pinned = |scene: &Self, host| scene.pinned.contains(&(host, build));
        if !(0..HOSTS).any(|host| is_pinned(self, host)) {
            self.change(0, build);
        }
        self.until(build, "live");
        for host in 0..HOSTS {
            if is_pinned(self, host) {
                self.change(host, build);
            }
        }
        self.until(build, "condemned");
        self.kill(victim);
        self.run_and_kill(0, None);
        self.until(build, "purged");
        self.change(1, build);
        self.run_and_kill(1, Some(Victim::First));
        self.until(build, "live");
        self.check();
    }

    fn restart_second(&mut self) {
        let (adjust, url, server) = &mut self.second;
        server.end();
        let listen = url.trim_start_matches("https://").to_owned();
        let (process, again) = serve(&self.fleet.bench.path("second"), &listen, adjust);
        assert_eq!(again, *url);
        *server = Agent::of(process);
    }
}

fn host_name(number: usize) -> String {
    format!("h{number}")
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures of a long run")]
fn whoever_is_killed_while_builds_come_and_go_what_is_needed_can_be_pulled() {
    let kills = std::env::var("FLEET_KILLS").map_or(10, |text| text.parse().unwrap());
    let began = Instant::now();
    let mut scene = Scene::start();
    // Storms, with a collection that is watched to its end after each.
    let storm = usize::max(kills / 5, 10) - 3;
    let victims = [
        None,
        Some(Victim::First),
        Some(Victim::Second),
        Some(Victim::Leader),
    ];
    let of_collections = [Victim::Leader, Victim::First, Victim::Second];
    let total = |scene: &Scene| scene.killed.values().sum::<usize>();
    for round in 0.. {
        for number in 0..storm.min(kills - 3 - total(&scene)) {
            let host = usize::try_from(scene.chance.below(HOSTS as u64)).unwrap();
            let build = usize::try_from(scene.chance.below(BUILDS as u64)).unwrap();
            scene.change(host, build);
            scene.run_and_kill(host, victims[number % victims.len()]);
            scene.check();
        }
        scene.collection(round % BUILDS, of_collections[round % of_collections.len()]);
        if total(&scene) + 3 > kills {
            break;
        }
    }
    // In the end everybody says what he needs, and all of it is there.
    let deadline = Instant::now() + PATIENCE;
    let missing = |scene: &Scene| {
        let is_there = |(host, build): &(usize, usize)| {
            scene
                .confirmed
                .get(host)
                .is_some_and(|builds| builds.contains(build))
        };
        scene.pinned.iter().filter(|need| !is_there(need)).count()
    };
    while missing(&scene) > 0 {
        assert!(
            Instant::now() < deadline,
            "{:?} of {:?}",
            scene.confirmed,
            scene.pinned
        );
        for host in 0..HOSTS {
            if scene.agent(host).wait().unwrap().success() {
                scene.confirm(host);
            }
        }
    }
    scene.check();
    let events = scene.ask(&["events"]).unwrap();
    let count = |kind: &str| {
        let events = events["events"].as_array().unwrap().iter();
        events.filter(|event| event["kind"] == kind).count()
    };
    println!(
        "{} kills {:?} in {:.0?}: {} builds stored, {} condemned, {} revived, {} purged, {} elections of a planner; {} pulls, \
         each byte for byte",
        total(&scene),
        scene.killed,
        began.elapsed(),
        count("build_stored"),
        count("build_condemned"),
        count("build_revived"),
        count("build_purged"),
        count("planner_elected"),
        scene.pulled,
    );
    assert!(count("build_purged") > 0, "nothing was collected meanwhile");
}
