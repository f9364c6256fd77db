//! What is migrated: every build to every build, and machines that differ in something else.

use super::super::bench::Bench;
use super::super::files::Code;
use super::super::step::{Act, Step};
use super::super::{Change, Image, Side};
use super::Plan;
use super::sides::{changed, first_program, plain_side, side};
use super::words::word_of;
use crate::Arch;

/// Pairs of programs to migrate between: the first with itself, then, if there are more, the first and the last
/// in both directions, and the last with itself. With each pair the machine type that both make.
fn pairs(bench: &Bench, arch: Arch, plan: &mut Plan) -> Vec<([usize; 2], String)> {
    let programs: Vec<usize> = bench.programs_of(arch).collect();
    let (Some(&first), Some(&last)) = (programs.first(), programs.last()) else {
        return Vec::new();
    };
    let mut wanted = vec![[first, first]];
    if first != last {
        wanted.extend([[first, last], [last, first], [last, last]]);
    } else {
        plan.lack(format!(
            "no second QEMU for {} was named: nothing migrates between versions",
            word_of(arch)
        ));
    }
    let mut found = Vec::new();
    for [from, to] in wanted {
        let (Some(one), Some(other)) = (bench.programs.get(from), bench.programs.get(to)) else {
            continue;
        };
        match one.shared(other) {
            Some(machine) => found.push(([from, to], machine.to_owned())),
            None => plan.lack(format!(
                "QEMU {} and {} share no machine type of the older one: nothing migrates between them",
                one.version, other.version
            )),
        }
    }
    found
}

pub(super) fn builds(bench: &Bench, arch: Arch, plan: &mut Plan) {
    if first_program(bench, arch, plan).is_none() {
        return;
    }
    let all: Vec<&Code> = bench.files.codes_of(arch).collect();
    let representatives = bench.files.representatives(arch);
    let plain = |code: &&Code| code.is_plain();
    for (index, (qemu, machine)) in pairs(bench, arch, plan).into_iter().enumerate() {
        if index == 0 {
            crossed(bench, qemu, &machine, &all, &representatives, plan);
            continue;
        }
        // Between QEMU versions one build of a class stands for the others: what the versions do to each other
        // does not depend on the year of the firmware.
        let few: Vec<&Code> = representatives.iter().copied().filter(plain).collect();
        crossed(bench, qemu, &machine, &few, &few, plan);
        let large = few.last().map(|code| code.image.size_bytes);
        let smm: Vec<&Code> = representatives
            .iter()
            .copied()
            .filter(|code| code.class.smm && code.has_64_bit_dxe() && Some(code.image.size_bytes) == large)
            .collect();
        crossed(bench, qemu, &machine, &smm, &smm, plan);
    }
}

/// Every build to every build. What runs in the end is the source's, whichever it lands on: each of them is
/// followed through its boot and a reset once, where another one of the same size was loaded.
fn crossed(
    bench: &Bench,
    qemu: [usize; 2],
    machine: &str,
    builds: &[&Code],
    landings: &[&Code],
    plan: &mut Plan,
) {
    for from in builds {
        let landing = landings.iter().find(|code| {
            code.image.size_bytes == from.image.size_bytes && code.image.sha256 != from.image.sha256
        });
        for to in builds {
            let template = |code: &Code| bench.files.template(code.class.layout);
            let source = side(bench, qemu[0], machine, from, template(from));
            // What runs in the end is the source's build: the destination's machine is made for it.
            let destination = Side {
                qemu: bench.version(qemu[1]),
                code: Some(to.image.clone()),
                vars: template(to).cloned(),
                ..source.clone()
            };
            plan.steps.push(Step {
                id: format!(
                    "migrate {} to {}, QEMU {} to {}, {}",
                    from.image.name, to.image.name, source.qemu, destination.qemu, source.machine
                ),
                qemu,
                source,
                destination: Some(destination),
                act: Act::Migrate {
                    follow: landing.is_some_and(|landing| landing.image.sha256 == to.image.sha256),
                },
            });
        }
    }
}

pub(super) fn machines(bench: &Bench, arch: Arch, plan: &mut Plan) {
    let Some(first) = first_program(bench, arch, plan) else {
        return;
    };
    let Some(code) = base(bench, arch) else {
        plan.lack(format!(
            "the folder holds no 64-bit {} build without SMM, on which the machines are compared",
            word_of(arch)
        ));
        return;
    };
    // One machine type for all pairs, the one of the oldest program.
    let pairs = pairs(bench, arch, plan);
    let oldest = pairs
        .iter()
        .find(|(qemu, _)| qemu[0] != qemu[1])
        .or(pairs.first());
    let Some((_, machine)) = oldest.cloned() else {
        return;
    };
    let base = side(
        bench,
        first,
        &machine,
        code,
        bench.files.template(code.class.layout),
    );
    for (qemu, _) in pairs {
        let makes = |index: usize| {
            bench
                .programs
                .get(index)
                .is_some_and(|program| program.makes(&machine))
        };
        if !makes(qemu[0]) || !makes(qemu[1]) {
            continue;
        }
        let mut pair = |what: &str, change: &dyn Fn(&mut Side, &mut Side)| {
            let (mut source, mut destination) = (base.clone(), base.clone());
            source.qemu = bench.version(qemu[0]);
            destination.qemu = bench.version(qemu[1]);
            change(&mut source, &mut destination);
            let of = match arch {
                Arch::X86_64 => String::new(),
                arch => format!("{} ", word_of(arch)),
            };
            plan.steps.push(Step {
                id: format!("migrate {of}{what}, QEMU {} to {}", source.qemu, destination.qemu),
                qemu,
                source,
                destination: Some(destination),
                act: Act::Migrate { follow: true },
            });
        };
        on_any_board(bench, qemu, &machine, &mut pair);
        if arch == Arch::X86_64 {
            on_a_pc(bench, code, &machine, &mut pair);
        }
    }
    if arch == Arch::X86_64 && bench.files.combined.is_empty() {
        plan.lack("the folder holds no OVMF in one file (as OVMF.fd): -bios is not tried");
    }
}

type Pair<'a> = &'a mut dyn FnMut(&str, &dyn Fn(&mut Side, &mut Side));

fn on_any_board(bench: &Bench, qemu: [usize; 2], machine: &str, pair: Pair<'_>) {
    pair("without VARS at the destination", &|_, to| to.vars = None);
    pair("without VARS at the source", &|from, _| from.vars = None);
    pair("without VARS on both sides", &|from, to| {
        (from.vars, to.vars) = (None, None)
    });
    pair("to zeros in the flash files", &|_, to| {
        to.code = to.code.as_ref().map(|image| changed(image, Change::Zeros));
        to.vars = to.vars.as_ref().map(|image| changed(image, Change::Zeros));
    });
    pair("to a CODE file that is cut", &|_, to| {
        to.code = to.code.as_ref().map(|image| changed(image, Change::Cut));
    });
    pair("to half of the CODE file", &|_, to| {
        to.code = to.code.as_ref().map(|image| changed(image, Change::Halved));
    });
    pair("to qcow2 flash files", &|_, to| {
        to.code = to.code.as_ref().map(|image| changed(image, Change::Qcow2));
        to.vars = to.vars.as_ref().map(|image| changed(image, Change::Qcow2));
    });
    let before = bench
        .programs
        .get(qemu[1])
        .and_then(|program| program.before(machine));
    if let Some(before) = before {
        pair("to another machine type", &|_, to| to.machine = before.into());
    }
}

/// What only PCs have: flash as large as its files, other boards, SMM, option ROMs, `-bios`.
fn on_a_pc(bench: &Bench, code: &Code, machine: &str, pair: Pair<'_>) {
    let files = &bench.files;
    let mut stores = files.stores.iter();
    let smaller = stores.find(|store| store.layout.vars_size_bytes() < code.class.layout.vars_size_bytes());
    if let Some(smaller) = smaller {
        pair("to smaller VARS", &|_, to| to.vars = Some(smaller.image.clone()));
    }
    pair("to the other board", &|_, to| {
        to.machine = machine.replace("pc-q35-", "pc-i440fx-");
    });
    pair("on a machine type of the future", &|_, to| {
        to.machine = "pc-q35-99.0".into();
    });
    let with = |smm: &str| format!("{machine},smm={smm}");
    pair("from smm on to smm off", &|from, to| {
        (from.machine, to.machine) = (with("on"), with("off"));
    });
    pair("from smm off to smm on", &|from, to| {
        (from.machine, to.machine) = (with("off"), with("on"));
    });
    pair("to secure flash", &|_, to| to.secure_flash = true);
    let mut smm = files
        .codes_of(Arch::X86_64)
        .filter(|smm| smm.class.smm && smm.has_64_bit_dxe() && smm.image.size_bytes == code.image.size_bytes);
    if let Some(smm) = smm.next() {
        for (what, smm_word, secure_flash) in [
            ("an SMM build to smm off", "off", true),
            ("an SMM build to open flash", "on", false),
        ] {
            pair(what, &|from, to| {
                (from.code, to.code) = (Some(smm.image.clone()), Some(smm.image.clone()));
                (from.machine, from.secure_flash) = (with("on"), true);
                (to.machine, to.secure_flash) = (with(smm_word), secure_flash);
            });
        }
    }
    for (what, rom_bytes) in [
        ("with equal option ROMs", [0x1_0000, 0x1_0000]),
        ("to a larger option ROM", [0x1_0000, 0x2_0000]),
        ("to a smaller option ROM", [0x2_0000, 0x1_0000]),
    ] {
        pair(what, &|from, to| {
            (from.rom_bytes, to.rom_bytes) = (Some(rom_bytes[0]), Some(rom_bytes[1]));
        });
    }
    pair("with a network card at the source only", &|from, _| {
        from.rom_bytes = Some(0x1_0000);
    });
    let bios = |side: &Side, image: &Image| Side {
        code: None,
        vars: None,
        bios: Some(image.clone()),
        ..side.clone()
    };
    let (Some(old), Some(new)) = (files.combined.first(), files.combined.last()) else {
        return;
    };
    let (old, new) = (&old.image, &new.image);
    pair("-bios to -bios of the same size", &|from, to| {
        (*from, *to) = (bios(from, old), bios(to, old));
    });
    if old.size_bytes != new.size_bytes {
        pair("-bios to -bios of another size", &|from, to| {
            (*from, *to) = (bios(from, old), bios(to, new));
        });
    }
    pair("-bios to flash", &|from, _| *from = bios(from, new));
    pair("flash to -bios", &|_, to| *to = bios(to, new));
}

/// The build on which machines are compared: a plain one, with the largest flash.
fn base(bench: &Bench, arch: Arch) -> Option<&Code> {
    let mut plain = bench.files.representatives(arch);
    plain.retain(|code| code.is_plain());
    let large = plain.last()?.image.size_bytes;
    plain.into_iter().find(|code| code.image.size_bytes == large)
}

pub(super) fn overwritten(bench: &Bench, arch: Arch, plan: &mut Plan) {
    // Where PCs run SEC is known to the act; other boards have their flash elsewhere.
    if arch != Arch::X86_64 {
        return;
    }
    let Some(program) = first_program(bench, arch, plan) else {
        return;
    };
    let mut step = |code: &Code, from_start: bool| {
        let side = plain_side(bench, program, code);
        plan.steps.push(Step {
            id: format!(
                "overwrite {} {}",
                code.image.name,
                if from_start { "at its start" } else { "behind SEC" }
            ),
            qemu: [program, program],
            source: side.clone(),
            destination: Some(side),
            act: Act::Overwrite { from_start },
        });
    };
    let open = bench
        .files
        .representatives(arch)
        .into_iter()
        .filter(|code| !code.class.smm);
    for code in open {
        step(code, false);
    }
    match base(bench, arch) {
        Some(base) => step(base, true),
        None => plan.lack("the folder holds no 64-bit x86 build without SMM to overwrite"),
    }
}

pub(super) fn late_writes(bench: &Bench, arch: Arch, plan: &mut Plan) {
    // QEMU's model of the chip is the same on every board.
    if arch != Arch::X86_64 || first_program(bench, arch, plan).is_none() {
        return;
    }
    let Some(code) = base(bench, arch).filter(|code| code.shell) else {
        plan.lack("the folder holds no 64-bit x86 build without SMM whose shell can set a variable");
        return;
    };
    for program in bench.programs_of(arch) {
        let side = plain_side(bench, program, code);
        plan.steps.push(Step {
            id: format!(
                "write to the flash of {} while it migrates, QEMU {}",
                code.image.name, side.qemu
            ),
            qemu: [program, program],
            source: side.clone(),
            destination: Some(side),
            act: Act::WriteLate,
        });
    }
}
