//! An update of a running guest's firmware, and where it stands.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Outcome;
use crate::words::words;
use crate::{Schema, document};

/// `flashmoor/update/1`: what became of one update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Update {
    /// `flashmoor/update/1`.
    pub schema: Schema<Update>,
    /// The guest.
    pub guest: Guest,
    /// sha256 of the CODE before.
    pub from: String,
    /// sha256 of the CODE that it is given, or has been given.
    pub to: String,
    /// Where the update stands.
    pub state: State,
    /// How the bytes get there.
    pub way: Way,
    /// When its bytes were written, in RFC 3339; absent before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Microseconds from the order to stop to the answer that it goes on; absent if it was not stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_us: Option<u64>,
    /// Bytes that were written to its memory: those of pages that differ.
    pub bytes_written: u64,
    /// What the new build will do at the guest's next reset; absent where nothing had to be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why it was refused; empty otherwise.
    pub refusals: Vec<Refusal>,
    /// What to know besides.
    pub remarks: Vec<String>,
}

document!(Update = "flashmoor/update/1");

/// `flashmoor/update-status/1`: every update of this host's running guests that is known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateStatus {
    /// `flashmoor/update-status/1`.
    pub schema: Schema<UpdateStatus>,
    /// One for each guest, by its pid.
    pub updates: Vec<Update>,
    /// Records that say nothing: of the guests that they are of it is not known whether they wait for a reset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableUpdate>,
}

/// A record of an update that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadableUpdate {
    /// The process that it is of, as its name says.
    pub pid: Option<u32>,
    /// Why it cannot be read.
    pub why: String,
    /// What to do about it, in words.
    pub remedy: Option<String>,
}

document!(UpdateStatus = "flashmoor/update-status/1");

/// Which guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Guest {
    /// Its process.
    pub pid: u32,
    /// What `-name` says.
    pub name: Option<String>,
    /// What `-uuid` or its SMBIOS says.
    pub uuid: Option<String>,
}

/// Where an update stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It would be done: nothing was touched.
    Planned,
    /// The new bytes are in place; the guest's next reset runs them.
    PendingReset,
    /// The guest has booted since, and the bytes are still the new ones.
    Done,
    /// The bytes from before are in place again.
    Reverted,
    /// It was refused; nothing was touched.
    Refused,
    /// It was interrupted, and the bytes from before are in place.
    Undone,
    /// It was interrupted, and what the guest holds has not been put right yet.
    Interrupted,
    /// Somebody else has put other bytes in place.
    Overtaken,
}

/// How new bytes get into a guest's flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Into the memory of its process, while it stands still.
    InPlace,
    /// Into the stream of its migration.
    Migration,
}

/// What the new build does to the guest at its next reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The worst of its findings.
    pub warm_reset: Outcome,
    /// What was found that is not simply in order, the worst first.
    pub findings: Vec<Finding>,
}

/// One judged fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The stable code.
    pub code: String,
    /// What will come of it.
    pub outcome: Outcome,
    /// What was compared.
    pub subject: String,
    /// Why it matters.
    pub why: String,
    /// What to do about it, in words.
    pub remedy: Option<String>,
}

/// A reason for which it must not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// Which one.
    pub reason: RefusalReason,
    /// Why, in a sentence.
    pub why: String,
    /// What to do about it, in words.
    pub remedy: Option<String>,
    /// The file that it is about, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

words! {
    /// Why an update must not be done.
    RefusalReason {
        /// The firmware lies in no flash.
        NoFlash = "no_flash",
        /// CODE and VARS are one device.
        CombinedImage = "combined_image",
        /// The builds have different lengths.
        SizeDiffers = "size_differs",
        /// It has the build already.
        SameBuild = "same_build",
        /// The build does not go with the guest.
        Incompatible = "incompatible",
        /// Nothing is known of whether it does.
        Unknown = "unknown",
        /// The guest's memory is encrypted.
        EncryptedMemory = "encrypted_memory",
        /// CODE's memory is a file's.
        MappedFile = "mapped_file",
        /// There are several QEMUs of the guest.
        SeveralProcesses = "several_processes",
        /// libvirt starts it from files of its own.
        NotAdopted = "not_adopted",
        /// Nobody here can stop it.
        NoMonitor = "no_monitor",
        /// It is in a state in which it is not to be touched.
        RunState = "run_state",
        /// It sleeps, and wakes up through the firmware.
        Suspended = "suspended",
        /// Something reads or sends its memory or disks.
        JobRuns = "job_runs",
        /// A processor executes from flash, or has its segments there: it boots.
        BootInProgress = "boot_in_progress",
        /// No processor is in a system: its firmware runs, or something that looks like it.
        InFirmware = "in_firmware",
        /// Nobody could see where its processors are.
        ProcessorsUnseen = "processors_unseen",
        /// It may sleep and wake up through a build that it did not boot with.
        MaySuspend = "may_suspend",
        /// Its processors are emulated, and what was translated from flash stays.
        Emulated = "emulated",
        /// It is not known how its processors are run.
        AcceleratorUnknown = "accelerator_unknown",
        /// It was to be idle, and worked as long as it was waited for.
        NotIdle = "not_idle",
        /// The window did not open as long as it was waited for.
        OutsideWindow = "outside_window",
        /// Its agent was to answer, and did not.
        AgentSilent = "agent_silent",
    }
}
