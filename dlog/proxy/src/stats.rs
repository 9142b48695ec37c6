use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use distributedlog::StatusCode;
use distributedlog::wire::service::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::machine::{Counters, Reply, Usage};

/// The proxy's counters, gauges and histograms.
#[derive(Debug)]
pub(super) struct Stats {
    registry: Mutex<Registry>,
    requests: RequestStats,
    pub(super) written_bytes: Counter,
    pub(super) connections: Gauge,
    pub(super) connections_accepted: Counter,
    pub(super) connections_refused: Counter,
    /// Frames and messages that could not be decoded, or were too large.
    pub(super) malformed: Counter,
    /// Connections that were closed because they took too long.
    pub(super) timeouts: Counter,
    /// Requests that were dropped before they started because their clients discarded them.
    pub(super) discarded: Counter,
    /// Writes whose client had tried the same records elsewhere before: hedges and retries.
    pub(super) repeated: Counter,
    pub(super) http: HttpStats,
    duplicates_answered: Counter,
    identities_reused: Counter,
    streams: Gauge,
    requests_unanswered: Gauge,
    bytes_unanswered: Gauge,
    accepting: Gauge,
}

/// Raises a gauge by one while it lasts, also if the task that holds it panics.
#[derive(Debug)]
pub(super) struct RaisedGauge(Gauge);

impl RaisedGauge {
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for RaisedGauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counters of HTTP that go beyond those of all requests.
#[derive(Debug)]
pub(super) struct HttpStats {
    /// Requests whose clients went away before they had their responses.
    pub(super) aborted: Counter,
    /// Records that were sent to readers.
    pub(super) records_read: Counter,
    /// Reads of streams under way.
    pub(super) readers: Gauge,
    responses: Family<HttpLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    route: String,
    status: u16,
}

impl HttpStats {
    fn register(registry: &mut Registry) -> Self {
        let responses = Family::<HttpLabels, Counter>::default();
        registry.register(
            "http_requests",
            "HTTP requests answered, by route and status",
            responses.clone(),
        );
        Self {
            aborted: register_counter(
                registry,
                "http_aborted",
                "HTTP requests whose clients went away before they had their answers",
            ),
            records_read: register_counter(
                registry,
                "http_records_read",
                "Records sent to readers over HTTP",
            ),
            readers: register_gauge(
                registry,
                "http_readers",
                "Reads of streams under way over HTTP",
            ),
            responses,
        }
    }

    /// Counts a reply. `size` is the payload's in bytes.
    pub(super) fn answered(&self, route: &str, status: u16) {
        self.responses
            .get_or_create(&HttpLabels {
                route: route.to_owned(),
                status,
            })
            .inc();
    }
}

/// Gauges and counters of the service's machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct MachineStats {
    /// Number of streams that are owned or being acquired.
    pub(super) streams: usize,
    /// Requests that are admitted and not answered.
    pub(super) usage: Usage,
    /// True if the proxy becomes the owner of further streams.
    pub(super) accepting: bool,
    pub(super) counters: Counters,
}

/// Metrics of one method, looked up beforehand because every request needs them.
#[derive(Debug)]
struct MethodStats {
    successes: Counter,
    seconds: Histogram,
}

/// Requests by method and outcome, and the time that they took.
#[derive(Debug)]
struct RequestStats {
    methods: [MethodStats; Method::ALL.len()],
    outcomes: Family<OutcomeLabels, Counter>,
}

impl RequestStats {
    fn register(registry: &mut Registry) -> Self {
        let outcomes = Family::<OutcomeLabels, Counter>::default();
        // 20 buckets, each twice as wide as the one before: from 50 µs, below which no disk syncs,
        // to 50 µs · 2^19 = 26 s, after which no client waits.
        let seconds = Family::<MethodLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(50e-6, 2.0, 20))
        });
        let methods = Method::ALL.map(|method| MethodStats {
            successes: outcomes
                .get_or_create(&OutcomeLabels::of(
                    method,
                    RequestOutcome::Code(StatusCode::Success),
                ))
                .clone(),
            seconds: seconds
                .get_or_create(&MethodLabels {
                    method: method.name(),
                })
                .clone(),
        });
        registry.register(
            "requests",
            "Requests answered, by method and status code",
            outcomes.clone(),
        );
        registry.register_with_unit(
            "request",
            "Time from a request's last byte to its answer",
            Unit::Seconds,
            seconds,
        );
        Self { methods, outcomes }
    }
}

fn register_counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::<u64, AtomicU64>::default();
    registry.register(name, help, counter.clone());
    counter
}

fn register_gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    method: &'static str,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: &'static str,
}

/// Outcome of a request, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestOutcome {
    /// A reply with this code.
    Code(StatusCode),
    /// An application exception.
    Exception,
    /// The request was not started.
    NotStarted,
}

impl RequestOutcome {
    /// Returns the outcome that this reply stands for.
    pub(super) const fn of(reply: &Reply) -> Self {
        match reply {
            Reply::ServerInfo { .. } | Reply::Void | Reply::Bulk(_) => {
                Self::Code(StatusCode::Success)
            }
            Reply::Stream(response) => Self::Code(response.code),
            Reply::Exception { .. } => Self::Exception,
            Reply::NotStarted(_) => Self::NotStarted,
        }
    }
}

impl Stats {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("dlog_proxy");
        let requests = RequestStats::register(&mut registry);
        let http = HttpStats::register(&mut registry);
        let mut counter = |name, help| register_counter(&mut registry, name, help);
        let written_bytes = counter("written_bytes", "Payload bytes of acknowledged writes");
        let connections_accepted = counter("connections_accepted", "Connections accepted");
        let connections_refused = counter(
            "connections_refused",
            "Connections closed because there were too many",
        );
        let malformed = counter(
            "malformed",
            "Frames and messages that could not be read, or were too large",
        );
        let timeouts = counter("timeouts", "Connections closed because they took too long");
        let discarded = counter(
            "discarded",
            "Requests dropped before they started because their clients discarded them",
        );
        let repeated = counter(
            "repeated",
            "Writes whose client had tried the same records elsewhere before: hedges and retries",
        );
        let duplicates_answered = counter(
            "duplicates_answered",
            "Writes of record sets that were stored already, answered with the first copy's \
             position",
        );
        let identities_reused = counter(
            "identities_reused",
            "Writes of record sets whose identity another, different set has: stored",
        );
        let mut gauge = |name, help| register_gauge(&mut registry, name, help);
        Self {
            requests,
            written_bytes,
            connections_accepted,
            connections_refused,
            malformed,
            timeouts,
            discarded,
            repeated,
            http,
            duplicates_answered,
            identities_reused,
            connections: gauge("connections", "Open connections"),
            streams: gauge("streams", "Streams owned or about to be"),
            requests_unanswered: gauge("requests_unanswered", "Requests admitted and not answered"),
            bytes_unanswered: gauge(
                "bytes_unanswered",
                "Payload bytes admitted and not answered",
            ),
            accepting: gauge(
                "accepting",
                "Whether streams that are not owned are accepted",
            ),
            registry: Mutex::new(registry),
        }
    }

    /// Counts an answer.
    pub(super) fn answered(
        &self,
        method: Method,
        outcome: RequestOutcome,
        size: usize,
        took: Duration,
    ) {
        let of_method = &self.requests.methods[method as usize];
        of_method.seconds.observe(took.as_secs_f64());
        if outcome == RequestOutcome::Code(StatusCode::Success) {
            of_method.successes.inc();
            self.written_bytes.inc_by(size as u64);
        } else {
            self.requests
                .outcomes
                .get_or_create(&OutcomeLabels::of(method, outcome))
                .inc();
        }
    }

    /// Returns all metrics in Prometheus' text format.
    pub(super) fn encode(&self, machine_stats: &MachineStats) -> String {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.streams.set(number(machine_stats.streams));
        self.requests_unanswered
            .set(number(machine_stats.usage.requests));
        self.bytes_unanswered.set(number(machine_stats.usage.bytes));
        self.accepting.set(machine_stats.accepting.into());
        // The machine counts these; the counter takes over its value.
        self.duplicates_answered.inner().store(
            machine_stats.counters.duplicates_answered,
            Ordering::Relaxed,
        );
        self.identities_reused
            .inner()
            .store(machine_stats.counters.identities_reused, Ordering::Relaxed);
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry).expect("a string takes everything");
        text
    }
}

impl OutcomeLabels {
    fn of(method: Method, outcome: RequestOutcome) -> Self {
        let outcome = match outcome {
            RequestOutcome::Code(code) => code.as_i32().to_string(),
            RequestOutcome::Exception => "exception".to_owned(),
            RequestOutcome::NotStarted => "not_started".to_owned(),
        };
        Self {
            method: method.name(),
            outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_its_place() {
        for (index, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method as usize, index, "{method}");
        }
    }

    #[test]
    fn answers_are_counted_by_method_and_code() {
        let stats = Stats::new();
        stats.answered(
            Method::WriteWithContext,
            RequestOutcome::Code(StatusCode::Success),
            100,
            Duration::from_micros(300),
        );
        stats.answered(
            Method::WriteWithContext,
            RequestOutcome::Code(StatusCode::Found),
            100,
            Duration::from_micros(20),
        );
        stats.answered(
            Method::Truncate,
            RequestOutcome::NotStarted,
            0,
            Duration::ZERO,
        );
        let counters = Counters {
            duplicates_answered: 5,
            ..Counters::default()
        };
        let machine_stats = MachineStats {
            streams: 3,
            usage: Usage {
                requests: 1,
                bytes: 7,
            },
            accepting: true,
            counters,
        };
        let text = stats.encode(&machine_stats);
        for line in [
            r#"dlog_proxy_requests_total{method="writeWithContext",outcome="200"} 1"#,
            r#"dlog_proxy_requests_total{method="writeWithContext",outcome="302"} 1"#,
            r#"dlog_proxy_requests_total{method="truncate",outcome="not_started"} 1"#,
            r#"dlog_proxy_request_seconds_count{method="writeWithContext"} 2"#,
            "dlog_proxy_written_bytes_total 100",
            "dlog_proxy_duplicates_answered_total 5",
            "dlog_proxy_streams 3",
            "dlog_proxy_bytes_unanswered 7",
            "dlog_proxy_accepting 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "no line {line:?} in\n{text}"
            );
        }
    }
}
