//! `flashmoor prepare`.

use std::path::PathBuf;

use clap::Args;
use fm_api::v1::transfer::Prepared;
use fm_transfer::prepare::{self, Request};

use super::dry_run::DryRun;
use super::{Context, Result, Status};
use fm_remedy::Misuse;

/// Put files of the right size in place for a guest that is about to arrive
///
/// OFFER is what `flashmoor offer` printed on the source, or - for standard input. CODE is the stored
/// build if this host has it, else a placeholder that `flashmoor migrate` or `flashmoor harvest`
/// replaces by the true bytes. Prints shell assignments to start QEMU with:
///
///     eval "$(flashmoor prepare offer.json --vars /var/lib/guests/web_VARS.fd)"
///     qemu-system-x86_64 … -incoming defer \
///         -drive if=pflash,unit=0,format=raw,readonly=on,file="$FLASHMOOR_CODE" \
///         -drive if=pflash,unit=1,format=raw,file="$FLASHMOOR_VARS"
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Prepare {
    /// The offer's file, or - for standard input
    offer: PathBuf,
    /// Where the guest's own variables shall live on this host
    #[arg(long, value_name = "PATH")]
    vars: Option<PathBuf>,
    /// Set a VARS file that has content aside, as PATH.backup-1, instead of refusing
    #[arg(long, requires = "vars")]
    replace: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Prepare {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let offer = fm_transfer::offer::read(&self.offer)?;
        let request = Request {
            offer,
            vars: self.vars.clone(),
            replace: self.replace,
        };
        let prepared = prepare::prepare(&context.store_for(self.dry_run)?, &request)?;
        if context.output.wants_json() {
            context.output.json(&prepared);
        } else {
            assignments(context, &prepared)?;
        }
        if let Some(backup) = &prepared.vars_backup {
            context.output.remark(format_args!(
                "the VARS file that was there is now {}",
                backup.display()
            ));
        }
        Ok(Status::Done)
    }
}

fn assignments(context: &Context, prepared: &Prepared) -> Result<()> {
    // A shell that is given what a dry run says sets nothing.
    let said = if prepared.dry_run { "# would be " } else { "" };
    let set = |name: &str, path: &PathBuf| {
        let text = path.to_str().ok_or_else(|| {
            crate::Error::Usage(Misuse {
                message: format!(
                    "the path {} is not UTF-8 and cannot be printed for a shell",
                    path.display()
                ),
                remedy: "use another path".into(),
            })
        })?;
        let text = text.replace('\'', r"'\''");
        context.output.line(format_args!("{said}{name}='{text}'"));
        Ok::<_, crate::Error>(())
    };
    set("FLASHMOOR_CODE", &prepared.code.path)?;
    if let Some(vars) = &prepared.vars {
        set("FLASHMOOR_VARS", &vars.path)?;
    }
    context
        .output
        .line(format_args!("{said}FLASHMOOR_LANDING='{}'", prepared.landing));
    Ok(())
}
