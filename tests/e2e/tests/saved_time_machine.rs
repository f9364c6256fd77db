//! A guest saved on a build that is gone comes back: on what its own saved state holds, by the very words that
//! `saved restore-plan` prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fm_api::v1::saved::RestorePlan;
use fm_e2e::booted::booted;
use fm_e2e::qemu_10;
use fm_fixtures::Patience;
use fm_lab::{Arch, Emulator, Guest, Machine, PATIENCE};
use fm_saved as saved;
use fm_saved::stream::Request;
use fm_saved::{Extract, Plan};
use serde_json::{Value, json};

const CODE_2M: &str = "bookworm/OVMF_CODE.fd";
const VARS_2M: &str = "bookworm/OVMF_VARS.fd";
const CODE_4M: &str = "bookworm/OVMF_CODE_4M.fd";
const VARS_4M: &str = "bookworm/OVMF_VARS_4M.fd";

/// How the guest is saved.
struct Way {
    emulator: Emulator,
    capabilities: &'static [&'static str],
    /// Whether restoring it onto another build is tried, which must fail: QEMU 10.0 was seen not to compare
    /// lengths for mapped-ram.
    is_checked: bool,
    /// Whether its memory is in a file that both QEMUs map.
    is_shared: bool,
    save: fn(&Path) -> String,
    /// Where QEMU reads it from, for the restore that must fail.
    read: fn(&Path) -> String,
}

fn file(path: &Path) -> String {
    format!("file:{}", path.display())
}

fn execute(guest: &mut Guest, command: &str, arguments: Value) -> Value {
    guest.monitor().execute(command, Some(arguments)).unwrap()
}

fn human(guest: &mut Guest, command: &str) {
    let said = execute(guest, "human-monitor-command", json!({ "command-line": command }));
    assert_eq!(said, "", "{command}");
}

fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", fm_e2e::stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Does what the plan says, word by word; `machine` is what "as the guest was started" means.
fn follow(plan: &RestorePlan, machine: &Machine, dir: &Path) -> Guest {
    let mut guest = None;
    for step in &plan.steps {
        if let Some(command) = step.strip_prefix("in its monitor: ") {
            human(guest.as_mut().unwrap(), command);
        } else if step.starts_with("start QEMU") {
            let (_, words) = step.split_once("with: ").unwrap();
            let words = run(&format!("printf '%s\\n' {words}"));
            let words: Vec<&str> = words.lines().collect();
            guest = Some(Guest::start(&machine.clone().with(&words), dir).unwrap());
        } else {
            run(step);
        }
    }
    let mut guest = guest.unwrap();
    let mut patience = Patience::new(PATIENCE);
    while guest.status().unwrap() == "inmigrate" {
        patience.rest(|| guest.stderr());
    }
    guest
}

/// It goes on where it was: the prompt answers without a boot and knows its variable, also after a reset.
fn assert_goes_on(guest: &mut Guest) {
    assert!(guest.shell("set flashmoor").unwrap().contains("remembers"));
    guest.reset().unwrap();
    guest.boot_to_shell().unwrap();
    assert!(guest.shell("set flashmoor").unwrap().contains("remembers"));
}

fn enable(guest: &mut Guest, capabilities: &[&str]) {
    let list: Vec<_> = capabilities
        .iter()
        .map(|name| json!({ "capability": name, "state": true }))
        .collect();
    execute(guest, "migrate-set-capabilities", json!({ "capabilities": list }));
}

/// As the guest was started, but for its flash.
fn machine(way: &Way, dir: &Path) -> Machine {
    let mut machine = Machine::bare(Arch::X86_64);
    machine.emulator = way.emulator.clone();
    if way.is_shared {
        let memory = dir.join("memory").display().to_string();
        let backend = format!("memory-backend-file,id=m0,size=128M,share=on,mem-path={memory}");
        machine = machine.with(&["-object", &backend, "-machine", "memory-backend=m0"]);
    }
    machine
}

fn with_flash(machine: &Machine, code: &Path, vars: &Path) -> Machine {
    Machine {
        code: Some(code.into()),
        vars: Some(vars.into()),
        ..machine.clone()
    }
}

fn time_machine(way: &Way) {
    let dir = tempfile::Builder::new()
        .prefix("flashmoor-e2e-")
        .tempdir()
        .unwrap();
    let at = |name: &str| dir.path().join(name);
    let (code, vars, saved) = (at("code-2m.fd"), at("vars-2m.fd"), at("saved"));
    fs::copy(fm_fixtures::path(CODE_2M), &code).unwrap();
    fs::copy(fm_fixtures::path(VARS_2M), &vars).unwrap();

    let machine = machine(way, dir.path());
    let running = with_flash(&machine, &code, &vars);
    let mut guest = if way.is_shared {
        let mut guest = Guest::start(&running, &at("before")).unwrap();
        guest.boot_to_shell().unwrap();
        guest
    } else {
        booted(&running, &at("before"))
    };
    guest.shell("set flashmoor remembers").unwrap();
    enable(&mut guest, way.capabilities);
    execute(&mut guest, "migrate", json!({ "uri": (way.save)(&saved) }));
    let mut patience = Patience::new(PATIENCE);
    loop {
        let state = guest.monitor().execute("query-migrate", None).unwrap();
        match state["status"].as_str() {
            Some("completed") => break,
            Some("failed") => panic!("{state}"),
            _ => patience.rest(|| state.to_string()),
        }
    }
    guest.quit().unwrap();

    // The upgrade: no 2M build is left on this host, and no VARS of that layout.
    fs::remove_file(&code).unwrap();
    fs::remove_file(&vars).unwrap();
    let vars_4m = at("vars-4m.fd");
    fs::copy(fm_fixtures::path(VARS_4M), &vars_4m).unwrap();
    if way.is_checked {
        let newer = with_flash(&machine, &fm_fixtures::path(CODE_4M), &vars_4m).incoming();
        let mut refused = Guest::start(&newer, &at("refused")).unwrap();
        enable(&mut refused, way.capabilities);
        execute(
            &mut refused,
            "migrate-incoming",
            json!({ "uri": (way.read)(&saved) }),
        );
        refused.wait_for_end().unwrap();
        let said = refused.stderr();
        assert!(
            said.contains("Size mismatch: system.flash0: 0x1e0000 != 0x37c000"),
            "{said}"
        );
    }

    // From the saved state alone.
    let input = Request {
        path: saved.clone(),
        ..Request::default()
    };
    let extracted = saved::extract(&Extract {
        input: input.clone(),
        code: Some(at("extracted-code.fd")),
        ..Extract::default()
    })
    .unwrap();
    assert!(extracted.stream_complete);
    assert!(fs::read(at("extracted-code.fd")).unwrap() == fm_fixtures::bytes(CODE_2M));
    let variables = saved::vars(&input).unwrap().variables;
    assert!(
        variables.iter().any(|variable| variable.name == "flashmoor"),
        "{variables:?}"
    );
    let store = fm_store::verbs::open(Some(&at("store"))).unwrap();
    let plan = saved::restore_plan(
        &store,
        &Plan {
            input,
            vars: Some(at("restored-vars.fd")),
        },
    )
    .unwrap();
    assert_eq!(plan.build, extracted.files[0].sha256);
    assert!(!plan.devices.is_empty());
    let mut guest = follow(&plan, &machine, &at("after"));
    assert_goes_on(&mut guest);
}

#[test]
fn a_guest_saved_through_exec_comes_back_on_the_systems_qemu() {
    time_machine(&Way {
        emulator: Emulator::system(Arch::X86_64),
        capabilities: &[],
        is_checked: true,
        save: |path| format!("exec:cat > '{}'", path.display()),
        is_shared: false,
        read: |path| format!("exec:cat '{}'", path.display()),
    });
}

#[test]
fn a_guest_saved_to_a_file_comes_back_on_qemu_10() {
    time_machine(&Way {
        emulator: qemu_10(),
        capabilities: &[],
        is_checked: true,
        save: file,
        is_shared: false,
        read: file,
    });
}

#[test]
fn a_guest_saved_as_mapped_ram_comes_back_on_qemu_10() {
    time_machine(&Way {
        emulator: qemu_10(),
        capabilities: &["mapped-ram"],
        is_checked: false,
        save: file,
        is_shared: false,
        read: file,
    });
}

#[test]
fn a_guest_whose_memory_is_shared_comes_back_on_the_same_file() {
    time_machine(&Way {
        emulator: Emulator::system(Arch::X86_64),
        capabilities: &["x-ignore-shared"],
        is_checked: false,
        is_shared: true,
        save: |path| format!("exec:cat > '{}'", path.display()),
        read: file,
    });
}

fn qcow2(raw: &Path, to: &Path) {
    run(&format!(
        "qemu-img convert -f raw -O qcow2 '{}' '{}'",
        raw.display(),
        to.display()
    ));
}

/// `savevm` puts the memory into the first writable image: the disk's if there is one, else that of VARS.
fn snapshot(with_disk: bool) {
    let dir = tempfile::Builder::new()
        .prefix("flashmoor-e2e-")
        .tempdir()
        .unwrap();
    let at = |name: &str| dir.path().join(name);
    let (code, vars, disk) = (at("code-2m.fd"), at("vars.qcow2"), at("disk.qcow2"));
    fs::copy(fm_fixtures::path(CODE_2M), &code).unwrap();
    qcow2(&fm_fixtures::path(VARS_2M), &vars);
    let mut machine = Machine::bare(Arch::X86_64);
    if with_disk {
        run(&format!("qemu-img create -q -f qcow2 '{}' 64M", disk.display()));
        let drive = format!("if=none,id=disk,format=qcow2,file={}", disk.display());
        machine = machine.with(&["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"]);
    }
    let flash = |unit, file: &PathBuf| format!("if=pflash,{unit},file={}", file.display());
    let mut guest = Guest::start(
        &machine.clone().with(&[
            "-drive",
            &flash("format=raw,unit=0,readonly=on", &code),
            "-drive",
            &flash("format=qcow2,unit=1", &vars),
        ]),
        &at("before"),
    )
    .unwrap();
    guest.boot_to_shell().unwrap();
    guest.shell("set flashmoor remembers").unwrap();
    human(&mut guest, "savevm early");
    guest.shell("set -d flashmoor").unwrap();
    human(&mut guest, "savevm late");
    guest.quit().unwrap();
    fs::remove_file(&code).unwrap();

    let image = if with_disk { &disk } else { &vars };
    if with_disk {
        fs::remove_file(&vars).unwrap();
    }
    let shown = fm_e2e::document(
        &fm_e2e::flashmoor()
            .args(["inspect", "--json"])
            .arg(image)
            .output()
            .unwrap(),
    );
    let snapshots = shown["snapshots"].as_array().unwrap();
    assert_eq!(
        (&snapshots[0]["name"], &snapshots[1]["chosen"]),
        (&"early".into(), &true.into())
    );
    for stream in [&shown["stream"], &snapshots[0]["stream"]] {
        assert_eq!(stream["complete"], true, "{stream}");
        assert!(stream["blocks"].as_array().unwrap().len() > 3);
    }
    if !with_disk {
        // Clusters behind the end of a file that was cut read as zeros: nothing is shown as if it were whole.
        let cut = at("cut.qcow2");
        fs::copy(image, &cut).unwrap();
        let shorter = fs::metadata(&cut).unwrap().len() - (1 << 20);
        fs::File::options()
            .write(true)
            .open(&cut)
            .unwrap()
            .set_len(shorter)
            .unwrap();
        let inspect = |path: &Path, words: &[&str]| {
            let mut command = fm_e2e::flashmoor();
            command.args(["inspect", "--json"]).arg(path).args(words);
            command.output().unwrap()
        };
        let shown = fm_e2e::document(&inspect(&cut, &[]));
        let why = |place: &serde_json::Value| place.as_str().unwrap_or_default().to_owned();
        let said = why(&shown["reason"]) + &why(&shown["stream"]["stopped"]["why"]);
        assert!(!said.is_empty() && shown["stream"]["complete"] != true, "{shown}");
        assert_eq!(inspect(image, &["--snapshot", "nope"]).status.code(), Some(2));
    }
    let store = fm_store::verbs::open(Some(&at("store"))).unwrap();
    let plan = saved::restore_plan(
        &store,
        &Plan {
            input: Request {
                path: image.clone(),
                snapshot: Some("early".into()),
                ..Request::default()
            },
            vars: with_disk.then(|| at("restored-vars.fd")),
        },
    )
    .unwrap();
    let mut guest = follow(&plan, &machine, &at("after"));
    assert_goes_on(&mut guest);
}

#[test]
fn a_snapshot_in_the_variables_image_comes_back() {
    snapshot(false);
}

#[test]
fn a_snapshot_in_the_disk_comes_back_without_the_variables_image() {
    snapshot(true);
}
