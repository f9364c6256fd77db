//! Which builds a guest is given while it runs: those of its size, up and down.

use super::super::bench::Bench;
use super::super::files::Code;
use super::super::step::{Act, Step};
use super::super::{Side, UpdateWay};
use super::Plan;
use super::sides::{first_program, side};
use super::words::word_of;
use crate::Arch;

pub(super) fn updates(bench: &Bench, arch: Arch, plan: &mut Plan) {
    if bench.kvm && arch.name() != std::env::consts::ARCH {
        plan.lack(format!("KVM runs no {} guests here", word_of(arch)));
        return;
    }
    let Some(first) = first_program(bench, arch, plan) else {
        return;
    };
    let all: Vec<&Code> = bench.files.codes_of(arch).collect();
    let plain: Vec<&Code> = all.iter().copied().filter(|code| code.is_plain()).collect();
    let large = plain.last().map(|code| code.image.size_bytes);
    let of_large = |code: &&Code| Some(code.image.size_bytes) == large;
    let mut add = |qemu: usize, from: &Code, to: &Code, way: UpdateWay| {
        // A shell says that the guest runs on, and sets what it is to keep.
        if from.shell && from.image.size_bytes == to.image.size_bytes && from.image.sha256 != to.image.sha256
        {
            plan.steps.push(step(bench, qemu, from, to, way));
        }
    };
    let ends: Vec<&Code> = plain.iter().copied().filter(of_large).collect();
    let (oldest, newest) = (ends.first(), ends.last());
    if bench.kvm {
        for program in bench.programs_of(arch) {
            for from in &plain {
                plain
                    .iter()
                    .for_each(|to| add(program, from, to, UpdateWay::InPlace));
            }
        }
    } else {
        // Every pair on one QEMU; on others, and in place, the pair that is furthest apart.
        for from in &plain {
            plain
                .iter()
                .for_each(|to| add(first, from, to, UpdateWay::Migration));
        }
        if let (Some(oldest), Some(newest)) = (oldest, newest) {
            for program in bench.programs_of(arch).filter(|program| *program != first) {
                add(program, oldest, newest, UpdateWay::Migration);
            }
            add(first, oldest, newest, UpdateWay::InPlace);
            add(first, newest, oldest, UpdateWay::InPlace);
        }
    }
    let smm = |code: &&Code| code.class.smm && code.has_64_bit_dxe();
    let smm: Vec<&Code> = all.into_iter().filter(smm).collect();
    let way = match bench.kvm {
        true => UpdateWay::InPlace,
        false => UpdateWay::Migration,
    };
    for from in &smm {
        smm.iter().for_each(|to| add(first, from, to, way));
    }
    if plan.steps.is_empty() {
        plan.lack(
            "no two builds of one size are there, one with a shell, to give one to a guest on the other",
        );
    }
}

fn step(bench: &Bench, qemu: usize, from: &Code, to: &Code, way: UpdateWay) -> Step {
    let machine = bench.programs.get(qemu).map_or("", |program| &program.newest);
    let source = Side {
        kvm: bench.kvm,
        ..side(
            bench,
            qemu,
            machine,
            from,
            bench.files.template(from.class.layout),
        )
    };
    // The same guest, on the other build.
    let destination = Side {
        code: Some(to.image.clone()),
        ..source.clone()
    };
    Step {
        id: format!(
            "give {} to a guest on {} {}, QEMU {}{}",
            to.image.name,
            from.image.name,
            match way {
                UpdateWay::Migration => "while it migrates",
                UpdateWay::InPlace => "in its memory",
            },
            source.qemu,
            if bench.kvm { ", KVM" } else { "" }
        ),
        qemu: [qemu, qemu],
        source,
        destination: Some(destination),
        act: Act::Update(way),
    }
}
