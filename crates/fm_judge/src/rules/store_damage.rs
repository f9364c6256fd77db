//! Which rule speaks of which kind of damage. Every kind has one: what nobody speaks of would pass for sound.

use fm_varstore::{Damage, DamageKind, Interrupted};

use crate::Facts;

/// Who speaks of a kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// `store_state`: without what is gone there is no store.
    State,
    /// `store_header`: a field says what no build writes.
    Header,
    /// `store_list`: the list of variables.
    List,
    /// `store_interrupted`: the queue says what is not so.
    Interrupted,
    /// Nobody: every build goes on as if nothing were, and loses nothing (`atlas/interrupted_write.json`).
    Heals,
}

/// The speaker of `kind`. A new kind needs a place here before anything is built.
pub(super) const fn speaker(kind: DamageKind) -> Speaker {
    match kind {
        DamageKind::Truncated
        | DamageKind::VolumeHeader
        | DamageKind::VolumeChecksum
        | DamageKind::VolumeLength
        | DamageKind::StoreHeader
        | DamageKind::MainLost
        | DamageKind::Ftw => Speaker::State,
        DamageKind::BlockMap
        | DamageKind::VolumeField
        | DamageKind::VolumeAttributes
        | DamageKind::StoreSize => Speaker::Header,
        DamageKind::VariableCut
        | DamageKind::NameOdd
        | DamageKind::NameSplit
        | DamageKind::NameBlank
        | DamageKind::NameEmpty
        | DamageKind::NameUnterminated
        | DamageKind::NameTwice
        | DamageKind::CertRecord
        | DamageKind::StateImpossible
        | DamageKind::SizesUnwritten
        | DamageKind::HeaderTorn
        | DamageKind::Gap => Speaker::List,
        DamageKind::FtwForeign | DamageKind::SpareDamaged => Speaker::Interrupted,
        DamageKind::FtwAbandoned => Speaker::Heals,
    }
}

/// What is wrong with the main area beside a whole copy in the spare; nothing where not even its headers are left, of
/// which `store_interrupted` speaks.
pub(super) fn of_main(to: &Facts) -> &[Damage] {
    match (to.vars.interrupted.value(), to.vars.main_damage.value()) {
        (Some(Some(Interrupted::MainErased)), _) | (_, None) => &[],
        (_, Some(damage)) => damage,
    }
}
