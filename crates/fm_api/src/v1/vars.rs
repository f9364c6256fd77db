//! Variable stores: what is in them, what changes them, how two differ.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::firmware::{Layout, StoreFormat};
use crate::{Schema, document, words};

/// `flashmoor/vars-list/1`: a variable store and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VarsList {
    /// `flashmoor/vars-list/1`.
    pub schema: Schema<VarsList>,
    /// Where it was read.
    pub source: String,
    /// Its layout; null for JSON and unknown layouts.
    pub layout: Option<Layout>,
    /// Its form.
    pub format: StoreFormat,
    /// Of the store, its header included: used and free bytes together. Null for JSON.
    pub size_bytes: Option<u64>,
    /// Headers, variables and the remains of deleted ones.
    pub used_bytes: Option<u64>,
    /// What the firmware can write before it must reclaim.
    pub free_bytes: Option<u64>,
    /// What a reclaim (or `vars compact`) would win.
    pub reclaimable_bytes: Option<u64>,
    /// Where the valid store is.
    pub truth: Option<ActiveCopy>,
    /// Where a reclaim was interrupted with its copy whole in the spare: what the main area holds then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<InterruptedReclaim>,
    /// Where that is not all of them: how many variables firmware finds that reads the main area alone, as builds
    /// without FaultTolerantWritePei do, and stops at damage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware_finds: Option<u64>,
    /// Whether somebody's records are in the event log area; no build of today writes any. Null for JSON.
    pub event_log: Option<bool>,
    /// What is wrong with the store.
    pub damage: Vec<StoreDamage>,
    /// The variables, in the order of the store.
    pub variables: Vec<VariableDocument>,
}

document!(VarsList = "flashmoor/vars-list/1");

/// One piece of damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreDamage {
    /// Which kind of damage.
    pub kind: StoreDamageKind,
    /// In the file.
    pub offset: u64,
    /// Whether the firmware mends it by itself and loses nothing.
    pub heals_itself: bool,
    /// A sentence.
    pub message: String,
}

/// One variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VariableDocument {
    /// Its name; what text cannot say is written `\u{HEX}`.
    pub name: String,
    /// Its namespace; a name is unique only together with it.
    pub guid: String,
    /// The bits.
    pub attributes: u32,
    /// Their short names.
    pub attribute_names: Vec<String>,
    /// The content, hexadecimal.
    pub data: String,
    /// Length of the content.
    pub data_bytes: u64,
    /// When it was signed; null if it was not.
    pub timestamp: Option<VariableTime>,
    /// Counter of count-based authentication.
    pub monotonic_count: u64,
    /// Key of count-based authentication.
    pub public_key_index: u32,
    /// Of QEMU's JSON: the digest of who may change it. Flash has no place for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What its header says of it.
    pub state: VariableState,
    /// Where its header lies in the file; null for JSON.
    pub offset: Option<u64>,
    /// What it says, for people; null if that is not known.
    pub meaning: Option<String>,
}

/// `EFI_TIME` with all its fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VariableTime {
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

/// `flashmoor/vars-change/1`: what a writing verb did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VarsChange {
    /// `flashmoor/vars-change/1`.
    pub schema: Schema<VarsChange>,
    /// The file.
    pub path: String,
    /// Whether it was written; false for a plan, and where there was nothing to change.
    pub written: bool,
    /// Whether the store says all that already, so that it was left alone.
    pub up_to_date: bool,
    /// Where the old file is kept; null if there was none.
    pub backup: Option<String>,
    /// Layout of the store now.
    pub layout: Option<Layout>,
    /// How many variables it holds now.
    pub variable_count: u64,
    /// Bytes free in the store now; null for JSON.
    pub free_bytes: Option<u64>,
    /// What was or would be done, a sentence each.
    pub steps: Vec<String>,
    /// What could not be carried over, a sentence each.
    pub notes: Vec<String>,
}

document!(VarsChange = "flashmoor/vars-change/1");

/// `flashmoor/vars-diff/1`: how two stores differ in their variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VarsDiff {
    /// `flashmoor/vars-diff/1`.
    pub schema: Schema<VarsDiff>,
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
    pub damage: Vec<DiffedStoreDamage>,
}

document!(VarsDiff = "flashmoor/vars-diff/1");

/// One piece of damage of one of two stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffedStoreDamage {
    /// Of which.
    pub side: DiffedStore,
    /// What is damaged.
    #[serde(flatten)]
    pub found: StoreDamage,
}

/// One variable in two stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VariableChange {
    /// Which fields differ.
    pub fields: Vec<String>,
    /// In the first.
    pub left: VariableDocument,
    /// In the second.
    pub right: VariableDocument,
}

words! {
    /// Which area of the flash holds the valid store.
    ActiveCopy {
        /// In its own place.
        Main = "main",
        /// In the spare: a reclaim was interrupted when its copy there was whole. Not every build reads it there: see
        /// [`InterruptedReclaim`].
        Spare = "spare",
    }
}

words! {
    /// What the main area holds where a reclaim was interrupted.
    InterruptedReclaim {
        /// The main area is written, only the note of it is missing.
        MainWritten = "main_written",
        /// The main area still holds the old store, whole.
        MainOld = "main_old",
        /// The main area holds the start of the new store and is erased behind it.
        MainHalf = "main_half",
        /// The main area holds the headers of the new store, not one whole variable behind them, and is erased from there on.
        MainHeaders = "main_headers",
        /// The main area has no store: its volume header is gone.
        MainErased = "main_erased",
    }
}

words! {
    /// What is wrong with a variable store.
    StoreDamageKind {
        /// The file ends before the volume does.
        Truncated = "truncated",
        /// No volume header.
        VolumeHeader = "volume_header",
        /// The volume header's sum is off.
        VolumeChecksum = "volume_checksum",
        /// The volume header names a length that is none of the layouts'.
        VolumeLength = "volume_length",
        /// The block map names blocks of another length or number than the layout has.
        BlockMap = "block_map",
        /// Another field of the volume header says what no build writes there.
        VolumeField = "volume_field",
        /// The volume header's attributes are none that a build writes.
        VolumeAttributes = "volume_attributes",
        /// Signature, format or state of the store header.
        StoreHeader = "store_header",
        /// The store header's size is not that of the layout.
        StoreSize = "store_size",
        /// A variable's header, name or data leaves the store.
        VariableCut = "variable_cut",
        /// A live variable's name is no whole number of units, or has a terminator in its midst and none at its end.
        VariableName = "variable_name",
        /// A live variable's name has a terminator in its midst besides that at its end.
        NameSplit = "name_split",
        /// A live variable's name begins with a terminator.
        NameBlank = "name_blank",
        /// A live variable's name is empty.
        NameEmpty = "name_empty",
        /// A variable's name lacks its terminator.
        NameUnterminated = "name_unterminated",
        /// A variable's state is one that edk2 never writes.
        StateImpossible = "state_impossible",
        /// A variable's header has a state, and sizes or attributes that were never written.
        SizesUnwritten = "sizes_unwritten",
        /// A second valid variable of one name.
        NameTwice = "name_twice",
        /// The record of who may change which variable (`certdb`) names lengths that are not its own.
        CertRecord = "cert_record",
        /// Nothing but the start of a variable's header was written, and more variables lie behind it.
        HeaderTorn = "header_torn",
        /// Bytes that are no variable: not erased, or with more variables behind them.
        Gap = "gap",
        /// No valid FTW working block.
        Ftw = "ftw",
        /// An interrupted write was started that never reached the spare whole.
        FtwAbandoned = "ftw_abandoned",
        /// An interrupted write that does not cover the variables as a reclaim does.
        FtwForeign = "ftw_foreign",
        /// The FTW queue says that the spare holds the valid store, and there is none.
        SpareDamaged = "spare_damaged",
        /// Nothing is left of the store in its own place, and the spare holds one that the firmware will not look at.
        MainLost = "main_lost",
    }
}

words! {
    /// What the header of a variable says of it.
    VariableState {
        /// Written whole (0x3F).
        Live = "live",
        /// About to be replaced (0x3E), and no replacement was written: still valid.
        InDeletedTransition = "in_deleted_transition",
        /// 0x3E or 0x3F with another place that comes first: the firmware never shows it.
        Superseded = "superseded",
        /// Deleted (0x3D or 0x3C).
        Deleted = "deleted",
        /// Only its header was written (0x7F, or 0xFF in the middle of that).
        HeaderOnly = "header_only",
        /// A value that edk2 never writes.
        Unknown = "unknown",
        /// Sound, but behind damage where the firmware stops looking.
        Recovered = "recovered",
    }
}

words! {
    /// One of two stores.
    DiffedStore {
        /// The first.
        Left = "left",
        /// The second.
        Right = "right",
    }
}
