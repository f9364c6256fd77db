//! The JSON documents that others script against: versioned, and described by `flashmoor schema NAME`.
//!
//! A document is a plain serde struct; its `schema` field names kind and version, such as
//! `flashmoor/offer/1`. A field is never renamed or given another meaning within a version.

use schemars::schema_for;
use serde_json::Value;

use crate::{offer, ps, store};

/// NAME of `flashmoor/NAME/1`, and what makes its JSON schema.
type Entry = (&'static str, fn() -> schemars::Schema);

/// The documents that have a schema.
const SCHEMAS: &[Entry] = &[
    ("atlas", || schema_for!(crate::atlas::Atlas)),
    ("check", || schema_for!(crate::check::Check)),
    ("matrix", || schema_for!(crate::check::Matrix)),
    ("catalogue", || {
        schemars::schema_for!(crate::catalogue::CatalogueDocument)
    }),
    ("descriptors", || {
        schemars::schema_for!(crate::descriptors::DescriptorsDocument)
    }),
    ("diff", || schemars::schema_for!(crate::diff::DiffDocument)),
    ("find", || schemars::schema_for!(crate::pieces::FindDocument)),
    ("inspect", || {
        schemars::schema_for!(crate::inspect::InspectDocument)
    }),
    ("capture", || schema_for!(crate::capture::Capture)),
    ("guard", || schema_for!(crate::guard::After)),
    ("guard-status", || schema_for!(crate::guard::Status)),
    ("offer", || schema_for!(offer::Offer)),
    ("ps", || schema_for!(ps::Ps)),
    ("saved-adopt", || schemars::schema_for!(crate::saved::Adopted)),
    ("saved-diff", || schemars::schema_for!(crate::saved::SavedDiff)),
    ("saved-restore-plan", || {
        schemars::schema_for!(crate::saved::RestorePlan)
    }),
    ("saved-vars", || schemars::schema_for!(crate::saved::SavedVars)),
    ("saved-extract", || schemars::schema_for!(crate::saved::Extracted)),
    ("store-build", || schema_for!(store::Show)),
    ("store-export", || schema_for!(store::Export)),
    ("store-forget", || schema_for!(store::RemovedLanding)),
    ("store-gc", || schema_for!(store::Gc)),
    ("store-import", || schema_for!(store::Imported)),
    ("store-landings", || schema_for!(store::LandingList)),
    ("store-list", || schema_for!(store::List)),
    ("store-pin", || schema_for!(store::Pin)),
    ("store-verify", || schema_for!(store::Verification)),
    ("vars-list", || schemars::schema_for!(crate::vars::VarsList)),
    ("vars-change", || schemars::schema_for!(crate::vars::VarsChange)),
    ("vars-diff", || schemars::schema_for!(crate::vars::VarsDiff)),
    ("vars-secure-boot", || {
        schemars::schema_for!(crate::vars::SecureBootStatus)
    }),
    ("vars-dbx-forecast", || {
        schemars::schema_for!(crate::vars::DbxForecast)
    }),
];

/// The JSON schema of the document called `name`, or nothing if there is no such document.
#[must_use]
pub fn schema(name: &str) -> Option<Value> {
    SCHEMAS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, schema)| schema().into())
}

/// The names that [`schema`] knows.
pub fn schema_names() -> impl Iterator<Item = &'static str> {
    SCHEMAS.iter().map(|(name, _)| *name)
}
