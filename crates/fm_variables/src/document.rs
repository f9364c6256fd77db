//! The documents of `vars`: what `--json` prints.

use std::path::Path;

use fm_api::Schema;
use fm_api::v1::vars::{
    self as api, DiffedStore, DiffedStoreDamage, InterruptedReclaim, StoreDamage, StoreDamageKind,
    VariableDocument, VariableState, VariableTime, VarsChange,
};
use fm_formats::efi::Time;
use fm_formats::image::Layout;
use fm_images::words;
use fm_varstore::{ActiveCopy, DamageKind, Entry, Interrupted, State, VarStore, Variable, attribute};

use crate::report::Report;
use crate::{describe, hex};

fn time(time: Time) -> VariableTime {
    let [y0, y1, month, day, hour, minute, second, ..] = time.0;
    VariableTime {
        text: time.to_string(),
        year: u16::from_le_bytes([y0, y1]),
        month,
        day,
        hour,
        minute,
        second,
        nanosecond: time.nanosecond(),
        time_zone: time.time_zone(),
        daylight: time.daylight(),
        raw: hex::encode(&time.0),
    }
}

/// The short names of the bits in `attributes`.
#[must_use]
pub fn attribute_names(attributes: u32) -> Vec<&'static str> {
    attribute::NAMES
        .iter()
        .filter(|(bit, _)| attributes & bit != 0)
        .map(|(_, name)| *name)
        .collect()
}

/// The document of a variable, with its state and the place of its header.
pub(super) fn variable(variable: &Variable, state: State, offset: Option<u64>) -> VariableDocument {
    VariableDocument {
        name: variable.name.to_string(),
        guid: variable.guid.to_string(),
        attributes: variable.attributes,
        attribute_names: attribute_names(variable.attributes)
            .into_iter()
            .map(str::to_owned)
            .collect(),
        data: hex::encode(&variable.data),
        data_bytes: variable.data.len() as u64,
        timestamp: (!variable.timestamp.is_zero()).then(|| time(variable.timestamp)),
        monotonic_count: variable.monotonic_count,
        public_key_index: variable.public_key_index,
        digest: None,
        state: state_of(state),
        offset,
        meaning: describe::in_short(variable),
    }
}

/// The document of an entry in flash.
pub(super) fn entry(entry: &Entry<'_>) -> VariableDocument {
    variable(&entry.to_variable(), entry.state, Some(entry.offset))
}

/// What is wrong with a store.
pub(super) fn damage(view: &VarStore<'_>) -> Vec<StoreDamage> {
    view.damage_found()
        .iter()
        .map(|damage| StoreDamage {
            kind: damage_kind(damage.kind),
            offset: damage.offset,
            heals_itself: damage.heals_itself(),
            message: damage.to_string(),
        })
        .collect()
}

/// What is wrong with one of two stores.
pub(super) fn damage_of(side: DiffedStore, view: &VarStore<'_>) -> Vec<DiffedStoreDamage> {
    let found = damage(view).into_iter();
    found.map(|found| DiffedStoreDamage { side, found }).collect()
}

/// What was done, or would be, to a file that was not written.
pub(super) fn change(
    path: &Path,
    layout: Option<Layout>,
    variable_count: usize,
    report: Report,
) -> VarsChange {
    VarsChange {
        schema: Schema::default(),
        path: path.display().to_string(),
        written: false,
        up_to_date: false,
        backup: None,
        layout: layout.map(words::layout),
        variable_count: variable_count as u64,
        free_bytes: None,
        steps: report.steps,
        notes: report.notes,
    }
}

/// The word for the state of a variable.
const fn state_of(state: State) -> VariableState {
    match state {
        State::Live => VariableState::Live,
        State::InDeletedTransition => VariableState::InDeletedTransition,
        State::Superseded => VariableState::Superseded,
        State::Deleted => VariableState::Deleted,
        State::HeaderOnly => VariableState::HeaderOnly,
        State::Unknown => VariableState::Unknown,
        State::Recovered => VariableState::Recovered,
    }
}

/// The word for a kind of damage.
const fn damage_kind(kind: DamageKind) -> StoreDamageKind {
    match kind {
        DamageKind::Truncated => StoreDamageKind::Truncated,
        DamageKind::VolumeHeader => StoreDamageKind::VolumeHeader,
        DamageKind::VolumeChecksum => StoreDamageKind::VolumeChecksum,
        DamageKind::VolumeLength => StoreDamageKind::VolumeLength,
        DamageKind::BlockMap => StoreDamageKind::BlockMap,
        DamageKind::VolumeField => StoreDamageKind::VolumeField,
        DamageKind::VolumeAttributes => StoreDamageKind::VolumeAttributes,
        DamageKind::StoreHeader => StoreDamageKind::StoreHeader,
        DamageKind::StoreSize => StoreDamageKind::StoreSize,
        DamageKind::VariableCut => StoreDamageKind::VariableCut,
        DamageKind::NameOdd => StoreDamageKind::VariableName,
        DamageKind::NameSplit => StoreDamageKind::NameSplit,
        DamageKind::NameBlank => StoreDamageKind::NameBlank,
        DamageKind::NameEmpty => StoreDamageKind::NameEmpty,
        DamageKind::NameUnterminated => StoreDamageKind::NameUnterminated,
        DamageKind::StateImpossible => StoreDamageKind::StateImpossible,
        DamageKind::SizesUnwritten => StoreDamageKind::SizesUnwritten,
        DamageKind::NameTwice => StoreDamageKind::NameTwice,
        DamageKind::HeaderTorn => StoreDamageKind::HeaderTorn,
        DamageKind::Gap => StoreDamageKind::Gap,
        DamageKind::CertRecord => StoreDamageKind::CertRecord,
        DamageKind::Ftw => StoreDamageKind::Ftw,
        DamageKind::FtwAbandoned => StoreDamageKind::FtwAbandoned,
        DamageKind::FtwForeign => StoreDamageKind::FtwForeign,
        DamageKind::SpareDamaged => StoreDamageKind::SpareDamaged,
        DamageKind::MainLost => StoreDamageKind::MainLost,
    }
}

/// The word for the area that holds the valid store.
pub(super) const fn active_copy(copy: ActiveCopy) -> api::ActiveCopy {
    match copy {
        ActiveCopy::Main => api::ActiveCopy::Main,
        ActiveCopy::Spare => api::ActiveCopy::Spare,
    }
}

/// The word for what an interrupted reclaim left.
pub(super) const fn interrupted(interrupted: Interrupted) -> InterruptedReclaim {
    match interrupted {
        Interrupted::MainWritten => InterruptedReclaim::MainWritten,
        Interrupted::MainOld | Interrupted::MainFull => InterruptedReclaim::MainOld,
        Interrupted::MainHalf => InterruptedReclaim::MainHalf,
        Interrupted::MainHeaders => InterruptedReclaim::MainHeaders,
        Interrupted::MainErased => InterruptedReclaim::MainErased,
    }
}
