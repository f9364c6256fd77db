//! Converted stores under real firmware of every architecture, Secure Boot and SMM builds among them; a part of
//! what `make vars-matrix` runs in full.

use fm_e2e::conversion::{Build, lives_on};
use fm_formats::image::Layout;

fn holds(from: Layout, code: &str) {
    let folder = tempfile::tempdir().unwrap();
    lives_on(from, &Build::new(code), folder.path());
}

#[test]
fn secure_boot_stays_on_from_2m_to_the_4m_build_with_smm() {
    holds(Layout::X86Size2M, "trixie/OVMF_CODE_4M.secboot.fd");
}

#[test]
fn secure_boot_stays_on_from_4m_to_the_2m_build_with_smm() {
    holds(Layout::X86Size4M, "bookworm/OVMF_CODE.secboot.fd");
}

#[test]
fn secure_boot_stays_on_from_arm_to_the_32_bit_build_with_smm() {
    holds(Layout::ArmVirt, "trixie/OVMF32_CODE_4M.secboot.strictnx.fd");
}

#[test]
fn secure_boot_stays_on_from_2m_to_arm() {
    holds(Layout::X86Size2M, "trixie/AAVMF_CODE.secboot.fd");
}
