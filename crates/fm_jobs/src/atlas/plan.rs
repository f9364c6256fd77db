//! What the atlas tries: the pairs, in an order in which the most telling come first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::act::Bench;
use super::{Change, Image, Side};

/// What observations have in common; one file each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Every build on every store.
    ColdBoot,
    /// Stores that are blank or damaged.
    DamagedStore,
    /// Every build to every build, between QEMU versions.
    BuildMigration,
    /// Machines that differ in something else than the build.
    MachineMigration,
    /// Stores converted from one layout to another, and booted there.
    Conversion,
    /// Guests whose CODE flash is overwritten while they run.
    Overwritten,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Conversion,
        Self::Overwritten,
        Self::DamagedStore,
        Self::MachineMigration,
        Self::BuildMigration,
        Self::ColdBoot,
    ];

    /// The name of its file, without the ending.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ColdBoot => "cold_boot",
            Self::DamagedStore => "damaged_store",
            Self::BuildMigration => "build_migration",
            Self::MachineMigration => "machine_migration",
            Self::Conversion => "conversion",
            Self::Overwritten => "overwritten",
        }
    }
}

/// One thing to try.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) id: String,
    /// Which of the bench's QEMU programs runs the source, and which the destination.
    pub(super) qemu: [usize; 2],
    pub(super) source: Side,
    pub(super) destination: Option<Side>,
    pub(super) act: Act,
}

/// What is done with the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// It is booted, or migrated if there is a destination.
    Plain,
    /// Its store is converted for the destination's build, and booted there.
    Convert,
    /// Its CODE flash is overwritten: before its first instruction, or when it no longer executes there.
    Overwrite { from_start: bool },
}

/// A build that stands for others in the migration groups.
const REPRESENTATIVES: [&str; 6] = [
    "bookworm/OVMF_CODE.fd",
    "bookworm/OVMF_CODE_4M.fd",
    "trixie/OVMF_CODE_4M.fd",
    "bookworm/OVMF_CODE_4M.secboot.fd",
    "trixie/OVMF32_CODE_4M.fd",
    "bookworm/OVMF_CODE.secboot.fd",
];

/// The steps of a group on what this bench has.
pub(super) fn steps(group: Group, bench: &Bench) -> Vec<Step> {
    match group {
        Group::ColdBoot => cold_boots(bench),
        Group::DamagedStore => damaged_stores(bench),
        Group::BuildMigration => build_migrations(bench),
        Group::MachineMigration => machine_migrations(bench),
        Group::Conversion => conversions(bench),
        Group::Overwritten => overwritten(bench),
    }
}

/// Builds that hang where suspend to RAM is on; see `docs/findings/FM-S3.md`.
const NEEDS_S3_OFF: [&str; 1] = ["bookworm/OVMF_CODE.secboot.fd"];

/// Whether a file's name is that of a build with system management mode.
fn is_smm(name: &str) -> bool {
    name.contains("secboot")
}

fn machine(bench: &Bench, qemu: usize, code: &Image, vars: Option<&Image>) -> Side {
    let smm = is_smm(&code.name);
    Side {
        qemu: bench.version(qemu),
        machine: format!("pc-q35-7.2{}", if smm { ",smm=on" } else { "" }),
        secure_flash: smm,
        s3_off: NEEDS_S3_OFF.contains(&code.name.as_str()),
        code: Some(code.clone()),
        vars: vars.cloned(),
        bios: None,
        rom_bytes: None,
    }
}

/// The blank template of the same layout.
fn own_store<'a>(bench: &'a Bench, code: &Image) -> Option<&'a Image> {
    let wanted = if code.size_bytes == 0x1e_0000 {
        0x2_0000
    } else {
        0x8_4000
    };
    bench.vars.iter().find(|vars| vars.size_bytes == wanted)
}

fn cold_boots(bench: &Bench) -> Vec<Step> {
    let mut steps = Vec::new();
    // Stores outside: every build has met a plain store before the first one meets enrolled keys.
    for vars in &bench.vars {
        for code in &bench.codes {
            steps.push(Step {
                id: format!("cold {} on {}", code.name, vars.name),
                qemu: [0, 0],
                source: machine(bench, 0, code, Some(vars)),
                destination: None,
                act: Act::Plain,
            });
        }
    }
    steps
}

fn damaged_stores(bench: &Bench) -> Vec<Step> {
    let mut steps = Vec::new();
    for name in [
        "bookworm/OVMF_CODE_4M.fd",
        "trixie/OVMF_CODE_4M.fd",
        "bookworm/OVMF_CODE.fd",
    ] {
        let Some(code) = bench.code(name) else { continue };
        let Some(vars) = own_store(bench, code) else {
            continue;
        };
        for change in [
            Change::Erased,
            Change::Zeros,
            Change::VolumeDamaged,
            Change::StoreDamaged,
            Change::WithoutFtw,
            Change::Plain,
        ] {
            let vars = changed(vars, change);
            steps.push(Step {
                id: format!("cold {name} on {} {}", vars.name, word(change)),
                qemu: [0, 0],
                source: machine(bench, 0, code, Some(&vars)),
                destination: None,
                act: Act::Plain,
            });
        }
    }
    // SMM builds on machines that lack what they need, and the reverse.
    for (name, smm, secure_flash) in [
        ("bookworm/OVMF_CODE_4M.secboot.fd", "off", false),
        ("bookworm/OVMF_CODE_4M.secboot.fd", "on", false),
        ("trixie/OVMF_CODE_4M.secboot.fd", "off", false),
        ("trixie/OVMF_CODE_4M.secboot.fd", "on", false),
        ("bookworm/OVMF_CODE_4M.fd", "off", false),
        ("bookworm/OVMF_CODE_4M.fd", "on", true),
        ("trixie/OVMF_CODE_4M.fd", "on", true),
    ] {
        let Some(code) = bench.code(name) else { continue };
        let mut side = machine(bench, 0, code, own_store(bench, code));
        side.machine = format!("pc-q35-7.2,smm={smm}");
        side.secure_flash = secure_flash;
        steps.push(Step {
            id: format!(
                "cold {name} with smm {smm}, secure flash {}",
                if secure_flash { "on" } else { "off" }
            ),
            qemu: [0, 0],
            source: side,
            destination: None,
            act: Act::Plain,
        });
    }
    steps
}

fn build_migrations(bench: &Bench) -> Vec<Step> {
    let mut steps = Vec::new();
    let last = bench.programs.len().saturating_sub(1);
    let mut versions = vec![[0, 0]];
    if last > 0 {
        versions.extend([[0, last], [last, 0], [last, last]]);
    }
    for (index, qemu) in versions.into_iter().enumerate() {
        // Between QEMU versions the first three builds say all there is to say.
        let builds = if index == 0 {
            &REPRESENTATIVES[..]
        } else {
            &REPRESENTATIVES[..3]
        };
        for from in builds {
            for to in builds {
                let (Some(from), Some(to)) = (bench.code(from), bench.code(to)) else {
                    continue;
                };
                let mut source = machine(bench, qemu[0], from, own_store(bench, from));
                let mut destination = machine(bench, qemu[1], to, own_store(bench, to));
                // What runs in the end is the source's build: the destination's machine is made for it.
                destination.machine.clone_from(&source.machine);
                destination.secure_flash = source.secure_flash;
                destination.s3_off = source.s3_off;
                if qemu[0] == qemu[1] && qemu[0] != 0 {
                    source.machine = "pc-q35-10.0".into();
                    destination.machine = "pc-q35-10.0".into();
                }
                steps.push(Step {
                    id: format!(
                        "migrate {} to {}, QEMU {} to {}, {}",
                        from.name, to.name, source.qemu, destination.qemu, source.machine
                    ),
                    qemu,
                    source,
                    destination: Some(destination),
                    act: Act::Plain,
                });
            }
        }
    }
    steps
}

fn machine_migrations(bench: &Bench) -> Vec<Step> {
    let mut steps = Vec::new();
    let Some(code) = bench.code("bookworm/OVMF_CODE_4M.fd") else {
        return steps;
    };
    let last = bench.programs.len().saturating_sub(1);
    let base = machine(bench, 0, code, own_store(bench, code));
    let small = bench.vars.iter().find(|vars| vars.size_bytes == 0x2_0000);
    let bios = |side: &Side, image: &Image| Side {
        code: None,
        vars: None,
        bios: Some(image.clone()),
        ..side.clone()
    };
    for qemu in [[0, 0], [last, last], [0, last], [last, 0]] {
        let mut pair = |what: &str, change: &dyn Fn(&mut Side, &mut Side)| {
            let (mut source, mut destination) = (base.clone(), base.clone());
            source.qemu = bench.version(qemu[0]);
            destination.qemu = bench.version(qemu[1]);
            change(&mut source, &mut destination);
            steps.push(Step {
                id: format!("migrate {what}, QEMU {} to {}", source.qemu, destination.qemu),
                qemu,
                source,
                destination: Some(destination),
                act: Act::Plain,
            });
        };
        pair("without VARS at the destination", &|_, to| to.vars = None);
        pair("without VARS at the source", &|from, _| from.vars = None);
        pair("without VARS on both sides", &|from, to| {
            (from.vars, to.vars) = (None, None)
        });
        pair("to smaller VARS", &|_, to| to.vars = small.cloned());
        pair("to zeros in the flash files", &|_, to| {
            to.code = to.code.as_ref().map(|image| changed(image, Change::Zeros));
            to.vars = to.vars.as_ref().map(|image| changed(image, Change::Zeros));
        });
        pair("to a CODE file that is cut", &|_, to| {
            to.code = to.code.as_ref().map(|image| changed(image, Change::Cut));
        });
        pair("to qcow2 flash files", &|_, to| {
            to.code = to.code.as_ref().map(|image| changed(image, Change::Qcow2));
            to.vars = to.vars.as_ref().map(|image| changed(image, Change::Qcow2));
        });
        pair("to another machine type", &|_, to| {
            to.machine = "pc-q35-7.1".into()
        });
        pair("to the other board", &|_, to| to.machine = "pc-i440fx-7.2".into());
        pair("on a machine type of the future", &|from, to| {
            to.machine = "pc-q35-99.0".into();
            from.machine = "pc-q35-7.2".into();
        });
        pair("from smm on to smm off", &|from, to| {
            from.machine = "pc-q35-7.2,smm=on".into();
            to.machine = "pc-q35-7.2,smm=off".into();
        });
        pair("from smm off to smm on", &|from, to| {
            from.machine = "pc-q35-7.2,smm=off".into();
            to.machine = "pc-q35-7.2,smm=on".into();
        });
        pair("to secure flash", &|_, to| to.secure_flash = true);
        if let Some(smm) = bench.code("bookworm/OVMF_CODE_4M.secboot.fd") {
            for (what, machine, secure_flash) in [
                ("an SMM build to smm off", "pc-q35-7.2,smm=off", true),
                ("an SMM build to open flash", "pc-q35-7.2,smm=on", false),
            ] {
                pair(what, &|from, to| {
                    (from.code, to.code) = (Some(smm.clone()), Some(smm.clone()));
                    (from.machine, from.secure_flash) = ("pc-q35-7.2,smm=on".into(), true);
                    (to.machine, to.secure_flash) = (machine.into(), secure_flash);
                });
            }
        }
        pair("with equal option ROMs", &|from, to| {
            (from.rom_bytes, to.rom_bytes) = (Some(0x1_0000), Some(0x1_0000));
        });
        pair("to a larger option ROM", &|from, to| {
            (from.rom_bytes, to.rom_bytes) = (Some(0x1_0000), Some(0x2_0000));
        });
        pair("to a smaller option ROM", &|from, to| {
            (from.rom_bytes, to.rom_bytes) = (Some(0x2_0000), Some(0x1_0000));
        });
        pair("with a network card at the source only", &|from, _| {
            from.rom_bytes = Some(0x1_0000)
        });
        if let [old, .., new] = &bench.combined[..] {
            pair("-bios to -bios of the same size", &|from, to| {
                (*from, *to) = (bios(from, old), bios(to, old));
            });
            pair("-bios to -bios of another size", &|from, to| {
                (*from, *to) = (bios(from, old), bios(to, new));
            });
            pair("-bios to flash", &|from, _| *from = bios(from, new));
            pair("flash to -bios", &|_, to| *to = bios(to, new));
        }
        if last == 0 {
            break;
        }
    }
    steps
}

fn conversions(bench: &Bench) -> Vec<Step> {
    let mut steps = Vec::new();
    for (from, store, to) in [
        (
            "bookworm/OVMF_CODE.fd",
            "bookworm/OVMF_VARS.fd",
            "bookworm/OVMF_CODE_4M.fd",
        ),
        (
            "bookworm/OVMF_CODE.fd",
            "bookworm/OVMF_VARS.fd",
            "trixie/OVMF_CODE_4M.fd",
        ),
        (
            "bookworm/OVMF_CODE_4M.fd",
            "bookworm/OVMF_VARS_4M.fd",
            "bookworm/OVMF_CODE.fd",
        ),
    ] {
        let (Some(from), Some(to)) = (bench.code(from), bench.code(to)) else {
            continue;
        };
        // the blank one may be known by the name of another package that ships the same bytes
        let named = bench.vars.iter().find(|vars| vars.name == store);
        let Some(vars) = named.or_else(|| own_store(bench, from)) else {
            continue;
        };
        steps.push(Step {
            id: format!("convert {} of {} for {}", vars.name, from.name, to.name),
            qemu: [0, 0],
            source: machine(bench, 0, from, Some(vars)),
            // stands for the converted store: one of the layout
            destination: Some(machine(bench, 0, to, own_store(bench, to))),
            act: Act::Convert,
        });
    }
    steps
}

fn overwritten(bench: &Bench) -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, from_start) in [
        ("bookworm/OVMF_CODE.fd", false),
        ("bookworm/OVMF_CODE_4M.fd", false),
        ("trixie/OVMF_CODE_4M.fd", false),
        ("trixie/OVMF32_CODE_4M.fd", false),
        ("bookworm/OVMF_CODE_4M.fd", true),
    ] {
        let Some(code) = bench.code(name) else { continue };
        let side = machine(bench, 0, code, own_store(bench, code));
        steps.push(Step {
            id: format!(
                "overwrite {name} {}",
                if from_start { "at its start" } else { "behind SEC" }
            ),
            qemu: [0, 0],
            source: side.clone(),
            destination: Some(side),
            act: Act::Overwrite { from_start },
        });
    }
    steps
}

fn changed(image: &Image, change: Change) -> Image {
    Image {
        change: Some(change),
        size_bytes: match change {
            Change::Cut => image.size_bytes.saturating_sub(1000),
            _ => image.size_bytes,
        },
        ..image.clone()
    }
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Erased => "erased",
        Change::Zeros => "zeroed",
        Change::VolumeDamaged => "with a damaged volume header",
        Change::StoreDamaged => "with a damaged store header",
        Change::WithoutFtw => "without FTW header",
        Change::Plain => "in plain form",
        Change::Cut => "cut",
        Change::Qcow2 => "as qcow2",
    }
}
