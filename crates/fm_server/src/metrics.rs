//! `/metrics`: counters and gauges whose labels come from short lists of our own, never from what anybody sends.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What a request was, in words of ours: the route and not the path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) method: &'static str,
    pub(crate) route: String,
    pub(crate) status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabels {
    pub(crate) kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StateLabels {
    pub(crate) state: &'static str,
}

/// All of them.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) refused: Family<KindLabels, Counter>,
    pub(crate) connections: Gauge,
    pub(crate) request_s: Histogram,
    pub(crate) is_planner: Gauge,
    pub(crate) condemned: Counter,
    pub(crate) purged: Counter,
    pub(crate) awaited_hosts: Gauge<i64>,
    pub(crate) hosts: Family<StateLabels, Gauge>,
    pub(crate) guests: Gauge,
    pub(crate) builds: Family<StateLabels, Gauge>,
    pub(crate) last_count_s: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("flashmoor_fleet");
        let requests = Family::default();
        registry.register("requests", "Requests by route and status", requests.clone());
        let refused = Family::default();
        registry.register("refused", "What was refused, by reason", refused.clone());
        let connections = Gauge::default();
        registry.register("connections", "Open connections", connections.clone());
        let bounds = [
            0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
        ];
        let request_s = Histogram::new(bounds);
        registry.register(
            "request_seconds",
            "Time from a request to its answer",
            request_s.clone(),
        );
        let is_planner = Gauge::default();
        registry.register(
            "planner",
            "Whether this server is the elected planner",
            is_planner.clone(),
        );
        let condemned = Counter::default();
        registry.register(
            "condemned_builds",
            "Builds that this planner condemned",
            condemned.clone(),
        );
        let purged = Counter::default();
        registry.register(
            "purged_builds",
            "Builds that this planner removed",
            purged.clone(),
        );
        let awaited_hosts = Gauge::default();
        registry.register(
            "awaited_hosts",
            "Hosts whose acknowledgement the planner waits for",
            awaited_hosts.clone(),
        );
        let hosts = Family::default();
        registry.register("hosts", "Hosts by state, when last counted", hosts.clone());
        let guests = Gauge::default();
        registry.register("guests", "Guests, when last counted", guests.clone());
        let builds = Family::default();
        registry.register("builds", "Builds by state, when last counted", builds.clone());
        let last_count_s = Gauge::default();
        registry.register(
            "counted_timestamp_seconds",
            "When hosts and builds were last counted",
            last_count_s.clone(),
        );
        Self {
            registry: Arc::new(registry),
            requests,
            refused,
            connections,
            request_s,
            is_planner,
            condemned,
            purged,
            awaited_hosts,
            hosts,
            guests,
            builds,
            last_count_s,
        }
    }
}

impl Metrics {
    /// The text form that Prometheus reads.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Metrics::default();
        metrics
            .refused
            .get_or_create(&KindLabels { kind: "too-large" })
            .inc();
        let text = metrics.text();
        assert!(
            text.contains("flashmoor_fleet_refused_total{kind=\"too-large\"} 1"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"));
    }
}
