//! Updates on the way of a migration of guests with more at stake than a shell: keys and Secure Boot, an application that
//! writes variables without end, other processors. There and back.

use std::path::{Path, PathBuf};

use fm_e2e::conversion::{Build, in_guests_words, store_with_keys};
use fm_e2e::speaker::{OWN, Said, SaidVariable, Speaker, bytes};
use fm_e2e::{Bench, digest, document, held, twin};
use fm_formats::image::Layout;
use fm_lab::{Guest, Machine};
use fm_variables as vars;
use fm_variables::{Enrolment, Selection, SetRequest, StoreTarget};

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// A destination with blank flash of the sizes of `machine`'s.
fn blank(bench: &mut Bench, name: &str, machine: &Machine) -> Guest {
    let len_bytes = |path: &Option<PathBuf>| std::fs::metadata(path.as_ref().unwrap()).unwrap().len();
    let code = bench.zeros(&format!("{name}-code.fd"), len_bytes(&machine.code));
    let vars = bench.zeros(&format!("{name}-vars.fd"), len_bytes(&machine.vars));
    let machine = Machine {
        code: Some(code),
        vars: Some(vars),
        ..machine.clone()
    };
    bench.start(&machine.incoming())
}

/// How a guest gets another build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    OnItsWay,
    /// In its memory. QEMU translates what it runs from flash, so that it moves to a fresh process before it resets.
    InMemory,
}

/// Gives the guest `code` in its memory, where it stands for a moment and goes on.
fn exchange(bench: &Bench, guest: &Guest, code: &Path) {
    let mut command = bench.flashmoor();
    command
        .args(["--json", "update", &guest.pid().to_string(), "--monitor"])
        .arg(guest.qmp_socket())
        .args(["--never-suspends", "--has-booted", "--moves-before-reset", "--to"])
        .arg(code);
    assert_eq!(document(&command.output().unwrap())["state"], "pending_reset");
    let given = fm_formats::Sha256::of(&std::fs::read(code).unwrap()).to_string();
    assert_eq!(held(guest), given);
}

/// Lets `guest` go to a destination, where it arrives on `code`. It may be writing to its flash, which QEMU would not send
/// again: it stands still on its way.
fn give(bench: &mut Bench, name: &str, guest: Guest, machine: &Machine, code: &Path, how: How) -> Guest {
    if how == How::InMemory {
        exchange(bench, &guest, code);
    }
    let destination = blank(bench, name, machine);
    let mut command = bench.flashmoor();
    command.args(["--json", "migrate", "--stop-first"]);
    if how == How::OnItsWay {
        command
            .args(["--never-suspends", "--has-booted", "--update"])
            .arg(code);
    }
    command.arg(guest.qmp_socket()).arg(destination.qmp_socket());
    let migrated = document(&command.output().unwrap());
    let given = fm_formats::Sha256::of(&std::fs::read(code).unwrap()).to_string();
    assert_eq!(migrated["code"]["verified"], true);
    if how == How::OnItsWay {
        assert_eq!(migrated["updated"]["to"], given.as_str());
    }
    assert_eq!(held(&destination), given);
    destination
}

/// How far the application has come with `Number`, by the bytes of that.
fn number(bytes: &[u8]) -> u32 {
    let word = bytes.first_chunk().unwrap();
    assert_eq!(bytes, word.repeat(256), "torn");
    u32::from_le_bytes(*word)
}

/// Waits until the application says that it has written again, and returns the number.
fn goes_on_writing(guest: &mut Guest) -> u32 {
    guest.serial.expect(&["\nW "]).unwrap();
    let hex = guest.serial.expect(&["\n"]).unwrap();
    let word = bytes(hex.trim_end());
    u32::from_le_bytes(word.try_into().unwrap())
}

/// What no boot and no writing changes.
fn stays(said: &[SaidVariable]) -> Vec<SaidVariable> {
    let changes = |name: &str| {
        [
            "Number",
            "Starts",
            "MTC",
            "Timeout",
            "MemoryTypeInformation",
            "BootOrder",
            "ConIn",
            "ConOut",
            "ErrOut",
        ]
        .contains(&name)
            || ["Boot0", "Key0"].iter().any(|start| name.starts_with(start))
    };
    let stays = said.iter().filter(|variable| !changes(&variable.name));
    stays.cloned().collect()
}

/// A guest with keys is given `builds` one after the other, and each reset finds Secure Boot on and every variable there.
/// If its application `writes`, it does so all the time, and goes on with it at each arrival.
fn under_secure_boot(layout: Layout, builds: &[&str], writes: bool, how: How) {
    let mut bench = Bench::new();
    let folder = bench.path("speaker");
    std::fs::create_dir(&folder).unwrap();
    let build = Build::new(builds[0]);
    let speaker = Speaker::new(&build.arch, &folder);
    let store = store_with_keys(layout, &folder);
    let target = || StoreTarget::file(store.clone());
    let enrolment = Enrolment {
        db: vec![speaker.hash().to_owned()],
        ..Enrolment::default()
    };
    vars::enroll(&target(), &enrolment).unwrap();
    if writes {
        vars::set(SetRequest {
            write: target(),
            which: Selection {
                name: "Write".into(),
                guid: Some(OWN),
            },
            attributes: Some(7),
            data: vec![1],
        })
        .unwrap();
    }
    let enrolled = stays(&in_guests_words(&vars::list(&store, false).unwrap()));
    let words = speaker.words();
    let machine = build.machine(&store).with(&words.each_ref().map(String::as_str));
    let mut guest = bench.start(&machine);
    for (at, code) in builds.iter().enumerate() {
        let mut written = None;
        if at > 0 {
            guest = give(
                &mut bench,
                &format!("to-{at}"),
                guest,
                &machine,
                &fm_fixtures::path(code),
                how,
            );
            written = writes.then(|| goes_on_writing(&mut guest));
            guest.reset().unwrap();
        }
        let said = Said::hear(&mut guest);
        assert_eq!(said.set_status, 0, "{code}");
        let starts = format!("{:02x}", at + 1);
        assert_eq!(
            said.get(&OWN.to_string(), "Starts"),
            Some(starts.as_str()),
            "{code}"
        );
        assert_eq!(said.get(GLOBAL, "SecureBoot"), Some("01"), "{code}");
        let found = said.get(&OWN.to_string(), "Number");
        let found = found.map(|hex| number(&bytes(hex)));
        assert!(
            found >= written,
            "{code}: {written:?} was written, and {found:?} is there"
        );
        let has = stays(&said.lasting());
        for variable in &enrolled {
            assert!(has.contains(variable), "{code}: {} is lost", variable.name);
        }
        assert_eq!(held(&guest), digest(code));
        if writes {
            goes_on_writing(&mut guest);
        }
    }
}

#[test]
fn a_guest_with_keys_and_system_management_mode_writes_on_over_an_update_there_and_back() {
    let (old, new) = (
        "bookworm/OVMF_CODE_4M.secboot.fd",
        "trixie/OVMF_CODE_4M.secboot.fd",
    );
    under_secure_boot(Layout::X86Size4M, &[old, new, old], true, How::OnItsWay);
}

#[test]
fn a_guest_with_keys_and_system_management_mode_writes_on_over_an_update_in_its_memory() {
    let (old, new) = (
        "bookworm/OVMF_CODE_4M.secboot.fd",
        "trixie/OVMF_CODE_4M.secboot.fd",
    );
    under_secure_boot(Layout::X86Size4M, &[old, new, old], true, How::InMemory);
}

#[test]
fn an_arm_guest_with_keys_keeps_them_over_an_update() {
    // It does not write meanwhile: to write a kilobyte, this firmware erases the block that all variables lie in, and a
    // reset then, whatever build it boots, finds what was written back by that time.
    let builds = [
        "trixie/AAVMF_CODE.secboot.fd",
        "trixie/AAVMF_CODE.secboot.strictnx.fd",
    ];
    under_secure_boot(Layout::ArmVirt, &builds, false, How::OnItsWay);
}

/// There is one build each for RISC-V and LoongArch; another of its size is made of it.
fn on_its_twin(code: &str, vars: &str) {
    let mut bench = Bench::new();
    let store = bench.copy(vars, "vars.fd");
    let machine = Build::new(code).machine(&store);
    let other = bench.path("twin.fd");
    std::fs::write(&other, twin(code)).unwrap();
    let mut guest = bench.start(&machine);
    guest.boot_to_shell().unwrap();
    let variable = |name: &str| format!("setvar {name} -guid {OWN}");
    for (name, to) in [("There", &other), ("Back", &fm_fixtures::path(code))] {
        let set = guest.shell(&format!("{} -bs -rt -nv =6b", variable(name)));
        assert_eq!(set.unwrap(), "");
        guest = give(&mut bench, name, guest, &machine, to, How::OnItsWay);
        // QEMU 10.0's TCG leaves these guests standing after any migration, until they reset.
        guest.reset().unwrap();
        guest.boot_to_shell().unwrap();
        let shown = guest.shell(&variable(name)).unwrap();
        assert!(shown.contains("6B"), "{code}, {name}: {shown}");
    }
}

#[test]
fn a_riscv_guest_is_given_another_build_and_resets_into_it_there_and_back() {
    on_its_twin("trixie/RISCV_VIRT_CODE.fd", "trixie/RISCV_VIRT_VARS.fd");
}

#[test]
fn a_loongarch_guest_is_given_another_build_and_resets_into_it_there_and_back() {
    on_its_twin(
        "trixie/loongarch64/QEMU_EFI.fd",
        "trixie/loongarch64/QEMU_VARS.fd",
    );
}
