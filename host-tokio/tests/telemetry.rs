//! What an application sees of its writer's work: spans, metrics, warnings; and the writer as a
//! sink and as a service.

mod support;

use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex};

use distributedlog::writer::{Health, Settings};
use distributedlog::{Dlsn, StatusCode};
use distributedlog_tokio::MultiStreamWriter;
use futures_util::{StreamExt, stream};
use metrics_util::CompositeKey;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use support::{Peer, Proxy};
use tower_service::Service;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

const AT: Dlsn = Dlsn::new(1, 2, 0);

async fn writer(proxy: &Proxy, settings: Settings) -> (MultiStreamWriter, Peer) {
    let builder = MultiStreamWriter::builder(["a", "b"])
        .proxies(proxy.name())
        .settings(settings.to_builder());
    let (writer, peer) = tokio::join!(builder.build(), proxy.accept_handshake());
    (writer.unwrap(), peer)
}

/// Answers every call with success until the work is done.
async fn answered<T>(peer: &mut Peer, work: impl Future<Output = T>) -> T {
    let answer = async {
        loop {
            let call = peer.call().await;
            peer.answer_written(&call, AT).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = answer => unreachable!("it answers for ever"),
    }
}

/// Lines of a log, shared with the subscriber that writes them.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Collects the log of this thread until the guard is dropped.
fn log(level: tracing::Level) -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(lines.clone())
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn a_write_and_each_of_its_attempts_are_spans_with_stream_and_outcome() {
    let (lines, _guard) = log(tracing::Level::DEBUG);
    let proxy = Proxy::bind().await;
    let (writer, mut peer) = writer(&proxy, Settings::default()).await;
    let (written, first) = tokio::join!(writer.write(b"a record"), async {
        let first = peer.call().await;
        peer.answer_status(&first, StatusCode::StreamUnavailable, "moving")
            .await;
        let second = peer.call().await;
        peer.answer_written(&second, AT).await;
        first
    });
    let name = writer.stream_name(written.unwrap().stream);
    let text = lines.text();
    let closed = |span: &str| {
        let spans = text
            .lines()
            .filter(|line| line.contains("close") && line.contains(&format!(" {span}{{")));
        spans.map(str::to_owned).collect::<Vec<_>>()
    };
    let attempts = closed("attempt");
    assert_eq!(attempts.len(), 2, "{text}");
    for (attempt, stream, outcome) in [
        (&attempts[0], &*first.stream, "status"),
        (&attempts[1], &*name, "written"),
    ] {
        assert!(
            attempt.contains(&format!("messaging.destination.name=\"{stream}\"")),
            "{attempt}"
        );
        assert!(
            attempt.contains(&format!("distributedlog.outcome=\"{outcome}\"")),
            "{attempt}"
        );
    }
    let writes = closed("write");
    assert_eq!(writes.len(), 1, "{text}");
    for part in [
        "messaging.message.body.size=8",
        &format!("messaging.destination.name=\"{name}\""),
        &format!("messaging.message.id={AT}"),
        "distributedlog.attempts=2",
    ] {
        assert!(writes[0].contains(part), "{part}: {}", writes[0]);
    }
}

/// What was recorded since the last snapshot, which takes it with it.
struct Recorded(Vec<(CompositeKey, DebugValue)>);

impl Recorded {
    fn take(snapshotter: &Snapshotter) -> Self {
        let all = snapshotter.snapshot().into_vec();
        Self(
            all.into_iter()
                .map(|(key, _, _, value)| (key, value))
                .collect(),
        )
    }

    /// Returns the keys of the labels of all series of this name.
    fn labels(&self, name: &str) -> Vec<String> {
        let series = self.0.iter().filter(|(key, _)| key.key().name() == name);
        series
            .flat_map(|(key, _)| key.key().labels())
            .map(|label| label.key().to_owned())
            .collect()
    }

    /// Returns the counter, gauge or number of values of this name and label.
    fn figure(&self, name: &str, label: &str) -> Option<f64> {
        let (_, value) = self.0.iter().find(|(key, _)| {
            let mut labels = key.key().labels();
            key.key().name() == name && (label.is_empty() || labels.any(|it| it.value() == label))
        })?;
        Some(match value {
            DebugValue::Counter(count) => *count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(values) => values.len() as f64,
        })
    }
}

#[tokio::test]
async fn counters_streams_and_times_reach_the_metrics_facade() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let proxy = Proxy::bind().await;
    let (writer, mut peer) = writer(&proxy, Settings::default()).await;
    let written = answered(&mut peer, writer.write(b"a record")).await;
    let name = writer.stream_name(written.unwrap().stream);
    let times = Recorded::take(&snapshotter);
    for name in [
        "distributedlog_write_seconds",
        "distributedlog_attempt_seconds",
    ] {
        assert_eq!(times.figure(name, "written"), Some(1.0), "{name}");
    }
    // Published within a second.
    let published = async {
        loop {
            let recorded = Recorded::take(&snapshotter);
            if recorded.figure("distributedlog_writer_records_written_total", "") == Some(1.0) {
                return recorded;
            }
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(30);
    let recorded = tokio::time::timeout(limit, published).await.unwrap();
    for (figure, label) in [
        ("distributedlog_client_succeeded_total", ""),
        ("distributedlog_stream_won_total", &name),
        ("distributedlog_stream_healthy", &name),
    ] {
        assert_eq!(recorded.figure(figure, label), Some(1.0), "{figure}");
    }
}

/// Writers that share a client publish its counters once, under the client's number.
#[tokio::test]
async fn the_counters_of_a_shared_client_have_a_label_of_their_own() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let mut writers = Vec::new();
    for _ in 0..2 {
        let builder = MultiStreamWriter::builder(["a"]).shared_client(client.clone());
        let writer = builder.build().await.unwrap();
        let written = answered(&mut peer, writer.write(b"a record")).await;
        written.unwrap();
        writers.push(writer);
    }
    let published = async {
        loop {
            let recorded = Recorded::take(&snapshotter);
            let name = "distributedlog_client_succeeded_total";
            if recorded.figure(name, "") == Some(2.0) {
                return recorded.labels(name);
            }
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(30);
    let labels = tokio::time::timeout(limit, published).await.unwrap();
    assert_eq!(labels, ["client"]);
}

#[tokio::test]
async fn a_stream_that_is_avoided_and_writes_that_all_fail_are_warned_of_once_in_a_minute() {
    let (lines, _guard) = log(tracing::Level::WARN);
    let proxy = Proxy::bind().await;
    let health = Health::Probation {
        strikes: 1,
        first_backoff: Duration::from_secs(100),
        max_backoff: Duration::from_secs(100),
    };
    let settings = Settings::builder().health(health);
    // Writes fail often enough for the lines.
    let settings = settings.request_timeout(Duration::from_millis(500));
    let (writer, mut peer) = writer(&proxy, settings.build().unwrap()).await;
    let refuse = async {
        loop {
            let call = peer.call().await;
            peer.answer_status(&call, StatusCode::ServiceUnavailable, "no disk")
                .await;
        }
    };
    let warned = async {
        let mut failed = 0;
        while lines.text().lines().count() < 3 {
            failed += u32::from(writer.write(b"record").await.is_err());
        }
        // Some more, which are left out.
        for _ in 0..3 {
            failed += u32::from(writer.write(b"record").await.is_err());
        }
        failed
    };
    let failed = tokio::time::timeout(Duration::from_secs(60), async {
        tokio::select! {
            failed = warned => failed,
            () = refuse => unreachable!("it refuses for ever"),
        }
    });
    assert!(failed.await.unwrap() > 3);
    let text = lines.text();
    for line in [
        "sets avoid a log stream",
        "no record was written in the last second; the last attempt failed: ",
        "the budget of extra attempts is spent",
    ] {
        assert_eq!(text.matches(line).count(), 1, "{line}: {text}");
    }
}

#[tokio::test]
async fn records_are_forwarded_into_a_sink_and_a_failed_one_ends_it() {
    let proxy = Proxy::bind().await;
    let (writer, mut peer) = writer(&proxy, Settings::default()).await;
    let records = || stream::iter((0..100_u32).map(|number| Ok(number.to_be_bytes())));
    let forwarded = records().forward(writer.sink(8));
    answered(&mut peer, forwarded).await.unwrap();
    assert_eq!(writer.counters().records_written, 100);
    let (forwarded, ()) = tokio::join!(records().forward(writer.sink(8)), async {
        let call = peer.call().await;
        peer.answer_status(&call, StatusCode::TooLargeRecord, "too large")
            .await;
    });
    assert!(forwarded.unwrap_err().to_string().contains("refused"));
}

#[tokio::test]
async fn a_batch_returns_its_results_in_order_and_a_service_one_position() {
    let proxy = Proxy::bind().await;
    let settings = Settings::builder().pending_records(4).build().unwrap();
    let (mut writer, mut peer) = writer(&proxy, settings).await;
    let too_large = vec![0; writer.max_record_bytes() + 1];
    let records: Vec<&[u8]> = (0..50)
        .map(|at| if at == 7 { &*too_large } else { b"r" })
        .collect();
    let results = answered(&mut peer, writer.write_batch(&records)).await;
    let failed: Vec<usize> = (0..50).filter(|at| results[*at].is_err()).collect();
    assert_eq!(failed, [7]);
    let (called, ()) = tokio::join!(writer.call(b"a record"), async {
        let call = peer.call().await;
        peer.answer_written(&call, AT).await;
    });
    assert_eq!(called.unwrap().dlsn, AT);
    let (closed, ()) = tokio::join!(
        async {
            let accepted = writer.try_write(b"lost").unwrap();
            let closed = writer.close_within(Duration::from_millis(10)).await;
            assert!(accepted.await.is_err());
            closed
        },
        async {
            peer.call().await;
        }
    );
    assert_eq!((closed.written, closed.failed), (0, 1));
}
