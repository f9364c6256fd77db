//! `flashmoor store` as its users meet it: words, JSON, exit statuses, and other tools on its layout.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";

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
            .env("FLASHMOOR_STORE", self.path("store"))
            .env("COLUMNS", "100")
            .current_dir(self.dir.path());
        command
    }

    /// Status, standard output and standard error, with what differs from run to run taken out.
    fn say(&self, words: &[&str]) -> String {
        let mut command = self.command(words);
        if words.contains(&"-h") {
            // The help shows it, and its length would decide where lines break.
            command.env_remove("FLASHMOOR_STORE");
        }
        let output = command.output().unwrap();
        let (out, err) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        let text = format!(
            "$ flashmoor {}\n{out}{err}status {}\n",
            words.join(" "),
            output.status.code().unwrap()
        );
        self.redact(&text)
    }

    fn redact(&self, text: &str) -> String {
        let text = text
            .replace(&self.dir.path().display().to_string(), "[DIR]")
            .replace(&fm_fixtures::folder().display().to_string(), "[FIXTURES]");
        let mut clean = String::new();
        for line in text.split_inclusive('\n') {
            // Times, and the digest and size of the manifest that holds one.
            let line = match line
                .find("20")
                .filter(|at| line.get(at + 4..at + 5) == Some("-") && line.contains('T'))
            {
                Some(at) => line.replace(&line[at..at + 20], "[TIME]"),
                None if line.contains("manifest") => format!(
                    "{}[MANIFEST]\n",
                    &line[..line.trim_end().rfind(' ').map_or(0, |at| at + 1)]
                ),
                // Depends on the file system, and on how long the paths are.
                None if line.contains("bytes read") || line.contains("free") => {
                    let bytes = line
                        .split(' ')
                        .filter(|word| word.len() > 4 && word.bytes().all(|b| b.is_ascii_digit()));
                    bytes.fold(line.to_owned(), |line, bytes| line.replace(bytes, "[BYTES]"))
                }
                None => line.to_owned(),
            };
            clean.push_str(&line);
        }
        clean
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.command(words).arg("--json").output().unwrap();
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn import(&self) -> Value {
        let (code, vars) = (image(CODE), image(VARS));
        self.json(&[
            "store",
            "import",
            &code,
            "--vars-template",
            &vars,
            "--name",
            "Debian 12 4M",
        ])
    }
}

fn image(name: &str) -> String {
    fm_fixtures::path(name).display().to_string()
}

#[test]
fn a_second_template_is_kept_beside_the_first() {
    let scene = Scene::new();
    let before = scene.import();
    let (code, vars) = (image(CODE), image("bookworm/OVMF_VARS_4M.ms.fd"));
    let said = scene.say(&["store", "import", &code, "--vars-template", &vars]);
    assert!(
        said.contains("another VARS template; this one is kept beside it"),
        "{said}"
    );
    let build = scene.json(&["store", "show", before["id"].as_str().unwrap()])["build"].clone();
    let held = |file: &Value| fs::read(file["path"].as_str().unwrap()).unwrap();
    assert!(held(&build["vars_template"]) == fm_fixtures::bytes(VARS));
    assert!(held(&build["templates"][0]) == fm_fixtures::bytes(VARS));
    assert!(held(&build["templates"][1]) == fm_fixtures::bytes("bookworm/OVMF_VARS_4M.ms.fd"));
}

#[test]
fn each_verb_says_what_it_did() {
    let scene = Scene::new();
    let (code, vars) = (image(CODE), image(VARS));
    let mut said = String::new();
    for words in [
        &["store", "list"][..],
        &[
            "store",
            "import",
            &code,
            "--vars-template",
            &vars,
            "--name",
            "Debian 12 4M",
            "--version",
            "2022.11-6",
        ],
        &["store", "import", &code, "--name", "another"],
        &["store", "list"],
        &["store", "show", "Debian 12 4M"],
        &["store", "verify"],
        &["store", "export", "Debian 12 4M", "files"],
        &["store", "export", "Debian 12 4M", "oci:layout:v1"],
        &["store", "import", "oci:layout:v1"],
        &["store", "pin", "Debian 12 4M", "--reason", "needed for restore"],
        &["store", "gc"],
        &["store", "unpin", "Debian 12 4M"],
        &["store", "gc", "--dry-run"],
        &["store", "gc"],
        &["store", "list"],
        &["store", "landings"],
    ] {
        said += &scene.say(words);
    }
    insta::assert_snapshot!(said);
}

#[test]
fn each_refusal_says_what_why_and_what_to_do() {
    let scene = Scene::new();
    fs::write(scene.path("odd"), [0; 5000]).unwrap();
    fs::write(scene.path("zeros"), [0; 8192]).unwrap();
    fs::write(
        scene.path("disk.qcow2"),
        [b"QFI\xfb".as_slice(), &[0; 4092]].concat(),
    )
    .unwrap();
    fs::create_dir(scene.path("empty")).unwrap();
    scene.import();
    let mut said = String::new();
    for words in [
        &["store", "import", "odd"][..],
        &["store", "import", "zeros"],
        &["store", "import", "disk.qcow2"],
        &["store", "import", "nowhere.fd"],
        &["store", "import", "oci:empty"],
        &["store", "import", "oci:store:v9"],
        &["store", "import", "oci:store", "--name", "x"],
        &["store", "show", "0000"],
        &["store", "pin", "nobody"],
        &["store", "forget", "nobody"],
        &["store", "export", "Debian 12 4M", "oci:."],
        &["store", "list", "--store", "."],
    ] {
        said += &scene.say(words);
    }
    insta::assert_snapshot!(said);
}

#[test]
fn each_verb_explains_itself() {
    let scene = Scene::new();
    let verbs = [
        "list", "show", "import", "export", "verify", "gc", "pin", "unpin", "landings", "forget",
    ];
    let mut said = scene.say(&["store", "-h"]);
    for verb in verbs {
        said += &scene.say(&["store", verb, "-h"]);
    }
    insta::assert_snapshot!(said);
}

#[test]
fn the_list_is_json_that_its_schema_describes() {
    let scene = Scene::new();
    let done = scene.import();
    let list = scene.json(&["store", "list"]);
    assert_eq!(list["schema"], "flashmoor/store-list/1");
    let build = &list["builds"][0];
    assert_eq!(build["id"], done["id"]);
    assert_eq!(build["name"], "Debian 12 4M");
    assert_eq!(build["size_bytes"], 3_653_632);
    assert_eq!(
        fs::read(build["path"].as_str().unwrap()).unwrap(),
        fs::read(image(CODE)).unwrap()
    );
    let schema = scene.json(&["schema", "store-list"]);
    for field in ["schema", "store", "builds"] {
        assert!(schema["properties"][field].is_object(), "{field}");
    }
}

#[test]
fn a_corrupted_blob_is_named_with_status_1() {
    let scene = Scene::new();
    let id = scene.import()["id"].as_str().unwrap().to_owned();
    let blob = scene.path("store/blobs/sha256").join(id);
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    bytes[1_000_000] ^= 1;
    fs::write(&blob, bytes).unwrap();
    insta::assert_snapshot!(scene.say(&["store", "verify"]));
}

/// A shell that runs `script`, which says a line first: a process just spawned may not be the shell yet.
fn started(script: &str, arguments: &[&str], stdin: Stdio) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", script]).args(arguments);
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    child
}

#[test]
fn gc_keeps_what_a_process_has_open_or_names_and_says_which() {
    let scene = Scene::new();
    let path = scene.import()["path"].as_str().unwrap().to_owned();
    let open = fs::File::open(&path).unwrap();
    let mut holder = started("echo; kill -STOP $$", &[], open.into());
    let kept = scene.json(&["store", "gc"]);
    assert_eq!(kept["removed"], Value::Array(Vec::new()));
    let reason = format!("process {} (sh)", holder.id());
    assert_eq!(kept["kept"][0]["reasons"][0], reason);
    holder.kill().unwrap();
    holder.wait().unwrap();

    let mut namer = started("echo; read line", &[&path], Stdio::piped());
    assert_eq!(
        scene.json(&["store", "gc"])["kept"][0]["reasons"][0],
        format!("process {} (sh)", namer.id())
    );
    namer.kill().unwrap();
    namer.wait().unwrap();
    assert_eq!(
        scene.json(&["store", "gc"])["removed"].as_array().unwrap().len(),
        1
    );
    assert!(!Path::new(&path).exists());
}

fn skopeo(scene: &Scene, words: &[&str]) -> Vec<u8> {
    let output = Command::new("skopeo")
        .args(words)
        .current_dir(scene.dir.path())
        .output();
    let output =
        output.unwrap_or_else(|error| panic!("skopeo (Debian package skopeo) is needed here: {error}"));
    assert!(
        output.status.success(),
        "skopeo {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[test]
fn skopeo_reads_and_copies_a_stored_build_and_it_comes_back_with_the_same_id() {
    let scene = Scene::new();
    let id = scene.import()["id"].as_str().unwrap().to_owned();
    let tag = format!("oci:store:fm-{id}");
    let manifest: Value = serde_json::from_slice(&skopeo(&scene, &["inspect", "--raw", &tag])).unwrap();
    assert_eq!(manifest["artifactType"], "application/vnd.flashmoor.build.v1");
    assert_eq!(manifest["layers"][0]["digest"], format!("sha256:{id}"));
    assert_eq!(
        manifest["annotations"]["org.opencontainers.image.title"],
        "Debian 12 4M"
    );

    skopeo(&scene, &["copy", &tag, "oci:copy:v1"]);
    skopeo(&scene, &["copy", "oci:copy:v1", "oci:second:v2"]);
    let list = |scene: &Scene, store: &str| scene.json(&["store", "list", "--store", store]);
    let done = scene.json(&["store", "import", "oci:second:v2", "--store", "back"]);
    assert_eq!(
        (done["id"].as_str(), &done["new"]),
        (Some(&*id), &Value::Bool(true))
    );
    let (there, back) = (list(&scene, "store"), list(&scene, "back"));
    for fact in ["id", "name", "manifest", "size_bytes", "created"] {
        assert_eq!(there["builds"][0][fact], back["builds"][0][fact], "{fact}");
    }
    let verified = scene.json(&["store", "verify", "--store", "back"]);
    assert_eq!(
        (&verified["whole"], &verified["findings"]),
        (&Value::Bool(true), &Value::Array(Vec::new()))
    );
}
