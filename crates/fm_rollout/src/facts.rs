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

    #[test]
    fn stores_are_converted_between_the_sizes_of_one_architecture_only() {
        assert!(converts(Some("2M"), Some("4M")));
        assert!(converts(Some("4M"), Some("2M")));
        assert!(!converts(Some("4M"), Some("4M")));
        assert!(!converts(Some("1M"), Some("2M")), "they lie alike");
        assert!(!converts(Some("4M"), Some("armvirt")));
        assert!(!converts(None, Some("4M")));
    }
}
