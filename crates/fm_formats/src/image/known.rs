//! The edk2 modules and volumes that tell features and platforms apart.
//!
//! Sources: `FILE_GUID` in the modules' `.inf` files, `FvNameGuid` in the platforms' `.fdf` files.

use super::{Arch, Feature};
use crate::Guid;

/// `OvmfPkg/AmdSevDxe`.
pub(super) const AMD_SEV_DXE: Guid = Guid::literal("2ec9da37-ee35-4de9-86c5-6d9a81dc38a7");
/// `OvmfPkg/TdxDxe`.
pub(super) const TDX_DXE: Guid = Guid::literal("e750224e-7bce-40af-b5bb-47e3611eb5c2");
/// `OvmfPkg/QemuKernelLoaderFsDxe`, into which a build links how it verifies what the host loads.
pub(super) const KERNEL_LOADER: Guid = Guid::literal("806040ca-dad9-4978-a3b4-2d2ab0c8a48f");
/// The kernel's hash, by which `OvmfPkg/AmdSev/BlobVerifierLibSevHashes` finds it. `BlobVerifierLibNull` verifies nothing,
/// and in builds with it there may be a place for the hashes all the same.
pub(super) const KERNEL_HASH: Guid = Guid::literal("4de79437-abd2-427f-b835-d5b172d2045b");
/// What measures volumes: `SecurityPkg/Tcg/Tcg2Pei` and `SecurityPkg/Tcg/TcgPei`.
pub(super) const MEASURING: [Guid; 2] = [
    Guid::literal("a0c98b77-cba5-4bb8-993b-4af6ce33ece4"),
    Guid::literal("2be1e4a6-6505-43b3-9ffc-a3c8330e0432"),
];
/// `OvmfPkg/VirtMmCommunicationDxe`.
pub(super) const VIRT_MM_COMMUNICATION: Guid = Guid::literal("0b807404-2d1c-4066-95f4-f28a58800185");

/// Drivers that keep variables in flash.
pub(super) const FLASH_STORES: &[Guid] = &[
    Guid::literal("733cbac2-b23f-4b92-bc8e-fb01ce5907b7"), // FvbServicesRuntimeDxe
    Guid::literal("2e7db7a7-608e-4041-b45f-00359e0766c6"), // FvbServicesSmm
    Guid::literal("834da76a-4ea1-41c7-9601-fe7a7c564757"), // FvbServicesStandaloneMm
    Guid::literal("e452cabd-5fe1-4d97-8161-e80ed6a409a8"), // VirtNorFlashDxe
    Guid::literal("93e34c7e-b50e-11df-9223-2443dfd72085"), // ArmVeNorFlashDxe
];

/// `PEIFV` of OVMF: PCR 0 measures it.
pub const PEIFV: Guid = Guid::literal("6938079b-b503-4e3d-9d24-b28337a25806");
/// `DXEFV` of OVMF: PCR 0 measures it.
pub const DXEFV: Guid = Guid::literal("7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1");

const OVMF_MAIN: Guid = Guid::literal("48db5e17-707c-472d-91cd-1613e7ef51b0");
const TDX_NCCFV: Guid = Guid::literal("ae047c6d-bce9-426c-ae03-a68e3b8a0488");
const XEN_PLATFORM_PEI: Guid = Guid::literal("f112a6ee-993a-4f0b-8295-e52029d9b4ba");
const BHYVE_SMBIOS: Guid = Guid::literal("e2d8a63c-c239-484f-bb21-2917843cc382");
const GRUB: Guid = Guid::literal("b5ae312c-bc8a-43b1-9c62-ebb826dd5d07");
const ARM_VIRT_QEMU: Guid = Guid::literal("64074afe-340a-4be6-94ba-91b5b4d0f71e");
const ARM_VIRT_CLOUDHV: Guid = Guid::literal("2a88a00e-e267-c8bf-0e80-ae1bd504ed90");
const ARM_VIRT_KVMTOOL: Guid = Guid::literal("8a91c08e-7d9d-4933-84d6-901d26d0766e");
const ARM_VIRT_XEN: Guid = Guid::literal("4d2d8743-6337-4c3f-a1d9-7cc7efd283db");
const RISCV_VIRT: Guid = Guid::literal("27a72e80-3118-4c0c-8673-aa5b4efa9613");
const LOONGARCH_MAIN: Guid = Guid::literal("af8c3fe8-9ce8-4548-884a-e3f4dd91f040");
const LOONGARCH_DXE: Guid = Guid::literal("5d19a5b3-130f-459b-a292-9270a9e6bc62");

/// Of builds whose volumes have no names yet (2015): what reads the `virt` machine's device tree.
const ARM_VIRT_MODULES: [Guid; 3] = [
    Guid::literal("9ad7dcb4-e6ec-472e-96bf-81c219a3f77e"), // VirtFdtDxe
    Guid::literal("0049858f-8ca7-4ccd-918b-d952cbf32975"), // VirtioFdtDxe
    Guid::literal("63ea1463-fbfa-428a-b97f-e222755852d7"), // HighMemDxe
];
const ARM_CPU: Guid = Guid::literal("b8d9777e-d72a-451f-9bdb-bafb52a68415");
const XENIO_FDT: Guid = Guid::literal("338695ea-ca84-4fa2-9da8-5c4bb87905c6");

/// The modules of which any one shows the feature. Features that take more than a module are told apart in
/// `facts`, and have none here.
pub(super) fn modules_of(feature: Feature) -> &'static [Guid] {
    const SECURE_BOOT: &[Guid] = &[Guid::literal("f0e6a44f-7195-41c3-ac64-54f202cd0a21")];
    const SMM: &[Guid] = &[
        Guid::literal("ac95ad3d-4366-44bf-9a62-e4b29d7a2206"), // SmmAccess2Dxe
        Guid::literal("e94f54cd-81eb-47ed-aec3-856f5dc157a9"), // PiSmmCore
        Guid::literal("2e7db7a7-608e-4041-b45f-00359e0766c6"), // FvbServicesSmm
        Guid::literal("23a089b3-eed5-4ac5-b2ab-43e3298c2343"), // VariableSmm
        Guid::literal("834da76a-4ea1-41c7-9601-fe7a7c564757"), // FvbServicesStandaloneMm
    ];
    const STANDALONE_MM: &[Guid] = &[
        Guid::literal("834da76a-4ea1-41c7-9601-fe7a7c564757"), // FvbServicesStandaloneMm
        Guid::literal("7ee2c0c1-c21a-4113-a53a-66824a95696f"), // VariableStandaloneMm
        Guid::literal("6e14b6fd-3600-4dd6-a17a-206b3b6dce16"), // StandaloneMmCore
    ];
    const TPM2: &[Guid] = &[
        Guid::literal("fdff263d-5f68-4591-87ba-b768f445a9af"), // Tcg2Dxe
        Guid::literal("a0c98b77-cba5-4bb8-993b-4af6ce33ece4"), // Tcg2Pei
    ];
    const TPM1: &[Guid] = &[
        Guid::literal("a5683620-7998-4bb2-a377-1c1e31e1e215"), // TcgDxe
        Guid::literal("2be1e4a6-6505-43b3-9ffc-a3c8330e0432"), // TcgPei
    ];
    const CC: &[Guid] = &[Guid::literal("f062221e-c607-44c2-b0b4-c3886331d351")]; // TdTcg2Dxe
    const TLS: &[Guid] = &[Guid::literal("3aceb0c0-3c72-11e4-9a56-74d435052646")]; // TlsDxe
    const HTTP: &[Guid] = &[Guid::literal("ecebcb00-d9c8-11e4-af3d-8cdcd426c973")]; // HttpBootDxe
    const ISCSI: &[Guid] = &[
        Guid::literal("86cddf93-4872-4597-8af9-a35ae4d3725f"), // IScsiDxe
        Guid::literal("4579b72d-7ec4-4dd4-8486-083c86b182a7"), // IScsi4Dxe, builds without IPv6 until 2019
    ];
    const PXE: &[Guid] = &[
        Guid::literal("b95e9fda-26de-48d2-8807-1f9107ac5e3a"), // UefiPxeBcDxe
        Guid::literal("3b1deab5-c75d-442e-9238-8e2ffb62b0bb"), // UefiPxe4BcDxe, builds without IPv6 until 2019
    ];
    const IPV6: &[Guid] = &[Guid::literal("5bedb5cc-d830-4eb2-8742-2d4cc9b54f2c")]; // Ip6Dxe
    const SHELL: &[Guid] = &[Guid::literal("7c04a583-9e3e-4f1c-ad65-e05268d0b4d1")]; // Shell
    const CSM: &[Guid] = &[Guid::literal("2362ea9c-84e5-4dff-83bc-b5acecb57cbb")]; // LegacyBiosDxe
    match feature {
        Feature::SecureBoot => SECURE_BOOT,
        Feature::Smm => SMM,
        Feature::StandaloneMm => STANDALONE_MM,
        Feature::Tpm2 => TPM2,
        Feature::Tpm1 => TPM1,
        Feature::CcMeasurement => CC,
        Feature::Tls => TLS,
        Feature::HttpBoot => HTTP,
        Feature::Iscsi => ISCSI,
        Feature::PxeBoot => PXE,
        Feature::Ipv6 => IPV6,
        Feature::Shell => SHELL,
        Feature::Csm => CSM,
        _ => &[],
    }
}

/// The edk2 platform of an image, by the names of its volumes and modules that only it has. Firmware of boards takes
/// over names of OVMF's volumes: only on x86 are they OVMF's.
pub(super) fn platform(
    arch: Option<Arch>,
    has_volume: impl Fn(Guid) -> bool,
    has_module: impl Fn(Guid) -> bool,
) -> Option<&'static str> {
    let any = |volumes: &[Guid]| volumes.iter().any(|guid| has_volume(*guid));
    Some(if any(&[ARM_VIRT_QEMU]) {
        "ArmVirtQemu"
    } else if any(&[ARM_VIRT_CLOUDHV]) {
        "ArmVirtCloudHv"
    } else if any(&[ARM_VIRT_KVMTOOL]) {
        "ArmVirtKvmTool"
    } else if any(&[ARM_VIRT_XEN]) {
        "ArmVirtXen"
    } else if any(&[RISCV_VIRT]) {
        "RiscVVirtQemu"
    } else if any(&[LOONGARCH_MAIN, LOONGARCH_DXE]) {
        "LoongArchVirtQemu"
    } else if any(&[TDX_NCCFV]) {
        "IntelTdx"
    } else if has_module(XEN_PLATFORM_PEI) {
        "OvmfXen"
    } else if has_module(BHYVE_SMBIOS) {
        "OvmfBhyve"
    } else if has_module(GRUB) {
        "AmdSev"
    } else if any(&[OVMF_MAIN, DXEFV]) && arch.is_none_or(Arch::is_x86) {
        "OvmfPkg"
    } else if ARM_VIRT_MODULES.iter().any(|guid| has_module(*guid)) && has_module(ARM_CPU) {
        match has_module(XENIO_FDT) {
            true => "ArmVirtXen",
            false => "ArmVirtQemu",
        }
    } else {
        return None;
    })
}
