use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::{Arc, OnceLock};

use axum::response::Response;

use distributedlog::wire::service::{Method, Request, WriteContext};
use distributedlog::{Instant, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::access::AccessStats;
use super::machine::{Counters, Reply, StreamCounters, Usage};
use super::metrics::{Metrics, MetricsFormat};
use super::recent::{RecentErrors, RecentWrites, WriteSample};
use distributedlog_store::LogStore;
use distributedlog_store::metrics::{
    RequestMetrics, gauge_value, latency, register_counter, register_gauge,
};

/// The proxy's counters, gauges and histograms.
#[derive(Debug)]
pub(super) struct Stats {
    metrics: Metrics,
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
    pub(super) access: AccessStats,
    pub(super) recent_writes: RecentWrites,
    pub(super) recent_errors: RecentErrors,
    /// Requests to the store.
    pub(super) store: Arc<RequestMetrics>,
    duplicates_answered: Counter,
    identities_reused: Counter,
    leases_lost: Counter,
    streams: Gauge,
    requests_unanswered: Gauge,
    bytes_unanswered: Gauge,
    accepting: Gauge,
    ready: Gauge,
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

/// Metrics of one method, looked up once because every request needs them.
#[derive(Debug)]
struct MethodStats {
    successes: Counter,
    seconds: Histogram,
}

/// Requests by method and outcome, and the time that they took.
#[derive(Debug)]
struct RequestStats {
    /// Those of the methods that clients have used: the others have no series.
    methods: [OnceLock<MethodStats>; Method::ALL.len()],
    outcomes: Family<OutcomeLabels, Counter>,
    seconds: Family<MethodLabels, Histogram, fn() -> Histogram>,
}

impl RequestStats {
    fn register(registry: &mut Registry) -> Self {
        let outcomes = Family::<OutcomeLabels, Counter>::default();
        let seconds = Family::new_with_constructor(latency as fn() -> Histogram);
        registry.register(
            "requests",
            "Requests answered, by method and status code",
            outcomes.clone(),
        );
        registry.register_with_unit(
            "request",
            "Time from a request's last byte to its answer",
            Unit::Seconds,
            seconds.clone(),
        );
        Self {
            methods: Default::default(),
            outcomes,
            seconds,
        }
    }

    fn of(&self, method: Method) -> &MethodStats {
        self.methods[method as usize].get_or_init(|| MethodStats {
            successes: self
                .outcomes
                .get_or_create(&OutcomeLabels::of(
                    method,
                    RequestOutcome::Code(StatusCode::Success),
                ))
                .clone(),
            seconds: self
                .seconds
                .get_or_create(&MethodLabels {
                    method: method.name(),
                })
                .clone(),
        })
    }
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

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnsweredRequest {
    pub(super) method: Method,
    /// True if its client had tried the same records elsewhere before.
    pub(super) is_repeated: bool,
    pub(super) outcome: RequestOutcome,
    /// Payload bytes.
    pub(super) size: usize,
    pub(super) took: Duration,
}

/// Returns true if a request is a write whose client had tried the same records before.
pub(super) const fn is_repeated(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::WriteWithContext {
            context: WriteContext {
                attempt: Some(1..),
                ..
            },
            ..
        } | Request::WriteBulkWithContext {
            context: WriteContext {
                attempt: Some(1..),
                ..
            },
            ..
        }
    )
}

impl Stats {
    /// Creates the proxy's metrics, with those of its store.
    pub(super) fn new(store: &dyn LogStore) -> Self {
        let mut registry = Registry::default();
        let this = Self::register(registry.sub_registry_with_prefix("dlog_proxy"));
        store.register_metrics(&mut registry);
        this.metrics.add(registry);
        this
    }

    fn register_parts(registry: &mut Registry) -> (RequestStats, HttpStats, AccessStats) {
        (
            RequestStats::register(registry),
            HttpStats::register(registry),
            AccessStats::register(registry),
        )
    }

    fn register(registry: &mut Registry) -> Self {
        let (requests, http, access) = Self::register_parts(registry);
        let store = Arc::<RequestMetrics>::default();
        store.register(registry.sub_registry_with_prefix("store"));
        let mut counter = |name, help| register_counter(registry, name, help);
        let written_bytes = counter("written_bytes", "Payload bytes of acknowledged writes");
        let connections_accepted = counter("connections_accepted", "Connections accepted");
        let connections_refused = counter(
            "connections_refused",
            "Connections closed because there were too many",
        );
        let help = "Frames and messages that could not be read, or were too large";
        let malformed = counter("malformed", help);
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
        let help = "Streams that another proxy acquired while this one owned them";
        let leases_lost = counter("leases_lost", help);
        let mut gauge = |name, help| register_gauge(registry, name, help);
        Self {
            metrics: Metrics::new(),
            requests,
            written_bytes,
            connections_accepted,
            connections_refused,
            malformed,
            timeouts,
            discarded,
            repeated,
            http,
            access,
            recent_writes: RecentWrites::default(),
            recent_errors: RecentErrors::default(),
            store,
            duplicates_answered,
            identities_reused,
            leases_lost,
            connections: gauge("connections", "Open connections"),
            streams: gauge("streams", "Streams owned or about to be"),
            requests_unanswered: gauge("requests_unanswered", "Requests admitted and not answered"),
            bytes_unanswered: gauge(
                "unanswered_bytes",
                "Payload bytes admitted and not answered",
            ),
            accepting: gauge(
                "accepting",
                "1 while streams are accepted that are not owned",
            ),
            ready: gauge(
                "ready",
                "1 while streams are accepted and the store takes writes, as /readyz says",
            ),
        }
    }

    /// Counts an answer.
    pub(super) fn answered(&self, now: Instant, answered: AnsweredRequest) {
        let AnsweredRequest {
            method,
            is_repeated,
            outcome,
            size,
            took,
        } = answered;
        let of_method = self.requests.of(method);
        of_method.seconds.observe(took.as_secs_f64());
        let is_success = outcome == RequestOutcome::Code(StatusCode::Success);
        if let Method::Write | Method::WriteWithContext | Method::WriteBulkWithContext = method {
            let sample = WriteSample {
                is_repeated,
                is_written: is_success,
                bytes: size,
                took,
            };
            self.recent_writes.note(now, sample);
        }
        if is_success {
            of_method.successes.inc();
            self.written_bytes.inc_by(size as u64);
        } else {
            self.requests
                .outcomes
                .get_or_create(&OutcomeLabels::of(method, outcome))
                .inc();
        }
    }

    /// Returns the page of metrics. `streams` are those that were asked for, `left_out` the number
    /// of those beyond the limit.
    pub(super) fn page(
        &self,
        format: MetricsFormat,
        machine_stats: &MachineStats,
        is_ready: bool,
        streams: Option<&StreamsPage>,
    ) -> Response {
        self.take_over(machine_stats, is_ready);
        let streams: Vec<Registry> = streams.map(StreamsPage::registry).into_iter().collect();
        self.metrics.page(format, &streams)
    }

    fn take_over(&self, machine_stats: &MachineStats, is_ready: bool) {
        self.streams.set(gauge_value(machine_stats.streams));
        self.requests_unanswered
            .set(gauge_value(machine_stats.usage.requests));
        self.bytes_unanswered
            .set(gauge_value(machine_stats.usage.bytes));
        self.accepting.set(machine_stats.accepting.into());
        self.ready.set(is_ready.into());
        // The machine counts these; the counter takes over its value.
        let counted = &machine_stats.counters;
        for (counter, value) in [
            (&self.duplicates_answered, counted.duplicates_answered),
            (&self.identities_reused, counted.identities_reused),
            (&self.leases_lost, counted.leases_lost),
        ] {
            counter.inner().store(value, Ordering::Relaxed);
        }
    }
}

/// Counters of single streams, for a page that asks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamsPage {
    /// The streams with the most bytes, these first.
    pub(super) streams: Vec<(String, StreamCounters)>,
    /// Number of further streams with the prefix.
    pub(super) left_out: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabel {
    stream: String,
}

impl StreamsPage {
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("dlog_proxy_stream");
        let family = Family::<StreamLabel, Counter>::default;
        let (writes, bytes, failures) = (family(), family(), family());
        for (stream, counters) in &self.streams {
            let label = StreamLabel {
                stream: stream.clone(),
            };
            writes.get_or_create(&label).inc_by(counters.writes);
            bytes.get_or_create(&label).inc_by(counters.bytes);
            failures.get_or_create(&label).inc_by(counters.failures);
        }
        let since = "since this proxy last became its owner";
        let help = format!("Entries written to the stream {since}");
        registry.register("writes", help, writes);
        let help = format!("Payload bytes written to the stream {since}");
        registry.register_with_unit("written", help, Unit::Bytes, bytes);
        let help = format!("Appends to the stream that failed {since}");
        registry.register("failures", help, failures);
        let help =
            "Streams with the prefix that are left out, because there are more than the limit";
        register_gauge(&mut registry, "left_out", help).set(gauge_value(self.left_out));
        registry
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
    use distributedlog_testkit::store::MemoryStore;

    use super::*;

    #[test]
    fn every_method_has_its_place() {
        for (index, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method as usize, index, "{method}");
        }
    }

    #[test]
    fn answers_are_counted_by_method_and_code() {
        let stats = Stats::new(&*MemoryStore::new());
        for (method, outcome, size, micros) in [
            (
                Method::WriteWithContext,
                RequestOutcome::Code(StatusCode::Success),
                100,
                300,
            ),
            (
                Method::WriteWithContext,
                RequestOutcome::Code(StatusCode::Found),
                100,
                20,
            ),
            (Method::Truncate, RequestOutcome::NotStarted, 0, 0),
        ] {
            let answered = AnsweredRequest {
                method,
                is_repeated: false,
                outcome,
                size,
                took: Duration::from_micros(micros),
            };
            stats.answered(Instant::ZERO, answered);
        }
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
        stats.take_over(&machine_stats, true);
        let text = stats.metrics.text();
        for line in [
            r#"dlog_proxy_requests_total{method="writeWithContext",outcome="200"} 1"#,
            r#"dlog_proxy_requests_total{method="writeWithContext",outcome="302"} 1"#,
            r#"dlog_proxy_requests_total{method="truncate",outcome="not_started"} 1"#,
            r#"dlog_proxy_request_seconds_count{method="writeWithContext"} 2"#,
            "dlog_proxy_written_bytes_total 100",
            "dlog_proxy_duplicates_answered_total 5",
            "dlog_proxy_streams 3",
            "dlog_proxy_unanswered_bytes 7",
            "dlog_proxy_ready 1",
            "dlog_proxy_accepting 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "no line {line:?} in\n{text}"
            );
        }
        let unused = Method::Heartbeat.name();
        assert!(!text.contains(unused), "a method without requests: {text}");
    }
}
