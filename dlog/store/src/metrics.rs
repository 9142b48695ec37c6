//! Metrics of stores and of requests to them, for any registry of `prometheus-client`.

use core::sync::atomic::AtomicU64;
use core::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
pub use prometheus_client::registry::Registry;
use prometheus_client::registry::Unit;

use crate::StoreError;

/// Kinds of errors that have a series before the first one: those that an alert is about. A rate
/// sees no increase in a series that begins with its first error.
const ALERT_KINDS: [&str; 9] = [
    "corrupt",
    "disconnected",
    "disk_full",
    "fenced",
    "io",
    "not_written",
    "overloaded",
    "read_only",
    "unreachable",
];

/// Operation of a store, as requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOperation {
    /// Appends an entry.
    Append,
    /// Reads entries; the time includes that of waiting for some.
    Read,
    /// Acquires a stream.
    Acquire,
    /// Releases a stream.
    Release,
    /// Creates a stream.
    Create,
    /// Deletes a stream.
    Delete,
    /// Truncates a stream.
    Truncate,
    /// Describes a stream.
    Describe,
    /// Lists streams.
    List,
    /// Reads or sets the retention.
    Retention,
    /// Asks if writes are taken.
    CheckHealth,
    /// Ends the session of a client.
    EndSession,
}

impl StoreOperation {
    const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Read => "read",
            Self::Acquire => "acquire",
            Self::Release => "release",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Describe => "describe",
            Self::List => "list",
            Self::Retention => "retention",
            Self::CheckHealth => "check_health",
            Self::EndSession => "end_session",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// Time of requests to a store by operation, and errors by kind. Operations that are not used have
/// no series.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    seconds: Family<OperationLabel, Histogram, fn() -> Histogram>,
    /// The series of appends, which every write needs.
    append: Histogram,
    errors: Family<KindLabel, Counter>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestMetrics {
    /// Creates metrics in which nothing is counted.
    #[must_use]
    pub fn new() -> Self {
        let seconds = Family::new_with_constructor(latency as fn() -> Histogram);
        let append = seconds
            .get_or_create(&OperationLabel {
                operation: StoreOperation::Append.name(),
            })
            .clone();
        let errors = Family::<KindLabel, Counter>::default();
        for kind in ALERT_KINDS {
            drop(errors.get_or_create(&KindLabel { kind }));
        }
        Self {
            seconds,
            append,
            errors,
        }
    }

    /// Registers `request_seconds` and `errors_total`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "request",
            "Time of requests to the store, by operation",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "errors",
            "Requests that the store failed, by kind of error",
            self.errors.clone(),
        );
    }

    /// Counts a request.
    pub fn answered(&self, operation: StoreOperation, took: Duration, error: Option<&StoreError>) {
        let took = took.as_secs_f64();
        if operation == StoreOperation::Append {
            self.append.observe(took);
        } else {
            let operation = operation.name();
            let of_operation = self.seconds.get_or_create(&OperationLabel { operation });
            of_operation.observe(took);
        }
        if let Some(error) = error {
            let kind = error.kind();
            self.errors.get_or_create(&KindLabel { kind }).inc();
        }
    }
}

/// Creates a histogram of latencies with 20 buckets, each twice as wide as the one before: from
/// 50 µs, below which no disk syncs, to 50 µs · 2^19 = 26 s, after which no client waits.
#[must_use]
pub fn latency() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 20))
}

/// Registers a counter, whose name gets `_total` behind it.
pub fn register_counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::<u64, AtomicU64>::default();
    registry.register(name, help, counter.clone());
    counter
}

/// Registers a gauge.
pub fn register_gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

/// Converts a count for a gauge.
#[must_use]
pub fn gauge_value(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_operations_that_were_used_have_series() {
        let mut registry = Registry::default();
        let metrics = RequestMetrics::new();
        metrics.register(&mut registry);
        let took = Duration::from_millis(1);
        metrics.answered(StoreOperation::Acquire, took, Some(&StoreError::Closed));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("memory");
        for line in [
            r#"request_seconds_count{operation="acquire"} 1"#,
            r#"request_seconds_count{operation="append"} 0"#,
            r#"errors_total{kind="closed"} 1"#,
            r#"errors_total{kind="io"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("release"), "{text}");
    }
}
