//! Holds one descriptor against the files that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fm_api::v1::descriptors::{DescriptorDocument, DescriptorProblem, DescriptorProblemCode as Code};
use fm_api::v1::inspect::{ImageFormat, InspectKind};
use fm_formats::image::{Arch, Feature, Layout};
use fm_host::descriptor::{Descriptor, Mapping};

use super::problem::{missing, problem};
use super::rules::{self, X86};
use crate::inspect::{self, Catalogue, Inspected, Request};

/// Several descriptors name the same files; each is looked at once.
pub(super) type Seen = BTreeMap<PathBuf, Result<Inspected, String>>;

/// Whether the file holds nothing, and so hides those of its name in more general folders.
pub(super) fn is_empty(path: &Path) -> bool {
    path.is_file() && path.metadata().is_ok_and(|file| file.len() == 0)
}

/// Whether libvirt takes the file for one of its name, and not those in more general folders: what is no regular file,
/// such as a link to /dev/null, it passes over.
pub(super) fn hides(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file())
}

/// What keeps a file from being read as a descriptor. libvirt `src/qemu/qemu_interop_config.c`,
/// `qemuBuildFileList`: a link that leads nowhere fails the whole list, and what is no regular file is
/// passed over.
fn unlistable(path: &Path) -> Option<String> {
    match path.metadata() {
        Err(error) => Some(format!(
            "it cannot be looked at ({error}), and with it libvirt reads none of the descriptors"
        )),
        Ok(file) if !file.is_file() => Some(
            "it is no regular file, so libvirt passes over it; to hide others of its name, make it an empty file"
                .into(),
        ),
        Ok(_) => None,
    }
}

/// libvirt reads no more (`DOCUMENT_SIZE` there).
const MAX_BYTES: u64 = 1 << 20;

fn too_large(path: &Path) -> Option<String> {
    let len = path.metadata().ok()?.len();
    (len > MAX_BYTES).then(|| {
        format!(
            "it has {len} bytes, more than libvirt reads, and with it libvirt reads none of the descriptors"
        )
    })
}

pub(super) fn descriptor(path: &Path, catalogue: &Catalogue, seen: &mut Seen) -> DescriptorDocument {
    let mut document = DescriptorDocument {
        path: path.display().to_string(),
        description: None,
        architectures: Vec::new(),
        features: Vec::new(),
        code_sha256: None,
        problems: Vec::new(),
    };
    if let Some(why) = unlistable(path).or_else(|| too_large(path)) {
        document.problems.push(problem(Code::Unreadable, why));
        return document;
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) if text.is_empty() => {
            let message = "it is empty: it hides descriptors of its name in more general folders";
            document.problems.push(problem(Code::Hidden, message.into()));
            return document;
        }
        Ok(text) => text,
        Err(error) => {
            document
                .problems
                .push(problem(Code::Unreadable, error.to_string()));
            return document;
        }
    };
    let descriptor = match Descriptor::parse(&text) {
        Ok(descriptor) => descriptor,
        Err(error) => {
            document
                .problems
                .push(problem(Code::Malformed, error.to_string()));
            return document;
        }
    };
    document.description.clone_from(&descriptor.description);
    document.architectures = descriptor
        .targets
        .iter()
        .map(|target| target.architecture.clone())
        .collect();
    document.features.clone_from(&descriptor.features);
    document.problems.extend(rules::against(&descriptor));
    let is_uefi = descriptor.interface_types.iter().any(|kind| kind == "uefi");
    let mut sizes = Vec::new();
    for (file, format, variables) in descriptor.files() {
        if !file.exists() {
            document.problems.push(missing(file));
            continue;
        }
        if let Mapping::Igvm { .. } = descriptor.mapping {
            document.problems.extend(igvm_against(file));
            continue;
        }
        // What a BIOS or another firmware looks like inside is not for us to judge.
        if !is_uefi {
            continue;
        }
        let looked = seen
            .entry(file.to_owned())
            .or_insert_with(|| look(file, catalogue).map_err(|error| fm_remedy::one_line(&error)));
        match looked {
            Ok(found) => {
                sizes.extend(layout_of(found));
                if !variables {
                    document.code_sha256 = found.sha256.map(|digest| digest.to_string());
                    document.problems.extend(features_against(&descriptor, found));
                    document.problems.extend(machines_against(&descriptor, found));
                }
                document.problems.extend(keys_against(&descriptor, file, found));
                document
                    .problems
                    .extend(size_against(&descriptor, file, variables, found));
                document
                    .problems
                    .extend(file_against(&descriptor, file, format, variables, found));
            }
            Err(error) => document.problems.push(problem(Code::Unreadable, error.clone())),
        }
    }
    if let Mapping::Memory {
        uefi_vars: Some(vars),
        ..
    } = &descriptor.mapping
        && vars.template.exists()
    {
        let looked = look(&vars.template, catalogue).map_err(|error| fm_remedy::one_line(&error));
        document
            .problems
            .extend(template_against(&descriptor, &vars.template, looked));
    }
    if let [code, vars] = &sizes[..] {
        // The stores of 1M and 2M are the same.
        let same = code == vars || matches!((code, vars), (Layout::X86Size1M, Layout::X86Size2M));
        if !same {
            let message = format!("its code has layout {code} and its variables have layout {vars}");
            document.problems.push(problem(Code::SizeMismatch, message));
        }
    }
    document
}

/// What [`inspect`] says of a file that a descriptor names. A FIFO and standard input, for which it would wait, are
/// only for who asks for them.
fn look(file: &Path, catalogue: &Catalogue) -> crate::Result<Inspected> {
    inspect::sniff(file)?;
    let request = Request {
        // not standard input, if its name is `-`
        path: Path::new(".").join(file),
        ..Request::default()
    };
    inspect::inspect_with(&request, catalogue)
}

/// QEMU `hw/i386/pc_sysfw.c`, `FLASH_SECTOR_SIZE`: flash of another length ends the program.
const X86_SECTOR_BYTES: u64 = 4096;

/// A chip takes a file of its own size alone (QEMU `hw/block/block.c`, `blk_check_size_and_read_all`); x86 and LoongArch
/// have chips as large as the file, of which on x86 those of CODE and VARS lie below each other.
fn size_against(
    descriptor: &Descriptor,
    file: &Path,
    variables: bool,
    found: &Inspected,
) -> Option<DescriptorProblem> {
    // What is no firmware at all is told so.
    if !matches!(descriptor.mapping, Mapping::Flash { .. }) || found.image.is_none() {
        return None;
    }
    let (name, len) = (file.display(), found.size_bytes);
    let is_for_x86 = || {
        let mut targets = descriptor.targets.iter();
        targets.any(|target| X86.contains(&target.architecture.as_str()))
    };
    let message = match chip_size(variables, found) {
        Some((layout, expected)) if len != expected => {
            format!("{name} has {len} bytes, and flash of layout {layout} takes a file of {expected}")
        }
        _ if !len.is_multiple_of(X86_SECTOR_BYTES) && is_for_x86() => {
            format!("{name} has {len} bytes, and flash on x86 is a multiple of {X86_SECTOR_BYTES} long")
        }
        _ => return None,
    };
    Some(problem(Code::SizeMismatch, message))
}

/// The size of the chip that a file's layout asks for, where it is one size alone.
fn chip_size(variables: bool, found: &Inspected) -> Option<(Layout, u64)> {
    // A file in a role that it cannot have is told so.
    if variables != (found.kind == InspectKind::Vars) {
        return None;
    }
    let layout = layout_of(found)?;
    match (layout, variables) {
        (Layout::Loongarch, _) => None,
        (_, true) => Some((layout, layout.vars_size_bytes())),
        (Layout::ArmVirt | Layout::Riscv, false) => Some((layout, layout.code_size_bytes())),
        // Told from the size.
        (_, false) => None,
    }
}

/// The magic of Microsoft's IGVM format (`IGVM_FIXED_HEADER`).
fn igvm_against(file: &Path) -> Option<DescriptorProblem> {
    let name = file.display();
    let mut opened = match fm_files::open_regular(file) {
        Ok(opened) => opened,
        Err(error) => return Some(problem(Code::Unreadable, format!("cannot read {name}: {error}"))),
    };
    let mut magic = [0; 4];
    let why = match opened.read_exact(&mut magic) {
        Err(error) => error.to_string(),
        Ok(()) if magic != *b"IGVM" => "it does not start with `IGVM`".into(),
        Ok(()) => return None,
    };
    Some(problem(
        Code::NotFirmware,
        format!("{name} is no IGVM file: {why}"),
    ))
}

/// Only q35 has the memory and the flash that a build with SMM needs; such a build stops on any other
/// machine (edk2 `OvmfPkg/README`, `SMM_REQUIRE`).
fn machines_against(descriptor: &Descriptor, found: &Inspected) -> Option<DescriptorProblem> {
    let image = found.image.as_ref()?;
    let smm = image.has(Feature::Smm);
    let machines = descriptor.targets.iter().flat_map(|target| &target.machines);
    // Names that a pattern may stand for.
    const WITHOUT_SMM: [&str; 4] = ["pc", "pc-i440fx-10.0", "isapc", "microvm"];
    let mut without = machines.filter(|pattern| {
        pattern.starts_with("pc-i440fx")
            || WITHOUT_SMM
                .iter()
                .any(|machine| stands_for(pattern.as_bytes(), machine.as_bytes()))
    });
    let machine = without.next().filter(|_| smm)?;
    Some(problem(
        Code::WrongMachine,
        format!("the binary needs SMM, which the machine {machine} does not have"),
    ))
}

/// Whether a pattern of libvirt's (`g_pattern_match_simple`: `*` and `?`) stands for this name.
fn stands_for(pattern: &[u8], name: &[u8]) -> bool {
    // How far both are when the last `*` was met: what it stands for grows from there.
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(sign) if *sign == b'?' || Some(sign) == name.get(seen) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((from, taken)) = star else { return false };
                star = Some((from, taken + 1));
                (at, seen) = (from + 1, taken + 1);
            }
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|sign| *sign == b'*'))
}

/// Keys that are enrolled in the template, or are not, against what is claimed. Without a store there is
/// nothing to hold against it.
fn keys_against(descriptor: &Descriptor, file: &Path, found: &Inspected) -> Option<DescriptorProblem> {
    let store = found.store.as_ref()?;
    let claimed = descriptor
        .features
        .iter()
        .any(|feature| feature == "enrolled-keys");
    let name = file.display();
    let message = match (claimed, store.secure_boot_keys) {
        (true, false) => format!("it claims enrolled-keys, and {name} holds no platform key"),
        (false, true) => format!("{name} holds a platform key, and it does not claim enrolled-keys"),
        _ => return None,
    };
    Some(problem(Code::FeatureContradicted, message))
}

/// The template of QEMU's `uefi-vars` device is JSON, and its keys are what the guest gets.
fn template_against(
    descriptor: &Descriptor,
    file: &Path,
    looked: Result<Inspected, String>,
) -> Option<DescriptorProblem> {
    let name = file.display();
    match looked {
        Ok(found) if found.store.is_some() && found.format == Some(ImageFormat::Json) => {
            keys_against(descriptor, file, &found)
        }
        Ok(found) => {
            let is = found.reason.unwrap_or_else(|| found.kind.to_string());
            Some(problem(
                Code::WrongFormat,
                format!("{name} holds no variables in JSON, which the uefi-vars device reads: {is}"),
            ))
        }
        Err(error) => Some(problem(Code::Unreadable, error)),
    }
}

fn arch_of(found: &Inspected) -> Option<Arch> {
    found.image.as_ref()?.arch
}

fn layout_of(found: &Inspected) -> Option<Layout> {
    found.image.as_ref()?.layout
}

fn file_against(
    descriptor: &Descriptor,
    file: &Path,
    format: &str,
    variables: bool,
    found: &Inspected,
) -> Vec<DescriptorProblem> {
    let mut problems = Vec::new();
    let name = file.display();
    if let Some(actual) = found.format.filter(|actual| actual.name() != format) {
        problems.push(problem(
            Code::WrongFormat,
            format!("{name} is {actual}, not {format}"),
        ));
    }
    if found.image.is_none() {
        let why = found.reason.as_deref().unwrap_or(found.kind.name());
        problems.push(problem(Code::NotFirmware, format!("{name}: {why}")));
        return problems;
    }
    if let Some(damage) = found.damages().next() {
        problems.push(problem(Code::Damaged, format!("{name} is damaged: {damage}")));
    }
    let mode = match &descriptor.mapping {
        Mapping::Flash { mode, .. } => mode.as_str(),
        _ => "",
    };
    let expected: &[InspectKind] = match (variables, mode) {
        (true, _) => &[InspectKind::Vars],
        (false, "combined") => &[InspectKind::Combined],
        (false, "split") => &[InspectKind::Code],
        _ => &[InspectKind::Code, InspectKind::Combined],
    };
    if !expected.contains(&found.kind) {
        let message = format!(
            "{name} is {}, where {} is needed",
            found.kind,
            expected
                .iter()
                .map(|kind| kind.name())
                .collect::<Vec<_>>()
                .join(" or ")
        );
        problems.push(problem(Code::WrongRole, message));
    }
    problems.extend(architectures_against(descriptor, file, found));
    problems
}

/// The targets that a binary is not for.
fn architectures_against(descriptor: &Descriptor, file: &Path, found: &Inspected) -> Vec<DescriptorProblem> {
    let Some(arch) = arch_of(found).map(Arch::qemu_name) else {
        return Vec::new();
    };
    let name = file.display();
    // A 64-bit machine runs 32-bit firmware as well.
    let fits = |target: &str| target == arch || (arch == "i386" && target == "x86_64");
    let targets = descriptor.targets.iter();
    let foreign: BTreeSet<&str> = targets
        .map(|target| target.architecture.as_str())
        .filter(|target| rules::is_architecture(target) && !fits(target))
        .collect();
    let mut messages: Vec<String> = foreign
        .iter()
        .map(|target| format!("{name} is for {arch}, which the target {target} is not"))
        .collect();
    if descriptor.targets.is_empty() {
        messages.push(format!("{name} is for {arch}, and there is no target"));
    }
    let told = messages.into_iter();
    told.map(|message| problem(Code::WrongArchitecture, message))
        .collect()
}

/// Descriptor features that a binary can contradict, both ways where both mean harm.
fn features_against(descriptor: &Descriptor, found: &Inspected) -> Vec<DescriptorProblem> {
    let Some(image) = &found.image else {
        return Vec::new();
    };
    let claims = |feature: &str| descriptor.features.iter().any(|claimed| claimed == feature);
    let shows = |feature| image.has(feature);
    let mut problems = Vec::new();
    for (claimed, shown, both_ways) in [
        ("secure-boot", Feature::SecureBoot, false),
        ("requires-smm", Feature::Smm, true),
        ("amd-sev", Feature::Sev, false),
        ("amd-sev-es", Feature::SevEs, false),
        ("amd-sev-snp", Feature::SevSnp, false),
        ("intel-tdx", Feature::Tdx, false),
        ("host-uefi-vars", Feature::PvVars, true),
    ] {
        if claims(claimed) && !shows(shown) {
            let message = format!("it claims {claimed}, and the binary lacks what {shown} needs");
            problems.push(problem(Code::FeatureContradicted, message));
        } else if both_ways && shows(shown) && !claims(claimed) {
            let message = format!("the binary shows {shown}, and it does not claim {claimed}");
            problems.push(problem(Code::FeatureContradicted, message));
        }
    }
    // Only x86 boards have these sleep states in their tables (QEMU `hw/i386/acpi-build.c`, `build_dsdt`).
    if let Some(arch) = arch_of(found).filter(|arch| !arch.is_x86()) {
        for state in ["acpi-s3", "acpi-s4"].into_iter().filter(|state| claims(state)) {
            let message = format!("it claims {state}, which no machine has that the binary is for ({arch})");
            problems.push(problem(Code::FeatureContradicted, message));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::stands_for;

    #[test]
    fn patterns_of_machines_are_matched_as_libvirt_does() {
        for (pattern, name, expected) in [
            ("pc-q35-*", "pc-q35-10.0", true),
            ("pc-q35-*", "pc-i440fx-10.0", false),
            ("pc-*", "pc-i440fx-10.0", true),
            ("p?-i440fx*", "pc-i440fx-10.0", true),
            ("*", "isapc", true),
            ("*pc", "isapc", true),
            ("*s*p*", "isapc", true),
            ("*s*p", "isapc", false),
            ("pc", "pc", true),
            ("pc?", "pc", false),
            ("", "pc", false),
            ("pc**", "pc", true),
        ] {
            assert_eq!(
                stands_for(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }
}
