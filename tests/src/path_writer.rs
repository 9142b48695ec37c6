//! The writer of the path benchmark: this process, over loopback, to the streams of a proxy in
//! another process.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use distributedlog::writer::{Settings, SettingsBuilder, WriteResult};
use distributedlog_tokio::MultiStreamWriter;
use tokio::runtime::{Builder, Runtime};

use crate::stack::Proxy;

/// Size of a record in bytes.
pub const RECORD_BYTES: usize = 100;

/// The streams that it writes to.
pub const STREAMS: [&str; 5] = ["bench-1", "bench-2", "bench-3", "bench-4", "bench-5"];

/// The settings of the path benchmark: the original's rules, with timeouts that the disk's slowest
/// sync does not reach.
pub fn patient() -> SettingsBuilder {
    Settings::builder()
        .original_features()
        .request_timeout(Duration::from_secs(30))
        .first_speculative_timeout(Duration::from_secs(5))
        .max_speculative_timeout(Duration::from_secs(10))
        .in_flight_sets(2048)
}

/// A connected writer with a thread of its own.
pub struct PathWriter {
    runtime: Runtime,
    writer: MultiStreamWriter,
}

impl PathWriter {
    /// Connects to a proxy.
    ///
    /// # Panics
    /// It does not answer.
    #[must_use]
    pub fn new(proxy: &Proxy, settings: SettingsBuilder) -> Self {
        // One core for the writer, one for the proxy: what a machine with two has.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("the system has epoll");
        let writer = runtime.block_on(async {
            let builder = MultiStreamWriter::builder(STREAMS)
                .settings(settings)
                .proxies(proxy.name());
            builder.build().await.expect("the proxy answers")
        });
        Self { runtime, writer }
    }

    /// Writes `count` records with at most `in_flight` unanswered. Returns the duration.
    ///
    /// # Panics
    /// One is not written.
    #[must_use]
    pub fn write(&self, count: u64, in_flight: usize) -> Duration {
        let record = [b'r'; RECORD_BYTES];
        self.runtime.block_on(async {
            let began = Instant::now();
            let mut pending = VecDeque::with_capacity(in_flight);
            for _ in 0..count {
                if pending.len() == in_flight {
                    let oldest: Pin<Box<dyn Future<Output = WriteResult>>> =
                        pending.pop_front().expect("it is full");
                    oldest.await.expect("the record is written");
                }
                let acknowledgement = self
                    .writer
                    .submit(&record)
                    .await
                    .expect("the writer is open");
                pending.push_back(Box::pin(acknowledgement) as _);
            }
            self.writer.flush().await;
            for acknowledgement in pending {
                acknowledgement.await.expect("the record is written");
            }
            began.elapsed()
        })
    }
}
