//! Measurements for the `metrics` facade, behind the feature `metrics`; nothing without it.

use distributedlog::writer::WriteResult;

/// Time of one write.
#[derive(Clone, Copy)]
pub(super) struct WriteTimer {
    #[cfg(feature = "metrics")]
    started: std::time::Instant,
}

impl WriteTimer {
    pub(super) fn start() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            started: std::time::Instant::now(),
        }
    }

    /// Records the time until the result.
    pub(super) fn stop(self, result: &WriteResult) {
        #[cfg(feature = "metrics")]
        {
            let outcome = if result.is_ok() { "written" } else { "failed" };
            let seconds = self.started.elapsed().as_secs_f64();
            metrics::histogram!("distributedlog_write_seconds", "outcome" => outcome)
                .record(seconds);
        }
        #[cfg(not(feature = "metrics"))]
        let _ = result;
    }
}

/// Names of the figures of one writer: its series have a label of their own, because several
/// writers of one process count apart. Those of a client that writers share have the client's.
#[cfg(feature = "metrics")]
pub(super) struct Figures {
    writer: String,
    client: (&'static str, String),
}

#[cfg(feature = "metrics")]
impl Figures {
    /// Figures of the next writer. `shared_client` numbers the client that it shares.
    pub(super) fn new(shared_client: Option<u64>) -> Self {
        use core::sync::atomic::{AtomicU64, Ordering};
        static WRITERS: AtomicU64 = AtomicU64::new(1);
        let writer = WRITERS.fetch_add(1, Ordering::Relaxed).to_string();
        let client = match shared_client {
            None => ("writer", writer.clone()),
            Some(number) => ("client", number.to_string()),
        };
        Self { writer, client }
    }

    /// Publishes the counters of the writer and of its client, and the figures of its streams.
    pub(super) fn publish(
        &self,
        writer: &distributedlog::writer::Counters,
        client: &crate::ClientCounters,
        streams: &[(std::sync::Arc<str>, distributedlog::writer::StreamStatus)],
    ) {
        use metrics::{counter, gauge};
        let label = [("writer", self.writer.clone())];
        for (name, value) in writer.iter() {
            counter!(format!("distributedlog_writer_{name}_total"), &label).absolute(value);
        }
        // All writers of a client set the same series.
        let client_label = [self.client.clone()];
        for (name, value) in client.iter() {
            counter!(format!("distributedlog_client_{name}_total"), &client_label).absolute(value);
        }
        for (name, status) in streams {
            let label = [
                ("writer", self.writer.clone()),
                ("stream", name.to_string()),
            ];
            for (counter, value) in status.counters.iter() {
                counter!(format!("distributedlog_stream_{counter}_total"), &label).absolute(value);
            }
            let healthy = f64::from(u8::from(status.healthy));
            gauge!("distributedlog_stream_healthy", &label).set(healthy);
            gauge!("distributedlog_stream_outstanding_attempts", &label)
                .set(status.outstanding as f64);
            if let Some(latency) = status.latency {
                gauge!("distributedlog_stream_latency_seconds", &label).set(latency.as_secs_f64());
            }
        }
    }
}
