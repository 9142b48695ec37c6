//! Speed of Java's core, beside which ours is measured.

use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::BenchPeer;

/// Settings of the load by name: sets of 16 KiB and of one record.
const LOADS: [(&str, &str); 5] = [
    ("sets-8192", "window=8192 per_set=157"),
    ("sets-1024", "window=1024 per_set=157"),
    ("single-512", "window=512"),
    ("single-64", "window=64"),
    ("single-1", "window=1"),
];

/// Prints figures. Seconds of each load: `BOOKKEEPER_SECONDS`. Default: 1.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn speed_of_javas_core() {
    let seconds = std::env::var("BOOKKEEPER_SECONDS").unwrap_or_else(|_| "1".to_owned());
    let builder = Cluster::builder(Version::V4_17).measured();
    let cluster = builder.start().await;
    let mut bench = BenchPeer::start(Version::V4_17, &cluster.namespace(), &[]).await;
    for (name, load) in LOADS {
        let settings = format!("{load} logs=5 record=100 seconds={seconds} warm_up={seconds}");
        let written = bench.write(name, &settings).await;
        println!("{name}: {written:?}");
        assert_eq!(written.errors, Some(0), "{name}");
        let read = bench.read(name, "logs=5").await;
        println!("{name}: {read:?}");
        // What the warm-up wrote is read too.
        assert!(read.records > written.records, "{name}");
    }
}
