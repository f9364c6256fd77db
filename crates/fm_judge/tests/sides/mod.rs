//! Sides that are fully known, to start from.

use fm_formats::Sha256;
use fm_formats::image::{Arch, Feature, Layout};
use fm_judge::{
    Block, CodeUnit, Confidential, Facts, Features, Firmware, Format, Known, MachineType, QemuVersion,
    Soundness, StoreState, VarsAccess, VarsUnit,
};

/// A machine with a build of `layout` and a store of its own, everything known.
pub(crate) fn known(layout: Layout) -> Facts {
    let arch = match layout {
        Layout::X86Size1M | Layout::X86Size2M | Layout::X86Size4M => Arch::X86_64,
        Layout::ArmVirt => Arch::Aarch64,
        Layout::Riscv => Arch::Riscv64,
        Layout::Loongarch => Arch::Loongarch64,
    };
    let machine = if arch.is_x86() { "pc-q35-7.2" } else { "virt-7.2" };
    Facts {
        qemu: Known::new(QemuVersion::new(7, 2, 22), "-version"),
        machine: Known::new(MachineType::new(machine, None), "--machine"),
        firmware: Known::new(Firmware::Flash, "the command line"),
        blocks: Known::default(),
        roms: Known::default(),
        code: CodeUnit {
            soundness: Known::new(Soundness::Whole, "CODE"),
            promised_keys: Known::new(false, "descriptor"),
            template_keys: Known::new(false, "template"),
            promised_machines: Known::new(vec!["pc-q35-*".into(), "virt-*".into()], "descriptor"),
            present: Known::new(true, "CODE"),
            size_bytes: Known::new(layout.code_size_bytes(), "CODE"),
            sha256: Known::new(Sha256::of(layout.name().as_bytes()), "CODE"),
            format: Known::new(Format::Raw, "CODE"),
            declared_format: Known::new(Format::Raw, "the command line"),
            path: Known::new("/usr/share/OVMF/CODE.fd".into(), "the command line"),
            next_boot_code: Known::new(Sha256::of(layout.name().as_bytes()), "CODE"),
            arch: Known::new(arch, "CODE"),
            early_arch: Known::new(arch, "CODE"),
            layout: Known::new(layout, "CODE"),
            features: Known::new([Feature::Tpm2, Feature::SecureBoot].into_iter().collect(), "CODE"),
            promised: Known::new(Features::default(), "descriptor"),
            finishes_reclaim: Known::new(false, "CODE"),
            is_recent: Known::new(false, "CODE"),
            checks_list: Known::new(!arch.is_x86(), "CODE"),
            measured: Known::new(
                vec![("PEIFV".into(), Sha256::of(layout.name().as_bytes()))],
                "CODE",
            ),
        },
        vars: VarsUnit {
            path: Known::new("/var/lib/guest_VARS.fd".into(), "the command line"),
            landing: Known::default(),
            secure_boot: Known::new(Sha256::of(b"no keys"), "VARS"),
            in_device: Known::new(false, "VARS"),
            present: Known::new(true, "the command line"),
            size_bytes: Known::new(layout.vars_size_bytes(), "VARS"),
            format: Known::new(Format::Raw, "VARS"),
            declared_format: Known::new(Format::Raw, "the command line"),
            sha256: Known::new(Sha256::of(layout.name().as_bytes()), "VARS"),
            state: Known::new(StoreState::Good, "VARS"),
            damage: Known::new(Vec::new(), "VARS"),
            main_damage: Known::new(Vec::new(), "VARS"),
            interrupted: Known::new(None, "VARS"),
            behind_damage: Known::new(0, "VARS"),
            list_bytes: Known::new(0x800, "VARS"),
            access: Known::new(VarsAccess::Written, "the command line"),
            layout: Known::new(layout, "VARS"),
            authenticated: Known::new(true, "VARS"),
            used_bytes: Known::new(0x800, "VARS"),
            largest_bytes: Known::new(0x200, "VARS"),
            keys: Known::new(false, "VARS"),
        },
        smm: Known::new(true, "-machine"),
        secure_flash: Known::new(false, "-global"),
        s3: Known::new(false, "-global"),
        confidential: Known::new(Confidential::No, "-machine"),
        tpm: Known::new(true, "-device"),
    }
}

/// The 4M machine as it runs, with an option ROM of this size.
pub(crate) fn running(rom_bytes: u64) -> Facts {
    let blocks = [
        ("pc.ram", 128 << 20),
        ("system.flash0", 0x37_c000),
        ("system.flash1", 0x8_4000),
        ("0000:00:02.0/virtio-net-pci.rom", rom_bytes),
        ("isa-bios", 0x2_0000),
        ("pc.rom", 0x2_0000),
        ("/rom@etc/acpi/tables", 0x2_0000),
    ];
    let blocks = blocks.map(|(name, size_bytes)| Block {
        name: name.into(),
        size_bytes,
    });
    let mut facts = known(Layout::X86Size4M);
    facts.blocks = Known::new(blocks.to_vec(), "QMP x-query-ramblock");
    facts.deduce().expect("the blocks agree with the rest");
    facts
}

/// A copy of `facts` with a change.
pub(crate) fn with(facts: &Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = facts.clone();
    change(&mut facts);
    facts
}
