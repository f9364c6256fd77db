//! Stores as a power cut leaves them: each moment on a build of each kind.

use fm_formats::image::Layout;

use super::super::bench::Bench;
use super::super::files::Code;
use super::super::step::{Act, Step};
use super::super::{Change, PowerCut, Side};
use super::Plan;
use super::sides::{changed, first_program, old_and_new, plain_side};
use super::words::word_of_cut;
use crate::Arch;

/// The moments at which it matters how a build reads what is there, the most telling first.
const TELLING: [PowerCut; 7] = [
    PowerCut::BlockErased,
    PowerCut::MainHalf,
    PowerCut::MainErased,
    PowerCut::MainFirstVariable,
    PowerCut::MainWritten,
    PowerCut::SpareComplete,
    PowerCut::NewData,
];

pub(super) fn stores(bench: &Bench, arch: Arch, plan: &mut Plan) {
    let Some(program) = first_program(bench, arch, plan) else {
        return;
    };
    let builds = old_and_new(bench, arch, |_| true);
    let others = PowerCut::ALL.into_iter().filter(|cut| !TELLING.contains(cut));
    for cut in TELLING.into_iter().chain(others) {
        for code in builds.iter().filter(|code| is_tried(cut, code)) {
            let source = plain_side(bench, program, code);
            let Some(vars) = bench.files.template(code.class.layout) else {
                plan.lack(format!(
                    "{}: the folder holds no variable store of its layout to change",
                    code.image.name
                ));
                continue;
            };
            plan.steps.push(Step {
                id: format!("power cut under {}: {}", code.image.name, word_of_cut(cut)),
                qemu: [program, program],
                source: Side {
                    vars: Some(changed(vars, Change::NearlyFull)),
                    power_cut: Some(cut),
                    ..source
                },
                destination: None,
                act: Act::BootAfterPowerCut(cut),
            });
        }
    }
}

/// Whether a build is tried there. Builds for PCs write byte by byte, so that what a 2M build shows is not repeated on the
/// 4M builds, whose reclaim takes a million writes. The others write 128 bytes at once, and their main area is one block;
/// old ones for Arm erase it for whatever is longer than that.
fn is_tried(cut: PowerCut, code: &Code) -> bool {
    let is_2m = code.class.layout == Layout::X86Size2M;
    let is_virt = code.arch != Arch::X86_64;
    let writes_blocks = code.arch == Arch::Aarch64 && !code.recent;
    match cut {
        PowerCut::MainHalf | PowerCut::MainErased => true,
        PowerCut::SpareHalf | PowerCut::SpareComplete | PowerCut::MainWritten => is_2m || is_virt,
        PowerCut::MainComplete => is_virt,
        PowerCut::MainErasing
        | PowerCut::MainHeader
        | PowerCut::MainFirstName
        | PowerCut::MainFirstVariable
        | PowerCut::NewHeader
        | PowerCut::NewHeaderValid
        | PowerCut::NewData
        | PowerCut::NewAdded => is_2m,
        PowerCut::BlockErased | PowerCut::OldMarked => writes_blocks,
    }
}
