//! What is wrong with a store, and where.

use core::fmt;

/// The kinds of damage that a store can have and still be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DamageKind {
    /// The file ends before the volume does.
    Truncated,
    /// No volume header.
    VolumeHeader,
    /// The volume header's sum is off.
    VolumeChecksum,
    /// The volume header names a length that is none of the layouts'.
    VolumeLength,
    /// The block map names blocks of another length or number than the layout has.
    BlockMap,
    /// Another field of the volume header says what no build writes there.
    VolumeField,
    /// The volume header's attributes are none that a build writes.
    VolumeAttributes,
    /// Signature, format or state of the store header.
    StoreHeader,
    /// The store header's size is not that of the layout.
    StoreSize,
    /// A variable's header, name or data leaves the store.
    VariableCut,
    /// A live variable's name is no whole number of units, or has a terminator in its midst and none at its end.
    NameOdd,
    /// A live variable's name has a terminator in its midst besides that at its end.
    NameSplit,
    /// A live variable's name begins with a terminator, and ends with one.
    NameBlank,
    /// A live variable's name is empty.
    NameEmpty,
    /// A variable's name lacks its terminator.
    NameUnterminated,
    /// A variable's state is one that edk2 never writes.
    StateImpossible,
    /// A variable's header has a state, and sizes or attributes that were never written.
    SizesUnwritten,
    /// A second valid variable of one name.
    NameTwice,
    /// The record of who may change which variable (`certdb`) names lengths that are not its own.
    CertRecord,
    /// Nothing but the start of a variable's header was written, and more variables lie behind it.
    HeaderTorn,
    /// Bytes that are no variable: not erased, or with more variables behind them.
    Gap,
    /// No valid FTW working block.
    Ftw,
    /// An interrupted write was started that never reached the spare whole.
    FtwAbandoned,
    /// An interrupted write that does not cover the variables as a reclaim does.
    FtwForeign,
    /// The FTW queue says that the spare holds the valid store, and there is none.
    SpareDamaged,
    /// Nothing is left of the store in its own place, and the spare holds one that the firmware will not look at.
    MainLost,
}

/// One piece of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Damage {
    /// What.
    pub kind: DamageKind,
    /// Where, from the start of the input.
    pub offset: u64,
    /// How many bytes are concerned, or what the field says that is wrong; zero where that says nothing.
    pub len_bytes: u64,
}

impl Damage {
    pub(crate) const fn new(kind: DamageKind, offset: u64, len_bytes: u64) -> Self {
        Self {
            kind,
            offset,
            len_bytes,
        }
    }

    /// Whether the firmware mends it by itself at the next boot and loses nothing.
    #[must_use]
    pub const fn heals_itself(self) -> bool {
        matches!(self.kind, DamageKind::Ftw | DamageKind::FtwAbandoned)
    }

    /// Whether variables may be lost with it.
    #[must_use]
    pub const fn loses_variables(self) -> bool {
        matches!(
            self.kind,
            DamageKind::Truncated
                | DamageKind::VariableCut
                | DamageKind::NameOdd
                | DamageKind::NameSplit
                | DamageKind::NameBlank
                | DamageKind::NameEmpty
                | DamageKind::NameTwice
                | DamageKind::Gap
                | DamageKind::SpareDamaged
                | DamageKind::MainLost
        )
    }
}

impl DamageKind {
    /// The word in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::VolumeHeader => "volume_header",
            Self::VolumeChecksum => "volume_checksum",
            Self::VolumeLength => "volume_length",
            Self::BlockMap => "block_map",
            Self::VolumeField => "volume_field",
            Self::VolumeAttributes => "volume_attributes",
            Self::StoreHeader => "store_header",
            Self::StoreSize => "store_size",
            Self::VariableCut => "variable_cut",
            Self::NameOdd => "variable_name",
            Self::NameSplit => "name_split",
            Self::NameBlank => "name_blank",
            Self::NameEmpty => "name_empty",
            Self::NameUnterminated => "name_unterminated",
            Self::StateImpossible => "state_impossible",
            Self::SizesUnwritten => "sizes_unwritten",
            Self::NameTwice => "name_twice",
            Self::CertRecord => "cert_record",
            Self::HeaderTorn => "header_torn",
            Self::Gap => "gap",
            Self::Ftw => "ftw",
            Self::FtwAbandoned => "ftw_abandoned",
            Self::FtwForeign => "ftw_foreign",
            Self::SpareDamaged => "spare_damaged",
            Self::MainLost => "main_lost",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            offset,
            len_bytes,
        } = self;
        match kind {
            DamageKind::Truncated => write!(
                f,
                "the file ends at {offset:#x}, {len_bytes} bytes before the volume does"
            ),
            DamageKind::VolumeHeader => write!(f, "no volume header at {offset:#x}"),
            DamageKind::VolumeChecksum => write!(f, "the volume header at {offset:#x} has a wrong checksum"),
            DamageKind::VolumeLength => write!(
                f,
                "the volume header at {offset:#x} names a length of {len_bytes:#x}, which is no known layout's"
            ),
            DamageKind::BlockMap => write!(
                f,
                "the block map of the volume header at {offset:#x} names blocks of {len_bytes:#x} bytes, not the layout's"
            ),
            DamageKind::VolumeField => write!(
                f,
                "the volume header at {offset:#x} says what no build writes there"
            ),
            DamageKind::VolumeAttributes => write!(
                f,
                "the volume header at {offset:#x} has attributes that no build writes: {len_bytes:#x}"
            ),
            DamageKind::StoreHeader => write!(f, "no variable store header at {offset:#x}"),
            DamageKind::StoreSize => write!(
                f,
                "the variable store header at {offset:#x} names a size of {len_bytes:#x}, not the layout's"
            ),
            DamageKind::VariableCut => write!(f, "the variable at {offset:#x} leaves the store"),
            DamageKind::NameOdd => write!(
                f,
                "the variable at {offset:#x} has a name of an odd size, or with a terminator that does not end it"
            ),
            DamageKind::NameSplit => write!(
                f,
                "the variable at {offset:#x} has a name with a terminator in its midst and one at its end"
            ),
            DamageKind::NameBlank => write!(
                f,
                "the variable at {offset:#x} has a name that begins with its terminator"
            ),
            DamageKind::NameEmpty => write!(f, "the variable at {offset:#x} has an empty name"),
            DamageKind::NameUnterminated => {
                write!(f, "the variable at {offset:#x} has a name without its terminator")
            }
            DamageKind::StateImpossible => write!(
                f,
                "the variable at {offset:#x} has a state that edk2 never writes"
            ),
            DamageKind::SizesUnwritten => write!(
                f,
                "the variable at {offset:#x} has a state, and sizes or attributes that were never written"
            ),
            DamageKind::CertRecord => write!(
                f,
                "the record of who may change which variable (certdb) at {offset:#x} names lengths that are not its own"
            ),
            DamageKind::NameTwice => write!(
                f,
                "the variable at {offset:#x} has the name of a valid one before it, which is the one that firmware reads"
            ),
            DamageKind::HeaderTorn => write!(
                f,
                "the variable at {offset:#x} was never written beyond the start of its header, and more follow it"
            ),
            DamageKind::Gap => write!(
                f,
                "{len_bytes} bytes at {offset:#x} are no variable, and not the erased end of the list"
            ),
            DamageKind::Ftw => write!(
                f,
                "no valid FTW working block at {offset:#x}; the firmware makes a fresh one"
            ),
            DamageKind::FtwAbandoned => write!(
                f,
                "an interrupted write in the FTW queue at {offset:#x} never reached the spare; the firmware drops it"
            ),
            DamageKind::FtwForeign => write!(
                f,
                "an interrupted write in the FTW queue at {offset:#x} is not a reclaim of the variables"
            ),
            DamageKind::SpareDamaged => write!(
                f,
                "the FTW queue says that the spare at {offset:#x} holds the valid store, but there is none: the store \
                 in its own place is read, which the firmware would overwrite"
            ),
            DamageKind::MainLost => write!(
                f,
                "the store in its own place is gone; the copy in the spare at {offset:#x} is read, which the firmware \
                 would not look at"
            ),
        }
    }
}
