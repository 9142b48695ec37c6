//! Spans and times of attempts: one span (`tracing`) from the start of an attempt to its end.

use std::collections::HashMap;

use distributedlog::{Attempt, AttemptId};
use tracing::Span;
use tracing::field::Empty;

/// Attempts in flight that are traced or timed. Bounded by the attempts of a writer; empty while no
/// subscriber wants spans and no recorder wants times.
#[derive(Default)]
pub(crate) struct AttemptTraces(HashMap<AttemptId, AttemptTrace>);

struct AttemptTrace {
    span: Span,
    #[cfg(feature = "metrics")]
    started: std::time::Instant,
}

/// Begins the span of an attempt.
pub(crate) fn attempt_span(stream: &str, attempt: &Attempt<'_>) -> Span {
    tracing::debug_span!(
        target: "distributedlog::attempt",
        "attempt",
        otel.kind = "producer",
        messaging.system = "distributedlog",
        messaging.operation.type = "send",
        messaging.destination.name = stream,
        messaging.batch.message_count = attempt.record_count,
        messaging.message.body.size = attempt.record_set.len(),
        distributedlog.attempt = attempt.earlier_attempts + 1,
        distributedlog.attempt.id = attempt.id.0,
        distributedlog.outcome = Empty,
    )
}

impl AttemptTraces {
    /// Keeps the span of an attempt that was started.
    pub(crate) fn begin(&mut self, attempt: AttemptId, span: Span) {
        if span.is_disabled() && !cfg!(feature = "metrics") {
            return;
        }
        let trace = AttemptTrace {
            span,
            #[cfg(feature = "metrics")]
            started: std::time::Instant::now(),
        };
        self.0.insert(attempt, trace);
    }

    /// Ends the span of an attempt.
    pub(crate) fn end(&mut self, attempt: AttemptId, outcome: &'static str) {
        if self.0.is_empty() {
            return;
        }
        let Some(trace) = self.0.remove(&attempt) else {
            return;
        };
        trace.span.record("distributedlog.outcome", outcome);
        #[cfg(feature = "metrics")]
        metrics::histogram!("distributedlog_attempt_seconds", "outcome" => outcome)
            .record(trace.started.elapsed().as_secs_f64());
    }
}
