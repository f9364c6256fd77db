//! Offers of real guests, and of what is no guest or has no flash.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use fm_formats::Sha256;
use fm_host::monitor::describe;
use fm_host::qmp::Client;
use fm_lab::{Arch, Emulator, Guest, Machine};
use fm_remedy::{Action, Failure as _, Remedy};
use fm_transfer::offer::{Offer, offer};
use tempfile::TempDir;

struct Scene {
    dir: TempDir,
    code: PathBuf,
    vars: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (code, vars) = (dir.path().join("CODE.fd"), dir.path().join("VARS.fd"));
        fs::copy(fm_fixtures::path("bookworm/OVMF_CODE_4M.fd"), &code).unwrap();
        fs::copy(fm_fixtures::path("bookworm/OVMF_VARS_4M.fd"), &vars).unwrap();
        Self { dir, code, vars }
    }

    fn machine(&self) -> Machine {
        Machine::new(Arch::X86_64, &self.code, &self.vars)
    }

    fn start(&self, machine: Machine) -> Guest {
        let machine = Machine {
            stopped: !machine.incoming,
            memory_mib: 64,
            ..machine
        };
        Guest::start(&machine, &self.dir.path().join("run")).unwrap()
    }
}

fn refusal(selector: &str) -> (String, Option<Remedy>) {
    let error = offer(selector).unwrap_err();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(why) = cause {
        text = format!("{text}: {why}");
        cause = why.source();
    }
    (text, error.remedy())
}

/// Names and used lengths, sorted, as QEMU's own monitor tells them.
fn told(guest: &Guest) -> (Vec<(String, u64)>, Option<String>) {
    let mut client = Client::connect(&guest.qmp_socket(), Duration::from_secs(30)).unwrap();
    let told = describe(&mut client).unwrap();
    let mut blocks: Vec<_> = told
        .blocks
        .into_iter()
        .map(|block| (block.name, block.used_bytes))
        .collect();
    blocks.sort();
    (blocks, told.machine)
}

/// The same as an offer has them.
fn offered(offer: &Offer) -> (Vec<(String, u64)>, Option<String>) {
    let mut blocks: Vec<_> = offer
        .blocks
        .iter()
        .map(|block| (block.name.clone(), block.size_bytes))
        .collect();
    blocks.sort();
    (blocks, offer.machine.clone())
}

#[test]
fn memory_tells_the_blocks_lengths_and_machine_that_the_monitor_tells() {
    let scene = Scene::new();
    let guest = scene.start(
        scene
            .machine()
            .with(&["-device", "virtio-net-pci", "-vga", "std"]),
    );
    let offer = offer(&guest.pid().to_string()).unwrap();
    assert_eq!(offered(&offer), told(&guest));
    assert_eq!(offer.machine.as_deref(), Some("pc-q35-7.2"));
    assert!(offer.blocks_complete && offer.blocks.len() > 8);
    let digest = |path| Sha256::of(&fs::read(path).unwrap()).to_string();
    let code = digest(&scene.code);
    assert_eq!((&offer.build, &offer.code.sha256), (&code, &code));
    assert_eq!(offer.vars.as_ref().unwrap().sha256, digest(&scene.vars));
    let block = |end: &str| {
        offer
            .blocks
            .iter()
            .find(|block| block.name.ends_with(end))
            .unwrap()
    };
    assert!(block("virtio-net-pci.rom").sha256.is_some());
    assert_eq!(
        (block("pc.ram").size_bytes, &block("pc.ram").sha256),
        (64 << 20, &None)
    );
}

#[test]
fn a_newer_qemu_keeps_its_list_of_blocks_in_the_same_form() {
    let scene = Scene::new();
    let emulator = Emulator {
        program: fm_fixtures::qemu_10("x86_64"),
        data_dirs: Vec::new(),
    };
    let guest = scene.start(Machine {
        emulator,
        ..scene.machine()
    });
    let offer = offer(&guest.pid().to_string()).unwrap();
    assert_eq!(offered(&offer), told(&guest));
    assert_eq!(offer.machine.as_deref(), Some("pc-q35-10.0"));
    assert!(offer.qemu_version.starts_with("10.0."), "{}", offer.qemu_version);
}

#[test]
fn a_guest_is_found_by_pid_name_uuid_and_socket_and_waits_for_nothing() {
    let scene = Scene::new();
    let name = format!("offered,{}", std::process::id());
    let uuid = "0f0e0d0c-0b0a-0908-0706-050403020100";
    let guest = scene.start(Machine {
        uuid: Some(uuid.into()),
        ..scene.machine().named(&name.replace(',', ",,")).incoming()
    });
    for selector in [
        &guest.pid().to_string(),
        &name,
        uuid,
        guest.qmp_socket().to_str().unwrap(),
    ] {
        let offer = offer(selector).unwrap();
        assert_eq!(offer.guest.pid, Some(guest.pid()), "{selector}");
        assert_eq!(offer.guest.name.as_deref(), Some(name.as_str()));
    }
}

#[test]
fn a_store_in_qcow2_is_offered_by_what_the_guest_sees() {
    let mut scene = Scene::new();
    let qcow2 = scene.dir.path().join("VARS.qcow2");
    let converted = std::process::Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args([&scene.vars, &qcow2])
        .status()
        .unwrap();
    assert!(converted.success());
    let raw = std::mem::replace(&mut scene.vars, qcow2.clone());
    let drive = format!("if=pflash,unit=1,format=qcow2,file={}", qcow2.display());
    let machine = Machine {
        vars: None,
        ..scene.machine()
    };
    let guest = scene.start(machine.with(&["-drive", &drive]));
    let vars = offer(&guest.pid().to_string()).unwrap().vars.unwrap();
    assert_eq!(vars.format.as_deref(), Some("qcow2"));
    assert_eq!(vars.size_bytes, 540_672);
    assert_eq!(vars.sha256, Sha256::of(&fs::read(raw).unwrap()).to_string());
}

#[test]
fn a_guest_without_flash_is_refused_with_what_it_runs() {
    let scene = Scene::new();
    let guest = scene.start(Machine::bare(Arch::X86_64).named("legacy"));
    let (text, remedy) = refusal(&guest.pid().to_string());
    assert!(
        text.contains("guest legacy (pid ") && text.contains("has no firmware flash"),
        "{text}"
    );
    assert!(text.ends_with("it runs QEMU's default, SeaBIOS"), "{text}");
    assert!(remedy.unwrap().advice.contains("pflash"));
}

#[test]
fn firmware_given_as_bios_is_refused_with_its_name() {
    let scene = Scene::new();
    let guest = scene.start(Machine::bare(Arch::X86_64).with(&["-bios", "/usr/share/ovmf/OVMF.fd"]));
    let (text, _) = refusal(&guest.pid().to_string());
    assert!(
        text.ends_with("it runs \"/usr/share/ovmf/OVMF.fd\" as -bios"),
        "{text}"
    );
}

#[test]
fn a_monitor_that_another_client_holds_is_not_needed() {
    let scene = Scene::new();
    let guest = scene.start(scene.machine());
    let socket = guest.qmp_socket();
    let _holder = Client::connect(&socket, Duration::from_secs(30)).unwrap();
    let offer = offer(socket.to_str().unwrap()).unwrap();
    assert!(offer.blocks_complete);
}

#[test]
fn what_is_no_guest_is_refused_clearly() {
    let (text, remedy) = refusal("no-such-guest");
    assert_eq!(text, "no guest \"no-such-guest\" runs on this host");
    assert_eq!(remedy.unwrap().actions, [Action::ListGuests]);
    let (text, _) = refusal(&std::process::id().to_string());
    assert!(
        text.starts_with(&format!("process {} is not QEMU", std::process::id())),
        "{text}"
    );
    let (text, _) = refusal("4194305");
    assert_eq!(text, "no guest \"4194305\" runs on this host");
}

#[test]
fn two_guests_of_one_name_are_both_shown() {
    let (one, other) = (Scene::new(), Scene::new());
    let name = format!("twin-{}", std::process::id());
    let guests = [
        one.start(one.machine().named(&name)),
        other.start(other.machine().named(&name)),
    ];
    let (text, remedy) = refusal(&name);
    for guest in &guests {
        assert!(text.contains(&format!("(pid {})", guest.pid())), "{text}");
    }
    assert!(remedy.unwrap().advice.contains("pid or uuid"));
}

#[test]
fn a_third_flash_unit_is_refused_by_qemu_and_by_us() {
    let scene = Scene::new();
    let third = format!("if=pflash,unit=2,format=raw,file={}", scene.code.display());
    let machine = scene.machine().with(&["-drive", &third]);
    let Err(error) = Guest::start(&machine, &scene.dir.path().join("run")) else {
        panic!("QEMU accepts a third unit by now");
    };
    assert!(error.to_string().contains("unit=2"), "{error}");
}
