//! The plan against the records, and on folders that packages of other distributions could have made.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::super::programs::Program;
use super::super::{Change, Side, read_all};
use super::*;

/// The programs that the repository's atlas was made with, as they answer.
fn programs() -> Vec<Program> {
    let program = |version: &str, arch, newest: &str, others: &[&str]| Program {
        path: "qemu".into(),
        version: version.into(),
        arch,
        newest: newest.into(),
        machines: others
            .iter()
            .chain([&newest])
            .map(|name| (*name).into())
            .collect(),
    };
    vec![
        program(
            "7.2.22",
            Arch::X86_64,
            "pc-q35-7.2",
            &["pc-q35-7.1", "pc-i440fx-7.2"],
        ),
        program("7.2.22", Arch::Aarch64, "virt-7.2", &["virt-7.1"]),
        program(
            "10.0.2",
            Arch::X86_64,
            "pc-q35-10.0",
            &["pc-q35-7.1", "pc-q35-7.2", "pc-i440fx-7.2"],
        ),
        program("10.0.2", Arch::Riscv64, "virt", &[]),
        program("10.0.2", Arch::Loongarch64, "virt", &[]),
    ]
}

fn bench(programs: Vec<Program>, folder: &Path) -> Bench {
    Bench::with(programs, folder).expect("a readable folder")
}

fn ids(plan: &Plan) -> BTreeSet<&str> {
    plan.steps.iter().map(|step| step.id.as_str()).collect()
}

/// A folder of firmware under names that none of our fixtures has.
fn scratch(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (fixture, name) in files {
        let to = folder.path().join(name);
        fs::create_dir_all(to.parent().expect("inside")).expect("writable");
        fs::copy(fm_fixtures::path(fixture), &to).expect("a copy");
    }
    folder
}

#[test]
fn the_plan_for_the_fixtures_is_what_is_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../atlas");
    let atlases = read_all(&folder).expect("the atlas");
    let bench = bench(programs(), fm_fixtures::folder());
    for group in Group::ALL {
        let plan = plan(group, &bench);
        assert_eq!(ids(&plan).len(), plan.steps.len(), "{group:?}: a name twice");
        let atlas = atlases.iter().find(|atlas| atlas.group == group);
        let observations = atlas.map_or(&[][..], |atlas| atlas.observations.as_slice());
        // A host with KVM adds to the same file.
        let emulated = observations.iter().filter(|known| !known.source.kvm);
        let recorded: BTreeSet<&str> = emulated.map(|known| known.id.as_str()).collect();
        let difference: Vec<_> = recorded.symmetric_difference(&ids(&plan)).copied().collect();
        assert_eq!(
            difference,
            Vec::<&str>::new(),
            "{group:?}: planned or recorded only"
        );
        for step in &plan.steps {
            let known = observations.iter().find(|known| known.id == step.id);
            let files = |side: &Side| (side.code.clone(), side.vars.clone(), side.bios.clone());
            assert_eq!(known.map(|known| files(&known.source)), Some(files(&step.source)));
        }
    }
}

#[test]
fn a_folder_under_other_names_is_planned_by_what_is_in_it() {
    let folder = scratch(&[
        ("bookworm/OVMF_CODE_4M.fd", "edk2-x86_64-code.fd"),
        ("trixie/OVMF_CODE_4M.fd", "newer/ovmf-x86_64-code.bin"),
        ("trixie/OVMF_VARS_4M.fd", "edk2-i386-vars.fd"),
    ]);
    let only = programs().into_iter().take(1).collect();
    let bench = bench(only, folder.path());
    let count = |group| plan(group, &bench).steps.len();
    assert_eq!(count(Group::ColdBoot), 2);
    assert_eq!(count(Group::BuildMigration), 4);
    assert_eq!(count(Group::LateWrite), 1);
    assert_eq!(count(Group::Overwritten), 3);
    assert!(count(Group::DamagedStore) >= 12);
    assert!(count(Group::MachineMigration) >= 15);
    let machines = plan(Group::MachineMigration, &bench);
    assert!(machines.lacks.iter().any(|lack| lack.contains("-bios")));
    // One layout: nothing to convert, and it says so.
    let conversions = plan(Group::Conversion, &bench);
    assert!(conversions.steps.is_empty());
    assert!(conversions.lacks.concat().contains("different layouts"));
}

#[test]
fn an_smm_build_is_known_by_its_modules_and_gets_its_machine() {
    let folder = scratch(&[
        ("bookworm/OVMF_CODE_4M.secboot.fd", "code.fd"),
        ("bookworm/OVMF_VARS_4M.fd", "vars.fd"),
    ]);
    let bench = bench(programs(), folder.path());
    let cold = plan(Group::ColdBoot, &bench);
    let step = cold.steps.first().expect("one");
    assert_eq!(step.source.machine, "pc-q35-7.2,smm=on");
    assert!(step.source.secure_flash);
    let late = plan(Group::LateWrite, &bench);
    assert!(late.steps.is_empty() && late.lacks.concat().contains("without SMM"));
}

#[test]
fn kvm_adds_what_emulation_cannot_do_in_one_process() {
    let mut bench = bench(programs(), fm_fixtures::folder());
    bench.kvm = true;
    for group in Group::ALL {
        let plan = plan(group, &bench);
        assert!(group == Group::Updated || plan.steps.is_empty(), "{group:?}");
        assert!(
            plan.steps
                .iter()
                .all(|step| step.source.kvm && step.id.ends_with(", KVM"))
        );
        // Two programs of one architecture have the same pairs.
        assert_eq!(ids(&plan).len(), plan.steps.len());
    }
}

#[test]
fn builds_without_their_qemu_are_named() {
    let folder = scratch(&[
        ("bookworm/OVMF_CODE_4M.fd", "x.fd"),
        ("bookworm/OVMF_VARS_4M.fd", "y.fd"),
    ]);
    let arm = programs()
        .into_iter()
        .filter(|program| program.arch == Arch::Aarch64)
        .collect();
    let plan = plan(Group::ColdBoot, &bench(arm, folder.path()));
    assert!(plan.steps.is_empty());
    let said = plan.lacks.concat();
    assert!(said.contains("the x86 builds are left out"), "{said}");
    assert!(said.contains("no aarch64 CODE"), "{said}");
}

#[test]
fn a_machine_type_that_only_one_program_makes_is_not_planned_for_two() {
    let folder = scratch(&[
        ("bookworm/OVMF_CODE_4M.fd", "x.fd"),
        ("bookworm/OVMF_VARS_4M.fd", "y.fd"),
    ]);
    let mut two = programs();
    two.retain(|program| program.arch == Arch::X86_64);
    two[1].machines.retain(|name| name != "pc-q35-7.2");
    let plan = plan(Group::BuildMigration, &bench(two, folder.path()));
    assert!(plan.lacks.concat().contains("share no machine type"));
    assert_eq!(plan.steps.len(), 2, "each with itself");
    assert!(plan.steps.iter().all(|step| {
        step.source
            .vars
            .as_ref()
            .is_some_and(|vars| vars.change != Some(Change::Zeros))
    }));
}
