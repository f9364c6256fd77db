//! QEMU's version and machine type names, as far as firmware depends on them.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

/// A QEMU release, `10.0.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QemuVersion {
    /// One a year.
    pub major: u16,
    /// Three a year, from 0.
    pub minor: u16,
    /// Bug fixes; distributions backport more than this number tells.
    pub micro: u16,
}

/// The text does not begin with a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no QEMU version; it looks like 7.2 or 10.0.2")]
pub struct ParseVersionError(String);

impl QemuVersion {
    /// The release `major.minor.micro`.
    #[must_use]
    pub const fn new(major: u16, minor: u16, micro: u16) -> Self {
        Self { major, minor, micro }
    }
}

impl FromStr for QemuVersion {
    type Err = ParseVersionError;

    /// Reads `7.2`, `7.2.22`, and what packages make of it: `10.0.2 (Debian 1:10.0.2+ds-2)`.
    fn from_str(text: &str) -> Result<Self, ParseVersionError> {
        let error = || ParseVersionError(text.to_string());
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let mut numbers = text.get(..end).unwrap_or_default().split('.').map(str::parse);
        let mut number = |default: Option<u16>| match numbers.next() {
            Some(number) => number.map_err(|_| error()),
            None => default.ok_or_else(error),
        };
        Ok(Self {
            major: number(None)?,
            minor: number(None)?,
            micro: number(Some(0))?,
        })
    }
}

impl QemuVersion {
    /// Whether `text`, a version as people write it, means this release: `7.2` means every `7.2.x`.
    #[must_use]
    pub fn is_meant_by(self, text: &str) -> bool {
        let names_micro = text
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()
            .is_some_and(|number| number.split('.').count() > 2);
        text.parse().is_ok_and(|meant: Self| {
            (meant.major, meant.minor) == (self.major, self.minor)
                && (!names_micro || meant.micro == self.micro)
        })
    }
}

impl fmt::Display for QemuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// The boards that carry UEFI firmware in flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MachineFamily {
    /// `pc-q35-*`.
    Q35,
    /// `pc-i440fx-*`.
    I440fx,
    /// `virt` of ARM, RISC-V and LoongArch: two flash chips, of a fixed size on the first two.
    Virt,
    /// Another board, of which nothing is assumed.
    Other,
}

/// A machine type by its full name, `pc-q35-7.2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineType {
    name: String,
    family: MachineFamily,
    version: Option<(u16, u16)>,
}

impl MachineType {
    /// The machine that QEMU makes of `name`; an alias (`q35`, `pc`, `virt`) becomes the newest type of
    /// `qemu` where that is known.
    #[must_use]
    pub fn new(name: &str, qemu: Option<QemuVersion>) -> Self {
        let (prefix, family) = match name {
            "q35" => ("pc-q35", MachineFamily::Q35),
            "pc" => ("pc-i440fx", MachineFamily::I440fx),
            "virt" => ("virt", MachineFamily::Virt),
            _ => return Self::by_full_name(name),
        };
        match qemu {
            Some(qemu) => Self {
                name: format!("{prefix}-{}.{}", qemu.major, qemu.minor),
                family,
                version: Some((qemu.major, qemu.minor)),
            },
            None => Self {
                name: name.to_string(),
                family,
                version: None,
            },
        }
    }

    fn by_full_name(name: &str) -> Self {
        let (family, rest) = if let Some(rest) = name.strip_prefix("pc-q35-") {
            (MachineFamily::Q35, rest)
        } else if let Some(rest) = name.strip_prefix("pc-i440fx-") {
            (MachineFamily::I440fx, rest)
        } else if let Some(rest) = name.strip_prefix("virt-") {
            (MachineFamily::Virt, rest)
        } else {
            (MachineFamily::Other, "")
        };
        // `pc-q35-rhel9.4.0` and `pc-q35-noble` are a distribution's own: no upstream version.
        let version = rest
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        Self {
            name: name.to_string(),
            family,
            version,
        }
    }

    /// The name as QEMU has it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which board it is.
    #[must_use]
    pub const fn family(&self) -> MachineFamily {
        self.family
    }

    /// The QEMU release that the type belongs to, if it is one of QEMU's own.
    #[must_use]
    pub const fn version(&self) -> Option<(u16, u16)> {
        self.version
    }

    /// Whether the name is an alias that was not resolved, so that it may mean any version.
    #[must_use]
    pub fn is_alias(&self) -> bool {
        matches!(self.name.as_str(), "q35" | "pc" | "virt")
    }

    /// Whether the board is known to have no flash: QEMU's `microvm` takes its firmware with `-bios` only.
    #[must_use]
    pub fn has_no_flash(&self) -> bool {
        self.name == "microvm"
    }

    /// Whether the machine copies the end of its flash into a RAM block `isa-bios`: PC types up to 9.0
    /// (QEMU `hw/i386/pc_piix.c` and `pc_q35.c`, `isa_bios_alias` is set from 9.1 on).
    #[must_use]
    pub fn has_isa_bios_block(&self) -> Option<bool> {
        match self.family {
            MachineFamily::Q35 | MachineFamily::I440fx => Some(self.version? <= (9, 0)),
            MachineFamily::Virt => Some(false),
            MachineFamily::Other => None,
        }
    }
}

impl fmt::Display for MachineType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_packages_are_read_and_other_words_refused() {
        assert_eq!("7.2".parse(), Ok(QemuVersion::new(7, 2, 0)));
        assert_eq!(
            "10.0.2 (Debian 1:10.0.2+ds-2)".parse(),
            Ok(QemuVersion::new(10, 0, 2))
        );
        for text in ["", "7", "v7.2", "7..2", "70000.1", "."] {
            assert!(text.parse::<QemuVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_version_without_its_last_number_means_every_release_of_that_series() {
        let running = QemuVersion::new(7, 2, 22);
        for (text, meant) in [
            ("7.2", true),
            ("7.2.22", true),
            ("7.2.22 (Debian 1:7.2+dfsg-7)", true),
            ("7.2.0", false),
            ("7.1", false),
            ("10.0", false),
            ("seven", false),
        ] {
            assert_eq!(running.is_meant_by(text), meant, "{text}");
        }
    }

    #[test]
    fn an_alias_means_the_newest_type_of_the_qemu_that_reads_it() {
        let machine = MachineType::new("q35", Some(QemuVersion::new(7, 2, 22)));
        assert_eq!(machine.name(), "pc-q35-7.2");
        assert_eq!(machine, MachineType::new("pc-q35-7.2", None));
        assert!(MachineType::new("q35", None).is_alias());
    }

    #[test]
    fn pc_types_up_to_9_0_have_an_isa_bios_block() {
        assert_eq!(
            MachineType::new("pc-q35-9.0", None).has_isa_bios_block(),
            Some(true)
        );
        assert_eq!(
            MachineType::new("pc-q35-9.1", None).has_isa_bios_block(),
            Some(false)
        );
        assert_eq!(
            MachineType::new("virt-7.2", None).has_isa_bios_block(),
            Some(false)
        );
        assert_eq!(MachineType::new("pc-q35-noble", None).has_isa_bios_block(), None);
    }
}
