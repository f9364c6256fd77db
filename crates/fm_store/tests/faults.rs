//! The store under real faults: processes killed at any moment, many at once, a full disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fm_formats::Sha256;
use fm_remedy::Failure as _;
use fm_store::{Collect, Error, Import, NewLanding, Store};

const STORE: &str = "FM_STORE_TEST_STORE";
const SEED: &str = "FM_STORE_TEST_SEED";
const COUNT: &str = "FM_STORE_TEST_COUNT";

fn code(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..60_000)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// Not a test by itself: what a child process of the tests below does.
#[test]
fn a_child_writes_to_the_store_it_is_given() {
    let Some(dir) = std::env::var_os(STORE) else {
        return;
    };
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let store = Store::open(PathBuf::from(dir))
        .unwrap()
        .with_lock_timeout(Duration::from_secs(100));
    for seed in number(SEED)..number(SEED) + number(COUNT) {
        let code = code(seed);
        let name = format!("guest{seed}");
        let landing = store
            .create_landing(&NewLanding {
                guest_name: Some(&name),
                guest_uuid: None,
                code: Sha256::of(&code),
                size_bytes: code.len() as u64,
            })
            .unwrap();
        let import = Import {
            code: &code,
            vars_template: Some(b"t"),
            name: Some(&name),
            ..Import::default()
        };
        let id = store.import(&import).unwrap().id;
        store.pin(&id, "test").unwrap();
        store.settle_landing(&landing.id, &id).unwrap();
        if seed % 3 == 0 {
            store.remove_landing(&landing.id).unwrap();
            store.unpin(&id, None).unwrap();
            store
                .collect(&Collect {
                    uses: &|| Ok(Vec::new()),
                    dry_run: false,
                    placeholder_age: Duration::from_secs(3600),
                    settled_age: None,
                    only: None,
                })
                .unwrap();
        }
    }
}

fn child(store: &Path, seed: u64, count: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_child_writes_to_the_store_it_is_given"])
        .env(STORE, store)
        .env(SEED, seed.to_string())
        .env(COUNT, count.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_writer_killed_at_any_moment_leaves_a_store_that_verify_calls_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut pause = Duration::from_micros(3_000);
    for round in 0..60_u64 {
        let mut writer = child(&path, round * 1000, 1000);
        // Spread over start-up, the making of the store, and the middle of all operations.
        let until = Instant::now() + pause;
        while Instant::now() < until {
            std::thread::sleep(Duration::from_micros(200));
        }
        pause += Duration::from_micros(1_370);
        writer.kill().unwrap();
        writer.wait().unwrap();
        let found = Store::open(&path).unwrap().verify().unwrap();
        assert!(found.is_whole(), "round {round}: {found:#?}");
    }
    let store = Store::open(&path).unwrap();
    assert!(store.builds().unwrap().len() > 10, "the writers got somewhere");
    let all = Collect {
        uses: &|| Ok(Vec::new()),
        dry_run: false,
        placeholder_age: Duration::ZERO,
        settled_age: None,
        only: None,
    };
    store.collect(&all).unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
}

#[test]
fn processes_that_write_at_once_lose_nothing_of_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let writers: Vec<Child> = (0..4).map(|at| child(&path, at * 100 + 1, 8)).collect();
    for writer in writers {
        let output = writer.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let store = Store::open(&path).unwrap();
    let stored: BTreeSet<Sha256> = store.builds().unwrap().iter().map(|build| build.id).collect();
    let seeds = (0..4)
        .flat_map(|at| (at * 100 + 1)..(at * 100 + 9))
        .filter(|seed| seed % 3 != 0);
    let expected: BTreeSet<Sha256> = seeds.map(|seed| Sha256::of(&code(seed))).collect();
    assert_eq!(stored, expected);
    assert_eq!(store.verify().unwrap().findings, []);
}

/// A real small file system, where this process may mount one; otherwise the same through a limit on the
/// size of files, which the kernel enforces in the same place.
#[test]
fn a_full_disk_is_a_clear_error_and_leaves_the_store_whole() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"
        mount -t tmpfs -o size=100k none "$1" 2>/dev/null || exit 77
        shift; exec "$@""#;
    let exe = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(exe)
        .args(["--exact", "--nocapture", "a_child_fills_the_disk_it_is_given"])
        .env(STORE, dir.path().join("store"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return;
    }
    let may_mount = output.status.code() != Some(77) && !said.contains("unshare failed");
    assert!(!may_mount, "{said}{}", String::from_utf8_lossy(&output.stdout));
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 70; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "a_child_fills_the_disk_it_is_given"])
        .env(STORE, dir.path().join("store"))
        .output()
        .unwrap();
    assert!(
        limited.status.success(),
        "{}",
        String::from_utf8_lossy(&limited.stderr)
    );
}

/// Not a test by itself: fills the disk on which its store lies.
#[test]
fn a_child_fills_the_disk_it_is_given() {
    let Some(dir) = std::env::var_os(STORE).filter(|_| std::env::var_os(COUNT).is_none()) else {
        return;
    };
    let store = Store::open(PathBuf::from(dir)).unwrap();
    let small = store
        .import(&Import {
            code: &code(1)[..20_000],
            ..Import::default()
        })
        .unwrap();
    let large: Vec<u8> = (2..6).flat_map(code).collect();
    let error = store
        .import(&Import {
            code: &large,
            ..Import::default()
        })
        .unwrap_err();
    assert!(matches!(&error, Error::Io { action: "write", .. }), "{error:?}");
    assert!(error.remedy().unwrap().advice.contains("make room"), "{error:?}");
    let found = store.verify().unwrap();
    assert!(found.is_whole(), "{found:#?}");
    assert_eq!(fs::read(&small.path).unwrap(), code(1)[..20_000]);
    // The next writer takes the half-written blob away, and there is room again.
    store
        .import(&Import {
            code: &code(7)[..20_000],
            ..Import::default()
        })
        .unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
}
