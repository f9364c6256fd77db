//! Holds a descriptor against itself: the rules of QEMU's `docs/interop/firmware.json` and of libvirt.

use fm_api::v1::descriptors::{DescriptorProblem, DescriptorProblemCode as Code};
use fm_host::descriptor::{Descriptor, Mapping};

use super::problem::{missing, problem};

/// What `interface-types` and `architecture` may be (QEMU `docs/interop/firmware.json`, `qapi/machine.json`). libvirt reads
/// none of the descriptors if one says anything else.
const INTERFACES: [&str; 4] = ["uefi", "bios", "openfirmware", "uboot"];
const ARCHITECTURES: [&str; 31] = [
    "aarch64",
    "alpha",
    "arm",
    "avr",
    "cris",
    "hppa",
    "i386",
    "loongarch64",
    "m68k",
    "microblaze",
    "microblazeel",
    "mips",
    "mips64",
    "mips64el",
    "mipsel",
    "nios2",
    "or1k",
    "ppc",
    "ppc64",
    "riscv32",
    "riscv64",
    "rx",
    "s390x",
    "sh4",
    "sh4eb",
    "sparc",
    "sparc64",
    "tricore",
    "x86_64",
    "xtensa",
    "xtensaeb",
];

/// Whether QEMU has one of this name.
pub(super) fn is_architecture(name: &str) -> bool {
    ARCHITECTURES.contains(&name)
}

/// The architectures of PCs.
pub(super) const X86: [&str; 2] = ["i386", "x86_64"];

/// Families of machines by what their names begin with, and the architectures that have them (QEMU `hw/i386`, `hw/arm`,
/// `hw/riscv`, `hw/loongarch`, `hw/m68k`, `hw/openrisc`, `hw/xtensa`).
const FAMILIES: [(&str, &[&str]); 8] = [
    ("pc", &X86),
    ("q35", &X86),
    ("isapc", &X86),
    ("microvm", &X86),
    ("xenfv", &X86),
    ("xenpv", &X86),
    (
        "virt",
        &[
            "aarch64",
            "arm",
            "loongarch64",
            "m68k",
            "or1k",
            "riscv32",
            "riscv64",
            "xtensa",
            "xtensaeb",
        ],
    ),
    ("sbsa-ref", &["aarch64", "arm"]),
];

/// Whether a pattern is for machines that the architecture does not have. A name of no known family may be any.
fn is_foreign(pattern: &str, architecture: &str) -> bool {
    let start = pattern.split(['*', '?']).next().unwrap_or_default();
    let is_of = |family: &str| {
        let rest = start.strip_prefix(family);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let mut families = FAMILIES.iter();
    families.any(|(family, architectures)| is_of(family) && !architectures.contains(&architecture))
}

fn foreign_machines(descriptor: &Descriptor) -> Vec<DescriptorProblem> {
    let targets = descriptor.targets.iter();
    let known = targets.filter(|target| is_architecture(&target.architecture));
    let foreign = known.flat_map(|target| {
        let machines = target.machines.iter();
        machines
            .filter(|pattern| is_foreign(pattern, &target.architecture))
            .map(|pattern| format!("the machine {pattern} is none of {}", target.architecture))
    });
    foreign
        .map(|message| problem(Code::WrongMachine, message))
        .collect()
}

/// What a descriptor says of itself and must not.
pub(super) fn against(descriptor: &Descriptor) -> Vec<DescriptorProblem> {
    let claims = |feature: &str| descriptor.features.iter().any(|claimed| claimed == feature);
    let mut problems = Vec::new();
    let interfaces = descriptor.interface_types.iter();
    let architectures = descriptor.targets.iter().map(|target| &target.architecture);
    let unknown = interfaces
        .filter(|word| !INTERFACES.contains(&word.as_str()))
        .map(|word| ("interface type", word))
        .chain(
            architectures
                .filter(|word| !is_architecture(word))
                .map(|word| ("architecture", word)),
        );
    problems.extend(unknown.map(|(what, word)| {
        let message =
            format!("its {what} {word:?} is none of QEMU's: libvirt then reads none of the descriptors");
        problem(Code::Malformed, message)
    }));
    match &descriptor.mapping {
        Mapping::Flash { mode, .. } if !matches!(mode.as_str(), "split" | "combined" | "stateless") => {
            let message = format!(
                "its mode is {mode:?}, which libvirt does not know: it then reads none of the descriptors"
            );
            problems.push(problem(Code::Malformed, message));
        }
        Mapping::Flash {
            mode,
            nvram_template: None,
            ..
        } if mode == "split" => {
            let message = "its mode is split, which needs an nvram-template, and it has none";
            problems.push(problem(Code::Malformed, message.into()));
        }
        Mapping::Memory {
            uefi_vars: Some(vars),
            ..
        } if !vars.template.exists() => problems.push(missing(&vars.template)),
        _ => {}
    }
    problems.extend(foreign_machines(descriptor));
    // libvirt warns of it (`src/qemu/qemu_firmware.c`, `qemuFirmwareSanityCheck`).
    if claims("enrolled-keys") && !claims("secure-boot") {
        let message = "it claims enrolled-keys and not secure-boot, which the keys are for";
        problems.push(problem(Code::FeatureContradicted, message.into()));
    }
    if claims("verbose-static") && claims("verbose-dynamic") {
        let message = "it claims verbose-static and verbose-dynamic, which exclude each other";
        problems.push(problem(Code::FeatureContradicted, message.into()));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::is_foreign;

    #[test]
    fn a_pattern_is_foreign_only_where_its_family_is_known_and_of_other_architectures() {
        for (pattern, architecture, expected) in [
            ("pc-q35-*", "riscv64", true),
            ("pc-i440fx-10.?", "aarch64", true),
            ("pc*", "loongarch64", true),
            ("q35", "arm", true),
            ("microvm", "aarch64", true),
            ("virt-*", "x86_64", true),
            ("virt*", "i386", true),
            ("sbsa-ref", "riscv64", true),
            ("pc-q35-*", "x86_64", false),
            ("isapc", "i386", false),
            ("xenfv-4.2", "x86_64", false),
            ("virt*", "riscv64", false),
            ("virt", "loongarch64", false),
            ("virt-10.0", "aarch64", false),
            ("*", "aarch64", false),
            ("p*", "aarch64", false),
            ("pcx", "aarch64", false),
            ("virtual", "x86_64", false),
        ] {
            assert_eq!(
                is_foreign(pattern, architecture),
                expected,
                "{pattern} {architecture}"
            );
        }
    }
}
