//! What a side becomes by what the request says and by what the guest brings.

use fm_formats::Sha256;
use fm_judge::{Format, MachineType, StoreState};

use super::*;

fn side(facts: Facts) -> Side {
    Side {
        name: "a side".into(),
        facts,
        target: RemedyTarget::Nobody,
    }
}

fn guests_store() -> VarsUnit {
    VarsUnit {
        present: Known::new(true, "the guest"),
        path: Known::new("/guest.fd".into(), "the guest"),
        size_bytes: Known::new(0x8_4000, "the guest"),
        state: Known::new(StoreState::Good, "the guest"),
        format: Known::new(Format::Raw, "the guest"),
        sha256: Known::new(Sha256::of(b"the guest's"), "the guest"),
        ..VarsUnit::default()
    }
}

/// A store that the destination names.
fn named(state: StoreState, size_bytes: u64) -> VarsUnit {
    VarsUnit {
        present: Known::new(true, "there"),
        path: Known::new("/there.fd".into(), "there"),
        size_bytes: Known::new(size_bytes, "there"),
        state: Known::new(state, "there"),
        format: Known::new(Format::Qcow2, "there"),
        sha256: Known::new(Sha256::of(b"another"), "there"),
        ..VarsUnit::default()
    }
}

#[test]
fn only_what_cannot_hold_anybodys_variables_is_taken_for_a_landing() {
    for (state, size_bytes, is_landing) in [
        (StoreState::Zeros, 0x8_4000, true),
        (StoreState::Erased, 0x8_4000, true),
        (StoreState::Zeros, 0x8_3000, false),
        (StoreState::Erased, 0x2_0000, false),
        (StoreState::Good, 0x8_4000, false),
        (StoreState::WithoutFtw, 0x8_4000, false),
        (StoreState::VolumeDamaged, 0x8_4000, false),
        (StoreState::StoreDamaged, 0x8_4000, false),
    ] {
        let source = Facts {
            vars: guests_store(),
            ..Facts::default()
        };
        let there = named(state, size_bytes);
        let mut side = side(Facts {
            vars: there.clone(),
            ..Facts::default()
        });
        own_store(&mut side, &source);
        let expected = if is_landing {
            VarsUnit {
                path: there.path,
                landing: Known::new(state, "there"),
                size_bytes: there.size_bytes,
                format: there.format,
                declared_format: there.declared_format,
                ..guests_store()
            }
        } else {
            there
        };
        assert_eq!(side.facts.vars, expected, "{state} of {size_bytes:#x} bytes");
    }
}

#[test]
fn a_destination_without_a_store_of_its_own_boots_with_the_guests() {
    let source = Facts {
        vars: guests_store(),
        ..Facts::default()
    };
    let template = VarsUnit {
        size_bytes: Known::new(0x2_0000, "a template"),
        format: Known::new(Format::Qcow2, "a template"),
        declared_format: Known::new(Format::Qcow2, "a descriptor"),
        ..VarsUnit::default()
    };
    let own = VarsUnit {
        present: Known::new(
            true,
            Evidence::from("the guest").so("the guest's own store goes along"),
        ),
        ..guests_store()
    };
    for (there, expected) in [
        (VarsUnit::default(), own.clone()),
        (
            template.clone(),
            VarsUnit {
                size_bytes: template.size_bytes,
                format: template.format,
                declared_format: template.declared_format,
                ..own
            },
        ),
    ] {
        let mut side = side(Facts {
            vars: there,
            ..Facts::default()
        });
        own_store(&mut side, &source);
        assert_eq!(side.facts.vars, expected);
    }
    // A guest of which no store is known brings none that is.
    let mut side = side(Facts::default());
    own_store(&mut side, &Facts::default());
    assert_eq!(side.facts.vars, VarsUnit::default());
}

fn q35(version: &str) -> MachineType {
    MachineType::new(&format!("pc-q35-{version}"), None)
}

#[test]
fn what_is_given_is_learnt_with_the_input_as_its_evidence() {
    let spec = SideSpec {
        qemu: Some("7.2.22".into()),
        machine: Some("pc-q35-7.2,smm=on".into()),
        ..SideSpec::default()
    };
    let options = Options {
        machine: Some("pc-q35-6.2".into()),
        secure_flash: Some(true),
        s3: Some(false),
        tpm: Some(true),
        confidential: Some(Confidential::Sev),
        ..Options::default()
    };
    for (role, qemu, machine) in [
        (Role::Source, Input::SourceQemu, Input::SourceMachine),
        (
            Role::Destination,
            Input::DestinationQemu,
            Input::DestinationMachine,
        ),
    ] {
        let mut facts = Facts::default();
        apply_overrides(&mut facts, &spec, &options, role).unwrap();
        let machine = Evidence::Input(machine);
        let expected = Facts {
            qemu: Known::new(QemuVersion::new(7, 2, 22), Evidence::Input(qemu)),
            // a side's own word goes before the word for both
            machine: Known::new(q35("7.2"), &machine),
            smm: Known::new(true, &machine),
            secure_flash: Known::new(true, Evidence::Input(Input::SecureFlash("on"))),
            s3: Known::new(false, Evidence::Input(Input::S3("off"))),
            tpm: Known::new(true, Evidence::Input(Input::Tpm("on"))),
            confidential: Known::new(Confidential::Sev, Evidence::Input(Input::Confidential)),
            ..Facts::default()
        };
        assert_eq!(facts, expected);
    }
    let mut facts = Facts::default();
    let both = Options {
        machine: Some("type=pc-q35-6.2,smm=off".into()),
        ..Options::default()
    };
    apply_overrides(&mut facts, &SideSpec::default(), &both, Role::Source).unwrap();
    let given = Evidence::Input(Input::MachineType(None));
    assert_eq!(facts.machine, Known::new(q35("6.2"), &given));
    assert_eq!(facts.smm, Known::new(false, given));
}

#[test]
fn a_version_that_means_the_one_that_runs_changes_nothing_and_another_contradicts() {
    for (given, agrees) in [("7.2", true), ("7.2.22", true), ("7.2.1", false), ("10.0", false)] {
        let known = Known::new(QemuVersion::new(7, 2, 22), "the guest");
        let mut facts = Facts {
            qemu: known.clone(),
            ..Facts::default()
        };
        let spec = SideSpec {
            qemu: Some(given.into()),
            ..SideSpec::default()
        };
        let done = apply_overrides(&mut facts, &spec, &Options::default(), Role::Source);
        assert_eq!(done.is_ok(), agrees, "{given}");
        assert_eq!(facts.qemu.value(), known.value(), "{given}");
        if !agrees {
            assert!(matches!(done, Err(Error::Contradiction(_))), "{given}");
        }
    }
    let spec = SideSpec {
        qemu: Some("seven".into()),
        ..SideSpec::default()
    };
    let done = apply_overrides(&mut Facts::default(), &spec, &Options::default(), Role::Source);
    assert!(matches!(done, Err(Error::Usage(_))), "{done:?}");
}

#[test]
fn what_is_given_must_not_contradict_what_was_found() {
    type Give = fn(&mut Options);
    let found = Facts {
        machine: Known::new(q35("7.2"), "found"),
        smm: Known::new(true, "found"),
        secure_flash: Known::new(true, "found"),
        s3: Known::new(true, "found"),
        tpm: Known::new(true, "found"),
        confidential: Known::new(Confidential::No, "found"),
        ..Facts::default()
    };
    let contradictions: [Give; 7] = [
        |options| options.machine = Some("pc-q35-6.2".into()),
        |options| options.machine = Some("pc-q35-7.2,smm=off".into()),
        |options| options.smm = Some(false),
        |options| options.secure_flash = Some(false),
        |options| options.s3 = Some(false),
        |options| options.tpm = Some(false),
        |options| options.confidential = Some(Confidential::Tdx),
    ];
    for (index, give) in contradictions.into_iter().enumerate() {
        let mut options = Options::default();
        give(&mut options);
        let done = apply_overrides(&mut found.clone(), &SideSpec::default(), &options, Role::Source);
        assert!(matches!(done, Err(Error::Contradiction(_))), "{index}: {done:?}");
    }
}

#[test]
fn an_alias_is_resolved_by_the_qemu_that_is_known_and_says_so() {
    let given = Evidence::Input(Input::MachineType(None));
    let mut facts = Facts {
        qemu: Known::new(QemuVersion::new(7, 2, 22), "found"),
        ..Facts::default()
    };
    machine(&mut facts, "q35", &given).unwrap();
    let fact = facts.machine.fact().unwrap();
    assert_eq!(fact.value, q35("7.2"));
    assert_eq!(
        fact.evidence,
        given.part("where q35 means pc-q35-7.2 in QEMU 7.2.22")
    );
    let mut facts = Facts::default();
    machine(&mut facts, "q35", &given).unwrap();
    assert_eq!(facts.machine, Known::new(MachineType::new("q35", None), given));
}

#[test]
fn a_destination_is_as_the_source_in_what_nobody_says_of_it() {
    let source = side(Facts {
        machine: Known::new(q35("7.2"), "the guest"),
        smm: Known::new(true, "the guest"),
        secure_flash: Known::new(true, "the guest"),
        s3: Known::new(false, "the guest"),
        tpm: Known::new(true, "the guest"),
        confidential: Known::new(Confidential::No, "the guest"),
        ..Facts::default()
    });
    let adapt = |facts: Facts, spec: &SideSpec| {
        let mut sides = adapted(vec![side(facts)], spec, &Options::default(), &source).unwrap();
        sides.pop().unwrap().facts
    };
    let machine = Evidence::from("the guest").so("a guest keeps its machine type");
    let inherited = Facts {
        machine: Known::new(q35("7.2"), machine),
        ..source.facts.clone()
    };
    assert_eq!(adapt(Facts::default(), &SideSpec::default()), inherited);
    let own = Facts {
        machine: Known::new(q35("6.2"), "there"),
        smm: Known::new(false, "there"),
        secure_flash: Known::new(false, "there"),
        s3: Known::new(true, "there"),
        tpm: Known::new(false, "there"),
        confidential: Known::new(Confidential::Sev, "there"),
        ..Facts::default()
    };
    assert_eq!(adapt(own.clone(), &SideSpec::default()), own);
    let spec = SideSpec {
        machine: Some("pc-q35-6.2".into()),
        ..SideSpec::default()
    };
    assert_eq!(
        adapt(Facts::default(), &spec).machine,
        Known::new(q35("6.2"), Evidence::Input(Input::DestinationMachine))
    );
}

#[test]
fn a_destination_that_nobody_names_is_not_made_up() {
    let done = adapted(
        Vec::new(),
        &SideSpec::default(),
        &Options::default(),
        &side(Facts::default()),
    );
    assert!(matches!(done, Err(Error::Usage(_))), "{done:?}");
}

#[test]
fn a_side_is_named_in_one_way_and_a_store_alone_is_one() {
    let twice = SideSpec {
        guest: Some("vm".into()),
        code: Some("/CODE.fd".into()),
        ..SideSpec::default()
    };
    assert!(matches!(sides(&twice, None), Err(Error::Usage(_))));
    assert!(sides(&SideSpec::default(), None).unwrap().is_empty());
    let no_vars = SideSpec {
        no_vars: true,
        ..SideSpec::default()
    };
    let found = sides(&no_vars, None).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].facts.vars.present,
        Known::new(false, Evidence::Input(Input::NoVars))
    );
}

#[test]
fn files_that_are_swapped_are_told_so() {
    let (code, vars) = (
        fm_fixtures::path("bookworm/OVMF_CODE_4M.fd"),
        fm_fixtures::path("bookworm/OVMF_VARS_4M.fd"),
    );
    let spec = |code: &Path, vars: &Path| SideSpec {
        code: Some(code.display().to_string()),
        vars: Some(vars.to_owned()),
        ..SideSpec::default()
    };
    assert!(sides(&spec(&code, &vars), None).is_ok());
    let Err(Error::Usage(Misuse { message, .. })) = sides(&spec(&vars, &code), None) else {
        panic!("swapped files are taken");
    };
    assert!(message.contains("swapped"), "{message}");
}

#[test]
fn a_store_in_json_is_taken_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("guest.json");
    let text = r#"{"version":2,"variables":[
        {"name":"PK","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","attr":39,"data":"00"}]}"#;
    std::fs::write(&json, text).unwrap();
    let spec = SideSpec {
        vars: Some(json),
        ..SideSpec::default()
    };
    let found = sides(&spec, None).unwrap();
    let vars = &found[0].facts.vars;
    assert_eq!(vars.in_device.value(), Some(&true));
    assert_eq!(
        (vars.present.value(), vars.keys.value()),
        (Some(&false), Some(&true))
    );
}
