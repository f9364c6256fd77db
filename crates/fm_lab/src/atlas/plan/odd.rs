//! Stores that no running firmware leaves: each kind on a build of each class, old and new.

use fm_formats::image::Layout;

use super::super::bench::Bench;
use super::super::step::{Act, Step};
use super::super::{Change, VarsAccess};
use super::sides::{changed, first_program, old_and_new, plain_side};
use super::words::word;
use super::{Group, Plan};
use crate::Arch;

/// What is done to a store, and how QEMU is told to treat its file.
fn kinds(group: Group, arch: Arch) -> Vec<(Change, Option<VarsAccess>)> {
    let changes: &[Change] = match group {
        Group::InterruptedWrite => &[
            Change::SpareMainHalf,
            Change::SpareMainOld,
            Change::SpareMainErased,
            Change::SpareHalf,
        ],
        // RISC-V and LoongArch have the flash driver of Arm: enough is tried to see that. What builds for PCs do with the
        // other kinds is yet to be recorded.
        Group::DamagedList if is_young(arch) => &[Change::ZeroPage, Change::NameUnterminated],
        Group::DamagedList if arch == Arch::X86_64 => &[
            Change::ZeroPage,
            Change::NameUnterminated,
            Change::StateOdd,
            Change::NameEmpty,
            Change::NameBlank,
            Change::NameSplit,
            Change::NameOdd,
            Change::DataBeyond,
            Change::HeaderTorn,
        ],
        Group::DamagedList => &[
            Change::ZeroPage,
            Change::NameUnterminated,
            Change::StateOdd,
            Change::NameEmpty,
            Change::NameBlank,
            Change::NameSplit,
            Change::NameOdd,
            Change::DataBeyond,
            Change::HeaderTorn,
            Change::FreeZeros,
        ],
        Group::OddHeader if is_young(arch) => &[],
        Group::OddHeader if arch == Arch::X86_64 => &[Change::BlockMap, Change::StoreSizeSmall],
        Group::OddHeader => &[
            Change::BlockMap,
            Change::StoreSizeSmall,
            Change::StoreSizeFull,
            Change::StoreSizeLarge,
            Change::VolumeAttributes,
        ],
        // The chips of the `virt` boards have one size, whatever their files have.
        Group::PaddedFile if arch == Arch::X86_64 => &[Change::PaddedTo1M, Change::PaddedTo4M],
        Group::NotWritten if !is_young(arch) => {
            return [VarsAccess::ReadOnly, VarsAccess::Snapshot]
                .map(|access| (Change::Filled, Some(access)))
                .to_vec();
        }
        _ => &[],
    };
    changes.iter().map(|change| (*change, None)).collect()
}

fn is_young(arch: Arch) -> bool {
    matches!(arch, Arch::Riscv64 | Arch::Loongarch64)
}

pub(super) fn stores(group: Group, bench: &Bench, arch: Arch, plan: &mut Plan) {
    let Some(program) = first_program(bench, arch, plan) else {
        return;
    };
    // What the 2M builds do the 4M builds of their year do too: they differ in where things lie.
    let builds = old_and_new(bench, arch, |code| code.class.layout != Layout::X86Size2M);
    for (change, access) in kinds(group, arch) {
        for code in &builds {
            let mut source = plain_side(bench, program, code);
            let Some(vars) = bench.files.template(code.class.layout) else {
                plan.lack(format!(
                    "{}: the folder holds no variable store of its layout to change",
                    code.image.name
                ));
                continue;
            };
            source.vars = Some(changed(vars, change));
            source.vars_access = access;
            let how = match access {
                None => word(change),
                Some(VarsAccess::ReadOnly) => "read-only",
                Some(VarsAccess::Snapshot) => "as a snapshot",
            };
            plan.steps.push(Step {
                id: format!("twice {} on a store {how}", code.image.name),
                qemu: [program, program],
                source,
                destination: None,
                act: Act::BootTwice,
            });
        }
    }
}
