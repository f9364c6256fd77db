//! What hosts have reported, as the judge takes it: a guest on the build that it runs, and on the one that it would get.

use fm_api::v1::fleet::{BuildFacts, Digest, GuestFacts};
use fm_formats::Sha256;
use fm_formats::image::Layout;
use fm_judge::{
    CodeUnit, Confidential, Evidence, Facts, Features, Firmware, Format, Known, MachineType, Soundness,
    StoreState, VarsAccess, VarsUnit,
};

/// A guest as its row has it.
pub(crate) struct Guest<'a> {
    pub(crate) layout: Option<&'a str>,
    pub(crate) machine: Option<&'a str>,
    pub(crate) qemu: Option<&'a str>,
    pub(crate) facts: Option<&'a GuestFacts>,
}

/// A build and what is known of it.
pub(crate) struct Build<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) facts: &'a BuildFacts,
}

fn known<T>(value: Option<T>, evidence: &Evidence) -> Known<T> {
    match value {
        Some(value) => Known::new(value, evidence.clone()),
        None => Known::default(),
    }
}

fn report() -> Evidence {
    Evidence::Elsewhere("its host's report".into())
}

fn code(build: &Build<'_>) -> CodeUnit {
    let facts = build.facts;
    let at = Evidence::Build(build.digest.as_str().chars().take(12).collect());
    let features = facts.features.as_ref().map(|names| {
        names
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect::<Features>()
    });
    CodeUnit {
        soundness: known(
            facts.is_whole.map(|whole| match whole {
                true => Soundness::Whole,
                false => Soundness::Damaged,
            }),
            &at,
        ),
        present: Known::new(true, at.clone()),
        arch: known(facts.arch.as_deref().and_then(|name| name.parse().ok()), &at),
        early_arch: known(
            facts.early_arch.as_deref().and_then(|name| name.parse().ok()),
            &at,
        ),
        layout: known(layout(facts.layout.as_deref()), &at),
        features: known(features, &at),
        finishes_reclaim: known(facts.finishes_reclaim, &at),
        is_recent: known(facts.is_recent, &at),
        checks_list: known(facts.checks_list, &at),
        size_bytes: known(build.size_bytes, &at),
        sha256: known(build.digest.as_str().parse::<Sha256>().ok(), &at),
        // Of a libvirt domain that is adopted: nothing else is given another build.
        format: Known::new(Format::Raw, at.clone()),
        declared_format: Known::new(Format::Raw, at),
        ..CodeUnit::default()
    }
}

/// The guest on the build that it runs.
pub(crate) fn source(guest: &Guest<'_>, build: &Build<'_>) -> Facts {
    let at = report();
    let none = GuestFacts::default();
    let facts = guest.facts.unwrap_or(&none);
    let qemu = guest.qemu.and_then(|text| text.parse().ok());
    let machine = guest.machine.map(|text| {
        let name = text.split(',').next().unwrap_or_default();
        MachineType::new(name.strip_prefix("type=").unwrap_or(name), qemu)
    });
    Facts {
        qemu: known(qemu, &at),
        machine: known(machine, &at),
        firmware: Known::new(Firmware::Flash, at.clone()),
        code: code(build),
        vars: vars(guest, facts, &at),
        smm: known(facts.smm, &at),
        secure_flash: known(facts.secure_flash, &at),
        s3: known(facts.s3, &at),
        confidential: known(facts.confidential.as_deref().and_then(confidential), &at),
        tpm: known(facts.tpm, &at),
        ..Facts::default()
    }
}

/// The same guest on the build that it would get; with its variables laid out as that build wants them, if so.
pub(crate) fn destination(source: &Facts, build: &Build<'_>, converts: bool) -> Facts {
    let mut facts = Facts {
        code: code(build),
        ..source.clone()
    };
    if converts && let Some(layout) = facts.code.layout.value().copied() {
        let at = Evidence::Elsewhere("the conversion while it is off".into());
        facts.vars.layout = Known::new(layout, at.clone());
        facts.vars.size_bytes = Known::new(layout.vars_size_bytes(), at);
    }
    facts
}

fn vars(guest: &Guest<'_>, facts: &GuestFacts, at: &Evidence) -> VarsUnit {
    let layout = layout(guest.layout);
    let sound = facts.vars_sound == Some(true);
    let known_sound = |is: bool| is.then_some(());
    VarsUnit {
        present: known(facts.vars_size_bytes.map(|_| true), at),
        state: known(known_sound(sound).map(|()| StoreState::Good), at),
        damage: known(known_sound(sound).map(|()| Vec::new()), at),
        interrupted: known(known_sound(sound).map(|()| None), at),
        access: known(
            facts.vars_kept.map(|kept| match kept {
                true => VarsAccess::Written,
                false => VarsAccess::Dropped,
            }),
            at,
        ),
        layout: known(layout, at),
        authenticated: known(facts.vars_authenticated, at),
        used_bytes: known(facts.vars_used_bytes, at),
        largest_bytes: known(facts.vars_largest_bytes, at),
        keys: known(facts.vars_keys, at),
        size_bytes: known(facts.vars_size_bytes, at),
        format: Known::new(Format::Raw, at.clone()),
        declared_format: Known::new(Format::Raw, at.clone()),
        ..VarsUnit::default()
    }
}

fn layout(name: Option<&str>) -> Option<Layout> {
    name?.parse().ok()
}

fn confidential(name: &str) -> Option<Confidential> {
    [
        Confidential::No,
        Confidential::Sev,
        Confidential::SevEs,
        Confidential::SevSnp,
        Confidential::Tdx,
    ]
    .into_iter()
    .find(|kind| kind.to_string() == name)
}

/// Whether a store of one layout can be converted to the other: variables go from one to the other without loss.
pub(crate) fn converts(from: Option<&str>, to: Option<&str>) -> bool {
    let x86 = |layout| matches!(layout, Layout::X86Size1M | Layout::X86Size2M | Layout::X86Size4M);
    match (layout(from), layout(to)) {
        (Some(from), Some(to)) => x86(from) && x86(to) && from.vars_size_bytes() != to.vars_size_bytes(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fm_formats::image::{Arch, Feature};

    #[test]
    fn stores_are_converted_between_the_sizes_of_one_architecture_only() {
        assert!(converts(Some("2M"), Some("4M")));
        assert!(converts(Some("4M"), Some("2M")));
        assert!(!converts(Some("4M"), Some("4M")));
        assert!(!converts(Some("1M"), Some("2M")), "they lie alike");
        assert!(!converts(Some("4M"), Some("armvirt")));
        assert!(!converts(None, Some("4M")));
    }

    fn digest(digit: &str) -> Digest {
        digit.repeat(64).parse().unwrap()
    }

    /// A build of which everything is told, each flag as it is asked for.
    fn told(flag: bool) -> BuildFacts {
        BuildFacts {
            arch: Some("x86-64".into()),
            early_arch: Some("ia32".into()),
            layout: Some("4M".into()),
            features: Some(vec!["smm".into(), "of_a_newer_version".into(), "tpm2".into()]),
            is_whole: Some(flag),
            finishes_reclaim: Some(flag),
            is_recent: Some(flag),
            checks_list: Some(flag),
        }
    }

    fn reported(flag: bool) -> GuestFacts {
        GuestFacts {
            vars_size_bytes: Some(0x8_4000),
            vars_used_bytes: Some(0x1000),
            vars_largest_bytes: Some(0x100),
            vars_sound: Some(flag),
            vars_authenticated: Some(flag),
            vars_keys: Some(flag),
            vars_kept: Some(flag),
            smm: Some(flag),
            secure_flash: Some(flag),
            s3: Some(flag),
            tpm: Some(flag),
            confidential: Some("sev-es".into()),
            ..GuestFacts::default()
        }
    }

    #[test]
    fn what_was_reported_is_what_is_judged() {
        for flag in [false, true] {
            let (told, reported) = (told(flag), reported(flag));
            let guest = Guest {
                layout: Some("2M"),
                machine: Some("type=pc-q35-7.2,accel=kvm"),
                qemu: Some("7.2.22"),
                facts: Some(&reported),
            };
            let digest = digest("a");
            let build = Build {
                digest: &digest,
                size_bytes: Some(0x37_c000),
                facts: &told,
            };
            let facts = source(&guest, &build);
            let code = &facts.code;
            let soundness = if flag {
                Soundness::Whole
            } else {
                Soundness::Damaged
            };
            assert_eq!(code.soundness.value(), Some(&soundness));
            assert_eq!(code.present.value(), Some(&true));
            assert_eq!(code.arch.value(), Some(&Arch::X86_64));
            assert_eq!(code.early_arch.value(), Some(&Arch::Ia32));
            assert_eq!(code.layout.value(), Some(&Layout::X86Size4M));
            let features = [Feature::Smm, Feature::Tpm2].into_iter().collect();
            assert_eq!(code.features.value(), Some(&features));
            for is in [&code.finishes_reclaim, &code.is_recent, &code.checks_list] {
                assert_eq!(is.value(), Some(&flag));
            }
            assert_eq!(code.size_bytes.value(), Some(&0x37_c000));
            assert_eq!(code.sha256.value().map(ToString::to_string), Some("a".repeat(64)));
            let vars = &facts.vars;
            assert_eq!(vars.present.value(), Some(&true));
            // Of a store that is not sound nothing more is known.
            assert_eq!(vars.state.value(), flag.then_some(&StoreState::Good));
            assert_eq!(vars.damage.value(), flag.then_some(&Vec::new()));
            assert_eq!(vars.interrupted.value(), flag.then_some(&None));
            let access = if flag {
                VarsAccess::Written
            } else {
                VarsAccess::Dropped
            };
            assert_eq!(vars.access.value(), Some(&access));
            assert_eq!(vars.layout.value(), Some(&Layout::X86Size2M));
            for is in [
                &vars.authenticated,
                &vars.keys,
                &facts.smm,
                &facts.secure_flash,
                &facts.s3,
                &facts.tpm,
            ] {
                assert_eq!(is.value(), Some(&flag));
            }
            let sizes = [&vars.used_bytes, &vars.largest_bytes, &vars.size_bytes].map(Known::value);
            assert_eq!(sizes, [Some(&0x1000), Some(&0x100), Some(&0x8_4000)]);
            for format in [
                &code.format,
                &code.declared_format,
                &vars.format,
                &vars.declared_format,
            ] {
                assert_eq!(format.value(), Some(&Format::Raw));
            }
            assert_eq!(facts.qemu.value().map(ToString::to_string), Some("7.2.22".into()));
            assert_eq!(facts.machine.value().map(MachineType::name), Some("pc-q35-7.2"));
            assert_eq!(facts.firmware.value(), Some(&Firmware::Flash));
            assert_eq!(facts.confidential.value(), Some(&Confidential::SevEs));
        }
    }

    #[test]
    fn a_store_that_is_converted_has_the_layout_and_the_size_of_the_build_and_another_keeps_its_own() {
        let (told, reported, digest) = (told(true), reported(true), digest("a"));
        let build = Build {
            digest: &digest,
            size_bytes: None,
            facts: &told,
        };
        let guest = Guest {
            layout: Some("2M"),
            machine: None,
            qemu: None,
            facts: Some(&reported),
        };
        let from = source(&guest, &build);
        for (converts, layout) in [(true, Layout::X86Size4M), (false, Layout::X86Size2M)] {
            let to = destination(&from, &build, converts);
            assert_eq!(to.vars.layout.value(), Some(&layout));
            assert_eq!(to.vars.size_bytes.value(), Some(&0x8_4000));
            assert_eq!(to.vars.used_bytes, from.vars.used_bytes);
        }
        let small = GuestFacts {
            vars_size_bytes: Some(0x2_0000),
            ..reported.clone()
        };
        let from = source(
            &Guest {
                facts: Some(&small),
                ..guest
            },
            &build,
        );
        assert_eq!(
            destination(&from, &build, true).vars.size_bytes.value(),
            Some(&0x8_4000)
        );
        assert_eq!(
            destination(&from, &build, false).vars.size_bytes.value(),
            Some(&0x2_0000)
        );
    }

    #[test]
    fn what_was_not_reported_is_not_known() {
        let (none, digest) = (BuildFacts::default(), digest("a"));
        let build = Build {
            digest: &digest,
            size_bytes: None,
            facts: &none,
        };
        let guest = Guest {
            layout: None,
            machine: None,
            qemu: None,
            facts: None,
        };
        let facts = source(&guest, &build);
        assert!(!facts.qemu.is_known() && !facts.machine.is_known() && !facts.tpm.is_known());
        assert!(
            !facts.vars.present.is_known() && !facts.vars.state.is_known() && !facts.vars.access.is_known()
        );
        assert!(!facts.code.soundness.is_known() && !facts.code.features.is_known());
        for (name, kind) in [
            ("none", Some(Confidential::No)),
            ("sev", Some(Confidential::Sev)),
            ("sev-es", Some(Confidential::SevEs)),
            ("sev-snp", Some(Confidential::SevSnp)),
            ("tdx", Some(Confidential::Tdx)),
            ("of a newer version", None),
        ] {
            assert_eq!(confidential(name), kind);
        }
    }
}
