//! The metric registry of a process, and a service's handle to it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of duration histograms, in seconds.
const SECONDS_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// How often histograms fold their samples, so that a process that nobody scrapes stays small.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Renders the process's metrics as Prometheus text.
#[derive(Clone)]
pub struct MetricsHandle(Option<PrometheusHandle>);

/// A service's handle to the metrics: role and node are on everything that it records.
#[derive(Debug, Clone)]
pub struct ServiceMetrics {
    labels: Arc<[Label]>,
}

/// Installs the process's registry. Later calls give the same handle. When a recorder that is not
/// ours is installed already, that one is kept and the handle renders nothing.
pub fn install_metrics() -> MetricsHandle {
    static HANDLE: OnceLock<MetricsHandle> = OnceLock::new();
    HANDLE.get_or_init(install).clone()
}

fn install() -> MetricsHandle {
    let builder = PrometheusBuilder::new();
    let builder =
        builder.set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS_BUCKETS);
    let recorder = match builder {
        Ok(builder) => builder.build_recorder(),
        Err(error) => {
            tracing::error!(%error, "no metrics: the registry cannot be built");
            return MetricsHandle(None);
        }
    };
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("no metrics: another recorder is installed already");
        return MetricsHandle(None);
    }
    start_upkeep(handle.clone());
    MetricsHandle(Some(handle))
}

/// Runs on a thread of its own: folding samples must not depend on any runtime.
fn start_upkeep(handle: PrometheusHandle) {
    let upkeep = move || {
        loop {
            std::thread::sleep(UPKEEP_INTERVAL);
            handle.run_upkeep();
        }
    };
    let started = std::thread::Builder::new().name("metrics-upkeep".into()).spawn(upkeep);
    if let Err(error) = started {
        tracing::warn!(%error, "metrics take memory until they are scraped: no thread for upkeep");
    }
}

// === impl MetricsHandle ===

impl MetricsHandle {
    /// Prometheus text of everything that was recorded so far.
    pub fn render(&self) -> String {
        self.0.as_ref().map(PrometheusHandle::render).unwrap_or_default()
    }
}

impl std::fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsHandle").finish_non_exhaustive()
    }
}

// === impl ServiceMetrics ===

impl ServiceMetrics {
    /// The handle of the service of `role` (`worker`, …) on the node with id `node`.
    pub fn new(role: &'static str, node: impl Into<String>) -> Self {
        let labels = [Label::from_static_parts("role", role), Label::new("node", node.into())];
        Self { labels: Arc::from(labels) }
    }

    /// The labels `role` and `node`.
    pub fn labels(&self) -> Vec<Label> {
        self.labels.to_vec()
    }

    /// The counter `name` of this service.
    pub fn counter(&self, name: &'static str) -> Counter {
        metrics::counter!(name, self.labels.iter())
    }

    /// The gauge `name` of this service.
    pub fn gauge(&self, name: &'static str) -> Gauge {
        metrics::gauge!(name, self.labels.iter())
    }

    /// The histogram `name` of this service; a name that ends in `_seconds` has buckets.
    pub fn histogram(&self, name: &'static str) -> Histogram {
        metrics::histogram!(name, self.labels.iter())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn metrics_of_two_services_of_one_process_are_told_apart() {
        let handle = install_metrics();
        ServiceMetrics::new("worker", "w1").counter("waterbear_test_tasks_total").increment(2);
        ServiceMetrics::new("worker", "w2").counter("waterbear_test_tasks_total").increment(3);
        ServiceMetrics::new("worker", "w1").histogram("waterbear_test_seconds").record(0.02);

        let text = install_metrics().render();
        // The exporter gives its lines in no order.
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(lines(&text), lines(&handle.render()), "there is one registry");
        for line in [
            r#"waterbear_test_tasks_total{role="worker",node="w1"} 2"#,
            r#"waterbear_test_tasks_total{role="worker",node="w2"} 3"#,
            r#"waterbear_test_seconds_bucket{role="worker",node="w1",le="0.025"} 1"#,
        ] {
            assert!(text.contains(line), "{line} not in {text}");
        }
    }
}
