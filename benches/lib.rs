//! Speed, measured on real images: single parsers in `benches/`, whole processes in `areas/`.

use fm_formats::Sha256;
use fm_formats::image::{Arch, Feature, Layout};
use fm_judge::{Facts, Firmware, Known, MachineType, QemuVersion, StoreState};

/// A build of which all is known that a file shows; `number` makes it differ from others.
#[must_use]
pub fn build(number: u32) -> Facts {
    let layout = if number.is_multiple_of(3) {
        Layout::X86Size2M
    } else {
        Layout::X86Size4M
    };
    let digest = Sha256::of(&number.to_le_bytes());
    let mut facts = Facts {
        qemu: Known::new(QemuVersion::new(7, 2, 22), "-version"),
        machine: Known::new(MachineType::new("pc-q35-7.2", None), "--machine"),
        firmware: Known::new(Firmware::Flash, "CODE"),
        ..Facts::default()
    };
    facts.code.size_bytes = Known::new(layout.code_size_bytes(), "CODE");
    facts.code.sha256 = Known::new(digest, "CODE");
    facts.code.arch = Known::new(Arch::X86_64, "CODE");
    facts.code.early_arch = Known::new(Arch::X86_64, "CODE");
    facts.code.layout = Known::new(layout, "CODE");
    facts.code.features = Known::new([Feature::Tpm2, Feature::Tls].into_iter().collect(), "CODE");
    facts.code.measured = Known::new(vec![("PEIFV".to_owned(), digest)], "CODE");
    facts.code.path = Known::new(format!("/srv/{number}.fd"), "CODE");
    facts.vars.present = Known::new(true, "VARS");
    facts.vars.size_bytes = Known::new(layout.vars_size_bytes(), "VARS");
    facts.vars.state = Known::new(StoreState::Good, "VARS");
    facts.vars.layout = Known::new(layout, "VARS");
    facts.vars.authenticated = Known::new(true, "VARS");
    facts
}
