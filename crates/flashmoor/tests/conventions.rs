//! What every command has in common: settings from files, help, man pages, completions, usage errors, `-v`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flashmoor"));
        command
            .args(words)
            .env_remove("FLASHMOOR_STORE")
            .env("FLASHMOOR_CONFIG", "")
            .env("XDG_DATA_HOME", self.path("data"))
            .env("NO_COLOR", "1")
            .env("COLUMNS", "80")
            .current_dir(self.dir.path());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// Value and origin of a setting, as `config show --json` has it.
fn setting(output: &Output, name: &str) -> (String, String) {
    let document = json(&output.stdout);
    let settings = document["settings"].as_array().unwrap();
    let found = settings.iter().find(|setting| setting["name"] == name).unwrap();
    let word = |field: &str| found[field].as_str().unwrap().to_owned();
    (word("value"), word("origin"))
}

#[test]
fn an_option_wins_over_the_environment_that_over_a_file_and_that_over_what_is_built_in() {
    let scene = Scene::new();
    let file = scene.write("config.toml", "store = \"/srv/of-file\"\nagent.keep-days = 90\n");
    let show = |words: &[&str], store: Option<&str>| {
        let mut command = scene.command(&[&["--json", "config", "show"], words].concat());
        command.env("FLASHMOOR_CONFIG", &file);
        if let Some(store) = store {
            command.env("FLASHMOOR_STORE", store);
        }
        command.output().unwrap()
    };
    let of = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(setting(&show(&[], None), "store"), of("/srv/of-file", "named"));
    assert_eq!(
        setting(&show(&[], Some("/srv/of-env")), "store"),
        of("/srv/of-env", "environment")
    );
    let typed = show(&["--store", "/srv/typed"], Some("/srv/of-env"));
    assert_eq!(setting(&typed, "store"), of("/srv/typed", "option"));
    assert_eq!(setting(&typed, "agent.keep-days"), of("90", "named"));
    assert_eq!(setting(&typed, "libvirt.policy"), of("refuse", "default"));
}

#[test]
fn a_file_decides_where_an_option_does_not() {
    let scene = Scene::new();
    let store = scene.path("of-file");
    let file = scene.write(
        "config.toml",
        &format!("store = \"{}\"\n[libvirt]\npolicy = \"pass\"\n", store.display()),
    );
    let root = scene.path("root");
    fs::create_dir(&root).unwrap();
    let install = |words: &[&str]| {
        let all = [&["libvirt", "install", "--root", "root"], words].concat();
        let done = scene
            .command(&all)
            .env("FLASHMOOR_CONFIG", &file)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        fs::read_to_string(root.join("etc/libvirt/hooks/qemu.d/flashmoor")).unwrap()
    };
    let hook = install(&[]);
    assert!(
        hook.contains("--policy pass") && hook.contains(&store.display().to_string()),
        "{hook}"
    );
    assert!(install(&["--policy", "refuse"]).contains("--policy refuse"));
}

#[test]
fn a_file_with_an_unknown_word_stops_commands_and_not_help() {
    let scene = Scene::new();
    let file = scene.write("config.toml", "\nstores = \"/srv\"\n");
    let run = |words: &[&str]| {
        scene
            .command(words)
            .env("FLASHMOOR_CONFIG", &file)
            .output()
            .unwrap()
    };
    let refused = run(&["--json", "store", "list"]);
    assert_eq!(refused.status.code(), Some(2));
    let what = json(&refused.stderr)["what"].as_str().unwrap().to_owned();
    assert!(what.starts_with(&format!("{}:2:", file.display())), "{what}");
    assert!(run(&["--help"]).status.success());
    assert!(run(&["store", "gc", "--help"]).status.success());
}

#[test]
fn words_that_are_off_are_a_document_with_json() {
    let scene = Scene::new();
    for words in [
        &["--json", "nothing-like-it"][..],
        &["store", "gc", "--nothing", "--json"],
        &["--json", "store"],
        &["--json", "store", "show"],
        &["--json", "agent", "--interval", "never"],
        &["check", "--json", "--smm", "maybe"],
        &["--json", "store", "nothing"],
    ] {
        let refused = scene.run(words);
        assert_eq!(refused.status.code(), Some(2), "{words:?}");
        let document = json(&refused.stderr);
        assert_eq!(document["schema"], "flashmoor/error/1", "{words:?}");
        assert!(
            !document["what"].as_str().unwrap().is_empty() && document["remedy"].is_string(),
            "{document}"
        );
        assert!(refused.stdout.is_empty());
    }
    // What comes after `--` is no option.
    let refused = scene.run(&["store", "show", "--", "--json", "x"]);
    assert!(serde_json::from_slice::<Value>(&refused.stderr).is_err());
}

#[test]
fn an_unknown_word_is_answered_with_the_command_that_was_meant() {
    let scene = Scene::new();
    for (word, meant) in [
        ("version", "`flashmoor --version`"),
        ("inspects", "`flashmoor inspect`"),
    ] {
        let refused = scene.run(&["--json", word]);
        let remedy = json(&refused.stderr)["remedy"].as_str().unwrap().to_owned();
        assert!(remedy.contains(meant), "{remedy}");
    }
}

#[test]
fn the_first_page_groups_the_commands_and_fits_80_columns() {
    let scene = Scene::new();
    let page = text(&scene.run(&["--help"]));
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    let headings: Vec<&str> = page
        .lines()
        .filter(|line| line.ends_with(':') && !line.starts_with(' '))
        .collect();
    insta::assert_snapshot!(page);
    assert_eq!(headings.first(), Some(&"Guests:"));
}

#[test]
fn every_command_has_a_page_that_man_shows() {
    let scene = Scene::new();
    let done = scene.run(&["man", "--output", "man"]);
    assert!(done.status.success(), "{done:?}");
    let mut names: Vec<String> = fs::read_dir(scene.path("man"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() > 60, "{names:?}");
    for name in [
        "flashmoor.1",
        "flashmoor-ps.1",
        "flashmoor-vars-secure-boot-enroll.1",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
    assert!(
        !names
            .iter()
            .any(|name| name.contains("hook") || name.contains("-man")),
        "hidden ones"
    );
    let page = fs::read_to_string(scene.path("man/flashmoor-store-gc.1")).unwrap();
    for section in [
        "NAME",
        "SYNOPSIS",
        "OPTIONS",
        "EXAMPLES",
        "\"EXIT STATUS\"",
        "FILES",
    ] {
        assert!(page.contains(&format!("\n.SH {section}\n")), "{section}: {page}");
    }
    // The same words in the same place: packages are built twice and compared.
    scene.run(&["man", "--output", "again"]);
    for name in &names {
        let read = |folder: &str| fs::read(scene.path(folder).join(name)).unwrap();
        assert_eq!(read("man"), read("again"), "{name}");
    }
}

/// What a shell that has these words, the last of them just begun, would offer.
fn offered(scene: &Scene, words: &[&str]) -> Vec<String> {
    let done = Command::new(env!("CARGO_BIN_EXE_flashmoor"))
        .args(["--", "flashmoor"])
        .args(words)
        .env("FLASHMOOR_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_IFS", "\n")
        .env("FLASHMOOR_CONFIG", "")
        .env("FLASHMOOR_STORE", scene.path("store"))
        .current_dir(scene.dir.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    // Options are offered as well wherever an argument may stand.
    let all = text(&done);
    let lines = all.lines().map(|line| line.trim().to_owned());
    lines.filter(|line| !line.starts_with("--")).collect()
}

#[test]
fn shells_are_offered_commands_builds_names_and_variables() {
    let scene = Scene::new();
    assert_eq!(offered(&scene, &["cat"]), ["catalogue"]);
    assert!(offered(&scene, &["store", ""]).contains(&"gc".to_owned()));
    let code = fm_fixtures::path("bookworm/OVMF_CODE_4M.fd");
    let words = ["store", "import", code.to_str().unwrap(), "--name", "ovmf"];
    let done = scene
        .command(&words)
        .env("FLASHMOOR_STORE", scene.path("store"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let builds = offered(&scene, &["store", "show", ""]);
    assert_eq!(builds.len(), 1, "{builds:?}");
    let digits: String = builds[0].chars().take(4).collect();
    assert_eq!(offered(&scene, &["store", "pin", &digits]), builds);
    assert!(offered(&scene, &["store", "pin", "nothing"]).is_empty());
    fs::copy(
        fm_fixtures::path("bookworm/OVMF_VARS_4M.ms.fd"),
        scene.path("VARS.fd"),
    )
    .unwrap();
    let variables = offered(&scene, &["vars", "get", "VARS.fd", "d"]);
    assert!(
        variables.contains(&"db".to_owned()) && variables.contains(&"dbx".to_owned()),
        "{variables:?}"
    );
    assert_eq!(offered(&scene, &["explain", "FM-FLASH-S"]), ["FM-FLASH-SIZE"]);
    assert_eq!(offered(&scene, &["schema", "config"]), ["config"]);
}

#[test]
fn each_shell_gets_a_script_that_calls_the_program() {
    let scene = Scene::new();
    for shell in ["bash", "zsh", "fish"] {
        let done = scene.run(&["completions", shell]);
        assert!(done.status.success());
        let script = text(&done);
        assert!(script.contains("FLASHMOOR_COMPLETE"), "{shell}: {script}");
        assert!(
            !script.contains("\\n "),
            "as a shell reads it, not as a terminal is shown it: {script}"
        );
        fs::write(scene.path(shell), script).unwrap();
    }
    let bash = Command::new("bash")
        .args(["-c", ". ./bash && complete -p flashmoor"])
        .current_dir(scene.dir.path())
        .output()
        .unwrap();
    assert!(bash.status.success(), "{bash:?}");
    assert_eq!(scene.run(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn verbose_tells_steps_on_standard_error_and_nothing_else_changes() {
    let scene = Scene::new();
    let store = scene.path("store");
    let gc = |words: &[&str]| {
        let all = [&["--json", "store", "gc", "--dry-run"], words].concat();
        scene
            .command(&all)
            .env("FLASHMOOR_STORE", &store)
            .output()
            .unwrap()
    };
    let (plain, verbose) = (gc(&[]), gc(&["-v"]));
    assert_eq!(json(&plain.stdout), json(&verbose.stdout));
    let told = String::from_utf8_lossy(&verbose.stderr).into_owned();
    assert!(told.contains("store gc") && !told.contains('\u{1b}'), "{told}");
    assert!(!String::from_utf8_lossy(&plain.stderr).contains("store gc"));
    assert_eq!(gc(&["-v", "-q"]).status.code(), Some(2));
}

#[test]
fn exit_code_tells_scripts_a_no() {
    let scene = Scene::new();
    let path = |name: &str| {
        fm_fixtures::path(&format!("bookworm/{name}"))
            .display()
            .to_string()
    };
    let (code, small) = (path("OVMF_CODE_4M.fd"), path("OVMF_CODE.fd"));
    let (blank, keys) = (path("OVMF_VARS_4M.fd"), path("OVMF_VARS_4M.ms.fd"));
    let readme = scene.write("notes.txt", "no firmware\n").display().to_string();
    for (words, status) in [
        (&["diff", &code, &code][..], 0),
        (&["diff", &code, &small], 10),
        (&["vars", "diff", &keys, &keys], 0),
        (&["vars", "diff", &blank, &keys], 10),
        (&["vars", "secure-boot", "status", &keys], 0),
        (&["vars", "secure-boot", "status", &blank], 10),
        (&["vars", "secure-boot", "status", &blank, &keys], 10),
        (&["vars", "secure-boot", "forecast", &keys], 0),
        (&["inspect", &code], 0),
        (&["inspect", &readme], 10),
    ] {
        let asked = scene.run(&[words, &["--exit-code"]].concat());
        assert_eq!(asked.status.code(), Some(status), "{words:?}: {asked:?}");
        assert_eq!(scene.run(words).status.code(), Some(0), "{words:?}");
    }
}

#[test]
fn hooks_and_units_name_the_program_by_the_path_it_was_called_by() {
    let scene = Scene::new();
    for folder in ["bin", "root/etc/apt"] {
        fs::create_dir_all(scene.path(folder)).unwrap();
    }
    let link = scene.path("bin/flashmoor");
    symlink(env!("CARGO_BIN_EXE_flashmoor"), &link).unwrap();
    let hooks = [
        (
            ["libvirt", "install"].as_slice(),
            "root/etc/libvirt/hooks/qemu.d/flashmoor",
        ),
        (
            &["guard", "install", "--apt"],
            "root/etc/apt/apt.conf.d/50flashmoor",
        ),
    ];
    let install = |program: &Path, words: &[&str], hook: &str, more: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(words)
            .args(["--root", "root"])
            .args(more)
            .env("FLASHMOOR_CONFIG", "")
            .env("FLASHMOOR_STORE", scene.path("store"))
            .env("PATH", scene.path("bin"))
            .current_dir(scene.dir.path());
        let done = command.output().unwrap();
        assert!(done.status.success(), "{done:?}");
        fs::read_to_string(scene.path(hook)).unwrap()
    };
    for (words, hook) in hooks {
        // By its path, by its name alone, and by a path below the folder that one is in.
        for called in [link.as_path(), Path::new("flashmoor"), Path::new("bin/flashmoor")] {
            let text = install(called, words, hook, &[]);
            assert!(
                text.contains(&format!("{} ", link.display())),
                "{called:?}: {text}"
            );
        }
        let text = install(&link, words, hook, &["--program", "/opt/flashmoor/bin/flashmoor"]);
        assert!(text.contains("/opt/flashmoor/bin/flashmoor "), "{text}");
    }
    let unit = fs::read_to_string(scene.path("root/etc/systemd/system/flashmoor-agent.service")).unwrap();
    assert!(
        unit.contains("ExecStart=/opt/flashmoor/bin/flashmoor --store "),
        "{unit}"
    );
}
