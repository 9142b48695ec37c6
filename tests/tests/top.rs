//! `dlog top` without a terminal, on real processes.

use distributedlog_tests::process::{From, Starting};
use distributedlog_tests::stack::{Proxy, StoreOf};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_have_what_was_written_through_a_proxy() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--http-port", "0"];
    let mut proxy = Proxy::start(StoreOf::In(folder.path()), 0, &flags).await;
    let find = |_, line: &str| line.strip_prefix("HTTP on ").map(str::to_owned);
    let http = proxy.process.until_line("its HTTP port", find).await;
    // Without hedges a slow machine stores each record once.
    let write = [
        "write",
        "--no-hedging",
        "--to",
        &http,
        "top-1,top-2",
        "-m",
        "one",
        "-m",
        "two",
    ];
    let _ = Starting::dlog(write)
        .start()
        .until_exit()
        .await
        .with_code(0);

    let top = [
        "top",
        &http,
        "--count",
        "2",
        "--interval",
        "1500ms",
        "--format",
        "json",
    ];
    let ended = Starting::dlog(top).start().until_exit().await.with_code(0);
    let text = ended.text(From::Stdout);
    let last = text.lines().last().expect("two snapshots");
    let last: Value = serde_json::from_str(last).expect("an object");
    assert_eq!(last["proxies"][0]["ready"], true, "{last}");
    let records = last["streams"].as_array().expect("a list").iter();
    let records: u64 = records.filter_map(|it| it["records"].as_u64()).sum();
    assert_eq!(records, 2, "{last}");

    let top = ["top", "--to", &http, "--search", "top-"];
    let ended = Starting::dlog(top).start().until_exit().await.with_code(0);
    let text = ended.text(From::Stdout);
    assert!(
        text.starts_with("PROXY") && text.contains("ready"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_without_figures_is_refused_with_one_that_has_them() {
    let top = Starting::dlog(["top", "--to", "inet!127.0.0.1:1"]).start();
    let ended = top.until_exit().await.with_code(2);
    let _ = ended.complaining("dlog top http://127.0.0.1:8002");
    let top = Starting::dlog(["top", "http://127.0.0.1:1"]).start();
    let ended = top.until_exit().await.with_code(1);
    let _ = ended.complaining("no proxy answers");
}
