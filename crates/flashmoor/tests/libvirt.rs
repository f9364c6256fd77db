//! `flashmoor libvirt` and `flashmoor agent` as their users meet them: words, files, exit statuses, and time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fm_fixtures::Patience;
use fm_formats::Sha256;

struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flashmoor"));
        command
            .args(words)
            .env_remove("FLASHMOOR_STORE")
            .env("NO_COLOR", "1")
            .env("COLUMNS", "100")
            .current_dir(self.dir.path());
        command
    }

    /// Status, standard output and standard error.
    fn say(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        format!(
            "$ flashmoor {}\n{}{}status {}\n",
            words.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            output.status.code().unwrap()
        )
        .replace(&self.dir.path().display().to_string(), "[DIR]")
        .replace(env!("CARGO_BIN_EXE_flashmoor"), "[FLASHMOOR]")
    }

    /// What was said on standard error, and the status.
    fn told(&self, output: &Output) -> String {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.replace(&self.dir.path().display().to_string(), "[DIR]");
        format!("{said}status {}\n", output.status.code().unwrap())
    }

    /// The hook, as libvirt starts it for a guest that arrives with that loader.
    fn hook(&self, loader: &Path, code: &[u8], deadline_ms: &str) -> Output {
        let xml = format!(
            "<domain><name>web</name><uuid>u1</uuid><metadata><f:firmware xmlns:f='{}' build='sha256:{}' \
             code-bytes='{}'/></metadata><resource/><os><loader type='pflash'>{}</loader></os></domain>",
            "https://github.com/flashmoor/flashmoor/libvirt/1",
            Sha256::of(code),
            code.len(),
            loader.display()
        );
        fs::write(self.path("web.xml"), xml).unwrap();
        let store = self.path("store");
        let words = ["--store", store.to_str().unwrap(), "libvirt", "hook"];
        self.command(&words)
            .args(["--deadline-ms", deadline_ms, "web", "migrate", "begin", "-"])
            .stdin(fs::File::open(self.path("web.xml")).unwrap())
            .output()
            .unwrap()
    }
}

#[test]
fn each_verb_explains_itself() {
    let scene = Scene::new();
    let mut text = String::new();
    for words in [
        &["libvirt", "-h"][..],
        &["libvirt", "install", "-h"],
        &["libvirt", "uninstall", "-h"],
        &["libvirt", "status", "-h"],
        &["libvirt", "adopt", "-h"],
        &["libvirt", "unadopt", "-h"],
        &["agent", "-h"],
    ] {
        text += &scene.say(words);
    }
    insta::assert_snapshot!(text);
}

#[test]
fn install_says_what_it_wrote_and_what_is_left_to_do() {
    let scene = Scene::new();
    for folder in ["etc/apparmor.d/local/abstractions", "etc/selinux"] {
        fs::create_dir_all(scene.path("root").join(folder)).unwrap();
    }
    fs::write(scene.path("root/etc/apparmor.d/usr.sbin.libvirtd"), "").unwrap();
    fs::write(scene.path("root/etc/selinux/config"), "SELINUX=permissive\n").unwrap();
    let words = |verb| ["--store", "/var/lib/flashmoor", "libvirt", verb, "--root", "root"];
    let text = [scene.say(&words("install")), scene.say(&words("uninstall"))].concat();
    insta::assert_snapshot!(text);
}

#[test]
fn without_a_libvirt_that_answers_the_words_say_what_to_do() {
    let scene = Scene::new();
    let uri = "qemu+unix:///system?socket=/nowhere";
    let adopt = scene.say(&["--store", "store", "libvirt", "adopt", "web", "-c", uri]);
    assert!(adopt.contains("virsh") && adopt.contains("status 1"), "{adopt}");
    let status = scene.say(&[
        "--store", "store", "libvirt", "status", "--root", "root", "-c", uri,
    ]);
    assert!(
        status.contains("the hook is not installed") && status.contains("libvirt does not answer"),
        "{status}"
    );
    assert!(status.contains("status 1"), "{status}");
    // Without libvirt there are guests all the same, and the agent looks at them: here at none, for those of other tests
    // are not its own.
    let once = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"])
        .args([env!("CARGO_BIN_EXE_flashmoor"), "--store"])
        .arg(scene.path("store"))
        .args(["agent", "--once", "-c", uri])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&once.stderr);
    assert!(once.status.success() && said.contains("serving "), "{said}");
}

#[test]
fn one_agent_serves_a_store_and_a_second_one_says_so() {
    let scene = Scene::new();
    let store = scene.path("store");
    let words = [
        "--store",
        store.to_str().unwrap(),
        "agent",
        "-c",
        "test:///default",
    ];
    let mut first = scene.command(&words).stderr(Stdio::null()).spawn().unwrap();
    let lock = store.join("libvirt/agent.lock");
    let pid = first.id().to_string();
    let mut patience = Patience::new(Duration::from_secs(60));
    while fs::read_to_string(&lock).is_ok_and(|text| text.trim() != pid) || !lock.exists() {
        patience.rest(|| "the first one does not start".into());
    }
    let second = scene.say(&words);
    first.kill().unwrap();
    first.wait().unwrap();
    insta::assert_snapshot!(second.replace(&format!("pid {pid}"), "pid [PID]"));
}

#[test]
fn a_hook_that_would_take_too_long_gives_up_and_lets_libvirt_go_on() {
    let scene = Scene::new();
    // Reading the domain waits for its end, which does not come.
    let (domain, _held_open) = std::io::pipe().unwrap();
    let store = scene.path("store");
    let output = scene
        .command(&["--store", store.to_str().unwrap(), "libvirt", "hook"])
        .args(["--deadline-ms", "300", "web", "migrate", "begin", "-"])
        .stdin(domain)
        .output()
        .unwrap();
    insta::assert_snapshot!(scene.told(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn without_a_store_a_guest_that_would_work_anyway_goes_on_and_another_is_told_why_not() {
    let scene = Scene::new();
    // Something else is where the store was.
    fs::write(scene.path("store"), "a disk that is not mounted").unwrap();
    fs::write(scene.path("CODE.fd"), [1; 4096]).unwrap();
    let fits = scene.hook(&scene.path("CODE.fd"), &[2; 4096], "9000");
    let other = scene.hook(&scene.path("CODE.fd"), &[2; 8192], "9000");
    insta::assert_snapshot!([scene.told(&fits), scene.told(&other)].concat());
    assert!(fits.stdout.is_empty() && other.stdout.is_empty());
    // One that is gone comes into being again.
    fs::remove_file(scene.path("store")).unwrap();
    let landed = scene.hook(&scene.path("CODE.fd"), &[2; 8192], "9000");
    assert_eq!(landed.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&landed.stdout).contains("/store/landings/web/CODE.fd"));
}

#[test]
fn a_dry_run_of_the_hook_says_what_it_would_do_and_leaves_no_trace() {
    let scene = Scene::new();
    let xml = format!(
        "<domain><name>web</name><uuid>u1</uuid><metadata><f:firmware \
         xmlns:f='https://github.com/flashmoor/flashmoor/libvirt/1' build='sha256:{}' code-bytes='4096'/></metadata>\
         <resource/><os><loader type='pflash'>/nowhere</loader></os></domain>",
        Sha256::of(b"a")
    );
    fs::write(scene.path("web.xml"), xml).unwrap();
    let store = scene.path("store");
    let run = |operation: &str| {
        let words = ["--store", store.to_str().unwrap(), "libvirt", "hook", "--dry-run"];
        let output = scene
            .command(&words)
            .args(["web", operation, "begin", "-"])
            .stdin(fs::File::open(scene.path("web.xml")).unwrap())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (status, said) = run("migrate");
    assert_eq!(status, Some(0), "{said}");
    insta::assert_snapshot!(said);
    assert_eq!(run("started").0, Some(0));
    assert!(!store.exists());
}
