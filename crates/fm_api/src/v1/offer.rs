//! `flashmoor/offer/1`: what a source says of a guest's firmware.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

/// The longest offer that is read; real ones have a few KiB.
pub const MAX_OFFER_BYTES: u64 = 1 << 20;

/// `flashmoor/offer/1`: what a source says of a guest's firmware.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Offer {
    /// `flashmoor/offer/1`.
    pub schema: Schema<Offer>,
    /// The version of the QEMU that runs the guest.
    pub qemu_version: String,
    /// The machine type as the migration stream names it, such as `pc-q35-7.2`.
    pub machine: Option<String>,
    /// Which guest it is.
    pub guest: OfferedGuest,
    /// The RAM blocks of the stream, in QEMU's order; empty if they could not be found.
    pub blocks: Vec<OfferedBlock>,
    /// Whether `blocks` could be found and holds every block of the stream.
    pub blocks_complete: bool,
    /// Flash unit 0.
    pub code: OfferedFlash,
    /// Flash unit 1, if the guest has one.
    pub vars: Option<OfferedFlash>,
    /// The build's id: the sha256 of CODE.
    pub build: String,
    /// What CODE is, where all of it was at hand when the offer was made: of saved guests, whose build may be
    /// on no host any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<OfferedFirmware>,
    /// Where an update waits for the guest's reset: what it has booted with, and what that reset runs, which is what its
    /// flash holds and what arrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_reset: Option<PendingReset>,
    /// Whether the guest is saved: it comes back by a restore, and cannot be asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub saved: bool,
}

document!(Offer = "flashmoor/offer/1");

/// What a CODE binary is, in the words of `flashmoor inspect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfferedFirmware {
    /// `x86-64`, `ia32`, `aarch64`, `arm`, `riscv64` or `loongarch64`.
    pub arch: Option<String>,
    /// `IA32`, `IA32X64` or `X64`: modes of the phases before DXE and of DXE.
    pub cpu_mode: Option<String>,
    /// `1M`, `2M`, `4M`, `armvirt`, `riscv` or `loongarch`.
    pub layout: Option<String>,
    /// What it can do, such as `secure-boot`, `smm` or `tdx`.
    pub features: Vec<String>,
}

/// A guest that was given another build, and has not reset since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PendingReset {
    /// sha256 of the CODE that it has booted with.
    pub running_sha256: String,
    /// sha256 of the CODE that its next reset runs.
    pub next_reset_sha256: String,
}

/// Which guest an offer is of.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OfferedGuest {
    /// What `-name` says.
    pub name: Option<String>,
    /// What `-uuid` says.
    pub uuid: Option<String>,
    /// Its process on the source, if it runs.
    pub pid: Option<u32>,
}

/// One RAM block.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OfferedBlock {
    /// Its name in the stream, such as `system.flash0`.
    pub name: String,
    /// Its used length, which the stream announces.
    pub size_bytes: u64,
    /// Digest of its bytes, where it is flash or ROM.
    pub sha256: Option<String>,
}

/// One flash unit.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OfferedFlash {
    /// Its file on the source.
    pub path: Option<PathBuf>,
    /// Bytes as the guest sees them.
    pub size_bytes: u64,
    /// Digest of the bytes as the guest has them.
    pub sha256: String,
    /// `raw` or `qcow2`.
    pub format: Option<String>,
    /// The drive's id or the block node's name.
    pub node: Option<String>,
}
