//! Incus's instances as text.

use fm_api::v1::incus::IncusAdoption;

use super::{Output, STRONG};

/// Whether an instance is held to its build now.
pub fn adoption(output: &Output, done: &IncusAdoption) {
    let is = if done.dry_run { "would be" } else { "is" };
    let has = if done.dry_run { "would have" } else { "has" };
    match &done.build {
        Some(build) => output.line(format_args!(
            "{STRONG}{}{STRONG:#} {is} held to build {build}, from its next start on",
            done.instance
        )),
        None => output.line(format_args!(
            "{STRONG}{}{STRONG:#} {has} its settings back, from its next start on",
            done.instance
        )),
    }
}
