//! Documents of the fleet: what hosts report, what they are answered, and what the API shows.
//!
//! Members that this version does not know are kept in `rest` and written again: hosts and servers one version apart
//! lose nothing to each other.

mod build;
mod event;
mod facts;
mod host;
mod ids;
mod page;
mod progress;
mod report;
mod target;

pub use build::{BuildState, BuildView, Need, Obstacle, ObstacleKind, StoredPin, Why};
pub use event::{Event, EventKind};
pub use facts::{BuildFacts, DayWindow, GuestFacts, OwnerWish};
pub use host::{GuestView, HostState, HostView};
pub use ids::{Digest, HostId, InvalidId, MAX_ID_BYTES, is_id};
pub use page::{MAX_PAGE_COUNT, Page, PageRequest};
pub use progress::{GuestProgress, ProgressState};
pub use report::{
    Certificates, GuestRow, GuestState, HeldBuild, HostPin, HostReport, LandingRow, Mark, Recorded,
    ReportAnswer, Use, UseReason,
};
pub use target::{
    BuildTarget, CertificateSet, GuestTarget, HostTargets, OldVariables, RestartWindow, TargetAction,
};

/// Members of a document that this version does not know.
pub type Rest = serde_json::Map<String, serde_json::Value>;
