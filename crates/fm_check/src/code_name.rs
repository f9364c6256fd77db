//! Which files of a folder are CODE, told by what is in them, and which one beside it is the template.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fm_images::inspect::Cache;
use fm_judge::CodeUnit;

use crate::side::{Side, of_code};
use crate::{Result, image};

/// No build is smaller; folders of firmware also hold option ROMs and BIOSes, which are.
const MIN_CODE_BYTES: u64 = 512 << 10;
/// How far into a file its first volume starts: behind vectors on Arm, behind an ELF header of CloudHv's.
const HEAD_BYTES: usize = 68 << 10;

/// Whether a file is CODE. One that is called so is, whatever is in it: damage is for the verdict to tell. Of any
/// other its content decides: QEMU's own `edk2-x86_64-code.fd`, SUSE's `ovmf-x86_64-4m-code.bin`, Fedora's
/// `QEMU_EFI-pflash.raw`.
pub(super) fn is_code(path: &Path, cache: Option<&Cache>) -> bool {
    path.is_file() && (is_called_code(path) || (may_be_code(path) && image::is_flash_code(path, cache)))
}

/// The name that Debian and Fedora give it.
fn is_called_code(path: &Path) -> bool {
    let name = name_of(path);
    name.contains("CODE") && (name.ends_with(".fd") || name.ends_with(".qcow2"))
}

/// A quick look, so that not all of a folder is read.
fn may_be_code(path: &Path) -> bool {
    let look = || -> std::io::Result<bool> {
        let file = File::open(path)?;
        let len_bytes = file.metadata()?.len();
        let mut head = Vec::new();
        file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        Ok(head.starts_with(b"QFI\xfb")
            || ((MIN_CODE_BYTES..=fm_formats::image::MAX_FLASH_BYTES).contains(&len_bytes)
                && head.windows(4).any(|word| word == b"_FVH")))
    };
    look().unwrap_or(false)
}

/// CODE in a file, with the template that lies beside it as its store.
pub(super) fn with_template(path: &Path, code: CodeUnit) -> Result<Side> {
    let mut side = of_code(path, code);
    if let Some(template) = template_beside(path) {
        side.facts.vars = image::vars_file(&template)?;
    }
    Ok(side)
}

/// The template that packages put beside this CODE file, if it is there.
fn template_beside(code: &Path) -> Option<PathBuf> {
    template_names(&name_of(code))
        .into_iter()
        .map(|name| code.with_file_name(name))
        .find(|path| path.is_file())
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// `OVMF_CODE_4M.secboot.fd` comes with `OVMF_VARS_4M.fd`; names of QEMU's own, of SUSE and of Fedora follow.
#[must_use]
pub fn template_names(code: &str) -> Vec<String> {
    let plain = code
        .replace(".secboot", "")
        .replace(".strictnx", "")
        .replace(".no-secboot", "");
    let mut names: Vec<String> = [
        plain.replace("CODE", "VARS"),
        // One template serves the builds with and without Secure Boot, of 32 and of 64 bits.
        code.replace("-secure-code", "-vars").replace("x86_64", "i386"),
        code.replace("-code", "-vars").replace("x86_64", "i386"),
        code.replace("-code", "-vars").replace("aarch64", "arm"),
        code.replace("-code", "-vars"),
        code.replace("QEMU_EFI-pflash", "vars-template-pflash"),
        code.replace("QEMU_EFI", "QEMU_VARS"),
    ]
    .into_iter()
    .filter(|name| name != code)
    .collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_found_by_the_names_of_each_package() {
        for (code, template) in [
            ("OVMF_CODE_4M.secboot.strictnx.fd", "OVMF_VARS_4M.fd"),
            ("AAVMF_CODE.no-secboot.fd", "AAVMF_VARS.fd"),
            ("edk2-x86_64-code.fd", "edk2-i386-vars.fd"),
            ("edk2-x86_64-secure-code.fd", "edk2-i386-vars.fd"),
            ("edk2-aarch64-code.fd", "edk2-arm-vars.fd"),
            ("edk2-riscv-code.fd", "edk2-riscv-vars.fd"),
            ("ovmf-x86_64-4m-code.bin", "ovmf-x86_64-4m-vars.bin"),
            ("QEMU_EFI-pflash.raw", "vars-template-pflash.raw"),
        ] {
            assert!(
                template_names(code).iter().any(|name| name == template),
                "{code}: {:?}",
                template_names(code)
            );
        }
        assert!(template_names("other.fd").is_empty());
    }

    #[test]
    fn code_is_told_by_its_content_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        for (fixture, name, expected) in [
            ("trixie/OVMF_CODE_4M.fd", "edk2-x86_64-code.fd", true),
            ("trixie/OVMF_CODE_4M.fd", "ovmf-x86_64-4m-code.bin", true),
            ("trixie/AAVMF_CODE.secboot.fd", "QEMU_EFI-pflash.raw", true),
            ("trixie/OVMF_VARS_4M.fd", "edk2-i386-vars.fd", false),
            ("bookworm/OVMF.fd", "OVMF.fd", false),
            ("bookworm/QEMU_EFI.fd", "QEMU_EFI.fd", false),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, fm_fixtures::bytes(fixture)).unwrap();
            assert_eq!(is_code(&path, None), expected, "{name}");
        }
        let rom = folder.path().join("vgabios.bin");
        std::fs::write(&rom, [0x55; 4096]).unwrap();
        assert!(!is_code(&rom, None));
        assert!(!is_code(&folder.path().join("gone"), None));
    }
}
