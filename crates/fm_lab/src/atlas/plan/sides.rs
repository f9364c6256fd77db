//! The sides of what is tried: a build's program, its machine and its files.

use std::path::{Path, PathBuf};

use fm_formats::image::Arch as Machine;

use super::super::bench::Bench;
use super::super::files::Code;
use super::super::{Change, Image, Side};
use super::Plan;
use super::words::word_of;
use crate::Arch;

/// The first program of an architecture, if there are builds for it as well. Builds without a program are said
/// to be left out; where there is neither, there is nothing to say.
pub(super) fn first_program(bench: &Bench, arch: Arch, plan: &mut Plan) -> Option<usize> {
    let program = bench.programs_of(arch).next();
    let builds = bench.files.codes_of(arch).count();
    match (program, builds) {
        (Some(program), 1..) => Some(program),
        (None, 1..) => {
            plan.lack(format!(
                "the {} builds are left out: no QEMU for them was named",
                word_of(arch)
            ));
            None
        }
        (_, _) => {
            if arch == Arch::X86_64 || program.is_some() {
                plan.lack(format!(
                    "the folder holds no {} CODE whose size is that of its flash",
                    word_of(arch)
                ));
            }
            None
        }
    }
}

/// The machine that `code` is made for. 64-bit SMM builds of some years hang where suspend to RAM is on (see
/// `docs/findings/FM-S3.md`), and which do does not show in them.
pub(super) fn side(bench: &Bench, program: usize, machine: &str, code: &Code, vars: Option<&Image>) -> Side {
    let smm = code.class.smm;
    Side {
        qemu: bench.version(program),
        machine: format!("{machine}{}", if smm { ",smm=on" } else { "" }),
        secure_flash: smm,
        s3_off: smm && code.class.machines == [Machine::X86_64; 2],
        code: Some(code.image.clone()),
        vars: vars.cloned(),
        power_cut: None,
        vars_access: None,
        bios: None,
        rom_bytes: None,
        kvm: false,
    }
}

/// The side on the newest machine of its program, with the template of its layout.
pub(super) fn plain_side(bench: &Bench, program: usize, code: &Code) -> Side {
    let machine = bench.programs.get(program).map_or("", |program| &program.newest);
    side(
        bench,
        program,
        machine,
        code,
        bench.files.template(code.class.layout),
    )
}

/// The copy of `image` that `change` makes.
pub(super) fn changed(image: &Image, change: Change) -> Image {
    Image {
        change: Some(change),
        size_bytes: match change {
            Change::Cut => image.size_bytes.saturating_sub(1000),
            Change::Halved => image.size_bytes / 2,
            Change::PaddedTo1M => 0x10_0000,
            Change::PaddedTo4M => 0x40_0000,
            _ => image.size_bytes,
        },
        ..image.clone()
    }
}

/// Of each class of 64-bit builds the first build of the first folder, and that of the last one: a class's builds differ in their
/// year only, and what edk2 does with an odd store has changed over the years.
pub(super) fn old_and_new(bench: &Bench, arch: Arch, of: impl Fn(&Code) -> bool) -> Vec<&Code> {
    let mut builds: Vec<&Code> = bench
        .files
        .codes_of(arch)
        .filter(|code| code.has_64_bit_dxe() && of(code))
        .collect();
    builds.sort_by_key(|code| (code.image.size_bytes, PathBuf::from(&code.image.name)));
    let folder = |code: &Code| Path::new(&code.image.name).parent().map(Path::to_owned);
    let newest_folder = builds.iter().filter_map(|code| folder(code)).max();
    let of_class = |code: &Code| {
        let class = code.class;
        builds
            .iter()
            .filter(move |other| other.class.layout == class.layout && other.class.smm == class.smm)
    };
    let chosen = builds.iter().filter(|code| {
        let first = of_class(code).next();
        let newest = of_class(code).find(|other| folder(other) == newest_folder);
        [first, newest]
            .into_iter()
            .flatten()
            .any(|chosen| chosen.image == code.image)
    });
    chosen.copied().collect()
}
