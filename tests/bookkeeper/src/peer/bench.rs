//! Speed of DistributedLog's core in Java.

use serde::Deserialize;

use super::Peer;
use crate::java::{MEASURED, Version};

/// DistributedLog's core in a process of its own, which measures itself.
pub struct BenchPeer {
    /// The process, for commands that have no method here.
    pub peer: Peer,
}

/// Figures of one run.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Measured {
    /// Records written or read in a second.
    pub records_per_s: f64,
    /// Record sets written in a second. `None` of reading.
    pub sets_per_s: Option<f64>,
    /// Median of the time from a set's write to its acknowledgement, in milliseconds. `None` of
    /// reading.
    pub p50_ms: Option<f64>,
    /// 99th percentile of that time, in milliseconds.
    pub p99_ms: Option<f64>,
    /// CPU time of the Java process in seconds.
    pub cpu_s: f64,
    /// Duration in seconds.
    pub seconds: f64,
    /// Number of records.
    pub records: u64,
    /// Number of sets that failed. `None` of reading.
    pub errors: Option<u64>,
}

impl BenchPeer {
    /// Starts the core of this version on a namespace, with the settings of a write proxy and these
    /// `key=value`.
    pub async fn start(version: Version, uri: &str, settings: &[&str]) -> Self {
        let arguments = [&[uri], settings].concat();
        let mut peer = Peer::spawn(version, "Bench", "bench-peer", &MEASURED, &arguments);
        peer.until_ready().await;
        Self { peer }
    }

    /// Writes record sets to the logs `PREFIX-0`, `PREFIX-1`... `settings`: `logs=5 window=1024
    /// record=100 per_set=157 seconds=4 warm_up=2 codec=LZ4`, for example; `window` counts records.
    pub async fn write(&mut self, prefix: &str, settings: &str) -> Measured {
        self.measured(&format!("write {prefix} {settings}")).await
    }

    /// Reads the logs `PREFIX-0`, `PREFIX-1`... from the start.
    pub async fn read(&mut self, prefix: &str, settings: &str) -> Measured {
        self.measured(&format!("read {prefix} {settings}")).await
    }

    async fn measured(&mut self, command: &str) -> Measured {
        let mut lines = self.peer.expect(command).await;
        lines.pop().expect("the figures")
    }
}
