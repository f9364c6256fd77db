//! Guests started in every form of command line that people and management stacks write.

use std::fs;
use std::path::{Path, PathBuf};

use fm_agent::ps;
use fm_api::v1::firmware::Layout;
use fm_api::v1::fleet::Digest;
use fm_api::v1::ps::{PsGuest, SecureBootState};
use fm_formats::Sha256;
use fm_lab::{Arch, Guest, Machine};
use tempfile::TempDir;

const CODE_2M: &str = "bookworm/OVMF_CODE.fd";
const VARS_2M: &str = "bookworm/OVMF_VARS.fd";
const CODE_4M: &str = "bookworm/OVMF_CODE_4M.fd";
const VARS_4M: &str = "bookworm/OVMF_VARS_4M.fd";

/// A folder for one guest, with its own copies of the firmware in it.
struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn copy(&self, fixture: &str, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::copy(fm_fixtures::path(fixture), &path).unwrap();
        path
    }

    fn start(&self, machine: Machine) -> Guest {
        let machine = Machine {
            stopped: true,
            memory_mib: 64,
            ..machine
        };
        Guest::start(&machine, &self.dir.path().join("run")).unwrap()
    }
}

fn row(guest: &Guest) -> PsGuest {
    let seen = ps::ps(&ps::Request::default()).unwrap();
    let mine = seen.guests.into_iter().find(|row| row.pid == guest.pid());
    mine.unwrap_or_else(|| panic!("pid {} is not listed; {:?}", guest.pid(), seen.remarks))
}

fn digest(path: &Path) -> Option<Digest> {
    Some(Sha256::of(&fs::read(path).unwrap()).to_bytes().into())
}

/// The guest runs what `code` holds, and its store is `vars` in `layout`.
fn check(row: &PsGuest, code: &Path, vars: &Path, layout: &str) {
    let seen = row.code.as_ref().unwrap();
    assert_eq!(seen.path.as_deref(), Some(code));
    assert_eq!(seen.running_sha256, digest(code), "{:?}", row.remarks);
    assert_eq!(seen.file_sha256, seen.running_sha256);
    assert_eq!(seen.drift, Some(false));
    let seen = row.vars.as_ref().unwrap();
    assert_eq!(seen.path.as_deref(), Some(vars));
    assert_eq!(seen.layout.map(Layout::name), Some(layout), "{:?}", row.remarks);
    assert!(seen.free_bytes.unwrap() > 0);
    assert_eq!(row.remarks, Vec::<String>::new());
    assert!(row.qemu_version.as_deref().unwrap().starts_with("7.2."));
    assert_eq!(row.accel.as_deref(), Some("tcg"));
}

#[test]
fn libvirts_block_nodes() {
    let home = Home::new();
    let (code, vars) = (
        home.copy(CODE_4M, "CODE,1 \"x\".fd"),
        home.copy(VARS_4M, "web_VARS.fd"),
    );
    let node = |name: &str, path: &Path| {
        serde_json::json!({"driver": "file", "filename": path, "node-name": format!("{name}-storage"),
            "auto-read-only": true, "discard": "unmap"})
        .to_string()
    };
    let format = |name: &str, read_only: bool| {
        serde_json::json!({"node-name": format!("{name}-format"), "read-only": read_only, "driver": "raw",
            "file": format!("{name}-storage")})
        .to_string()
    };
    let guest = home.start(Machine::bare(Arch::X86_64).with(&[
        "-name",
        "guest=web,,1,debug-threads=on",
        "-uuid",
        "c7a5fdbd-edaf-9455-926a-d65c16db1809",
        "-blockdev",
        &node("libvirt-pflash0", &code),
        "-blockdev",
        &format("libvirt-pflash0", true),
        "-blockdev",
        &node("libvirt-pflash1", &vars),
        "-blockdev",
        &format("libvirt-pflash1", false),
        "-machine",
        "pc-q35-7.2,usb=off,pflash0=libvirt-pflash0-format,pflash1=libvirt-pflash1-format",
    ]));
    let row = row(&guest);
    check(&row, &code, &vars, "4M");
    assert_eq!(row.name.as_deref(), Some("web,1"));
    assert_eq!(row.uuid.as_deref(), Some("c7a5fdbd-edaf-9455-926a-d65c16db1809"));
    assert_eq!(row.machine.as_deref(), Some("pc-q35-7.2"));
}

#[test]
fn proxmox_drives() {
    let home = Home::new();
    let (code, vars) = (
        home.copy(CODE_2M, "CODE.fd"),
        home.copy(VARS_2M, "vm-100-disk-0.raw"),
    );
    let guest = home.start(Machine::bare(Arch::X86_64).with(&[
        "-name",
        "win,debug-threads=on",
        "-smbios",
        "type=1,uuid=11111111-2222-3333-4444-555555555555",
        "-drive",
        &format!("if=pflash,unit=0,format=raw,readonly=on,file={}", code.display()),
        "-drive",
        &format!(
            "if=pflash,unit=1,id=drive-efidisk0,format=raw,file={},size=131072",
            vars.display()
        ),
    ]));
    let row = row(&guest);
    check(&row, &code, &vars, "2M");
    assert_eq!(row.uuid.as_deref(), Some("11111111-2222-3333-4444-555555555555"));
    assert_eq!(row.machine.as_deref(), Some("pc-q35-7.2"), "q35 in full");
}

#[test]
fn short_pflash_with_relative_paths() {
    let home = Home::new();
    let (code, vars) = (home.copy(CODE_4M, "CODE.fd"), home.copy(VARS_4M, "VARS.fd"));
    let guest = home.start(Machine::bare(Arch::X86_64).with(&[
        "-pflash",
        code.to_str().unwrap(),
        "--pflash",
        vars.to_str().unwrap(),
    ]));
    check(&row(&guest), &code, &vars, "4M");
}

#[test]
fn a_configuration_file() {
    let home = Home::new();
    let (code, vars) = (home.copy(CODE_4M, "CODE.fd"), home.copy(VARS_4M, "VARS.fd"));
    let config = home.dir.path().join("guest.cfg");
    let text = format!(
        "[drive]\n  if = \"pflash\"\n  unit = \"0\"\n  readonly = \"on\"\n  format = \"raw\"\n  file = \"{}\"\n\
         [drive \"v\"]\n  if = \"pflash\"\n  unit = \"1\"\n  format = \"raw\"\n  file = \"{}\"\n",
        code.display(),
        vars.display()
    );
    fs::write(&config, text).unwrap();
    let guest = home.start(Machine::bare(Arch::X86_64).with(&["-readconfig", config.to_str().unwrap()]));
    check(&row(&guest), &code, &vars, "4M");
}

#[test]
fn block_nodes_as_options_with_a_qcow2_store() {
    let home = Home::new();
    let code = home.copy(CODE_4M, "CODE.fd");
    let vars = home.dir.path().join("VARS.qcow2");
    let converted = std::process::Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args([&fm_fixtures::path(VARS_4M), &vars])
        .status()
        .unwrap();
    assert!(converted.success());
    let guest = home.start(Machine::bare(Arch::X86_64).with(&[
        "-blockdev",
        &format!(
            "raw,node-name=c,read-only=on,file.driver=file,file.filename={}",
            code.display()
        ),
        "-blockdev",
        &format!(
            "driver=qcow2,node-name=v,file.driver=file,file.filename={}",
            vars.display()
        ),
        "-machine",
        "pflash0=c",
        "-machine",
        "pflash1=v",
    ]));
    let row = row(&guest);
    check(&row, &code, &vars, "4M");
    assert_eq!(row.vars.unwrap().format, "qcow2");
}

#[test]
fn secure_boot_with_its_keys_enrolled() {
    let home = Home::new();
    let code = home.copy("bookworm/OVMF_CODE_4M.secboot.fd", "CODE.fd");
    let vars = home.copy("bookworm/OVMF_VARS_4M.ms.fd", "VARS.fd");
    let machine = Machine {
        machine: "q35,smm=on".into(),
        ..Machine::new(Arch::X86_64, &code, &vars)
    };
    let guest = home.start(machine.with(&["-global", "driver=cfi.pflash01,property=secure,value=on"]));
    let row = row(&guest);
    check(&row, &code, &vars, "4M");
    assert_eq!(row.vars.unwrap().secure_boot, Some(SecureBootState::Enabled));
}

/// What `ps` says of Secure Boot for a guest on this build with this store.
fn secure_boot(home: &Home, code: &str, vars: &Path) -> Option<String> {
    let machine = Machine {
        machine: "q35,smm=on".into(),
        ..Machine::new(Arch::X86_64, &fm_fixtures::path(code), vars)
    };
    let guest = home.start(machine.with(&["-global", "driver=cfi.pflash01,property=secure,value=on"]));
    let state = row(&guest).vars.unwrap().secure_boot;
    state.map(|state| state.to_string())
}

#[test]
fn secure_boot_is_what_the_build_makes_of_the_keys() {
    let home = Home::new();
    let verifying = "bookworm/OVMF_CODE_4M.secboot.fd";
    let keys = home.copy("bookworm/OVMF_VARS_4M.ms.fd", "keys.fd");
    // keys without a build that uses them protect nothing
    assert_eq!(
        secure_boot(&home, "trixie/OVMF_CODE_4M.fd", &keys).as_deref(),
        Some("unsupported")
    );
    let blank = home.copy(VARS_4M, "blank.fd");
    assert_eq!(secure_boot(&home, verifying, &blank).as_deref(), Some("setup"));
    let done = fm_e2e::flashmoor()
        .args([
            "vars",
            "set",
            "--hex",
            "00",
            "--guid",
            "f0a30bc7-af08-4556-99c4-001009c93a44",
        ])
        .arg(&keys)
        .arg("SecureBootEnable")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", fm_e2e::stderr(&done));
    assert_eq!(secure_boot(&home, verifying, &keys).as_deref(), Some("disabled"));
}

#[test]
fn firmware_outside_flash_is_named() {
    let home = Home::new();
    let bios = home.copy("bookworm/OVMF.fd", "OVMF.fd");
    let guest = home.start(Machine::bare(Arch::X86_64).with(&["-bios", bios.to_str().unwrap()]));
    let roms = row(&guest).roms;
    let rom = roms.iter().find(|rom| rom.name == "pc.bios").unwrap();
    assert_eq!(rom.sha256, digest(&bios));
    assert!(
        rom.build.as_deref().unwrap().starts_with("ovmf 2022.11-6"),
        "{rom:?}"
    );
}

#[test]
fn an_aarch64_guest_whose_flash_is_as_large_as_its_memory() {
    let home = Home::new();
    let code = home.copy("bookworm/AAVMF_CODE.fd", "CODE.fd");
    let vars = home.copy("bookworm/AAVMF_VARS.fd", "VARS.fd");
    let guest = home.start(Machine::new(Arch::Aarch64, &code, &vars));
    let row = row(&guest);
    check(&row, &code, &vars, "armvirt");
    assert_eq!(row.machine.as_deref(), Some("virt-7.2"));
    assert_eq!(row.arch, "aarch64");
}

#[test]
fn large_flash_that_the_guest_may_write_is_read_all_the_same() {
    let home = Home::new();
    let code = home.copy("bookworm/AAVMF_CODE.fd", "CODE.fd");
    let vars = home.copy("bookworm/AAVMF_VARS.fd", "VARS.fd");
    let words = [
        "-pflash",
        code.to_str().unwrap(),
        "-pflash",
        vars.to_str().unwrap(),
    ];
    let guest = home.start(Machine::bare(Arch::Aarch64).with(&words));
    check(&row(&guest), &code, &vars, "armvirt");
}

#[test]
fn an_accelerator_that_did_not_work_is_not_what_runs() {
    let home = Home::new();
    // the lab's own `-accel tcg` comes first
    let guest = home.start(Machine::bare(Arch::X86_64).with(&["-accel", "xen"]));
    assert_eq!(row(&guest).accel.as_deref(), Some("tcg"));
}

#[test]
fn option_roms_are_listed_with_their_streams_names() {
    let home = Home::new();
    let (code, vars) = (home.copy(CODE_4M, "CODE.fd"), home.copy(VARS_4M, "VARS.fd"));
    let machine = Machine::new(Arch::X86_64, &code, &vars);
    let guest = home.start(machine.with(&["-vga", "std", "-device", "virtio-net-pci,addr=5"]));
    let roms = row(&guest).roms;
    let names: Vec<_> = roms.iter().map(|rom| rom.name.as_str()).collect();
    assert!(names.contains(&"0000:00:05.0/virtio-net-pci.rom"), "{names:?}");
    assert!(names.contains(&"0000:00:01.0/vga.rom"), "{names:?}");
    assert!(names.contains(&"isa-bios"), "{names:?}");
    assert!(roms.iter().all(|rom| rom.sha256.is_some() && rom.size_bytes > 0));
}

#[test]
fn a_guest_without_flash_is_listed_without_firmware() {
    let home = Home::new();
    let guest = home.start(Machine::bare(Arch::X86_64).named("legacy"));
    let row = row(&guest);
    assert_eq!(
        (row.name.as_deref(), row.code, row.vars),
        (Some("legacy"), None, None)
    );
    assert_eq!(row.remarks, Vec::<String>::new());
}
