//! What runs against what a cold boot would get: replaced, deleted, hidden and changed files.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fm_agent::ps;
use fm_api::v1::firmware::Layout;
use fm_api::v1::fleet::Digest;
use fm_api::v1::ps::{Ps, PsCode};
use fm_formats::Sha256;
use fm_lab::{Arch, Emulator, Guest, Machine};
use tempfile::TempDir;

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const NEWER_CODE: &str = "trixie/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";

struct Scene {
    dir: TempDir,
    code: PathBuf,
    vars: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (code, vars) = (dir.path().join("CODE.fd"), dir.path().join("VARS.fd"));
        fs::copy(fm_fixtures::path(CODE), &code).unwrap();
        fs::copy(fm_fixtures::path(VARS), &vars).unwrap();
        Self { dir, code, vars }
    }

    fn start(&self, emulator: Emulator) -> Guest {
        let machine = Machine {
            emulator,
            stopped: true,
            memory_mib: 64,
            ..Machine::new(Arch::X86_64, &self.code, &self.vars)
        };
        Guest::start(&machine, &self.dir.path().join("run")).unwrap()
    }
}

fn code_of(seen: &Ps, guest: &Guest) -> PsCode {
    let row = seen.guests.iter().find(|row| row.pid == guest.pid()).unwrap();
    row.code.clone().unwrap()
}

fn digest(fixture: &str) -> Option<Digest> {
    Some(Sha256::of(&fm_fixtures::bytes(fixture)).to_bytes().into())
}

/// What a package manager does: a new file under the old name.
fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("dpkg-new");
    fs::write(&new, bytes).unwrap();
    fs::rename(&new, path).unwrap();
}

/// A QEMU that a shell script starts.
fn script(scene: &Scene, commands: &str) -> Emulator {
    let program = scene.dir.path().join("start-qemu");
    fs::write(&program, format!("#!/bin/sh\n{commands}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Emulator {
        program,
        data_dirs: Vec::new(),
    }
}

#[test]
fn a_replaced_file_is_drift_and_the_running_build_is_still_named() {
    let scene = Scene::new();
    let guest = scene.start(Emulator::system(Arch::X86_64));
    replace(&scene.code, &fm_fixtures::bytes(NEWER_CODE));
    let seen = ps::ps(&ps::Request::default()).unwrap();
    let code = code_of(&seen, &guest);
    assert_eq!(
        (code.running_sha256, code.file_sha256),
        (digest(CODE), digest(NEWER_CODE))
    );
    assert_eq!(code.drift, Some(true));
    assert!(seen.has_drift());
}

#[test]
fn one_changed_byte_of_the_file_is_seen() {
    let scene = Scene::new();
    let guest = scene.start(Emulator::system(Arch::X86_64));
    let mut bytes = fm_fixtures::bytes(CODE);
    bytes[2_222_222] ^= 1;
    replace(&scene.code, &bytes);
    assert_eq!(
        code_of(&ps::ps(&ps::Request::default()).unwrap(), &guest).drift,
        Some(true)
    );
}

#[test]
fn one_changed_byte_in_the_guests_memory_is_seen() {
    let scene = Scene::new();
    let guest = scene.start(Emulator::system(Arch::X86_64));
    let before = code_of(&ps::ps(&ps::Request::default()).unwrap(), &guest);
    assert_eq!(before.drift, Some(false));
    let found = fm_host::find(&guest.pid().to_string()).unwrap();
    let region = found.flash_region(&found.memory().unwrap(), 0).unwrap();
    let memory = OpenOptions::new()
        .write(true)
        .open(format!("/proc/{}/mem", guest.pid()))
        .unwrap();
    memory.write_all_at(&[0xa5], region.address + 3_333_333).unwrap();
    let after = code_of(&ps::ps(&ps::Request::default()).unwrap(), &guest);
    assert_eq!(after.drift, Some(true));
    assert_ne!(after.running_sha256, before.running_sha256);
    assert_eq!(after.file_sha256, before.file_sha256);
}

#[test]
fn a_deleted_file_is_drift_and_what_runs_is_still_read() {
    let scene = Scene::new();
    let guest = scene.start(Emulator::system(Arch::X86_64));
    fs::remove_file(&scene.code).unwrap();
    fs::remove_file(&scene.vars).unwrap();
    let seen = ps::ps(&ps::Request::default()).unwrap();
    let code = code_of(&seen, &guest);
    assert_eq!((code.running_sha256, code.file_sha256), (digest(CODE), None));
    assert_eq!(code.drift, Some(true));
    let row = seen.guests.iter().find(|row| row.pid == guest.pid()).unwrap();
    assert_eq!(row.vars.as_ref().unwrap().layout, Some(Layout::X86Size4M));
    assert!(
        row.remarks.iter().any(|remark| remark.contains("is gone")),
        "{:?}",
        row.remarks
    );
}

#[test]
fn a_guest_in_another_mount_namespace_is_compared_with_its_own_file() {
    let scene = Scene::new();
    // outside the path holds the newer build, inside the older one
    let inside = scene.dir.path().join("inside.fd");
    fs::copy(fm_fixtures::path(CODE), &inside).unwrap();
    replace(&scene.code, &fm_fixtures::bytes(NEWER_CODE));
    let namespace = format!(
        "exec unshare --user --map-root-user --mount sh -c \
         'mount --bind {} {} && exec qemu-system-x86_64 \"$@\"' sh \"$@\"",
        inside.display(),
        scene.code.display()
    );
    let guest = scene.start(script(&scene, &namespace));
    let code = code_of(&ps::ps(&ps::Request::default()).unwrap(), &guest);
    assert_eq!(code.path.as_deref(), Some(scene.code.as_path()));
    assert_eq!(
        (code.running_sha256, code.file_sha256),
        (digest(CODE), digest(CODE))
    );
    assert_eq!(code.drift, Some(false));
}

#[test]
fn the_version_is_the_running_programs_and_not_the_files() {
    let scene = Scene::new();
    let program = scene.dir.path().join("qemu-system-x86_64");
    fs::copy("/usr/bin/qemu-system-x86_64", &program).unwrap();
    // away from its package it must be told where its modules are
    let modules = "for d in /usr/lib/*/qemu; do export QEMU_MODULE_DIR=$d; done";
    let guest = scene.start(script(
        &scene,
        &format!("{modules}; exec {} \"$@\"", program.display()),
    ));
    replace(&program, b"QEMU emulator version 99.0.0\n\0");
    let seen = ps::ps(&ps::Request::default()).unwrap();
    let row = seen.guests.iter().find(|row| row.pid == guest.pid()).unwrap();
    assert!(
        row.qemu_version.as_deref().unwrap().starts_with("7.2."),
        "{:?}",
        row.qemu_version
    );
}

#[test]
fn a_guest_that_ends_is_gone_from_the_list_without_a_word() {
    let scene = Scene::new();
    let guest = scene.start(Emulator::system(Arch::X86_64));
    let pid = guest.pid();
    guest.quit().unwrap();
    let seen = ps::ps(&ps::Request::default()).unwrap();
    assert!(seen.guests.iter().all(|row| row.pid != pid));
    assert!(
        seen.remarks
            .iter()
            .all(|remark| !remark.contains(&pid.to_string())),
        "{:?}",
        seen.remarks
    );
}
