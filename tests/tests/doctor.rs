//! `dlog doctor` on real processes: it says what works and what does not, and leaves nothing
//! behind.

use std::fs;

use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::process::{Ended, From, Starting};
use distributedlog_tests::stack::{Local, Proxy, StoreOf};

async fn doctor(arguments: &[&str], status: i32) -> Ended {
    let arguments = [&["doctor"], arguments].concat();
    let ended = Starting::dlog(arguments).start().until_exit().await;
    ended.with_code(status)
}

/// Starts a proxy with an HTTP port. Returns it and the port's URL.
async fn proxy(store: StoreOf<'_>, flags: &[&str]) -> (Proxy, String) {
    let flags = [flags, &["--http-port", "0"]].concat();
    let mut proxy = Proxy::start(store, 0, &flags).await;
    let find = |_, line: &str| line.strip_prefix("HTTP on ").map(str::to_owned);
    let url = proxy.process.until_line("its HTTP port", find).await;
    (proxy, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_works_is_ok_line_by_line_and_is_left_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let (proxy, url) = proxy(StoreOf::At(&local.uri()), &[]).await;
    let uri = local.uri().to_string();
    let text = doctor(&[&uri, &proxy.name(), &url], 0)
        .await
        .text(From::Stdout);
    let (last, checks) = text.trim_end().rsplit_once('\n').expect("several lines");
    assert_eq!(checks, "0 failures, 0 warnings", "{text}");
    for line in last.lines() {
        assert!(line.starts_with("ok    "), "{text}");
    }
    for expected in [
        "the clocks of the store and of this machine agree",
        "takes writes, and owns",
        "it is ready for writes",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // Through the namespace, through the proxy, and over HTTP.
    assert_eq!(text.matches("wrote a record").count(), 3, "{text}");
    assert_eq!(text.matches("read it back").count(), 2, "{text}");
    let store = local.connect().await;
    let id = store.identity().expect("it has an identity");
    let domain = format!("failure domain {id}");
    assert!(text.contains(&domain), "{domain}: {text}");
    let streams = store.list().await.expect("it lists");
    assert!(streams.is_empty(), "{streams:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_answer_fails_with_the_command_that_starts_it() {
    let free = ReservedPort::new();
    let port = free.number();
    let name = format!("inet!127.0.0.1:{port}");
    let uri = format!("distributedlog://127.0.0.1:{port}/messaging/distributedlog");
    let url = format!("http://127.0.0.1:{port}");
    let text = doctor(&[&uri, &name, &url], 1).await.text(From::Stdout);
    for expected in [
        &format!("tip: start a store there with: dlog local {port}"),
        "tip: start one with: dlog proxy",
        "tip: start a proxy with an HTTP port: dlog proxy --http-port 8002",
        "3 failures, 0 warnings",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_another_kind_is_named_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let (proxy, url) = proxy(StoreOf::In(folder.path()), &[]).await;
    // The thrift port is asked over HTTP, and the HTTP port over thriftmux.
    let thrift = format!("http://{}", proxy.address);
    let http = url.replace("http://", "inet!");
    let text = doctor(&[&thrift, &http], 1).await.text(From::Stdout);
    assert!(text.contains("2 failures"), "{text}");
    assert!(
        text.contains("does not answer") || text.contains("answered"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_asks_for_a_token_or_takes_no_writes_is_checked_with_it_and_without_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, "secret-0123456789").expect("a file");
    let token = ["--http-token-file", file.to_str().expect("a plain name")];
    let store = folder.path().join("store");
    let (_proxy, url) = proxy(StoreOf::In(&store), &token).await;
    let text = doctor(&[&url], 1).await.text(From::Stdout);
    assert!(text.contains("401"), "{text}");
    let text = doctor(&[token[0], token[1], &url], 0)
        .await
        .text(From::Stdout);
    assert!(text.contains("0 failures"), "{text}");

    let other = folder.path().join("other");
    let (read_only, url) = proxy(StoreOf::In(&other), &["--read-only"]).await;
    let places = [read_only.name(), url];
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let text = doctor(&places, 1).await.text(From::Stdout);
    assert!(text.contains("--no-write"), "{text}");
    let text = doctor(&[&["--no-write"], &places[..]].concat(), 0).await;
    assert!(text.text(From::Stdout).contains("0 failures"));
}
