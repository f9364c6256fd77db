//! Every document by its name, with the JSON schema that describes it.

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use crate::{Document, v1};

/// A document by its name, and what describes it.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// Kind and version, such as `flashmoor/offer/1`.
    pub schema: &'static str,
    /// Makes its JSON schema.
    pub describe: fn() -> Value,
}

impl Described {
    /// The kind alone, such as `offer`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let kind = self.schema.trim_start_matches("flashmoor/");
        kind.split_once('/').map_or(kind, |(name, _)| name)
    }
}

fn described<D: Document + JsonSchema>() -> Described {
    Described {
        schema: D::SCHEMA,
        describe: || schema_for!(D).into(),
    }
}

/// Every document, by name.
#[must_use]
pub fn documents() -> Vec<Described> {
    vec![
        described::<v1::membership::FleetMembership>(),
        described::<v1::atlas::Atlas>(),
        described::<v1::capture::Capture>(),
        described::<v1::catalogue::CatalogueDocument>(),
        described::<v1::check::Check>(),
        described::<v1::config::ConfigDocument>(),
        described::<v1::demo::Demo>(),
        described::<v1::descriptors::DescriptorsDocument>(),
        described::<v1::diff::DiffDocument>(),
        described::<v1::error::ErrorDocument>(),
        described::<v1::extract::ExtractDocument>(),
        described::<v1::extract::FindDocument>(),
        described::<v1::fleet_lists::FleetBuilds>(),
        described::<v1::enrolment::IssuedCertificate>(),
        described::<v1::trust::TrustPage>(),
        described::<v1::fleet_lists::FleetEvents>(),
        described::<v1::fleet_lists::FleetGuests>(),
        described::<v1::fleet_lists::FleetHosts>(),
        described::<v1::fleet_lists::FleetInit>(),
        described::<v1::enrolment::IssuedCertificates>(),
        described::<v1::enrolment::FleetMeta>(),
        described::<v1::fleet_lists::FleetStatus>(),
        described::<v1::enrolment::NewToken>(),
        described::<v1::fleet::Why>(),
        described::<v1::guard::GuardReport>(),
        described::<v1::guard::GuardStatus>(),
        described::<v1::transfer::Harvest>(),
        described::<v1::fleet::HostReport>(),
        described::<v1::fleet::ReportAnswer>(),
        described::<v1::fleet::HostTargets>(),
        described::<v1::incus::IncusAdoption>(),
        described::<v1::inspect::InspectDocument>(),
        described::<v1::libvirt::LibvirtAdoption>(),
        described::<v1::libvirt::HookDecision>(),
        described::<v1::libvirt::LibvirtSetup>(),
        described::<v1::libvirt::LibvirtStatus>(),
        described::<v1::check::Matrix>(),
        described::<v1::transfer::Migrated>(),
        described::<v1::transfer::MigrateEvent>(),
        described::<v1::offer::Offer>(),
        described::<v1::transfer::Prepared>(),
        described::<v1::ps::Ps>(),
        described::<v1::pve::PveAdoption>(),
        described::<v1::pve::PveStatus>(),
        described::<v1::rollout::RolloutView>(),
        described::<v1::rollout::RolloutGuests>(),
        described::<v1::rollout::HealthQuestion>(),
        described::<v1::rollout::GuestPins>(),
        described::<v1::rollout::RolloutPlan>(),
        described::<v1::rollout::Rollouts>(),
        described::<v1::saved::SavedAdoption>(),
        described::<v1::saved::SavedDiff>(),
        described::<v1::saved::SavedExtract>(),
        described::<v1::saved::RestorePlan>(),
        described::<v1::saved::SavedVars>(),
        described::<v1::store::StoreBuild>(),
        described::<v1::store::StoreExport>(),
        described::<v1::store::StoreForgotten>(),
        described::<v1::store::StoreGc>(),
        described::<v1::store::StoreImport>(),
        described::<v1::store::StoreLandings>(),
        described::<v1::store::StoreList>(),
        described::<v1::store::StorePins>(),
        described::<v1::store::StoreVerification>(),
        described::<v1::update::Update>(),
        described::<v1::update::UpdateStatus>(),
        described::<v1::backups::VarsBackups>(),
        described::<v1::vars::VarsChange>(),
        described::<v1::secure_boot::DbxForecast>(),
        described::<v1::vars::VarsDiff>(),
        described::<v1::vars::VarsList>(),
        described::<v1::secure_boot::SecureBootStatus>(),
    ]
}
