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

use super::machine::{Answer, Counters, Usage};

/// What the proxy counts.
#[derive(Debug)]
pub(super) struct Stats {
    registry: Mutex<Registry>,
    methods: [MethodStats; Method::ALL.len()],
    outcomes: Family<OutcomeLabels, Counter>,
    pub(super) written_bytes: Counter,
    pub(super) connections: Gauge,
    pub(super) connections_accepted: Counter,
    pub(super) connections_refused: Counter,
    /// Frames and messages that could not be read, or were too large.
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

/// What is counted of HTTP besides what is counted of every request.
#[derive(Debug)]
pub(super) struct HttpStats {
    /// Requests whose clients went away before they had their answers.
    pub(super) aborted: Counter,
    /// Records that were sent to readers.
    pub(super) records_read: Counter,
    /// Reads under way.
    pub(super) readers: Gauge,
    answers: Family<HttpLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    route: String,
    status: u16,
}

impl HttpStats {
    /// Counts an answer. The route is that of the table, so that there are only so many.
    pub(super) fn answered(&self, route: &str, status: u16) {
        self.answers
            .get_or_create(&HttpLabels {
                route: route.to_owned(),
                status,
            })
            .inc();
    }
}

/// What the service's machine knows of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    /// Streams owned or about to be.
    pub(super) streams: usize,
    /// What is admitted and not answered.
    pub(super) usage: Usage,
    /// Whether streams that are not owned are accepted.
    pub(super) accepting: bool,
    pub(super) counters: Counters,
}

/// What is counted for every single request, looked up beforehand.
#[derive(Debug)]
struct MethodStats {
    successes: Counter,
    seconds: Histogram,
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

/// How a request ended, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With this code.
    Code(StatusCode),
    /// With an application exception.
    Exception,
    /// It was not started.
    NotStarted,
}

impl Outcome {
    /// How it ended with this answer.
    pub(super) const fn of(answer: &Answer) -> Self {
        match answer {
            Answer::ServerInfo { .. } | Answer::Void | Answer::Bulk(_) => {
                Self::Code(StatusCode::Success)
            }
            Answer::Stream(response) => Self::Code(response.code),
            Answer::Exception { .. } => Self::Exception,
            Answer::NotStarted(_) => Self::NotStarted,
        }
    }
}

impl Stats {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("dlog_proxy");
        let outcomes = Family::<OutcomeLabels, Counter>::default();
        // From 50 µs, below which no disk syncs, to 26 s, after which no client waits: 20 steps of
        // a factor of two.
        let seconds = Family::<MethodLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(50e-6, 2.0, 20))
        });
        let methods = Method::ALL.map(|method| MethodStats {
            successes: outcomes
                .get_or_create(&OutcomeLabels::of(
                    method,
                    Outcome::Code(StatusCode::Success),
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
        let answers = Family::<HttpLabels, Counter>::default();
        registry.register(
            "http_requests",
            "HTTP requests answered, by route and status",
            answers.clone(),
        );
        let mut counter = |name, help| {
            let counter = Counter::<u64, AtomicU64>::default();
            registry.register(name, help, counter.clone());
            counter
        };
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
        let aborted = counter(
            "http_aborted",
            "HTTP requests whose clients went away before they had their answers",
        );
        let records_read = counter("http_records_read", "Records sent to readers over HTTP");
        let duplicates_answered = counter(
            "duplicates_answered",
            "Writes of record sets that were stored already, answered with the first copy's \
             position",
        );
        let identities_reused = counter(
            "identities_reused",
            "Writes of record sets whose identity another, different set has: stored",
        );
        let mut gauge = |name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            methods,
            outcomes,
            written_bytes,
            connections_accepted,
            connections_refused,
            malformed,
            timeouts,
            discarded,
            repeated,
            http: HttpStats {
                aborted,
                records_read,
                readers: gauge("http_readers", "Reads of streams under way over HTTP"),
                answers,
            },
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
    pub(super) fn answered(&self, method: Method, outcome: Outcome, size: usize, took: Duration) {
        let of_method = &self.methods[method as usize];
        of_method.seconds.observe(took.as_secs_f64());
        if outcome == Outcome::Code(StatusCode::Success) {
            of_method.successes.inc();
            self.written_bytes.inc_by(size as u64);
        } else {
            self.outcomes
                .get_or_create(&OutcomeLabels::of(method, outcome))
                .inc();
        }
    }

    /// Everything in Prometheus' text format.
    pub(super) fn encode(&self, figures: &Figures) -> String {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.streams.set(number(figures.streams));
        self.requests_unanswered.set(number(figures.usage.requests));
        self.bytes_unanswered.set(number(figures.usage.bytes));
        self.accepting.set(figures.accepting.into());
        // Counted by the machine, whose count is the counter's value.
        self.duplicates_answered
            .inner()
            .store(figures.counters.duplicates_answered, Ordering::Relaxed);
        self.identities_reused
            .inner()
            .store(figures.counters.identities_reused, Ordering::Relaxed);
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry).expect("a string takes everything");
        text
    }
}

impl OutcomeLabels {
    fn of(method: Method, outcome: Outcome) -> Self {
        let outcome = match outcome {
            Outcome::Code(code) => code.as_i32().to_string(),
            Outcome::Exception => "exception".to_owned(),
            Outcome::NotStarted => "not_started".to_owned(),
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
            Outcome::Code(StatusCode::Success),
            100,
            Duration::from_micros(300),
        );
        stats.answered(
            Method::WriteWithContext,
            Outcome::Code(StatusCode::Found),
            100,
            Duration::from_micros(20),
        );
        stats.answered(Method::Truncate, Outcome::NotStarted, 0, Duration::ZERO);
        let counters = Counters {
            duplicates_answered: 5,
            ..Counters::default()
        };
        let figures = Figures {
            streams: 3,
            usage: Usage {
                requests: 1,
                bytes: 7,
            },
            accepting: true,
            counters,
        };
        let text = stats.encode(&figures);
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
