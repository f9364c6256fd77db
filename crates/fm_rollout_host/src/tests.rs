//! A host made up: what it is told to do fails at every step, before it is done and after, and is begun again by another agent.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fm_adopt::libvirt::DefinedFirmware;
use fm_api::v1::fleet::{
    CertificateSet, Digest, GuestProgress, GuestTarget, HostTargets, OldVariables, ProgressState as S, Rest,
    RestartWindow, TargetAction,
};

use super::ground::{Given, Ground, Judged, Keys, Process, Update};
use super::record::copy_path;
use super::work::Work;
use crate::{Error, Result};
use fm_formats::Guid;
use fm_libvirt::Owner;

const GUEST: &str = "6d2b0f4e-33f1-4a51-9a43-2f2a3b8f1c01";
const VARS: &str = "/vars/web.fd";

fn digest(digit: &str) -> Digest {
    digit.repeat(64).parse().unwrap()
}

/// A guest: what its definition says, what runs, what its files hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Guest {
    build: Digest,
    vars: PathBuf,
    running: Option<Process>,
    is_saved: bool,
}

struct Fake {
    store: tempfile::TempDir,
    guest: RefCell<Guest>,
    files: RefCell<BTreeMap<PathBuf, Vec<u8>>>,
    pins: RefCell<BTreeSet<(Digest, String)>>,
    builds: RefCell<BTreeSet<Digest>>,
    judged: RefCell<Judged>,
    now: Cell<Duration>,
    processes: Cell<u32>,
    keys: RefCell<Keys>,
    cannot_enroll: Cell<bool>,
    owner: RefCell<Option<Owner>>,
    /// What its memory was given for its next reset, and how that stands.
    given: RefCell<Option<(Digest, Update)>>,
    refuses: RefCell<Option<Given>>,
    shuts_down: Cell<bool>,
    /// What the next looks at its process find in its flash, before they find what is there.
    looks: RefCell<VecDeque<Option<Digest>>>,
    /// So many things are still done; then one fails, before or after it was done.
    left: Cell<i64>,
    fails_after: Cell<bool>,
}

fn stopped() -> Error {
    Error::file(
        "go on with",
        Path::new("/"),
        std::io::ErrorKind::Interrupted.into(),
    )
}

impl Fake {
    fn new() -> Self {
        let store = tempfile::tempdir().unwrap();
        // Its firmware has booted three times.
        let counted = Guid::literal("eb704011-1402-11d3-8e77-00a0c969723b");
        let vars = fm_fixtures::bytes("bookworm/OVMF_VARS_4M.fd");
        let vars = with_variable(&vars, "MTC", counted, &3_u32.to_le_bytes());
        Self {
            guest: RefCell::new(Guest {
                build: digest("a"),
                vars: VARS.into(),
                running: Some(Process {
                    id: (1, 1),
                    code: Some(digest("a")),
                    boots: Some(3),
                    vars: Some(VARS.into()),
                }),
                is_saved: false,
            }),
            files: RefCell::new([(VARS.into(), vars)].into()),
            pins: RefCell::default(),
            builds: RefCell::new([digest("a"), digest("b")].into()),
            judged: RefCell::new(Judged::Well { converts: false }),
            now: Cell::new(Duration::ZERO),
            processes: Cell::new(1),
            keys: RefCell::new(Keys::Gain),
            cannot_enroll: Cell::new(false),
            owner: RefCell::default(),
            given: RefCell::default(),
            refuses: RefCell::default(),
            shuts_down: Cell::new(true),
            looks: RefCell::default(),
            left: Cell::new(i64::MAX),
            fails_after: Cell::new(false),
            store,
        }
    }

    /// Does something that changes the host, or fails before or after.
    fn act(&self, act: impl FnOnce()) -> Result<()> {
        self.left.set(self.left.get() - 1);
        let fails = self.left.get() == 0;
        if fails && !self.fails_after.get() {
            return Err(stopped());
        }
        act();
        if fails { Err(stopped()) } else { Ok(()) }
    }

    fn stop(&self) {
        self.guest.borrow_mut().running = None;
    }

    /// Its QEMU starts with what its definition names.
    fn power_on(&self, boots: Option<u32>) {
        self.processes.set(self.processes.get() + 1);
        let mut guest = self.guest.borrow_mut();
        guest.running = Some(Process {
            id: (self.processes.get(), 1),
            code: Some(guest.build.clone()),
            boots,
            vars: Some(guest.vars.clone()),
        });
        *self.given.borrow_mut() = None;
    }

    fn booted(&self, boots: u32) {
        self.guest.borrow_mut().running.as_mut().unwrap().boots = Some(boots);
    }

    fn vars(&self) -> Vec<u8> {
        let path = self.guest.borrow().vars.clone();
        self.files.borrow()[&path].clone()
    }

    fn step(&self, work: &mut Work, targets: &[GuestTarget]) -> Option<GuestProgress> {
        let targets = HostTargets {
            schema: fm_api::Schema::default(),
            host: "a".parse().unwrap(),
            builds: Vec::new(),
            guests: targets.to_vec(),
            revision: 1,
            rest: Rest::new(),
        };
        work.step_on(self, self.store.path(), Some(&targets))
            .unwrap()
            .into_iter()
            .next()
    }

    fn records(&self) -> usize {
        let entries = std::fs::read_dir(self.store.path().join("rollouts"));
        entries.map_or(0, |entries| entries.flatten().count())
    }
}

impl Ground for Fake {
    fn monotonic(&self) -> Duration {
        self.now.get()
    }
    fn minute_of_day(&self) -> u32 {
        720
    }
    fn defined(&self, _: &str) -> Result<Option<DefinedFirmware>> {
        let guest = self.guest.borrow();
        Ok(Some(DefinedFirmware {
            name: "web".into(),
            uuid: GUEST.into(),
            is_running: guest.running.is_some(),
            is_persistent: true,
            is_saved: guest.is_saved,
            build: guest.build.as_str().parse().ok(),
            vars: Some(guest.vars.clone()),
            owner: self.owner.borrow().clone(),
        }))
    }
    fn process(&self, _: &str) -> Result<Option<Process>> {
        let mut found = self.guest.borrow().running.clone();
        if let Some(process) = &mut found
            && let Some(code) = self.looks.borrow_mut().pop_front()
        {
            process.code = code;
        }
        Ok(found)
    }
    fn has(&self, build: &Digest) -> Result<bool> {
        Ok(self.builds.borrow().contains(build))
    }
    fn judge(&self, _: &DefinedFirmware, _: &Digest) -> Result<Judged> {
        Ok(self.judged.borrow().clone())
    }
    fn keep(&self, build: &Digest, why: &str) -> Result<()> {
        self.act(|| {
            self.pins.borrow_mut().insert((build.clone(), why.into()));
        })
    }
    fn let_go(&self, _: &str, build: &Digest, why: &str) -> Result<()> {
        self.act(|| {
            self.pins.borrow_mut().remove(&(build.clone(), why.into()));
        })
    }
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        if path.starts_with(self.store.path()) {
            return Ok(std::fs::read(path).ok());
        }
        Ok(self.files.borrow().get(path).cloned())
    }
    fn copy_of(&self, guest: &str) -> PathBuf {
        copy_path(self.store.path(), guest)
    }
    fn convert(&self, from: &Path, to: &Path, _: &Digest) -> Result<()> {
        self.act(|| {
            let bytes = self.files.borrow()[from].clone();
            self.files.borrow_mut().insert(to.into(), bytes);
        })
    }
    fn keys(&self, _: &DefinedFirmware, _: CertificateSet) -> Result<Keys> {
        Ok(self.keys.borrow().clone())
    }
    fn enroll(&self, from: &Path, to: &Path, _: CertificateSet) -> Result<Option<String>> {
        if self.cannot_enroll.get() {
            return Ok(Some("there is no room for it".into()));
        }
        self.act(|| {
            assert!(
                self.guest.borrow().running.is_none(),
                "keys change while it is off"
            );
            let bytes = self.files.borrow()[from].clone();
            let security = Guid::literal("d719b2cb-3d3a-4596-a3bc-dad00e67656f");
            let bytes = with_variable(&bytes, "db", security, &[0x23]);
            self.files.borrow_mut().insert(to.into(), bytes);
        })?;
        Ok(None)
    }
    fn give(&self, _: &str, build: &Digest) -> Result<Given> {
        if let Some(refuses) = self.refuses.borrow().clone() {
            return Ok(refuses);
        }
        self.act(|| {
            self.guest.borrow_mut().running.as_mut().unwrap().code = Some(build.clone());
            *self.given.borrow_mut() = Some((build.clone(), Update::Pending));
        })?;
        Ok(Given::Pending)
    }
    fn given(&self, _: &str, build: &Digest) -> Result<Option<Update>> {
        let given = self.given.borrow();
        Ok(given
            .as_ref()
            .filter(|(to, _)| to == build)
            .map(|(_, update)| *update))
    }
    fn take_back(&self, _: &str) -> Result<()> {
        self.act(|| {
            self.guest.borrow_mut().running.as_mut().unwrap().code = Some(digest("a"));
            *self.given.borrow_mut() = None;
        })
    }
    fn restore(&self, path: &Path, copy: &Path) -> Result<()> {
        self.act(|| {
            assert!(
                self.guest.borrow().running.is_none(),
                "nothing changes under a guest that runs"
            );
            self.files
                .borrow_mut()
                .insert(path.into(), std::fs::read(copy).unwrap());
        })
    }
    fn remove(&self, path: &Path) -> Result<()> {
        self.act(|| {
            assert_ne!(self.guest.borrow().vars, path, "its definition names it");
            self.files.borrow_mut().remove(path);
        })
    }
    fn switch(&self, _: &str, build: &Digest, vars: Option<&Path>) -> Result<()> {
        self.act(|| {
            let mut guest = self.guest.borrow_mut();
            guest.build = build.clone();
            if let Some(vars) = vars {
                assert!(self.files.borrow().contains_key(vars), "{}", vars.display());
                guest.vars = vars.into();
            }
        })
    }
    fn shut_down(&self, _: &str) -> Result<()> {
        self.act(|| {
            if self.shuts_down.get() {
                self.stop();
            }
        })
    }
    fn start(&self, _: &str) -> Result<()> {
        self.act(|| self.power_on(Some(3)))
    }
}

fn target(action: TargetAction) -> GuestTarget {
    GuestTarget {
        guest: GUEST.into(),
        build: digest(match action {
            TargetAction::Take | TargetAction::TakeAtReset => "b",
            _ => "a",
        }),
        rollout: Some("r".into()),
        action,
        restart: None,
        health_timeout_s: 60,
        variables: OldVariables::Ask,
        certificates: None,
        rest: Rest::new(),
    }
}

fn take() -> Vec<GuestTarget> {
    vec![target(TargetAction::Take)]
}

fn back(variables: OldVariables) -> Vec<GuestTarget> {
    vec![GuestTarget {
        variables,
        ..target(TargetAction::Back)
    }]
}

/// The store with one variable more.
fn with_variable(bytes: &[u8], name: &str, guid: Guid, data: &[u8]) -> Vec<u8> {
    use fm_formats::efi::Name;
    use fm_varstore::{VarStore, Variable, Writer, attribute};
    let store = VarStore::parse(bytes).unwrap();
    let mut variables = store.to_variables();
    variables.push(Variable::new(
        guid,
        Name::from_units(name.encode_utf16()),
        attribute::NON_VOLATILE | attribute::BOOT_SERVICE,
        data.to_vec(),
    ));
    Writer::new(store.layout().unwrap()).emit(&variables).unwrap()
}

mod ended;
mod enrolled;
mod resets;
mod starting;

fn state(progress: Option<GuestProgress>) -> S {
    progress.expect("it is told").state
}

#[test]
fn a_guest_takes_the_build_at_its_next_start_and_is_healthy_once_its_firmware_counts_a_boot() {
    let host = Fake::new();
    let mut work = Work::default();
    assert_eq!(state(host.step(&mut work, &take())), S::Armed);
    assert_eq!(host.guest.borrow().build, digest("b"));
    assert_eq!(
        state(host.step(&mut work, &take())),
        S::Armed,
        "it still runs the old one"
    );
    host.stop();
    assert_eq!(state(host.step(&mut work, &take())), S::Armed);
    host.power_on(Some(3));
    assert_eq!(state(host.step(&mut work, &take())), S::Booting);
    host.now.set(Duration::from_secs(59));
    assert_eq!(state(host.step(&mut work, &take())), S::Booting);
    host.booted(4);
    assert_eq!(state(host.step(&mut work, &take())), S::Healthy);
    // The fleet wants nothing any more; the way back stays.
    assert_eq!(state(host.step(&mut work, &[])), S::Healthy);
}

#[test]
fn a_guest_that_does_not_boot_in_time_has_failed_and_goes_back_byte_for_byte() {
    let host = Fake::new();
    let before = host.vars();
    let mut work = Work::default();
    host.step(&mut work, &take());
    host.stop();
    host.step(&mut work, &take());
    host.power_on(Some(3));
    assert_eq!(state(host.step(&mut work, &take())), S::Booting);
    host.now.set(Duration::from_secs(60));
    let failed = host.step(&mut work, &take()).unwrap();
    assert_eq!(failed.state, S::Failed);
    assert!(failed.evidence.unwrap().contains("MTC was 3"));
    // What its firmware writes at each boot is not the guest's.
    assert_eq!(
        state(host.step(&mut work, &back(OldVariables::Ask))),
        S::Reverting
    );
    assert_eq!(
        host.guest.borrow().build,
        digest("a"),
        "its next start, whoever starts it"
    );
    host.stop();
    assert_eq!(state(host.step(&mut work, &back(OldVariables::Ask))), S::Reverted);
    assert!(host.vars() == before);
    assert!(host.pins.borrow().is_empty());
    assert!(host.step(&mut work, &[]).is_none());
    assert_eq!(host.records(), 0);
}

#[test]
fn what_the_guest_wrote_since_is_lost_or_kept_by_a_persons_decision_alone() {
    for (decision, lost) in [(OldVariables::Keep, false), (OldVariables::Old, true)] {
        let host = Fake::new();
        let before = host.vars();
        let mut work = Work::default();
        host.step(&mut work, &take());
        host.stop();
        host.step(&mut work, &take());
        host.power_on(Some(4));
        assert_eq!(state(host.step(&mut work, &take())), S::Healthy);
        let own = Guid::literal("4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11");
        let written = with_variable(&before, "Own", own, &[1]);
        host.files.borrow_mut().insert(VARS.into(), written.clone());
        let asked = host.step(&mut work, &back(OldVariables::Ask)).unwrap();
        assert_eq!(asked.state, S::Undecided);
        assert_eq!(asked.written, ["4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11-Own"]);
        assert_eq!(host.guest.borrow().build, digest("b"), "nothing is done before");
        assert_eq!(state(host.step(&mut work, &back(decision))), S::Reverting);
        host.stop();
        assert_eq!(state(host.step(&mut work, &back(decision))), S::Reverted);
        assert_eq!(host.guest.borrow().build, digest("a"));
        assert!(host.vars() == if lost { before } else { written });
    }
}

#[test]
fn variables_are_converted_to_a_file_beside_while_it_is_off_and_the_old_file_is_the_way_back() {
    let host = Fake::new();
    *host.judged.borrow_mut() = Judged::Well { converts: true };
    let before = host.vars();
    let mut work = Work::default();
    assert_eq!(state(host.step(&mut work, &take())), S::Waiting);
    assert_eq!(host.guest.borrow().build, digest("a"), "not while it runs");
    host.stop();
    assert_eq!(state(host.step(&mut work, &take())), S::Armed);
    assert_eq!(
        host.guest.borrow().vars,
        Path::new("/vars/web.fd.fm-bbbbbbbbbbbb")
    );
    host.power_on(Some(4));
    assert_eq!(state(host.step(&mut work, &take())), S::Healthy);
    assert!(host.files.borrow()[Path::new(VARS)] == before);
    let kept = host.step(&mut work, &back(OldVariables::Keep)).unwrap();
    assert_eq!(kept.state, S::Undecided, "they lie differently");
    assert_eq!(
        state(host.step(&mut work, &back(OldVariables::Ask))),
        S::Reverting
    );
    assert_eq!(host.guest.borrow().vars, Path::new(VARS));
    host.stop();
    assert_eq!(state(host.step(&mut work, &back(OldVariables::Ask))), S::Reverted);
}

#[test]
fn what_was_not_started_is_undone_when_nobody_wants_it_any_more() {
    for converts in [false, true] {
        let host = Fake::new();
        *host.judged.borrow_mut() = Judged::Well { converts };
        let guest = host.guest.borrow().clone();
        let mut work = Work::default();
        host.stop();
        assert_eq!(state(host.step(&mut work, &take())), S::Armed);
        assert!(host.step(&mut work, &[]).is_none());
        let now = host.guest.borrow().clone();
        assert_eq!((now.build, now.vars), (guest.build, guest.vars));
        assert_eq!(host.files.borrow().len(), 1);
        assert!(host.pins.borrow().is_empty());
        assert_eq!(host.records(), 0);
    }
}

#[test]
fn a_guest_that_must_not_or_cannot_is_refused_and_one_that_cannot_yet_waits() {
    let host = Fake::new();
    *host.judged.borrow_mut() = Judged::Not("incompatible: its own eyes".into());
    let refused = host.step(&mut Work::default(), &take()).unwrap();
    assert_eq!(
        (refused.state, refused.evidence.as_deref()),
        (S::Refused, Some("incompatible: its own eyes"))
    );
    assert_eq!(host.guest.borrow().build, digest("a"));

    let host = Fake::new();
    host.builds.borrow_mut().remove(&digest("b"));
    assert_eq!(state(host.step(&mut Work::default(), &take())), S::Waiting);

    let host = Fake::new();
    host.stop();
    host.guest.borrow_mut().is_saved = true;
    assert_eq!(state(host.step(&mut Work::default(), &take())), S::Waiting);
}

#[test]
fn a_guest_is_asked_to_shut_down_in_its_window_and_started_again_and_never_killed() {
    let host = Fake::new();
    let mut targets = take();
    targets[0].restart = Some(RestartWindow {
        from_minute: 700,
        to_minute: 800,
        shutdown_timeout_s: 30,
    });
    let mut work = Work::default();
    assert_eq!(state(host.step(&mut work, &targets)), S::Armed);
    host.step(&mut work, &targets);
    assert!(host.guest.borrow().running.is_none());
    host.step(&mut work, &targets);
    assert_eq!(
        host.guest.borrow().running.as_ref().unwrap().code,
        Some(digest("b"))
    );

    let host = Fake::new();
    host.shuts_down.set(false);
    let mut work = Work::default();
    host.step(&mut work, &targets);
    host.step(&mut work, &targets);
    host.now.set(Duration::from_secs(31));
    let told = host.step(&mut work, &targets).unwrap();
    assert_eq!(told.evidence.as_deref(), Some("it did not shut down within 30 s"));
    assert!(host.guest.borrow().running.is_some());

    targets[0].restart = Some(RestartWindow {
        from_minute: 0,
        to_minute: 60,
        shutdown_timeout_s: 30,
    });
    let host = Fake::new();
    let mut work = Work::default();
    host.step(&mut work, &targets);
    host.step(&mut work, &targets);
    assert!(host.guest.borrow().running.is_some(), "its window is not open");
}

#[test]
fn a_guest_that_came_with_its_definition_changed_is_looked_after_and_one_that_runs_the_build_is_well() {
    let host = Fake::new();
    host.guest.borrow_mut().build = digest("b");
    let mut work = Work::default();
    assert_eq!(state(host.step(&mut work, &take())), S::Armed);
    host.stop();
    host.power_on(Some(3));
    assert_eq!(state(host.step(&mut work, &take())), S::Booting);
    host.booted(4);
    assert_eq!(state(host.step(&mut work, &take())), S::Healthy);

    let host = Fake::new();
    host.guest.borrow_mut().build = digest("b");
    host.power_on(Some(4));
    assert_eq!(state(host.step(&mut Work::default(), &take())), S::Healthy);
}

#[test]
fn another_rollout_has_the_guest_once_the_one_before_is_put_right() {
    let host = Fake::new();
    let mut work = Work::default();
    host.step(&mut work, &take());
    host.stop();
    host.step(&mut work, &take());
    host.power_on(Some(3));
    host.step(&mut work, &take());
    host.now.set(Duration::from_secs(60));
    assert_eq!(state(host.step(&mut work, &take())), S::Failed);
    let next = GuestTarget {
        build: digest("a"),
        rollout: Some("s".into()),
        ..target(TargetAction::Take)
    };
    let told = host.step(&mut work, &[next]).unwrap();
    assert_eq!((told.rollout.as_str(), told.state), ("s", S::Armed));
    assert_eq!(host.guest.borrow().build, digest("a"));
}
