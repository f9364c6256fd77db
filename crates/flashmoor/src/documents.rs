//! The JSON documents that others script against: versioned, and described by `flashmoor schema NAME`.
//!
//! A document is a plain serde struct; its `schema` field names kind and version, such as
//! `flashmoor/offer/1`. A field is never renamed or given another meaning within a version.

use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde_json::Value;

use fm_remedy::Remedy;

use fm_adopt::{capture, libvirt};
use fm_agent::{guard, ps};
use fm_api::v1::config::ConfigDocument;
use fm_api::v1::update;
use fm_images::{catalogue, descriptors, diff, extract, inspect};
use fm_lab::{atlas, demo};
use fm_store::verbs as store;
use fm_transfer::{harvest, migrate, offer, prepare};
use {fm_check as check, fm_saved as saved, fm_variables as vars};

/// `flashmoor/error/1`: why a command failed; one line on standard error.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Failure {
    /// `flashmoor/error/1`.
    pub schema: &'static str,
    /// What failed.
    pub what: String,
    /// Why, from the outermost reason to the first.
    pub why: Vec<String>,
    /// What to do about it, if there is something the user can do.
    pub remedy: Option<String>,
}

impl Failure {
    /// What `error` says, its causes and its remedy in the words of the interface that tells it.
    pub(crate) fn of(
        error: &dyn fm_remedy::Failure,
        why: Vec<String>,
        in_words: impl FnOnce(&Remedy) -> String,
    ) -> Self {
        Self {
            schema: "flashmoor/error/1",
            what: error.what(),
            why,
            remedy: error.remedy().as_ref().map(in_words),
        }
    }
}

/// NAME of `flashmoor/NAME/1`, and what makes its JSON schema.
type Entry = (&'static str, fn() -> schemars::Schema);

/// The documents that have a schema.
const SCHEMAS: &[Entry] = &[
    ("agent-join", || schema_for!(fm_agent::fleet::Membership)),
    ("atlas", || schema_for!(atlas::Atlas)),
    ("capture", || schema_for!(capture::Capture)),
    ("catalogue", || schema_for!(catalogue::CatalogueDocument)),
    ("check", || schema_for!(check::Check)),
    ("config", || schema_for!(ConfigDocument)),
    ("demo", || schema_for!(demo::Demo)),
    ("descriptors", || schema_for!(descriptors::DescriptorsDocument)),
    ("diff", || schema_for!(diff::DiffDocument)),
    ("error", || schema_for!(Failure)),
    ("extract", || schema_for!(extract::ExtractDocument)),
    ("find", || schema_for!(extract::FindDocument)),
    ("fleet-builds", || {
        schema_for!(fm_api::v1::fleet_lists::FleetBuilds)
    }),
    ("fleet-certificate", || {
        schema_for!(fm_api::v1::enrolment::IssuedCertificate)
    }),
    ("fleet-certificates", || schema_for!(fm_api::v1::trust::TrustPage)),
    ("fleet-events", || {
        schema_for!(fm_api::v1::fleet_lists::FleetEvents)
    }),
    ("fleet-guests", || {
        schema_for!(fm_api::v1::fleet_lists::FleetGuests)
    }),
    ("fleet-hosts", || schema_for!(fm_api::v1::fleet_lists::FleetHosts)),
    ("fleet-init", || schema_for!(fm_api::v1::fleet_lists::FleetInit)),
    ("fleet-keys", || {
        schema_for!(fm_api::v1::enrolment::IssuedCertificates)
    }),
    ("fleet-meta", || schema_for!(fm_api::v1::enrolment::FleetMeta)),
    ("fleet-status", || {
        schema_for!(fm_api::v1::fleet_lists::FleetStatus)
    }),
    ("fleet-token", || schema_for!(fm_api::v1::enrolment::NewToken)),
    ("fleet-why", || schema_for!(fm_api::v1::fleet::Why)),
    ("guard", || schema_for!(guard::After)),
    ("guard-status", || schema_for!(guard::Status)),
    ("harvest", || schema_for!(harvest::Harvest)),
    ("host-report", || schema_for!(fm_api::v1::fleet::HostReport)),
    ("host-report-answer", || {
        schema_for!(fm_api::v1::fleet::ReportAnswer)
    }),
    ("host-targets", || schema_for!(fm_api::v1::fleet::HostTargets)),
    ("incus-adopt", || schema_for!(fm_api::v1::incus::IncusAdoption)),
    ("inspect", || schema_for!(inspect::InspectDocument)),
    ("libvirt-adopt", || schema_for!(libvirt::LibvirtAdoption)),
    ("libvirt-hook", || schema_for!(libvirt::HookDecision)),
    ("libvirt-install", || schema_for!(libvirt::Installed)),
    ("libvirt-status", || schema_for!(libvirt::Status)),
    ("matrix", || schema_for!(check::Matrix)),
    ("migrate", || schema_for!(migrate::Migrated)),
    ("migrate-event", || schema_for!(migrate::Event)),
    ("offer", || schema_for!(offer::Offer)),
    ("prepare", || schema_for!(prepare::Prepared)),
    ("ps", || schema_for!(ps::Ps)),
    ("pve-adopt", || schema_for!(fm_api::v1::pve::PveAdoption)),
    ("pve-status", || schema_for!(fm_api::v1::pve::PveStatus)),
    ("saved-adopt", || schema_for!(saved::SavedAdoption)),
    ("saved-diff", || schema_for!(saved::SavedDiff)),
    ("saved-extract", || schema_for!(saved::Extracted)),
    ("saved-restore-plan", || schema_for!(saved::RestorePlan)),
    ("saved-vars", || schema_for!(saved::SavedVars)),
    ("store-build", || schema_for!(store::Show)),
    ("store-export", || schema_for!(store::Export)),
    ("store-forget", || schema_for!(store::RemovedLanding)),
    ("store-gc", || schema_for!(store::Gc)),
    ("store-import", || schema_for!(store::Imported)),
    ("store-landings", || schema_for!(store::LandingList)),
    ("store-list", || schema_for!(store::List)),
    ("store-pin", || schema_for!(store::Pin)),
    ("store-verify", || schema_for!(store::Verification)),
    ("update", || schema_for!(update::Update)),
    ("update-status", || schema_for!(update::UpdateStatus)),
    ("vars-backups", || schema_for!(fm_api::v1::backups::VarsBackups)),
    ("vars-change", || schema_for!(vars::VarsChange)),
    ("vars-dbx-forecast", || schema_for!(vars::DbxForecast)),
    ("vars-diff", || schema_for!(vars::VarsDiff)),
    ("vars-list", || schema_for!(vars::VarsList)),
    ("vars-secure-boot", || schema_for!(vars::SecureBootStatus)),
];

/// The JSON schema of the document called `name`, or nothing if there is no such document.
#[must_use]
pub(crate) fn schema(name: &str) -> Option<Value> {
    SCHEMAS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, schema)| schema().into())
}

/// The names that [`schema`] knows.
pub(crate) fn schema_names() -> impl Iterator<Item = &'static str> {
    SCHEMAS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Every Rust source below `folder`.
    fn sources(folder: &Path, found: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else {
                found.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_document_that_a_job_makes_has_a_schema_in_alphabetical_order() {
        let mut text = String::new();
        let rooms = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for room in fs::read_dir(rooms).unwrap() {
            sources(&room.unwrap().path().join("src"), &mut text);
        }
        let made: std::collections::BTreeSet<&str> = text
            .split("\"flashmoor/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next()?.strip_suffix("/1"))
            .collect();
        assert!(made.len() > 20, "{made:?}");
        // Records that nobody is told.
        let made = made
            .into_iter()
            .filter(|name| !["fleet-identity", "landing"].contains(name));
        assert_eq!(schema_names().collect::<Vec<_>>(), made.collect::<Vec<_>>());
    }
}
