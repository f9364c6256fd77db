//! What judging a change needs to know of builds and guests: names are those of the field, and what could not be found out
//! is left out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Rest;

/// What a build shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct BuildFacts {
    /// What processor it is for, such as `x86_64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// What its first code is for, such as `ia32`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_arch: Option<String>,
    /// The layout that it expects of variables: `2M`, `4M`, `armvirt`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// What it can do, such as `secure-boot`; nothing if that could not be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// Whether the image is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_whole: Option<bool>,
    /// Whether it finishes a reclaim of variables that another build began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finishes_reclaim: Option<bool>,
    /// Whether it is of a time in which stores are read as they are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_recent: Option<bool>,
    /// Whether it looks at the variables that follow one another before it uses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks_list: Option<bool>,
}

/// What a guest's machine and variables show besides what its row says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestFacts {
    /// The size of its variables' flash device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars_size_bytes: Option<u64>,
    /// Bytes that its live variables take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars_used_bytes: Option<u64>,
    /// The largest variable, with its header and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars_largest_bytes: Option<u64>,
    /// Whether its variable store is formatted and without damage, and no change of it was interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars_sound: Option<bool>,
    /// Whether the store's variables are of the kind that can be authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars_authenticated: Option<bool>,
    /// Whether a platform key is enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars_keys: Option<bool>,
    /// Whether what it sets is written to a file that lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars_kept: Option<bool>,
    /// Whether system management mode is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smm: Option<bool>,
    /// Whether only system management mode may write flash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure_flash: Option<bool>,
    /// Whether it may suspend to RAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<bool>,
    /// Whether it has a TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<bool>,
    /// Whether its memory is encrypted, and how: `none`, `sev`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidential: Option<String>,
    /// Whether this host can give it another build: a libvirt domain that is adopted and outlives its shutdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<bool>,
    /// What its owner says of rollouts, in its definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerWish>,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a guest's owner says of rollouts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnerWish {
    /// Rollouts leave the guest out, for this reason, which may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// When it may be restarted, instead of when a rollout says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<DayWindow>,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

/// Hours of the day, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct DayWindow {
    /// The first minute of the day, counted from midnight.
    pub from_minute: u32,
    /// The minute that it ends before; smaller than the first if midnight is in it, the same for all day.
    pub to_minute: u32,
}
