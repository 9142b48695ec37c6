//! Metrics of the store.

use distributedlog_store::LogStore;
use distributedlog_store::metrics::Registry;
use distributedlog_testkit::store::SimDisk;
use prometheus_client::encoding::text::encode;

use super::{Stepped, TestClock, entry, small, stream};

/// Returns the value of a series.
fn value(registry: &Registry, series: &str) -> f64 {
    let mut text = String::new();
    encode(&mut text, registry).expect("a string takes everything");
    let found = text.lines().find_map(|line| line.strip_prefix(series));
    let value = found.and_then(|value| value.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

#[test]
fn the_metrics_follow_what_the_store_does_and_end_with_it() {
    let (disk, clock) = (SimDisk::new(1), TestClock::default());
    let mut store = Stepped::open(&disk, small(), &clock).unwrap();
    let mut registry = Registry::default();
    store.store.register_metrics(&mut registry);
    let (kept, deleted) = (stream("kept"), stream("deleted"));
    let (lease, other) = (store.create(&kept), store.create(&deleted));
    assert_eq!(value(&registry, "dlog_store_streams "), 2.0);
    let syncs = "dlog_store_sync_seconds_count ";
    let before = value(&registry, syncs);
    store.append(&lease, entry("kept")).unwrap();
    assert_eq!(value(&registry, syncs), before + 1.0);
    assert_eq!(
        value(&registry, "dlog_store_batch_entries_count "),
        before + 1.0
    );
    let failed = "dlog_store_failed_batches_total ";
    assert_eq!(value(&registry, failed), 0.0);
    disk.fail_syncs(1);
    store.append(&lease, entry("lost")).unwrap_err();
    assert_eq!(value(&registry, failed), 1.0);
    for _ in 0..100 {
        store.append(&other, entry(&"x".repeat(1000))).unwrap();
    }
    store.steps.run();
    let live = r#"dlog_store_volume_bytes{state="live"} "#;
    let full = value(&registry, live);
    assert!(full > 100_000.0, "{full} bytes are live");
    store.delete(&deleted).unwrap();
    clock.advance(10_000);
    for _ in 0..100 {
        store.steps.run();
    }
    assert!(value(&registry, live) < full - 100_000.0);
    let removed = "dlog_store_removed_volumes_total ";
    assert!(value(&registry, removed) > 0.0);
    assert_eq!(value(&registry, "dlog_store_log_segments "), 1.0);
    store.close();
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes everything");
    assert!(
        !text.contains("dlog_store_streams"),
        "the store is gone: {text}"
    );
}
