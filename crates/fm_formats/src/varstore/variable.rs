//! One variable: what it is called, what it holds, which state its place in the store is in.

use alloc::vec::Vec;
use core::fmt;

use super::name::Name;
use crate::Guid;

/// Attribute bits (UEFI 2.10, section 8.2).
pub mod attribute {
    /// Survives a reset.
    pub const NON_VOLATILE: u32 = 0x01;
    /// Visible before `ExitBootServices`.
    pub const BOOT_SERVICE: u32 = 0x02;
    /// Visible to the operating system.
    pub const RUNTIME: u32 = 0x04;
    /// A hardware error record.
    pub const HARDWARE_ERROR: u32 = 0x08;
    /// Authenticated by a counter; deprecated.
    pub const COUNT_AUTHENTICATED: u32 = 0x10;
    /// Authenticated by a timestamp.
    pub const TIME_AUTHENTICATED: u32 = 0x20;
    /// An append request; never stored.
    pub const APPEND: u32 = 0x40;

    /// Bits and their short names, in the order in which people read them.
    pub const NAMES: [(u32, &str); 7] = [
        (NON_VOLATILE, "nv"),
        (BOOT_SERVICE, "bs"),
        (RUNTIME, "rt"),
        (HARDWARE_ERROR, "hw"),
        (COUNT_AUTHENTICATED, "authcount"),
        (TIME_AUTHENTICATED, "auth"),
        (APPEND, "append"),
    ];
}

/// `EFI_TIME` as stored with an authenticated variable: all 16 bytes, the padding too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub [u8; 16]);

impl Time {
    /// A moment in UTC.
    #[must_use]
    pub const fn utc(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Self {
        let [y0, y1] = year.to_le_bytes();
        Self([
            y0, y1, month, day, hour, minute, second, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ])
    }

    /// Whether no time is set, as with every variable that is not authenticated by time.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == [0; 16]
    }

    /// Nanoseconds.
    #[must_use]
    pub const fn nanosecond(self) -> u32 {
        let [.., n0, n1, n2, n3, _, _, _, _] = self.0;
        u32::from_le_bytes([n0, n1, n2, n3])
    }

    /// Minutes from UTC; 2047 says local time.
    #[must_use]
    pub const fn time_zone(self) -> i16 {
        let [.., z0, z1, _, _] = self.0;
        i16::from_le_bytes([z0, z1])
    }

    /// Daylight-saving bits.
    #[must_use]
    pub const fn daylight(self) -> u8 {
        let [.., daylight, _] = self.0;
        daylight
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [y0, y1, month, day, hour, minute, second, ..] = self.0;
        let year = u16::from_le_bytes([y0, y1]);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if self.nanosecond() != 0 {
            write!(f, ".{:09}", self.nanosecond())?;
        }
        match self.time_zone() {
            0 => f.write_str("Z"),
            2047 => Ok(()),
            zone => {
                let sign = if zone < 0 { '-' } else { '+' };
                let minutes = zone.unsigned_abs();
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A variable on its own, free of any store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variable {
    /// The namespace; a name is unique only together with it.
    pub guid: Guid,
    /// The name.
    pub name: Name,
    /// [`attribute`] bits.
    pub attributes: u32,
    /// When it was signed; zero unless authenticated by time.
    pub timestamp: Time,
    /// Zero unless authenticated by count.
    pub monotonic_count: u64,
    /// Zero unless authenticated by count.
    pub public_key_index: u32,
    /// The content.
    pub data: Vec<u8>,
}

impl Variable {
    /// A variable without authentication fields.
    #[must_use]
    pub const fn new(guid: Guid, name: Name, attributes: u32, data: Vec<u8>) -> Self {
        Self {
            guid,
            name,
            attributes,
            timestamp: Time([0; 16]),
            monotonic_count: 0,
            public_key_index: 0,
            data,
        }
    }

    /// What edk2 would refuse about the attributes of a stored variable, if anything.
    ///
    /// Source: edk2 `MdeModulePkg/Universal/Variable/RuntimeDxe/Variable.c`, `VariableServiceSetVariable`.
    #[must_use]
    pub const fn attribute_fault(attributes: u32) -> Option<&'static str> {
        use attribute::{
            APPEND, BOOT_SERVICE, COUNT_AUTHENTICATED, NON_VOLATILE, RUNTIME, TIME_AUTHENTICATED,
        };
        if attributes & !0x7f != 0 {
            Some("bits above 0x40 are reserved")
        } else if attributes & NON_VOLATILE == 0 {
            Some("a variable without NON_VOLATILE (0x01) is never stored")
        } else if attributes & BOOT_SERVICE == 0 && attributes & RUNTIME != 0 {
            Some("RUNTIME (0x04) needs BOOT_SERVICE (0x02)")
        } else if attributes & BOOT_SERVICE == 0 {
            Some("NON_VOLATILE (0x01) alone gives nobody access: add BOOT_SERVICE (0x02)")
        } else if attributes & COUNT_AUTHENTICATED != 0 && attributes & TIME_AUTHENTICATED != 0 {
            Some("count (0x10) and time (0x20) authentication exclude each other")
        } else if attributes & APPEND != 0 {
            Some("APPEND (0x40) is a request and is never stored")
        } else {
            None
        }
    }
}

/// The state of a variable's place in the store, as the firmware would judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Written whole (0x3F).
    Live,
    /// About to be replaced (0x3E), and no replacement was written: still valid.
    InDeletedTransition,
    /// 0x3E or 0x3F with another place that comes first: the firmware never shows it.
    Superseded,
    /// Deleted (0x3D or 0x3C).
    Deleted,
    /// Only its header was written (0x7F, or 0xFF in the middle of that).
    HeaderOnly,
    /// A value that edk2 never writes.
    Unknown,
    /// Sound, but behind damage where the firmware stops looking.
    Recovered,
}

impl State {
    /// Whether a variable in this state is to be kept.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Live | Self::InDeletedTransition | Self::Recovered)
    }

    /// The word in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::InDeletedTransition => "in_deleted_transition",
            Self::Superseded => "superseded",
            Self::Deleted => "deleted",
            Self::HeaderOnly => "header_only",
            Self::Unknown => "unknown",
            Self::Recovered => "recovered",
        }
    }
}

/// A variable where it lies in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where its header starts, from the start of the input.
    pub offset: u64,
    /// Bytes of header, name, data and alignment.
    pub len_bytes: u64,
    /// How the firmware judges it.
    pub state: State,
    /// The state byte itself.
    pub raw_state: u8,
    /// The namespace.
    pub guid: Guid,
    /// The name.
    pub name: Name,
    /// [`attribute`] bits.
    pub attributes: u32,
    /// When it was signed.
    pub timestamp: Time,
    /// Counter of count-based authentication.
    pub monotonic_count: u64,
    /// Key of count-based authentication.
    pub public_key_index: u32,
    /// The content.
    pub data: &'a [u8],
}

impl Entry<'_> {
    /// A copy that is free of the store.
    #[must_use]
    pub fn to_variable(&self) -> Variable {
        Variable {
            guid: self.guid,
            name: self.name.clone(),
            attributes: self.attributes,
            timestamp: self.timestamp,
            monotonic_count: self.monotonic_count,
            public_key_index: self.public_key_index,
            data: self.data.to_vec(),
        }
    }
}

/// Puts `variable` among `variables`: in the place of the one of its name, or at the end.
pub fn set(variables: &mut Vec<Variable>, variable: Variable) {
    let same = |other: &&mut Variable| other.guid == variable.guid && other.name == variable.name;
    match variables.iter_mut().find(same) {
        Some(place) => *place = variable,
        None => variables.push(variable),
    }
}

/// Takes the variable of that name out of `variables`.
pub fn delete(variables: &mut Vec<Variable>, guid: Guid, name: &Name) -> Option<Variable> {
    let index = variables
        .iter()
        .position(|variable| variable.guid == guid && variable.name == *name)?;
    Some(variables.remove(index))
}
