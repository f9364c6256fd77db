//! The documents of `vars`: what `--json` prints.

use std::path::Path;

use fm_formats::image::Layout;
use fm_formats::varstore::{Entry, State, Time, VarStore, Variable, attribute};
use schemars::JsonSchema;
use serde::Serialize;

use crate::report::Report;
use crate::{describe, hex};

/// `flashmoor/vars-list/1`: a variable store and what is in it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VarsList {
    /// `flashmoor/vars-list/1`.
    pub schema: &'static str,
    /// Where it was read.
    pub source: String,
    /// `1M`, `2M`, `4M`, `armvirt`, `riscv`, `loongarch`; null for JSON and unknown layouts.
    pub layout: Option<String>,
    /// `authenticated`, `plain`, `blank`, or `json`.
    pub format: &'static str,
    /// Of the store, its header included: used and free bytes together. Null for JSON.
    pub size_bytes: Option<u64>,
    /// Headers, variables and the remains of deleted ones.
    pub used_bytes: Option<u64>,
    /// What the firmware can write before it must reclaim.
    pub free_bytes: Option<u64>,
    /// What a reclaim (or `vars compact`) would win.
    pub reclaimable_bytes: Option<u64>,
    /// `main`, or `spare` if an interrupted reclaim left the valid store there.
    pub truth: Option<&'static str>,
    /// Where a reclaim was interrupted with its copy whole in the spare: `main_old`, `main_half`, `main_erased` or
    /// `main_written`, by what the main area holds then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<&'static str>,
    /// Where that is not all of them: how many variables firmware finds that reads the main area alone, as builds
    /// without FaultTolerantWritePei do, and stops at damage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware_finds: Option<u64>,
    /// Whether somebody's records are in the event log area; no build of today writes any. Null for JSON.
    pub event_log: Option<bool>,
    /// What is wrong with the store.
    pub damage: Vec<DamageFound>,
    /// The variables, in the order of the store.
    pub variables: Vec<VariableDocument>,
}

/// One piece of damage.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DamageFound {
    /// A stable word, such as `volume_checksum`.
    pub kind: &'static str,
    /// In the file.
    pub offset: u64,
    /// Whether the firmware mends it by itself and loses nothing.
    pub heals_itself: bool,
    /// A sentence.
    pub message: String,
}

/// One variable.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VariableDocument {
    /// Its name; what text cannot say is written `\u{HEX}`.
    pub name: String,
    /// Its namespace; a name is unique only together with it.
    pub guid: String,
    /// The bits.
    pub attributes: u32,
    /// Their short names.
    pub attribute_names: Vec<&'static str>,
    /// The content, hexadecimal.
    pub data: String,
    /// Length of the content.
    pub data_bytes: u64,
    /// When it was signed; null if it was not.
    pub timestamp: Option<Timestamp>,
    /// Counter of count-based authentication.
    pub monotonic_count: u64,
    /// Key of count-based authentication.
    pub public_key_index: u32,
    /// Of QEMU's JSON: the digest of who may change it. Flash has no place for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// `live`, `in_deleted_transition` (still valid), `superseded`, `deleted`, `header_only`, `unknown`,
    /// or `recovered` (sound, but behind damage).
    pub state: &'static str,
    /// Where its header lies in the file; null for JSON.
    pub offset: Option<u64>,
    /// What it says, for people; null if that is not known.
    pub meaning: Option<String>,
}

/// `EFI_TIME` with all its fields.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Timestamp {
    /// For people.
    pub text: String,
    /// The year.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999999999.
    pub nanosecond: u32,
    /// Minutes from UTC; 2047 says local time.
    pub time_zone: i16,
    /// Daylight-saving bits.
    pub daylight: u8,
    /// All 16 bytes, hexadecimal.
    pub raw: String,
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        let [y0, y1, month, day, hour, minute, second, ..] = time.0;
        Self {
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

impl VariableDocument {
    pub(super) fn of(variable: &Variable, state: State, offset: Option<u64>) -> Self {
        Self {
            name: variable.name.to_string(),
            guid: variable.guid.to_string(),
            attributes: variable.attributes,
            attribute_names: attribute_names(variable.attributes),
            data: hex::encode(&variable.data),
            data_bytes: variable.data.len() as u64,
            timestamp: (!variable.timestamp.is_zero()).then(|| variable.timestamp.into()),
            monotonic_count: variable.monotonic_count,
            public_key_index: variable.public_key_index,
            digest: None,
            state: state.name(),
            offset,
            meaning: describe::in_short(variable),
        }
    }

    pub(super) fn of_entry(entry: &Entry<'_>) -> Self {
        Self::of(&entry.to_variable(), entry.state, Some(entry.offset))
    }
}

pub(super) fn damage(view: &VarStore<'_>) -> Vec<DamageFound> {
    view.damage_found()
        .iter()
        .map(|damage| DamageFound {
            kind: damage.kind.name(),
            offset: damage.offset,
            heals_itself: damage.heals_itself(),
            message: damage.to_string(),
        })
        .collect()
}

/// `flashmoor/vars-change/1`: what a writing verb did, or would do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VarsChange {
    /// `flashmoor/vars-change/1`.
    pub schema: &'static str,
    /// The file.
    pub path: String,
    /// Whether it was written; false for a plan, and where there was nothing to change.
    pub written: bool,
    /// Whether the store says all that already, so that it was left alone.
    pub up_to_date: bool,
    /// Where the old file is kept; null if there was none.
    pub backup: Option<String>,
    /// Layout of the store now.
    pub layout: Option<String>,
    /// How many variables it holds now.
    pub variable_count: u64,
    /// Bytes free in the store now; null for JSON.
    pub free_bytes: Option<u64>,
    /// What was or would be done, a sentence each.
    pub steps: Vec<String>,
    /// What could not be carried over, a sentence each.
    pub notes: Vec<String>,
}

impl VarsChange {
    /// Of a file that was not written.
    pub(super) fn new(path: &Path, layout: Option<Layout>, variable_count: usize, report: Report) -> Self {
        Self {
            schema: "flashmoor/vars-change/1",
            path: path.display().to_string(),
            written: false,
            up_to_date: false,
            backup: None,
            layout: layout.map(|layout| layout.name().to_owned()),
            variable_count: variable_count as u64,
            free_bytes: None,
            steps: report.steps,
            notes: report.notes,
        }
    }
}

/// `flashmoor/vars-diff/1`: how two stores differ in their variables.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VarsDiff {
    /// `flashmoor/vars-diff/1`.
    pub schema: &'static str,
    /// The first source.
    pub left: String,
    /// The second source.
    pub right: String,
    /// Whether every variable is identical in both.
    pub identical: bool,
    /// Only in the first.
    pub only_left: Vec<VariableDocument>,
    /// Only in the second.
    pub only_right: Vec<VariableDocument>,
    /// In both, and not the same.
    pub changed: Vec<VariableChange>,
    /// Damage of the stores: variables may be lost in it, so that what looks removed or the same may not be.
    pub damage: Vec<SideDamage>,
}

/// One piece of damage of one of two stores.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SideDamage {
    /// `left` or `right`.
    pub side: &'static str,
    /// What is damaged.
    #[serde(flatten)]
    pub found: DamageFound,
}

/// One variable in two stores.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VariableChange {
    /// Which fields differ.
    pub fields: Vec<&'static str>,
    /// In the first.
    pub left: VariableDocument,
    /// In the second.
    pub right: VariableDocument,
}
