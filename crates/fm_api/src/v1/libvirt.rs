//! libvirt: domains that are adopted, the hook, and how both stand.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

/// `flashmoor/libvirt-adopt/1`: what became of domains; also of `unadopt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LibvirtAdoption {
    /// `flashmoor/libvirt-adopt/1`.
    pub schema: Schema<LibvirtAdoption>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The domains that are adopted now, or with `unadopt`, not any more.
    pub domains: Vec<AdoptedDomain>,
    /// Those that failed.
    pub failures: Vec<DomainFailure>,
    /// Those that have nothing to adopt: one line each.
    pub remarks: Vec<String>,
}

document!(LibvirtAdoption = "flashmoor/libvirt-adopt/1");

/// A domain that is adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdoptedDomain {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// The build that it is held to: the sha256 of CODE.
    pub build: String,
    /// The length of CODE.
    pub code_bytes: u64,
    /// The length of VARS, if it has it.
    pub vars_bytes: Option<u64>,
    /// CODE at the next cold boot; nothing if the domain has no definition that outlives it.
    pub loader: Option<PathBuf>,
    /// Whether the definition was changed.
    pub definition_changed: bool,
    /// Whether it runs, so that what runs says its build as well.
    pub running: bool,
}

/// A domain that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DomainFailure {
    /// Its name.
    pub name: String,
    /// Why, with what lies behind it.
    pub why: String,
    /// What to do about it, in the words of the interface that tells it.
    pub remedy: Option<String>,
}

/// `flashmoor/libvirt-hook/1`: what the hook would do on a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookDecision {
    /// `flashmoor/libvirt-hook/1`.
    pub schema: Schema<HookDecision>,
    /// What libvirt would be told.
    pub answer: HookAnswer,
    /// Why, where it is told a reason.
    pub reason: Option<String>,
    /// What would be done before that, in order.
    pub steps: Vec<String>,
}

document!(HookDecision = "flashmoor/libvirt-hook/1");

/// What libvirt is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookAnswer {
    /// To go on.
    Pass,
    /// To go on, with a line for its log.
    Remark,
    /// To go on with another XML.
    Replace,
    /// To stop.
    Refuse,
}

/// `flashmoor/libvirt-install/1`: what is in place now, or with `uninstall`, what is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LibvirtSetup {
    /// `flashmoor/libvirt-install/1`.
    pub schema: Schema<LibvirtSetup>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The files that were written, or removed.
    pub files: Vec<PathBuf>,
    /// What is left to do, in order.
    pub next: Vec<String>,
}

document!(LibvirtSetup = "flashmoor/libvirt-install/1");

/// The hook's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LibvirtHook {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is there.
    pub installed: bool,
}

/// `flashmoor/libvirt-status/1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LibvirtStatus {
    /// `flashmoor/libvirt-status/1`.
    pub schema: Schema<LibvirtStatus>,
    /// What was found.
    #[serde(flatten)]
    pub host: LibvirtHost,
    /// What is wrong, in words; empty if guests' firmware follows them.
    pub problems: Vec<String>,
}

document!(LibvirtStatus = "flashmoor/libvirt-status/1");

/// How a host and its libvirt stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LibvirtHost {
    /// The version of libvirt, if it is installed.
    pub libvirt: Option<String>,
    /// The hook.
    pub hook: LibvirtHook,
    /// libvirt's daemons that run.
    pub daemons: Vec<LibvirtDaemon>,
    /// Whether the agent's unit is installed.
    pub unit_installed: bool,
    /// The agent that serves this store, if one runs.
    pub agent_pid: Option<u32>,
    /// What may forbid QEMU to read the store.
    pub confinement: Confinement,
    /// The domains; nothing if libvirt does not answer.
    pub domains: Option<Vec<LibvirtDomain>>,
}

/// A daemon of libvirt's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LibvirtDaemon {
    /// `libvirtd` or `virtqemud`.
    pub name: String,
    /// Its pid.
    pub pid: u32,
    /// Whether it started before the hook was there, and so may not know it.
    pub older_than_hook: bool,
}

/// AppArmor and SELinux.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Confinement {
    /// Whether the kernel enforces AppArmor profiles.
    pub apparmor: bool,
    /// Whether libvirt's profiles have our lines.
    pub apparmor_lines: bool,
    /// Whether SELinux is enabled.
    pub selinux: bool,
    /// The SELinux label of the store's folder, if it has one.
    pub store_label: Option<String>,
}

/// A domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LibvirtDomain {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Whether it runs.
    pub running: bool,
    /// The build that it is held to, if it is adopted.
    pub build: Option<String>,
    /// Whether that build is in this host's store.
    pub stored: bool,
}
