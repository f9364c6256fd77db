//! Files beside the ordinary: qcow2, links and roots of the guest's own, descriptors, what is no file at all.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fm_agent::ps;
use fm_api::v1::fleet::Digest;
use fm_api::v1::ps::PsGuest;
use fm_e2e::Bench;
use fm_formats::Sha256;
use fm_lab::{Arch, Emulator, Guest, Machine};
use serde_json::Value;

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const NEWER_CODE: &str = "trixie/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";

fn row(guest: &Guest) -> PsGuest {
    let seen = ps::ps(&ps::Request::default()).unwrap();
    let mine = seen.guests.into_iter().find(|row| row.pid == guest.pid());
    mine.unwrap_or_else(|| panic!("pid {} is not listed; {:?}", guest.pid(), seen.remarks))
}

fn digest(fixture: &str) -> Option<Digest> {
    Some(Sha256::of(&fm_fixtures::bytes(fixture)).to_bytes().into())
}

/// What a cold boot would get is what runs, which is `fixture`.
fn holds(row: &PsGuest, fixture: &str) {
    let code = row.code.as_ref().unwrap();
    assert_eq!(code.running_sha256, digest(fixture), "{:?}", row.remarks);
    assert_eq!(code.file_sha256, digest(fixture), "{:?}", row.remarks);
    assert_eq!(code.drift, Some(false));
}

fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("dpkg-new");
    fs::write(&new, bytes).unwrap();
    fs::rename(&new, path).unwrap();
}

fn halted(code: &Path, vars: &Path) -> Machine {
    Machine {
        stopped: true,
        memory_mib: 64,
        ..Machine::new(Arch::X86_64, code, vars)
    }
}

/// A QEMU that a shell script starts.
fn script(bench: &Bench, commands: &str) -> Emulator {
    let program = bench.path("start-qemu");
    fs::write(&program, format!("#!/bin/bash\n{commands}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Emulator {
        program,
        data_dirs: Vec::new(),
    }
}

fn qcow2(bench: &Bench, fixture: &str, name: &str) -> PathBuf {
    let path = bench.path(name);
    let converted = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args([&fm_fixtures::path(fixture), &path])
        .status();
    assert!(converted.unwrap().success());
    path
}

/// What the two halves of the guard say, the second after `between`.
fn guard(bench: &Bench, between: impl FnOnce()) -> Value {
    let run = |half: &str, words: &[&str]| {
        let mut command = bench.flashmoor();
        command.args(["guard", half]).args(words).stdin(Stdio::null());
        command.output().unwrap()
    };
    let before = run("before", &[]);
    assert!(before.status.success(), "{}", fm_e2e::stderr(&before));
    between();
    fm_e2e::document(&run("after", &["--json"]))
}

fn told(after: &Value, guest: &Guest) -> Option<Value> {
    let mut guests = after["guests"].as_array().unwrap().iter();
    guests.find(|told| told["pid"] == guest.pid()).cloned()
}

#[test]
fn code_in_qcow2_is_unpacked_and_compared_by_everybody() {
    let mut bench = Bench::new();
    let code = qcow2(&bench, CODE, "CODE.qcow2");
    let vars = bench.copy(VARS, "VARS.fd");
    let drives = [
        format!(
            "if=pflash,unit=0,format=qcow2,readonly=on,file={}",
            code.display()
        ),
        format!("if=pflash,unit=1,format=raw,file={}", vars.display()),
    ];
    let machine = Machine {
        stopped: true,
        memory_mib: 64,
        ..Machine::bare(Arch::X86_64)
    };
    let guest = bench.start(&machine.with(&["-drive", &drives[0], "-drive", &drives[1]]));
    holds(&row(&guest), CODE);
    assert_eq!(row(&guest).remarks, Vec::<String>::new());

    assert_eq!(told(&guard(&bench, || {}), &guest), None, "nothing was replaced");
    let pid = guest.pid().to_string();
    let check = bench
        .flashmoor()
        .args(["check", "--guest", &pid, "--json", "--to-code"])
        .arg(fm_fixtures::path(CODE))
        .output()
        .unwrap();
    assert!(
        !String::from_utf8_lossy(&check.stdout).contains("was replaced under"),
        "{}",
        String::from_utf8_lossy(&check.stdout)
    );

    let newer = qcow2(&bench, NEWER_CODE, "newer.qcow2");
    let after = guard(&bench, || replace(&code, &fs::read(&newer).unwrap()));
    let told = told(&after, &guest).unwrap();
    assert_eq!(
        told["file_sha256"].as_str(),
        digest(NEWER_CODE).as_ref().map(Digest::as_str)
    );
    assert_eq!(told["cold_boot"]["outcome"], "caution", "{told:#}");
    assert_eq!(row(&guest).code.unwrap().drift, Some(true));
}

#[test]
fn an_absolute_link_in_another_mount_namespace_leads_to_the_file_in_there() {
    let mut bench = Bench::new();
    let (code, vars) = (bench.copy(NEWER_CODE, "CODE.fd"), bench.copy(VARS, "VARS.fd"));
    let inside = bench.copy(CODE, "inside.fd");
    let link = bench.path("link.fd");
    symlink(&code, &link).unwrap();
    let namespace = format!(
        "exec unshare --user --map-root-user --mount sh -c \
         'mount --bind {} {} && exec qemu-system-x86_64 \"$@\"' sh \"$@\"",
        inside.display(),
        code.display()
    );
    let machine = Machine {
        emulator: script(&bench, &namespace),
        ..halted(&link, &vars)
    };
    let guest = bench.start(&machine);
    holds(&row(&guest), CODE);
    assert_eq!(told(&guard(&bench, || {}), &guest), None);
}

#[test]
fn a_guest_that_left_its_root_is_compared_with_the_file_outside() {
    let mut bench = Bench::new();
    let (code, vars) = (bench.copy(CODE, "CODE.fd"), bench.copy(VARS, "VARS.fd"));
    let jail = bench.path("jail");
    fs::create_dir(&jail).unwrap();
    let guest = bench.start(&halted(&code, &vars).with(&["-chroot", jail.to_str().unwrap()]));
    holds(&row(&guest), CODE);
    assert_eq!(row(&guest).remarks, Vec::<String>::new());
    replace(&code, &fm_fixtures::bytes(NEWER_CODE));
    let seen = row(&guest).code.unwrap();
    assert_eq!(
        (seen.running_sha256, seen.file_sha256),
        (digest(CODE), digest(NEWER_CODE))
    );
}

#[test]
fn a_fifo_where_the_file_was_is_said_and_not_waited_for() {
    let mut bench = Bench::new();
    let (code, vars) = (bench.copy(CODE, "CODE.fd"), bench.copy(VARS, "VARS.fd"));
    let guest = bench.start(&halted(&code, &vars).named("fifo"));
    let put_fifo = || {
        fs::remove_file(&code).unwrap();
        assert!(Command::new("mkfifo").arg(&code).status().unwrap().success());
    };
    let told = told(&guard(&bench, put_fifo), &guest).unwrap();
    let why = told["file_unknown"].as_str().unwrap();
    assert!(why.contains("it is a FIFO"), "{why}");
    let seen = row(&guest);
    assert!(
        seen.remarks.iter().any(|remark| remark.contains("it is a FIFO")),
        "{seen:?}"
    );
    let code_seen = seen.code.unwrap();
    assert_eq!((code_seen.file_sha256, code_seen.drift), (None, None));
    assert_eq!(code_seen.running_sha256, digest(CODE));
    let pid = guest.pid().to_string();
    let captured = fm_e2e::document(
        &bench
            .flashmoor()
            .args(["capture", &pid, "--json"])
            .output()
            .unwrap(),
    );
    assert_eq!(captured["guests"][0]["code"]["drift"], Value::Null);
    let asked = bench
        .flashmoor()
        .args(["ps", "--fail-on-drift"])
        .output()
        .unwrap();
    assert!(matches!(asked.status.code(), Some(10 | 11)), "{}", asked.status);

    // a device without an end, a folder
    fs::remove_file(&code).unwrap();
    symlink("/dev/zero", &code).unwrap();
    let remarks = row(&guest).remarks.join("\n");
    assert!(remarks.contains("it is a character device"), "{remarks}");
    fs::remove_file(&code).unwrap();
    fs::create_dir(&code).unwrap();
    let remarks = row(&guest).remarks.join("\n");
    assert!(remarks.contains("it is a directory"), "{remarks}");
    fs::remove_dir(&code).unwrap();
    let said = bench.flashmoor().args(["capture", &pid]).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("CODE.fd is gone"), "{said}");
}

#[test]
fn descriptors_that_qemu_was_handed_are_known_by_what_they_hold() {
    let mut bench = Bench::new();
    let (code, vars) = (bench.copy(CODE, "CODE.fd"), bench.copy(VARS, "VARS.fd"));
    let commands = format!(
        "exec 7<{0} 8<>{0} 9<{1}; exec qemu-system-x86_64 \"$@\"",
        vars.display(),
        code.display()
    );
    let machine = Machine {
        emulator: script(&bench, &commands),
        stopped: true,
        memory_mib: 64,
        ..Machine::bare(Arch::X86_64)
    };
    let guest = bench.start(&machine.with(&[
        // QEMU wants one for each way in which it opens a file
        "-add-fd",
        "set=2,fd=7",
        "-add-fd",
        "set=2,fd=8",
        "-add-fd",
        "set=3,fd=9",
        "-drive",
        "if=pflash,unit=0,format=raw,readonly=on,file=/dev/fdset/3",
        "-drive",
        "if=pflash,unit=1,format=raw,file=/dev/fdset/2",
    ]));
    let seen = row(&guest);
    holds(&seen, CODE);
    assert_eq!(seen.code.unwrap().path, Some(code));
    assert_eq!(seen.vars.unwrap().path, Some(vars));
    assert_eq!(seen.remarks, Vec::<String>::new());
}

/// A guest whose configuration came through its standard input: a file, or a pipe that is empty by now.
fn configured(bench: &mut Bench, redirection: &str) -> Guest {
    let (code, vars) = (bench.copy(CODE, "CODE.fd"), bench.copy(VARS, "VARS.fd"));
    let config = format!(
        "[drive]\n  if = \"pflash\"\n  unit = \"0\"\n  readonly = \"on\"\n  format = \"raw\"\n  file = \"{}\"\n\
         [drive \"v\"]\n  if = \"pflash\"\n  unit = \"1\"\n  format = \"raw\"\n  file = \"{}\"\n",
        code.display(),
        vars.display()
    );
    let path = bench.path("guest.cfg");
    fs::write(&path, config).unwrap();
    let commands = redirection.replace("CONFIG", path.to_str().unwrap());
    let machine = Machine {
        emulator: script(bench, &commands),
        stopped: true,
        memory_mib: 64,
        ..Machine::bare(Arch::X86_64)
    };
    bench.start(&machine.with(&["-readconfig", "/dev/stdin"]))
}

#[test]
fn a_configuration_on_standard_input_is_the_guests_and_not_ours() {
    let mut bench = Bench::new();
    let guest = configured(&mut bench, "exec qemu-system-x86_64 \"$@\" <CONFIG");
    holds(&row(&guest), CODE);
}

#[test]
fn a_guest_whose_configuration_is_gone_is_known_by_its_memory() {
    let mut bench = Bench::new();
    // not one with a name: QEMU would open that once more, and wait for a writer
    let through_a_pipe = "exec qemu-system-x86_64 \"$@\" < <(cat CONFIG)";
    let guest = configured(&mut bench, through_a_pipe);
    // what we were given must not be taken for what it was given
    let pid = guest.pid();
    let other = bench.path("guest.cfg");
    let listed = bench
        .flashmoor()
        .args(["ps", "--json"])
        .stdin(fs::File::open(&other).unwrap())
        .output()
        .unwrap();
    let seen = fm_e2e::document(&listed);
    let mut rows = seen["guests"].as_array().unwrap().iter();
    let row = rows.find(|row| row["pid"] == pid).unwrap();
    assert_eq!(
        row["code"]["running_sha256"].as_str(),
        digest(CODE).as_ref().map(Digest::as_str),
        "{row:#}"
    );
    assert_eq!(row["code"]["path"], Value::Null);
    assert_eq!(row["code"]["drift"], Value::Null);
    assert_eq!(row["vars"]["layout"], "4M");
    assert!(
        row["remarks"].to_string().contains("-readconfig /dev/stdin"),
        "{row:#}"
    );
}

#[test]
fn flash_is_found_without_qemus_list_of_blocks() {
    for (arch, code, vars) in [
        (Arch::X86_64, "bookworm/OVMF_CODE.fd", "bookworm/OVMF_VARS.fd"),
        (Arch::X86_64, CODE, VARS),
        (Arch::Aarch64, "bookworm/AAVMF_CODE.fd", "bookworm/AAVMF_VARS.fd"),
    ] {
        let mut bench = Bench::new();
        let store = bench.copy(vars, "VARS.fd");
        // as large as the aarch64 machine's flash
        let machine = Machine {
            stopped: true,
            memory_mib: 64,
            ..Machine::new(arch, &fm_fixtures::path(code), &store)
        };
        let guest = bench.start(&machine);
        let found = fm_host::find(&guest.pid().to_string()).unwrap();
        let memory = found.memory().unwrap();
        let listed = [0, 1].map(|unit| found.flash_region(&memory, unit).unwrap());
        let memory = memory.without_blocks();
        assert_eq!(memory.blocks(), []);
        let region = found.flash_region(&memory, 0).unwrap();
        assert_eq!(region, listed[0], "{code}");
        assert_eq!(
            Digest::from(memory.digest(region).unwrap().to_bytes()),
            digest(code).unwrap()
        );
        match found.flash_region(&memory, 1) {
            Ok(region) => assert_eq!(region, listed[1], "{vars}"),
            // blank, and the guest's memory is blank as well: it is not guessed
            Err(error) => assert!(
                fm_remedy::one_line(&error).contains("look like it and differ") && arch == Arch::Aarch64,
                "{error}"
            ),
        }
    }
}
