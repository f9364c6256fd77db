//! `flashmoor kubevirt`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use fm_adopt::kubevirt::on_define_domain;

use super::{Context, Result, Status};
use crate::Error;

/// Start KubeVirt's virtual machines from the build that they name
///
/// Called in a hook sidecar of KubeVirt's. An instance names its build in the annotation flashmoor.github.io/build, by
/// digest or by its name in the store; an instance without it is left as it is.
#[derive(Debug, Args)]
pub(crate) struct Kubevirt {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    OnDefineDomain(OnDefineDomain),
}

/// Print a domain's definition with the build that its instance names
#[derive(Debug, Args)]
struct OnDefineDomain {
    /// The VirtualMachineInstance, as KubeVirt gives it
    #[arg(long, value_name = "JSON")]
    vmi: String,
    /// The domain's definition, as KubeVirt gives it
    #[arg(long, value_name = "XML")]
    domain: String,
    /// Where the compute container has the store's folder [default: where it is here]
    #[arg(long, value_name = "DIR", env = "FLASHMOOR_COMPUTE_STORE")]
    compute_store: Option<PathBuf>,
}

impl Kubevirt {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let Verb::OnDefineDomain(asked) = &self.verb;
        let store = context.store()?;
        let compute = asked.compute_store.as_deref().unwrap_or(store.path());
        let xml = on_define_domain(&store, compute, &asked.vmi, &asked.domain)?;
        let mut out = std::io::stdout();
        // A part of it would be another domain.
        out.write_all(xml.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|source| Error::file("write", "standard output".as_ref(), source))?;
        Ok(Status::Done)
    }
}
