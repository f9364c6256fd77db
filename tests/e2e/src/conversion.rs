//! A converted store under a real build of firmware, and whether the guest finds in it what was there before.

use std::path::{Path, PathBuf};

use fm_api::v1::vars::VarsList;
use fm_formats::image::{Feature, Layout};
use fm_images::inspect::{Request, inspect};
use fm_lab::{Arch, Guest, Machine};
use fm_variables as vars;
use fm_variables::{ConvertRequest, ConvertTarget, Enrolment, StoreTarget};

use crate::speaker::{OWN, Said, SaidVariable, Speaker};

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// A build of the fixtures.
#[derive(Debug, Clone)]
pub struct Build {
    /// The fixture's name.
    pub code: String,
    /// Its architecture.
    pub arch: String,
    /// Whether it has Secure Boot.
    pub secure_boot: bool,
    /// Whether it needs system management mode.
    pub smm: bool,
}

impl Build {
    /// The build whose CODE is the fixture `code`.
    ///
    /// # Panics
    /// If the fixture cannot be had, with the reason.
    #[must_use]
    pub fn new(code: &str) -> Self {
        let fixture = fm_fixtures::find(code).unwrap_or_else(|missing| panic!("{missing}"));
        let seen = inspect(&Request {
            path: fixture.path(),
            ..Request::default()
        })
        .unwrap_or_else(|error| panic!("{code}: {error}"));
        let has = |feature| seen.image.as_ref().is_some_and(|image| image.has(feature));
        Self {
            code: code.into(),
            arch: fixture.arch.clone(),
            secure_boot: has(Feature::SecureBoot),
            smm: has(Feature::Smm),
        }
    }

    /// Every build of the fixtures.
    #[must_use]
    pub fn all() -> Vec<Self> {
        fm_fixtures::of_kind(fm_fixtures::Kind::Code)
            // QEMU_EFI.fd is the same firmware without the padding of a flash chip.
            .filter(|code| !code.name.ends_with("QEMU_EFI.fd"))
            .map(|code| Self::new(&code.name))
            .collect()
    }

    /// A guest that boots it on `vars`, from the speaker's disk.
    ///
    /// # Panics
    /// If QEMU does not start, with its words.
    #[must_use]
    pub fn start(&self, vars: &Path, speaker: &Speaker, run: &Path) -> Guest {
        let words = speaker.words();
        let machine = self.machine(vars).with(&words.each_ref().map(String::as_str));
        Guest::start(&machine, run).unwrap_or_else(|error| panic!("{}: {error}", self.code))
    }

    /// The machine that it is made for, with `vars`. Bookworm's QEMU does not start that of RISC-V and LoongArch.
    ///
    /// # Panics
    /// If a fixture cannot be had, with the reason.
    #[must_use]
    pub fn machine(&self, vars: &Path) -> Machine {
        let mut archs = Arch::ALL.into_iter();
        let arch = archs
            .find(|arch| arch.name() == self.arch)
            .unwrap_or(Arch::X86_64);
        let mut machine = Machine::new(arch, &fm_fixtures::path(&self.code), vars);
        machine.memory_mib = machine.memory_mib.max(256);
        if matches!(arch, Arch::Riscv64 | Arch::Loongarch64) {
            machine.emulator.program = fm_fixtures::qemu_10(arch.name());
        }
        if self.smm {
            machine.machine = "q35,smm=on".into();
            machine = machine.with(&["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        }
        if self.code == "bookworm/OVMF_CODE.secboot.fd" {
            // docs/findings/FM-S3.md
            machine = machine.with(&["-global", "ICH9-LPC.disable_s3=1"]);
        }
        machine
    }
}

/// A store of `layout` with Microsoft's keys enrolled, as Debian ships it where it does.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn store_with_keys(layout: Layout, folder: &Path) -> PathBuf {
    let (fixture, native) = match layout {
        Layout::X86Size1M | Layout::X86Size2M => ("bookworm/OVMF_VARS.ms.fd", true),
        Layout::ArmVirt => ("bookworm/AAVMF_VARS.ms.fd", true),
        Layout::X86Size4M => ("bookworm/OVMF_VARS_4M.ms.fd", true),
        Layout::Riscv | Layout::Loongarch => ("bookworm/AAVMF_VARS.ms.fd", false),
    };
    let path = folder.join(format!("{layout}-with-keys.fd"));
    if native {
        std::fs::write(&path, fm_fixtures::bytes(fixture)).expect("a copy of the store");
    } else {
        convert(&fm_fixtures::path(fixture), ConvertTarget::Layout(layout), &path);
    }
    path
}

/// Converts, or panics with the reason.
///
/// # Panics
/// If it is refused.
pub fn convert(input: &Path, into: ConvertTarget, output: &Path) {
    vars::convert(&ConvertRequest {
        input: input.to_owned(),
        into,
        format: None,
        output: output.to_owned(),
        replace: false,
        even_if_in_use: false,
        journal: None,
        cache: None,
        dry_run: false,
    })
    .unwrap_or_else(|error| panic!("{}: {error}", input.display()));
}

/// The store that flashmoor lists, in the guest's own words.
#[must_use]
pub fn in_guests_words(list: &VarsList) -> Vec<SaidVariable> {
    let mut found: Vec<_> = list
        .variables
        .iter()
        .map(|variable| SaidVariable {
            guid: variable.guid.clone(),
            name: variable.name.clone(),
            attributes: variable.attributes,
            data: variable.data.clone(),
        })
        .collect();
    found.sort();
    found
}

/// Converts a store with keys of layout `from` for `build`, boots it twice, and holds everything that a guest
/// can confirm: each variable is there as it was but for those that every boot rewrites, what flashmoor reads
/// from the running guest is what the guest itself says, a variable that it sets is there after a cold boot,
/// and Secure Boot is on where the build has it.
///
/// # Panics
/// If any of it does not hold.
pub fn lives_on(from: Layout, build: &Build, folder: &Path) {
    if !Speaker::speaks(&build.arch) {
        return lives_on_by_its_shell(from, build, folder);
    }
    let speaker = Speaker::new(&build.arch, folder);
    let (input, output) = (store_with_keys(from, folder), folder.join("converted.fd"));
    let about = format!("{from} on {}", build.code);
    vars::enroll(
        &StoreTarget::file(input.clone()),
        &Enrolment {
            db: vec![speaker.hash().to_owned()],
            ..Enrolment::default()
        },
    )
    .unwrap_or_else(|error| panic!("{about}: {error}"));
    convert(
        &input,
        ConvertTarget::ForCode(fm_fixtures::path(&build.code)),
        &output,
    );
    let before = vars::list(&input, false).expect("a list");
    for start in 1..=2 {
        let mut guest = build.start(&output, &speaker, &folder.join(format!("run-{start}")));
        let said = Said::hear(&mut guest);
        assert_eq!(said.set_status, 0, "{about}: SetVariable failed");
        let starts = said.get(&OWN.to_string(), "Starts");
        assert_eq!(starts, Some(format!("{start:02x}").as_str()), "{about}");
        assert_eq!(
            said.get(GLOBAL, "SecureBoot"),
            build.secure_boot.then_some("01"),
            "{about}"
        );
        let running = vars::list(Path::new(&guest.pid().to_string()), false).expect("the guest's list");
        assert!(running.damage.is_empty(), "{about}: {:?}", running.damage);
        assert_eq!(said.lasting(), in_guests_words(&running), "{about}");
        let now: Vec<_> = running
            .variables
            .iter()
            .map(|now| (&now.guid, &now.name, now))
            .collect();
        for was in before.variables.iter().filter(|was| !is_rewritten(&was.name)) {
            let found = now
                .iter()
                .find(|(guid, name, _)| (*guid, *name) == (&was.guid, &was.name));
            let (_, _, is) = found.unwrap_or_else(|| panic!("{about}: {} is lost", was.name));
            assert_eq!(
                (
                    is.attributes,
                    &is.data,
                    is.timestamp.as_ref().map(|time| &time.raw)
                ),
                (
                    was.attributes,
                    &was.data,
                    was.timestamp.as_ref().map(|time| &time.raw)
                ),
                "{about}: {}",
                was.name
            );
        }
        guest.quit().unwrap_or_else(|error| panic!("{about}: {error}"));
        let on_disk = vars::list(&output, false).expect("a list");
        assert_eq!(in_guests_words(&on_disk), said.lasting(), "{about}");
    }
}

/// The same, told by the shell of a build that has one, for want of an assembler for its processor: `dmpstore` prints
/// every variable as it was.
fn lives_on_by_its_shell(from: Layout, build: &Build, folder: &Path) {
    let (input, output) = (store_with_keys(from, folder), folder.join("converted.fd"));
    let about = format!("{from} on {}", build.code);
    convert(
        &input,
        ConvertTarget::ForCode(fm_fixtures::path(&build.code)),
        &output,
    );
    let before = vars::list(&input, false).expect("a list");
    let guid = OWN.to_string();
    for start in 1..=2 {
        let run = folder.join(format!("run-{start}"));
        let begun = Guest::start(&build.machine(&output), &run);
        let mut guest = begun.unwrap_or_else(|error| panic!("{about}: {error}"));
        guest
            .boot_to_shell()
            .unwrap_or_else(|error| panic!("{about}: {error}"));
        let running = vars::list(Path::new(&guest.pid().to_string()), false).expect("the guest's list");
        assert!(running.damage.is_empty(), "{about}: {:?}", running.damage);
        let stays = before.variables.iter().filter(|was| !is_rewritten(&was.name));
        for was in stays {
            let said = dumped(&mut guest, &was.name, &was.guid);
            assert_eq!(said, was.data, "{about}: {}", was.name);
            let mut now = running.variables.iter();
            let now = now.find(|now| (&now.guid, &now.name) == (&was.guid, &was.name));
            let now = now.unwrap_or_else(|| panic!("{about}: {} is lost", was.name));
            assert_eq!(now.attributes, was.attributes, "{about}: {}", was.name);
            assert_eq!(
                now.timestamp.as_ref().map(|time| &time.raw),
                was.timestamp.as_ref().map(|time| &time.raw),
                "{about}: {}",
                was.name
            );
        }
        if start == 1 {
            let set = guest.shell(&format!("setvar Starts -guid {guid} -bs -rt -nv =01"));
            set.unwrap_or_else(|error| panic!("{about}: {error}"));
        }
        assert_eq!(
            dumped(&mut guest, "Starts", &guid),
            "01",
            "{about}, start {start}"
        );
        guest.quit().unwrap_or_else(|error| panic!("{about}: {error}"));
    }
    let on_disk = vars::list(&output, false).expect("a list");
    assert!(
        on_disk.variables.iter().any(|found| found.name == "Starts"),
        "{about}"
    );
}

/// The hexadecimal bytes that `dmpstore` in the guest's shell prints of a variable, or its complaint.
///
/// # Panics
/// If the shell does not answer.
pub fn dumped(guest: &mut Guest, name: &str, guid: &str) -> String {
    let text = guest.shell(&format!("dmpstore {name} -guid {guid}"));
    let text = text.unwrap_or_else(|error| panic!("dmpstore {name}: {error}"));
    let bytes: String = text
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(offset, _)| offset.len() == 8 && offset.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .filter_map(|(_, row)| row.split_once('*').map(|(hex, _)| hex))
        .flat_map(|hex| hex.chars().filter(char::is_ascii_hexdigit))
        .collect();
    if bytes.is_empty() {
        text
    } else {
        bytes.to_ascii_lowercase()
    }
}

/// What every boot writes anew: consoles, time-out (QEMU's), boot entries, the counter of boots, what memory a
/// boot needs.
fn is_rewritten(name: &str) -> bool {
    matches!(
        name,
        "ConIn" | "ConOut" | "ErrOut" | "Timeout" | "MTC" | "MemoryTypeInformation" | "BootOrder"
    ) || ["Boot0", "Key0", "Attempt "]
        .iter()
        .any(|start| name.starts_with(start))
}
