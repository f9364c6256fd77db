//! QEMU's `uefi-vars` device: variables outside of flash, in a file of JSON.

use super::encryption::object;
use super::keyval::Options;

/// The device as a command line asks for it (QEMU `hw/uefi`, from 10.0 on).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UefiVars {
    /// The file that variables are kept in; without one they last as long as QEMU.
    pub json: Option<String>,
}

/// `-device uefi-vars-x64,jsonfile=PATH`, or the same as JSON, as libvirt writes it.
pub(super) fn of(value: &str) -> Option<UefiVars> {
    let options = match value.trim_start().starts_with('{') {
        true => object(value)?,
        false => Options::parse(value, Some("driver")),
    };
    of_options(&options)
}

/// The same of options that were read.
pub(super) fn of_options(options: &Options) -> Option<UefiVars> {
    let driver = options.get("driver")?;
    driver.starts_with("uefi-vars-").then(|| UefiVars {
        json: options.get("jsonfile").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_known_in_both_spellings_and_no_other_is() {
        let json = |path: &str| {
            Some(UefiVars {
                json: Some(path.to_owned()),
            })
        };
        assert_eq!(of("uefi-vars-x64,jsonfile=/a,,b.json"), json("/a,b.json"));
        assert_eq!(
            of(r#"{"driver":"uefi-vars-sysbus","jsonfile":"/x","force-secure-boot":true}"#),
            json("/x")
        );
        assert_eq!(of("uefi-vars-x64"), Some(UefiVars::default()));
        for other in ["virtio-net-pci", "", "{", r#"{"driver":"virtio-net-pci"}"#] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
