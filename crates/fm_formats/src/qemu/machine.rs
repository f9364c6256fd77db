//! QEMU's machine types by name: which board, whose, and on which release they are built.
//!
//! Sources: `DEFINE_Q35_MACHINE` and `DEFINE_I440FX_MACHINE` in QEMU's `hw/i386`, `DEFINE_VIRT_MACHINE` in
//! `hw/arm/virt.c`; `-machine help` of Ubuntu 24.04 and RHEL 9.8; Proxmox' `QemuServer/Machine.pm`, whose QEMU takes
//! `+pveN` off before it looks for the type.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use super::QemuVersion;

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

/// Who keeps a machine type: only that maker's QEMU has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MachineVendor {
    /// QEMU itself, so every QEMU of that release or a later one, unless its distributor took it out.
    Qemu,
    /// Red Hat Enterprise Linux and what is rebuilt from it.
    RedHat,
    /// Ubuntu.
    Ubuntu,
}

impl MachineVendor {
    /// Whose types a QEMU has and means by its aliases, told by the version as it prints it:
    /// `8.2.2 (Debian 1:8.2.2+ds-0ubuntu1.16)`, `9.1.0 (qemu-kvm-9.1.0-15.el9_6)`.
    #[must_use]
    pub fn of_version_text(text: &str) -> Self {
        let is_el = text
            .split(".el")
            .skip(1)
            .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if text.contains("ubuntu") {
            Self::Ubuntu
        } else if is_el && text.contains("qemu-kvm") {
            Self::RedHat
        } else {
            Self::Qemu
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU",
            Self::RedHat => "Red Hat",
            Self::Ubuntu => "Ubuntu",
        }
    }
}

/// A machine type by its full name, `pc-q35-7.2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineType {
    name: String,
    family: MachineFamily,
    vendor: Option<MachineVendor>,
    base: Option<(u16, u16)>,
}

/// Names without a version, and the board that they mean. Ubuntu's QEMU has two of its own beside them.
const ALIASES: [(&str, MachineFamily); 5] = [
    ("q35", MachineFamily::Q35),
    ("pc", MachineFamily::I440fx),
    ("virt", MachineFamily::Virt),
    ("ubuntu-q35", MachineFamily::Q35),
    ("ubuntu", MachineFamily::I440fx),
];

/// Ubuntu's releases and the QEMU that each shipped with, which its machine types are made of.
const UBUNTU: [(&str, (u16, u16)); 21] = [
    ("trusty", (2, 0)),
    ("utopic", (2, 1)),
    ("vivid", (2, 2)),
    ("wily", (2, 3)),
    ("xenial", (2, 5)),
    ("yakkety", (2, 6)),
    ("zesty", (2, 8)),
    ("artful", (2, 10)),
    ("bionic", (2, 11)),
    ("cosmic", (2, 12)),
    ("disco", (3, 1)),
    ("eoan", (4, 0)),
    ("focal", (4, 2)),
    ("groovy", (5, 0)),
    ("hirsute", (5, 2)),
    ("impish", (6, 0)),
    ("jammy", (6, 2)),
    ("kinetic", (7, 0)),
    ("lunar", (7, 2)),
    ("mantic", (8, 0)),
    ("noble", (8, 2)),
];

/// The first of Red Hat's releases whose types are made of QEMU 9.1 or later; those before are made of 8.2 at most.
const RED_HAT_OF_9_1: (u16, u16) = (9, 6);

impl MachineType {
    /// The machine that QEMU makes of `name`; an alias (`q35`, `pc`, `virt`) becomes the newest type of
    /// `qemu` where that is known.
    #[must_use]
    pub fn new(name: &str, qemu: Option<QemuVersion>) -> Self {
        let name = without_revision(name);
        let Some((_, family)) = ALIASES.iter().find(|(alias, _)| *alias == name) else {
            return Self::by_full_name(name);
        };
        let prefix = match name {
            "q35" => Some("pc-q35"),
            "pc" => Some("pc-i440fx"),
            "virt" => Some("virt"),
            _ => None,
        };
        match (prefix, qemu) {
            (Some(prefix), Some(qemu)) => Self {
                name: format!("{prefix}-{}.{}", qemu.major, qemu.minor),
                family: *family,
                vendor: Some(MachineVendor::Qemu),
                base: Some((qemu.major, qemu.minor)),
            },
            _ => Self {
                name: name.to_string(),
                family: *family,
                vendor: None,
                base: None,
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
        let (vendor, base) = if let Some(release) = rest.strip_prefix("rhel") {
            (Some(MachineVendor::RedHat), red_hat_base(release))
        } else if let Some(base) = ubuntu_base(rest) {
            (Some(MachineVendor::Ubuntu), Some(base))
        } else {
            let base = numbers(rest);
            (base.map(|_| MachineVendor::Qemu), base)
        };
        Self {
            name: name.to_string(),
            family,
            vendor,
            base,
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

    /// Whose type it is, where the name says so.
    #[must_use]
    pub const fn vendor(&self) -> Option<MachineVendor> {
        self.vendor
    }

    /// The QEMU release that the type belongs to, if it is one of QEMU's own.
    #[must_use]
    pub const fn version(&self) -> Option<(u16, u16)> {
        match self.vendor {
            Some(MachineVendor::Qemu) => self.base,
            _ => None,
        }
    }

    /// Whether the name is an alias that was not resolved, so that it may mean any version.
    #[must_use]
    pub fn is_alias(&self) -> bool {
        ALIASES.iter().any(|(alias, _)| *alias == self.name)
    }

    /// Whether the board is known to have no flash: QEMU's `microvm` takes its firmware with `-bios` only.
    #[must_use]
    pub fn has_no_flash(&self) -> bool {
        self.name == "microvm"
    }

    /// Whether the machine copies the end of its flash into a RAM block `isa-bios`: PC types up to 9.0
    /// (QEMU `hw/i386/pc_piix.c` and `pc_q35.c`, `isa_bios_alias` is set from 9.1 on). A distribution's type has it
    /// if the release that it is made of has, or guests of that type could not move to later ones.
    #[must_use]
    pub fn has_isa_bios_block(&self) -> Option<bool> {
        match self.family {
            MachineFamily::Q35 | MachineFamily::I440fx => Some(self.base? <= (9, 0)),
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

/// Proxmox' `pc-q35-9.2+pve1` is QEMU's `pc-q35-9.2`: the number tells its management of devices that it adds.
fn without_revision(name: &str) -> &str {
    match name.split_once("+pve") {
        Some((name, revision)) if revision.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    }
}

/// `9.2`, `4.0.1`: the first two.
fn numbers(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split('.').map(str::parse);
    let first_two = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    numbers.all(|number| number.is_ok()).then_some(first_two)
}

/// `noble`, `bionic-hpb`, `jammy-hpb-maxcpus`, `noble-v2`: what follows the release changes the processor only.
fn ubuntu_base(rest: &str) -> Option<(u16, u16)> {
    let release = rest.split('-').next()?;
    let (_, base) = UBUNTU.iter().find(|(name, _)| *name == release)?;
    Some(*base)
}

/// Red Hat's number is that of the distribution; of the QEMU below only that is told which firmware depends on.
fn red_hat_base(release: &str) -> Option<(u16, u16)> {
    let release = numbers(release)?;
    Some(if release >= RED_HAT_OF_9_1 { (9, 1) } else { (8, 2) })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }

    #[test]
    fn machine_types_of_distributions_are_known_by_their_boards() {
        use MachineFamily::{I440fx, Other, Q35, Virt};
        use MachineVendor::{Qemu, RedHat, Ubuntu};
        for (name, family, vendor, version, has_isa_bios) in [
            ("pc-q35-9.2+pve1", Q35, Some(Qemu), Some((9, 2)), Some(false)),
            ("pc-i440fx-8.1+pve0", I440fx, Some(Qemu), Some((8, 1)), Some(true)),
            ("pc-q35-4.0.1", Q35, Some(Qemu), Some((4, 0)), Some(true)),
            ("pc-q35-2.12", Q35, Some(Qemu), Some((2, 12)), Some(true)),
            ("pc-q35-rhel9.4.0", Q35, Some(RedHat), None, Some(true)),
            ("pc-q35-rhel9.6.0", Q35, Some(RedHat), None, Some(false)),
            ("pc-q35-rhel10.0.0", Q35, Some(RedHat), None, Some(false)),
            ("pc-i440fx-rhel7.6.0", I440fx, Some(RedHat), None, Some(true)),
            ("virt-rhel9.6.0", Virt, Some(RedHat), None, Some(false)),
            ("pc-q35-noble", Q35, Some(Ubuntu), None, Some(true)),
            ("pc-q35-noble-v2", Q35, Some(Ubuntu), None, Some(true)),
            ("pc-q35-jammy-hpb-maxcpus", Q35, Some(Ubuntu), None, Some(true)),
            ("pc-i440fx-bionic-hpb", I440fx, Some(Ubuntu), None, Some(true)),
            // openEuler and SUSE take QEMU's names.
            ("virt-4.2", Virt, Some(Qemu), Some((4, 2)), Some(false)),
            ("pc-i440fx-5.2", I440fx, Some(Qemu), Some((5, 2)), Some(true)),
            // Of a name that nobody is known to use only the board is told.
            ("pc-q35-nosuch", Q35, None, None, None),
            ("pc-q35-9.x", Q35, None, None, None),
            ("pc-q35-rhel9", Q35, Some(RedHat), None, None),
            ("xenfv-4.2", Other, None, None, None),
            ("xenpvh", Other, None, None, None),
            ("microvm", Other, None, None, None),
        ] {
            let machine = MachineType::new(name, None);
            assert_eq!(machine.family(), family, "{name}");
            assert_eq!(machine.vendor(), vendor, "{name}");
            assert_eq!(machine.version(), version, "{name}");
            assert_eq!(machine.has_isa_bios_block(), has_isa_bios, "{name}");
            assert!(!machine.is_alias(), "{name}");
        }
    }

    #[test]
    fn whose_types_a_qemu_has_is_told_by_its_version() {
        for (text, vendor) in [
            ("7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)", MachineVendor::Qemu),
            ("8.2.2 (Debian 1:8.2.2+ds-0ubuntu1.16)", MachineVendor::Ubuntu),
            ("9.1.0 (qemu-kvm-9.1.0-15.el9_6.2)", MachineVendor::RedHat),
            ("9.2.0 (pve-qemu-kvm_9.2.0-5)", MachineVendor::Qemu),
            ("10.0.2", MachineVendor::Qemu),
        ] {
            assert_eq!(MachineVendor::of_version_text(text), vendor, "{text}");
        }
    }

    #[test]
    fn a_revision_of_proxmox_is_no_other_type() {
        let upstream = MachineType::new("pc-q35-9.2", None);
        assert_eq!(MachineType::new("pc-q35-9.2+pve1", None), upstream);
        assert_ne!(MachineType::new("pc-q35-9.2+pvex", None), upstream);
    }

    #[test]
    fn aliases_of_ubuntu_are_resolved_by_no_version() {
        for name in ["ubuntu", "ubuntu-q35"] {
            assert!(
                MachineType::new(name, Some(QemuVersion::new(8, 2, 2))).is_alias(),
                "{name}"
            );
        }
    }
}
