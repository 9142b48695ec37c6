//! `dlog bench` on real processes: what it reports is what is in the streams.

use distributedlog::Dlsn;
use distributedlog_reader::LogReader;
use distributedlog_tests::process::{From, Process, Starting};
use distributedlog_tests::stack::{Local, Proxy, StoreOf};
use rustix::process::Signal;
use serde_json::Value;

const STREAMS: &str = "bench-1,bench-2,bench-3";

fn bench(proxy: &Proxy, flags: &[&str]) -> Process {
    let name = proxy.name();
    let mut arguments = vec!["bench", "--format", "json"];
    arguments.extend(flags);
    arguments.extend([name.as_str(), STREAMS]);
    Starting::dlog(arguments).start()
}

/// Returns the report of a run that ended with this status.
async fn report(bench: Process, status: i32) -> Value {
    let ended = bench.until_exit().await.with_code(status);
    let text = ended.text(From::Stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Creates the streams in a store.
async fn create_streams(local: &Local) {
    let uri = local.uri().to_string();
    for stream in STREAMS.split(',') {
        let create = Starting::dlog(["tool", "create", "-u", &uri, "-f", "-e", stream]);
        let _ = create.start().until_exit().await.with_code(0);
    }
}

/// Waits until the first record of a run is stored.
async fn until_a_record_is_stored(local: &Local) {
    let stream = "bench-1".parse().expect("a name");
    let mut reader = LogReader::new(local.connect().await, stream, Dlsn::INITIAL);
    let first = reader.next().await;
    first.expect("the stream is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bench_acknowledged_is_read_back_from_the_store_and_over_http() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let flags = ["--http-port", "0"];
    let mut proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &flags).await;
    let find = |_, line: &str| line.strip_prefix("HTTP on ").map(str::to_owned);
    let http = proxy.process.until_line("its HTTP port", find).await;
    for source in [local.uri().to_string(), http] {
        let flags = ["--writers", "2", "--records", "1000", "--warm-up", "0s"];
        let verify = ["--duration", "10m", "--verify", &source];
        let report = report(bench(&proxy, &[&flags[..], &verify].concat()), 0).await;
        let found = &report["read_back"];
        assert_eq!(
            (&report["records_written"], &found["records"]),
            (&2000.into(), &2000.into()),
            "{report}"
        );
        assert_eq!((&found["lost"], &found["twice"]), (&0.into(), &0.into()));
        assert_eq!(report["write_latency_us"]["count"], 2000);
        assert!(
            report["records_per_second"].as_f64() > Some(0.0),
            "{report}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bench_says_which_records_are_missing_where_it_reads_them_back() {
    let (folder, other) = (tempfile::tempdir(), tempfile::tempdir());
    let (folder, other) = (folder.expect("a folder"), other.expect("a folder"));
    let (local, other) = (
        Local::start(folder.path(), 0).await,
        Local::start(other.path(), 0).await,
    );
    create_streams(&other).await;
    let uri = other.uri().to_string();
    let proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &[]).await;
    let flags = ["--records", "100", "--warm-up", "0s", "--verify", &uri];
    let ended = bench(&proxy, &flags).until_exit().await.with_code(1);
    let _ = ended.complaining("100 acknowledged records missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_measurement_and_prints_what_was_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    create_streams(&local).await;
    let proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &[]).await;
    let bench = bench(&proxy, &["--duration", "1h", "--warm-up", "0s"]);
    until_a_record_is_stored(&local).await;
    bench.signal(Signal::INT);
    let report = report(bench, 0).await;
    assert!(report["records_written"].as_u64() > Some(0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn measured_latencies_are_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &[]).await;
    let plot = folder.path().join("plot.svg");
    let file = plot.to_str().expect("a plain name");
    let flags = ["--records", "200", "--warm-up", "0s", "--plot"];
    let report = report(bench(&proxy, &[&flags[..], &[file]].concat()), 0).await;
    assert_eq!(report["records_written"], 200);
    let drawn = std::fs::read_to_string(&plot).expect("it was drawn");
    for part in ["<svg", "Latencies of 200 writes", "attempts", "polyline"] {
        assert!(drawn.contains(part), "{part}");
    }
    let wrong = bench(&proxy, &["--plot", "plot.gif"]);
    let _ = wrong.until_exit().await.with_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_no_proxy_takes_are_counted_and_decide_the_status() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    create_streams(&local).await;
    let proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &[]).await;
    let flags = [
        "--duration",
        "3s",
        "--warm-up",
        "0s",
        "--request-timeout",
        "500ms",
    ];
    let bench = bench(&proxy, &flags);
    until_a_record_is_stored(&local).await;
    proxy.process.kill_9().await;
    let ended = bench.until_exit().await;
    let report: Value = serde_json::from_str(&ended.text(From::Stdout)).expect("a report");
    let count = |name: &str| report[name].as_u64().expect("a count");
    let (unknown, failed) = (count("records_unknown"), count("records_not_written"));
    assert!(
        unknown + failed > 0 && report["last_failure"].is_string(),
        "{report}"
    );
    // What was in flight when the proxy was killed may have been written.
    let _ = ended.with_code(if unknown > 0 { 3 } else { 1 });
}
