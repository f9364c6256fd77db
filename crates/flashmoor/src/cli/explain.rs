//! `flashmoor explain`.

use clap::Args;
use fm_jobs::{Error, findings};

use super::{Context, Result, Status};

/// Print why a finding of `check` matters and what to do about it, or list all codes
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code, such as FM-FLASH-SIZE
    code: Option<String>,
}

impl Explain {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let Some(code) = &self.code else {
            for code in findings::codes() {
                let title = findings::page(code)
                    .and_then(|page| page.lines().next())
                    .unwrap_or_default();
                context.output.line(title.trim_start_matches("# "));
            }
            return Ok(Status::Done);
        };
        let page = findings::page(code).ok_or_else(|| Error::Usage {
            message: format!("there is no finding called {code:?}"),
            remedy: "`flashmoor explain` lists the codes".into(),
        })?;
        context.output.line(page.trim_end());
        Ok(Status::Done)
    }
}
