//! What is booted: every build on every store, on damaged ones, on converted ones.

use super::super::bench::Bench;
use super::super::files::Code;
use super::super::step::{Act, Step};
use super::super::{Change, Side};
use super::Plan;
use super::sides::{changed, first_program, plain_side};
use super::words::{word, word_of};
use crate::Arch;

fn boot(id: String, program: usize, source: Side) -> Step {
    Step {
        id,
        qemu: [program, program],
        source,
        destination: None,
        act: Act::Boot,
    }
}

pub(super) fn cold_boots(bench: &Bench, arch: Arch, plan: &mut Plan) {
    let Some(program) = first_program(bench, arch, plan) else {
        return;
    };
    let codes: Vec<&Code> = bench.files.codes_of(arch).collect();
    let takes = |layout| codes.iter().any(|code| same_chips(code.class.layout, layout));
    let mut stores = bench
        .files
        .stores
        .iter()
        .filter(|store| takes(store.layout))
        .peekable();
    if stores.peek().is_none() {
        plan.lack(format!(
            "the folder holds no variable store for its {} builds",
            word_of(arch)
        ));
    }
    // Stores outside: every build has met a plain store before the first one meets enrolled keys.
    for store in stores {
        for code in &codes {
            let mut source = plain_side(bench, program, code);
            source.vars = Some(store.image.clone());
            plan.steps.push(boot(
                format!("cold {} on {}", code.image.name, store.image.name),
                program,
                source,
            ));
        }
    }
}

/// Whether QEMU takes both sizes on one board: that of a PC makes flash as large as its files.
fn same_chips(code: fm_formats::image::Layout, store: fm_formats::image::Layout) -> bool {
    use fm_formats::image::Layout::{X86Size1M, X86Size2M, X86Size4M};
    let pc = |layout| matches!(layout, X86Size1M | X86Size2M | X86Size4M);
    code == store || (pc(code) && pc(store))
}

pub(super) fn damaged_stores(bench: &Bench, arch: Arch, plan: &mut Plan) {
    let Some(program) = first_program(bench, arch, plan) else {
        return;
    };
    let builds = bench.files.representatives(arch);
    for code in builds.iter().filter(|code| code.is_plain()) {
        let layout = code.class.layout;
        // The chips of `virt` get a new store whatever is wrong with the old one: only a store in which there
        // is something shows what is lost.
        let something = bench.files.enrolled(layout).filter(|_| arch != Arch::X86_64);
        let Some(vars) = something.or_else(|| bench.files.template(layout)) else {
            plan.lack(format!(
                "{}: the folder holds no variable store of its layout to damage",
                code.image.name
            ));
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
            // Variables of the other form would be in it.
            if change == Change::Plain && something.is_some() {
                continue;
            }
            let mut source = plain_side(bench, program, code);
            source.vars = Some(changed(vars, change));
            plan.steps.push(boot(
                format!("cold {} on {} {}", code.image.name, vars.name, word(change)),
                program,
                source,
            ));
        }
    }
    if arch == Arch::X86_64 {
        smm_machines(bench, program, &builds, plan);
    }
}

/// SMM builds on machines that lack what they need, and the reverse.
fn smm_machines(bench: &Bench, program: usize, builds: &[&Code], plan: &mut Plan) {
    for code in builds.iter().filter(|code| code.has_64_bit_dxe()) {
        let machines = match code.class.smm {
            true => [("off", false), ("on", false)],
            false => [("off", false), ("on", true)],
        };
        for (smm, secure_flash) in machines {
            let mut source = plain_side(bench, program, code);
            let machine = source.machine.split(',').next().unwrap_or_default();
            source.machine = format!("{machine},smm={smm}");
            source.secure_flash = secure_flash;
            plan.steps.push(boot(
                format!(
                    "cold {} with smm {smm}, secure flash {}",
                    code.image.name,
                    if secure_flash { "on" } else { "off" }
                ),
                program,
                source,
            ));
        }
    }
    for code in builds.iter().filter(|code| code.class.smm) {
        let mut source = plain_side(bench, program, code);
        // The 32-bit start of the others comes up with it, as the cold boots show.
        if std::mem::take(&mut source.s3_off) {
            let id = format!("cold {} with suspend to RAM", code.image.name);
            plan.steps.push(boot(id, program, source));
        }
    }
    if !builds.iter().any(|code| code.class.smm) {
        plan.lack("the folder holds no SMM build: what one needs of its machine is not tried");
    }
}

pub(super) fn conversions(bench: &Bench, arch: Arch, plan: &mut Plan) {
    // Only x86 has more than one layout.
    if arch != Arch::X86_64 {
        return;
    }
    let Some(program) = first_program(bench, arch, plan) else {
        return;
    };
    let builds: Vec<&Code> = bench
        .files
        .representatives(arch)
        .into_iter()
        .filter(|code| code.is_plain() && code.shell)
        .collect();
    let before = plan.steps.len();
    for from in &builds {
        for to in builds
            .iter()
            .filter(|to| to.class.layout.vars_size_bytes() != from.class.layout.vars_size_bytes())
        {
            let Some(vars) = bench.files.template(from.class.layout) else {
                continue;
            };
            plan.steps.push(Step {
                id: format!(
                    "convert {} of {} for {}",
                    vars.name, from.image.name, to.image.name
                ),
                qemu: [program, program],
                source: plain_side(bench, program, from),
                // stands for the converted store: one of the layout
                destination: Some(plain_side(bench, program, to)),
                act: Act::Convert,
            });
        }
    }
    if plan.steps.len() == before {
        plan.lack(
            "the folder does not hold two builds of different layouts (2M and 4M), each with a shell and without SMM, with a store to convert",
        );
    }
}
