//! What a build can do, as far as its binary shows.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// A capability or build choice that is visible in the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Feature {
    /// Secure Boot with authenticated variables (`SECURE_BOOT_ENABLE`).
    SecureBoot,
    /// Needs system management mode: `q35,smm=on` and secure flash (`SMM_REQUIRE`).
    Smm,
    /// Management mode by the standalone core (`STANDALONE_MM_ENABLE`).
    StandaloneMm,
    /// Variables live in QEMU's `uefi-vars` device, not in flash (`QEMU_PV_VARS`).
    PvVars,
    /// AMD SEV guests.
    Sev,
    /// AMD SEV-ES guests.
    SevEs,
    /// AMD SEV-SNP guests.
    SevSnp,
    /// Measures kernel, initrd and command line with SEV's hash table.
    SevHashes,
    /// Intel TDX guests.
    Tdx,
    /// TPM 2.0 measurement (`TPM2_ENABLE`).
    Tpm2,
    /// TPM 1.2 measurement.
    Tpm1,
    /// Measurement through the confidential-computing protocol.
    CcMeasurement,
    /// HTTPS and TLS (`NETWORK_TLS_ENABLE`).
    Tls,
    /// HTTP boot (`NETWORK_HTTP_BOOT_ENABLE`).
    HttpBoot,
    /// iSCSI boot (`NETWORK_ISCSI_ENABLE`).
    Iscsi,
    /// PXE boot.
    PxeBoot,
    /// IPv6 in the network stack (`NETWORK_IP6_ENABLE`).
    Ipv6,
    /// The UEFI shell is built in.
    Shell,
    /// Compatibility support module for BIOS boot.
    Csm,
    /// A DEBUG build: assertions and messages are in.
    Debug,
    /// A RELEASE build.
    Release,
}

/// The text names no feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a feature name, such as secure-boot, smm or tdx")]
pub struct ParseFeatureError;

impl Feature {
    /// All of them, in the order in which documents list them.
    pub const ALL: [Self; 21] = [
        Self::SecureBoot,
        Self::Smm,
        Self::StandaloneMm,
        Self::PvVars,
        Self::Sev,
        Self::SevEs,
        Self::SevSnp,
        Self::SevHashes,
        Self::Tdx,
        Self::Tpm2,
        Self::Tpm1,
        Self::CcMeasurement,
        Self::Tls,
        Self::HttpBoot,
        Self::Iscsi,
        Self::PxeBoot,
        Self::Ipv6,
        Self::Shell,
        Self::Csm,
        Self::Debug,
        Self::Release,
    ];

    /// The name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SecureBoot => "secure-boot",
            Self::Smm => "smm",
            Self::StandaloneMm => "standalone-mm",
            Self::PvVars => "pv-vars",
            Self::Sev => "sev",
            Self::SevEs => "sev-es",
            Self::SevSnp => "sev-snp",
            Self::SevHashes => "sev-hashes",
            Self::Tdx => "tdx",
            Self::Tpm2 => "tpm2",
            Self::Tpm1 => "tpm1",
            Self::CcMeasurement => "cc-measurement",
            Self::Tls => "tls",
            Self::HttpBoot => "http-boot",
            Self::Iscsi => "iscsi",
            Self::PxeBoot => "pxe-boot",
            Self::Ipv6 => "ipv6",
            Self::Shell => "shell",
            Self::Csm => "csm",
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Feature {
    type Err = ParseFeatureError;

    fn from_str(text: &str) -> Result<Self, ParseFeatureError> {
        Self::ALL
            .into_iter()
            .find(|feature| feature.name() == text)
            .ok_or(ParseFeatureError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_reads_back_from_its_name() {
        for feature in Feature::ALL {
            assert_eq!(feature.name().parse(), Ok(feature));
        }
        assert_eq!("magic".parse::<Feature>(), Err(ParseFeatureError));
    }
}
