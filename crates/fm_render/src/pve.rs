//! Proxmox's guests as text.

use fm_api::v1::pve::{PveAdoption, PveLayout, PveStatus};

use super::{BAD, CARE, Output, STRONG};

/// How each guest gets its firmware.
pub fn status(output: &Output, status: &PveStatus) {
    let installed = if status.installed {
        "in place"
    } else {
        "not in place"
    };
    output.line(format_args!(
        "node {STRONG}{}{STRONG:#}: the hookscript is {installed}",
        status.node
    ));
    for guest in &status.guests {
        let layout = match guest.layout {
            PveLayout::Size2M => "2M",
            PveLayout::Size4M => "4M",
            PveLayout::ArmVirt => "armvirt",
        };
        let build = match (&guest.build, guest.is_stored) {
            (Some(build), true) => format!("held to build {build}"),
            (Some(build), false) => format!("held to build {build}, which is not in this store"),
            (None, _) => "not adopted".into(),
        };
        output.line(format_args!(
            "{STRONG}{}{STRONG:#} {} on {}: {layout}, {build}",
            guest.vmid,
            guest.name.as_deref().unwrap_or("without a name"),
            guest.node
        ));
        for problem in &guest.problems {
            output.line(format_args!("  {CARE}care{CARE:#}: {problem}"));
        }
    }
    for remark in &status.remarks {
        output.line(format_args!("{CARE}care{CARE:#}: {remark}"));
    }
}

/// Which guests are held to their builds now.
pub fn adoption(output: &Output, done: &PveAdoption) {
    for guest in &done.guests {
        let from = if guest.from_next_start {
            ", from its next start on"
        } else {
            ""
        };
        match &guest.build {
            Some(build) => output.line(format_args!(
                "{STRONG}{}{STRONG:#} {} held to build {build}{from}",
                guest.vmid,
                if done.dry_run { "would be" } else { "is" }
            )),
            None if done.dry_run => output.line(format_args!(
                "{STRONG}{}{STRONG:#} would have its configuration back{from}",
                guest.vmid
            )),
            None => output.line(format_args!(
                "{STRONG}{}{STRONG:#} has its configuration back{from}",
                guest.vmid
            )),
        }
    }
    for failure in &done.failures {
        output.line(format_args!(
            "{BAD}{}{BAD:#} is as it was: {}",
            failure.vmid, failure.why
        ));
    }
}
