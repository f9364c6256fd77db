//! What was done and found as documents, in the words of the interface that tells it.

use fm_api::Schema;
use fm_api::v1::libvirt::{DomainFailure, LibvirtAdoption, LibvirtHost, LibvirtSetup, LibvirtStatus};
use fm_remedy::Remedy;

use super::adopt::Adoption;
use super::install::{NextStep, Setup};
use super::status::{Problem, problems};

/// What became of domains, or with `dry_run` would, each remedy in the words of `say`.
#[must_use]
pub fn adoption_document(
    adoption: Adoption,
    dry_run: bool,
    say: impl Fn(&Remedy) -> String,
) -> LibvirtAdoption {
    let failures = adoption.failures.into_iter().map(|failure| DomainFailure {
        name: failure.name,
        why: failure.why,
        remedy: failure.remedy.as_ref().map(&say),
    });
    LibvirtAdoption {
        schema: Schema::default(),
        dry_run,
        domains: adoption.domains,
        failures: failures.collect(),
        remarks: adoption.remarks,
    }
}

/// What was installed or removed, each step that is left in the words of `say`.
#[must_use]
pub fn setup_document(setup: Setup, say: impl Fn(&NextStep) -> String) -> LibvirtSetup {
    LibvirtSetup {
        schema: Schema::default(),
        dry_run: setup.dry_run,
        next: setup.next.iter().map(say).collect(),
        files: setup.files,
    }
}

/// What was found, each problem in the words of `say`.
#[must_use]
pub fn status_document(host: LibvirtHost, say: impl Fn(&Problem) -> String) -> LibvirtStatus {
    LibvirtStatus {
        schema: Schema::default(),
        problems: problems(&host).iter().map(say).collect(),
        host,
    }
}
