//! `flashmoor demo`.

use std::path::PathBuf;

use clap::Args;
use fm_lab::demo::{self, Request};

use super::{Context, Result, Status};

/// Show the main job on two 'hosts' of this machine, with real QEMU and real OVMF
///
/// A guest boots on host A's build, the plain migration to host B really fails, and then it moves with
/// its firmware, is reset, and comes back after A's copy was deleted. Everything runs emulated in a
/// temporary folder; ends with an error if anything does not hold.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// CODE of host A
    #[arg(long, value_name = "FILE", default_value = "/usr/share/OVMF/OVMF_CODE.fd")]
    from_code: PathBuf,
    /// VARS template of host A
    #[arg(long, value_name = "FILE", default_value = "/usr/share/OVMF/OVMF_VARS.fd")]
    from_vars: PathBuf,
    /// CODE of host B
    #[arg(long, value_name = "FILE", default_value = "/usr/share/OVMF/OVMF_CODE_4M.fd")]
    to_code: PathBuf,
    /// VARS template of host B
    #[arg(long, value_name = "FILE", default_value = "/usr/share/OVMF/OVMF_VARS_4M.fd")]
    to_vars: PathBuf,
}

impl Demo {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let request = Request {
            from_code: self.from_code.clone(),
            from_vars: self.from_vars.clone(),
            to_code: self.to_code.clone(),
            to_vars: self.to_vars.clone(),
        };
        let output = context.output;
        let demo = demo::run(&request, &mut |told| fm_render::demo::told(output, told))?;
        if output.wants_json() {
            output.json(&demo);
        } else {
            fm_render::demo::summary(output, &demo);
        }
        Ok(Status::Done)
    }
}
