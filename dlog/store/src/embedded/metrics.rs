//! Metrics of a store in a folder.

use core::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;

use super::shared::{Shared, lock};
use crate::metrics::{Registry, latency};

/// Metrics that the committer fills. The others are taken from the store's state when they are
/// asked for.
#[derive(Clone, Debug)]
pub(super) struct CommitMetrics {
    sync_seconds: Histogram,
    batch_bytes: Histogram,
    batch_entries: Histogram,
    pub(super) failed_batches: Counter,
    pub(super) expired_segments: Counter,
}

impl CommitMetrics {
    pub(super) fn new() -> Self {
        Self {
            sync_seconds: latency(),
            // From a sector to the 16 MiB that a batch has at most: 512 B · 2^15.
            batch_bytes: Histogram::new(exponential_buckets(512.0, 2.0, 16)),
            batch_entries: Histogram::new(exponential_buckets(1.0, 2.0, 14)),
            failed_batches: Counter::default(),
            expired_segments: Counter::default(),
        }
    }

    /// Syncs the journal, and counts that and the batch that was written before it.
    pub(super) fn timed<T>(&self, bytes: usize, entries: u32, sync: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let synced = sync();
        self.sync_seconds.observe(began.elapsed().as_secs_f64());
        self.batch_bytes.observe(bytes as f64);
        self.batch_entries.observe(entries.into());
        synced
    }

    fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "sync",
            "Time of syncs of the journal",
            Unit::Seconds,
            self.sync_seconds.clone(),
        );
        registry.register_with_unit(
            "batch",
            "Size of batches, which one sync makes durable",
            Unit::Bytes,
            self.batch_bytes.clone(),
        );
        registry.register(
            "batch_entries",
            "Entries and changes of metadata in batches",
            self.batch_entries.clone(),
        );
        registry.register(
            "failed_batches",
            "Batches that could not be written or synced",
            self.failed_batches.clone(),
        );
        registry.register(
            "retention_log_segments",
            "Log segments that retention has discarded",
            self.expired_segments.clone(),
        );
    }
}

/// Registers the metrics of a store under `dlog_store`.
pub(super) fn register(shared: &Arc<Shared>, registry: &mut Registry) {
    let registry = registry.sub_registry_with_prefix("dlog_store");
    shared.metrics.register(registry);
    let shared = Arc::downgrade(shared);
    registry.register_collector(Box::new(StateMetrics { shared }));
}

/// Metrics of the store's state. None of them once the store is gone.
struct StateMetrics {
    shared: Weak<Shared>,
}

impl fmt::Debug for StateMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateMetrics").finish_non_exhaustive()
    }
}

impl Collector for StateMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(shared) = self.shared.upgrade() else {
            return Ok(());
        };
        encode_space(&shared, &mut encoder)?;
        encode_work(&shared, &mut encoder)
    }
}

/// Encodes what the store has and what it takes.
fn encode_space(shared: &Shared, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let space = *shared.space.borrow();
    let streams = shared.state().stream_count();
    let spare = u64::from(lock(&shared.spare).file.is_some());
    let dead_volumes = space.mostly_dead_volumes;
    let volumes = [
        ("live", space.volumes.saturating_sub(dead_volumes)),
        ("dead", dead_volumes),
        ("free", spare),
    ];
    gauge(encoder, "streams", "Log streams", None, streams)?;
    let help = "Log segments that have records, counted every five seconds";
    gauge(encoder, "log_segments", help, None, space.log_segments)?;
    let help = "Volumes: those of which at least half is needed or that are written, those of \
                which less is needed, and those that are created ahead";
    by_state(encoder, "volumes", help, None, &volumes)?;
    let help = "Bytes of readable entries, and of what is not needed in volumes that are not \
                written any more";
    let bytes = [("live", space.live_bytes), ("dead", space.dead_bytes)];
    by_state(encoder, "volume", help, Some(&Unit::Bytes), &bytes)?;
    let queued = shared.queue.bytes() as u64;
    let help = "Payload bytes that wait for the disk";
    gauge(encoder, "queued", help, Some(&Unit::Bytes), queued)?;
    // Not every file system says.
    if let Ok(disk) = shared.disk.space(&shared.settings.folder) {
        let help = "Bytes that the file system of the store's folder has left";
        gauge(
            encoder,
            "disk_free",
            help,
            Some(&Unit::Bytes),
            disk.free_bytes,
        )?;
        let help = "Size of the file system of the store's folder";
        gauge(
            encoder,
            "disk_size",
            help,
            Some(&Unit::Bytes),
            disk.size_bytes,
        )?;
    }
    let reserve_in_use = shared.is_reserve_in_use() && shared.settings.reserve_bytes() > 0;
    let help = "1 while the reserve for a full disk is in use: appends are refused";
    gauge(encoder, "reserve_in_use", help, None, reserve_in_use.into())
}

/// Encodes what the maintenance thread does.
fn encode_work(shared: &Shared, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let space = *shared.space.borrow();
    let help = "1 while compaction is under way or necessary";
    let pending = u64::from(!space.is_compact);
    gauge(encoder, "compaction_pending", help, None, pending)?;
    let help = "Damaged entries that the scrub has found since the store was opened";
    gauge(
        encoder,
        "damaged_entries",
        help,
        None,
        space.damaged_entries,
    )?;
    let copied = ConstCounter::new(space.moved_bytes);
    let help = "Bytes of entries that compaction has copied";
    copied.encode(encoder.encode_descriptor(
        "compaction_copied",
        help,
        Some(&Unit::Bytes),
        copied.metric_type(),
    )?)?;
    let removed = ConstCounter::new(space.removed_volumes);
    let help = "Volumes that were removed";
    removed.encode(encoder.encode_descriptor(
        "removed_volumes",
        help,
        None,
        removed.metric_type(),
    )?)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}

fn by_state(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    values: &[(&'static str, u64)],
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    for (state, value) in values {
        let labels = [("state", *state)];
        ConstGauge::new(*value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
