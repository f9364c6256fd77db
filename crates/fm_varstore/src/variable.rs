//! One variable: what it is called, what it holds, which state its place in the store is in.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use fm_formats::Guid;
use fm_formats::efi::{Name, Time};

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

/// `gEfiHardwareErrorVariableGuid`.
const HARDWARE_ERROR_VARIABLE: Guid = Guid::literal("414e6bdd-e47b-47cc-b244-bb61020cf516");

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

    /// What edk2 would refuse about the attributes of a variable that it is asked to store, if anything.
    ///
    /// Sources: edk2 `MdeModulePkg/Universal/Variable/RuntimeDxe/Variable.c`, `VariableServiceSetVariable`;
    /// `SecurityPkg/Library/AuthVariableLib/AuthService.c`, `ProcessVariable` (count-based authentication is
    /// `EFI_UNSUPPORTED`); `MdeModulePkg/Library/VarCheckUefiLib/VarCheckUefiLibNullClass.c`,
    /// `SetVariableCheckHandlerUefiDefined` (error records).
    #[must_use]
    pub fn attribute_fault(&self) -> Option<&'static str> {
        let attributes = self.attributes;
        use attribute::{
            APPEND, BOOT_SERVICE, COUNT_AUTHENTICATED, HARDWARE_ERROR, NON_VOLATILE, RUNTIME,
            TIME_AUTHENTICATED,
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
        } else if attributes & COUNT_AUTHENTICATED != 0 {
            Some("authentication by count (0x10) is deprecated, and no firmware takes it any more")
        } else if attributes & APPEND != 0 {
            Some("APPEND (0x40) is a request and is never stored")
        } else if attributes & HARDWARE_ERROR != 0 && !self.is_error_record() {
            Some(
                "HARDWARE_ERROR_RECORD (0x08) is for HwErrRec#### of 414e6bdd-e47b-47cc-b244-bb61020cf516 alone",
            )
        } else {
            None
        }
    }

    /// `HwErrRec####`, as edk2 `IsHwErrRecVariable` has it.
    fn is_error_record(&self) -> bool {
        const PREFIX: &[u8] = b"HwErrRec";
        let (prefix, number) = self
            .name
            .units()
            .split_at(PREFIX.len().min(self.name.units().len()));
        self.guid == HARDWARE_ERROR_VARIABLE
            && prefix
                .iter()
                .copied()
                .eq(PREFIX.iter().map(|byte| u16::from(*byte)))
            && number.len() == 4
            && number
                .iter()
                .all(|unit| u8::try_from(*unit).is_ok_and(|byte| byte.is_ascii_hexdigit()))
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

/// [`set`] for many, each found at once.
pub fn set_all(variables: &mut Vec<Variable>, incoming: Vec<Variable>) {
    let mut places: BTreeMap<(Guid, Name), usize> = variables
        .iter()
        .enumerate()
        .rev()
        .map(|(at, variable)| ((variable.guid, variable.name.clone()), at))
        .collect();
    for variable in incoming {
        let next = variables.len();
        let at = *places
            .entry((variable.guid, variable.name.clone()))
            .or_insert(next);
        match variables.get_mut(at) {
            Some(place) => *place = variable,
            None => variables.push(variable),
        }
    }
}

/// Takes the variable of that name out of `variables`.
pub fn delete(variables: &mut Vec<Variable>, guid: Guid, name: &Name) -> Option<Variable> {
    let index = variables
        .iter()
        .position(|variable| variable.guid == guid && variable.name == *name)?;
    Some(variables.remove(index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn fault(guid: Guid, name: &str, attributes: u32) -> Option<&'static str> {
        Variable::new(guid, name.parse().unwrap(), attributes, vec![1]).attribute_fault()
    }

    #[test]
    fn an_error_record_is_one_by_name_and_namespace() {
        assert_eq!(fault(HARDWARE_ERROR_VARIABLE, "HwErrRec00aF", 0xf), None);
        for (guid, name) in [
            (HARDWARE_ERROR_VARIABLE, "HwErrRec00a"),
            (HARDWARE_ERROR_VARIABLE, "HwErrRec00ag"),
            (HARDWARE_ERROR_VARIABLE, "HwErrRe"),
            (Guid::ZERO, "HwErrRec00aF"),
        ] {
            assert!(fault(guid, name, 0xf).is_some(), "{name}");
            assert_eq!(fault(guid, name, 7), None);
        }
    }

    #[test]
    fn many_are_set_as_one_by_one() {
        let named = |name: &str, byte: u8| Variable::new(Guid::ZERO, name.parse().unwrap(), 7, vec![byte]);
        let mut one_by_one = vec![named("A", 1), named("B", 1)];
        let mut at_once = one_by_one.clone();
        let incoming = vec![named("C", 2), named("A", 2), named("C", 3)];
        for variable in incoming.clone() {
            set(&mut one_by_one, variable);
        }
        set_all(&mut at_once, incoming);
        assert_eq!(at_once, one_by_one);
    }
}
