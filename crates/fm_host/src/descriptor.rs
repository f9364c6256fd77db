//! Firmware descriptors: QEMU `docs/interop/firmware.json`, one JSON file a firmware.
//!
//! Lookup (same document): `/usr/share/qemu/firmware`, `/etc/qemu/firmware`,
//! `$XDG_CONFIG_HOME/qemu/firmware`; sorted by base name over all folders, a file in a later folder hides the
//! one of the same name in an earlier, and an empty file hides without taking its place.

use std::env;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A descriptor. Fields and values that we do not know are kept out of it, not refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Descriptor {
    /// For people; libvirt does not read it, and some vendors leave it out.
    pub description: Option<String>,
    /// `uefi`, `bios`, `openfirmware`, `uboot`.
    pub interface_types: Vec<String>,
    /// Where the firmware lies.
    pub mapping: Mapping,
    /// For which machines.
    pub targets: Vec<Target>,
    /// What it can do, such as `secure-boot` or `requires-smm`.
    pub features: Vec<String>,
}

/// How the firmware is given to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "device", rename_all = "kebab-case")]
pub enum Mapping {
    /// As flash.
    #[serde(rename_all = "kebab-case")]
    Flash {
        /// `split`, `combined` or `stateless`; `split` where nothing is said.
        #[serde(default = "split")]
        mode: String,
        /// CODE, or all of it.
        executable: FlashFile,
        /// The template of VARS, in mode `split`.
        nvram_template: Option<FlashFile>,
    },
    /// As the kernel (`-kernel`).
    Kernel {
        /// The file.
        filename: PathBuf,
    },
    /// As memory (`-bios`), and in newer QEMU with variables in the `uefi-vars` device.
    #[serde(rename_all = "kebab-case")]
    Memory {
        /// The file.
        filename: PathBuf,
        /// The template of the device's JSON.
        uefi_vars: Option<UefiVars>,
    },
    /// As an IGVM file.
    Igvm {
        /// The file.
        filename: PathBuf,
    },
}

/// A file in flash.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FlashFile {
    /// Where it lies.
    pub filename: PathBuf,
    /// `raw` or `qcow2`.
    pub format: String,
}

/// Variables outside of flash.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UefiVars {
    /// Their template.
    pub template: PathBuf,
}

/// Machines that a firmware is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// QEMU's name of the architecture, such as `x86_64`.
    pub architecture: String,
    /// Patterns of machine types.
    pub machines: Vec<String>,
}

fn split() -> String {
    "split".into()
}

impl Descriptor {
    /// Reads a descriptor.
    ///
    /// # Errors
    /// The reason, with line and column, if it is none.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The files that it names, with the format that it gives them and whether they are variables.
    #[must_use]
    pub fn files(&self) -> Vec<(&Path, &str, bool)> {
        match &self.mapping {
            Mapping::Flash {
                executable,
                nvram_template,
                ..
            } => {
                let code = (executable.filename.as_path(), executable.format.as_str(), false);
                let vars = nvram_template.iter();
                let vars = vars.map(|vars| (vars.filename.as_path(), vars.format.as_str(), true));
                [code].into_iter().chain(vars).collect()
            }
            Mapping::Kernel { filename } | Mapping::Memory { filename, .. } | Mapping::Igvm { filename } => {
                vec![(filename.as_path(), "raw", false)]
            }
        }
    }
}

/// The folders that QEMU's management stacks look into, the most general first. For root, whose guests are the system
/// daemon's, its home is none of them (libvirt `src/qemu/qemu_interop_config.c`, `qemuInteropFetchConfigs`).
#[must_use]
pub fn folders() -> Vec<PathBuf> {
    let is_root = rustix::process::geteuid().is_root();
    let config = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    let own = config
        .filter(|_| !is_root)
        .map(|config| config.join("qemu/firmware"));
    [
        Some("/usr/share/qemu/firmware".into()),
        Some("/etc/qemu/firmware".into()),
        own,
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flash_without_a_mode_is_split_and_unknown_fields_are_no_harm() {
        let text = r#"{"description": "d", "interface-types": ["uefi"], "mapping": {"device": "flash",
            "executable": {"filename": "/c", "format": "raw"},
            "nvram-template": {"filename": "/v", "format": "qcow2"}},
            "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}],
            "features": ["secure-boot", "of-tomorrow"], "tags": [], "new": 1}"#;
        let descriptor = Descriptor::parse(text).unwrap();
        assert_eq!(
            descriptor.files(),
            [(Path::new("/c"), "raw", false), (Path::new("/v"), "qcow2", true)]
        );
        assert!(matches!(descriptor.mapping, Mapping::Flash { mode, .. } if mode == "split"));
    }

    #[test]
    fn a_descriptor_without_a_description_is_one_as_it_is_for_libvirt() {
        let text = r#"{"interface-types": ["uefi"], "mapping": {"device": "memory", "filename": "/c"},
            "targets": [], "features": []}"#;
        assert_eq!(Descriptor::parse(text).unwrap().description, None);
    }

    #[test]
    fn what_lacks_a_field_is_refused_with_its_place() {
        let error = Descriptor::parse(r#"{"description": "d"}"#).unwrap_err();
        assert!(error.to_string().contains("interface-types"), "{error}");
    }
}
