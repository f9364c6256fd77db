//! How a fleet is kept and how its planner works.

use std::sync::Arc;
use std::time::Duration;

use super::health::HealthSource;

/// How a fleet is kept.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// How long a host counts as alive after its last sign of life: for display only.
    pub alive: Duration,
    /// How many batches of events are kept, a batch being what was written at once.
    pub max_event_batch_count: u64,
    /// Who is asked, besides hosts, whether guests of rollouts are well; nobody if nothing is said.
    pub health: Option<Arc<dyn HealthSource>>,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            alive: Duration::from_secs(90),
            max_event_batch_count: 200_000,
            health: None,
        }
    }
}

/// How the planner works.
#[derive(Debug, Clone)]
pub struct PlannerOptions {
    /// How long the planner's lease lasts without renewal.
    pub lease: Duration,
    /// How long a build that nobody needs is kept all the same, by the planner's monotonic clock; begins again when
    /// the planner changes.
    pub grace: Duration,
    /// How many builds one step condemns at most.
    pub max_condemned_count: usize,
}

impl Default for PlannerOptions {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            grace: Duration::from_secs(24 * 60 * 60),
            max_condemned_count: 1000,
        }
    }
}
