//! A guest saved on a build that is gone comes back: on what its own saved state holds.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fm_jobs::saved::{self, Extract, Plan};
use fm_jobs::stream::Request;
use fm_lab::{Arch, Emulator, Guest, Machine, PATIENCE};
use serde_json::{Value, json};

const CODE_2M: &str = "bookworm/OVMF_CODE.fd";
const VARS_2M: &str = "bookworm/OVMF_VARS.fd";
const CODE_4M: &str = "bookworm/OVMF_CODE_4M.fd";
const VARS_4M: &str = "bookworm/OVMF_VARS_4M.fd";

/// How the guest is saved and restored.
struct Way {
    emulator: Emulator,
    capabilities: &'static [&'static str],
    /// Whether QEMU compares lengths before it loads: QEMU 10.0 was seen not to for mapped-ram.
    is_checked: bool,
    save: fn(&Path) -> String,
    restore: fn(&Path) -> String,
}

fn qemu_10() -> Emulator {
    Emulator {
        program: fm_fixtures::qemu_10("x86_64"),
        data_dirs: Vec::new(),
    }
}

fn file(path: &Path) -> String {
    format!("file:{}", path.display())
}

fn execute(guest: &mut Guest, command: &str, arguments: Value) -> Value {
    guest.monitor().execute(command, Some(arguments)).unwrap()
}

fn enable(guest: &mut Guest, capabilities: &[&str]) {
    let list: Vec<_> = capabilities
        .iter()
        .map(|name| json!({ "capability": name, "state": true }))
        .collect();
    execute(guest, "migrate-set-capabilities", json!({ "capabilities": list }));
}

fn machine(way: &Way, code: &Path, vars: &Path) -> Machine {
    let mut machine = Machine::new(Arch::X86_64, code, vars);
    machine.emulator = way.emulator.clone();
    machine
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

    let mut guest = Guest::start(&machine(way, &code, &vars), &at("before")).unwrap();
    guest.boot_to_shell().unwrap();
    guest.shell("set flashmoor remembers").unwrap();
    enable(&mut guest, way.capabilities);
    execute(&mut guest, "migrate", json!({ "uri": (way.save)(&saved) }));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = guest.monitor().execute("query-migrate", None).unwrap();
        match state["status"].as_str() {
            Some("completed") => break,
            Some("failed") => panic!("{state}"),
            _ => assert!(Instant::now() < deadline, "{state}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
    guest.quit().unwrap();

    // The upgrade: no 2M build is left on this host, and no VARS of that layout.
    fs::remove_file(&code).unwrap();
    fs::remove_file(&vars).unwrap();
    let vars_4m = at("vars-4m.fd");
    fs::copy(fm_fixtures::path(VARS_4M), &vars_4m).unwrap();
    let restore = |guest: &mut Guest| {
        enable(guest, way.capabilities);
        execute(guest, "migrate-incoming", json!({ "uri": (way.restore)(&saved) }));
    };
    if way.is_checked {
        let newer = machine(way, &fm_fixtures::path(CODE_4M), &vars_4m).incoming();
        let mut refused = Guest::start(&newer, &at("refused")).unwrap();
        restore(&mut refused);
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
    let store = fm_jobs::store::open(Some(&at("store"))).unwrap();
    let plan = saved::restore_plan(
        &store,
        &Plan {
            input,
            vars: Some(at("restored-vars.fd")),
        },
    )
    .unwrap();
    assert_eq!(plan.build, extracted.files[0].sha256);
    assert!(plan.steps[0].contains("-incoming"), "{:?}", plan.steps);

    let vars = plan.vars.unwrap();
    let mut guest = Guest::start(&machine(way, &plan.code, &vars).incoming(), &at("after")).unwrap();
    restore(&mut guest);
    while guest.status().unwrap() == "inmigrate" {
        assert!(Instant::now() < deadline + PATIENCE, "{}", guest.stderr());
        thread::sleep(Duration::from_millis(5));
    }
    // It goes on where it was: the prompt answers without a boot, and knows its variable.
    assert!(guest.shell("set flashmoor").unwrap().contains("remembers"));
    guest.reset().unwrap();
    guest.boot_to_shell().unwrap();
    assert!(guest.shell("set flashmoor").unwrap().contains("remembers"));
}

#[test]
fn a_guest_saved_through_exec_comes_back_on_the_systems_qemu() {
    time_machine(&Way {
        emulator: Emulator::system(Arch::X86_64),
        capabilities: &[],
        is_checked: true,
        save: |path| format!("exec:cat > '{}'", path.display()),
        restore: |path| format!("exec:cat '{}'", path.display()),
    });
}

#[test]
fn a_guest_saved_to_a_file_comes_back_on_qemu_10() {
    time_machine(&Way {
        emulator: qemu_10(),
        capabilities: &[],
        is_checked: true,
        save: file,
        restore: file,
    });
}

#[test]
fn a_guest_saved_as_mapped_ram_comes_back_on_qemu_10() {
    time_machine(&Way {
        emulator: qemu_10(),
        capabilities: &["mapped-ram"],
        is_checked: false,
        save: file,
        restore: file,
    });
}
