//! `dlog read` and `dlog tail` on real processes: of a namespace, and over HTTP.

use std::path::Path;

use distributedlog_tests::process::{From, Process, Starting};
use distributedlog_tests::stack::{Local, Proxy, StoreOf};
use rustix::process::Signal;

const STREAMS: &str = "read-1,read-2,read-3";

/// A store, a proxy and the address of its HTTP port.
async fn stack(folder: &Path) -> (Local, Proxy, String) {
    let local = Local::start(folder, 0).await;
    let flags = ["--http-port", "0"];
    let mut proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &flags).await;
    let find = |_, line: &str| line.strip_prefix("HTTP on ").map(str::to_owned);
    let http = proxy.process.until_line("its HTTP port", find).await;
    (local, proxy, http)
}

async fn write(proxy: &Proxy, streams: &str, records: impl Iterator<Item = String>) {
    let name = proxy.name();
    let write = ["write", "--to", &name, streams, "--buffer-size", "0"];
    let mut write = Starting::dlog(write).with_stdin().start();
    for record in records {
        write.type_in(&(record + "\n")).await;
    }
    write.end_input();
    let _ = write.until_exit().await.with_code(0);
}

fn reading(command: &str, at: &str, flags: &[&str]) -> Process {
    let first = [command, "--to", at, STREAMS];
    Starting::dlog(first.into_iter().chain(flags.iter().copied())).start()
}

/// Returns the lines that `dlog read` prints.
async fn read(at: &str, flags: &[&str]) -> Vec<String> {
    let ended = reading("read", at, flags).until_exit().await.with_code(0);
    let text = ended.text(From::Stdout);
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_read_alike_from_a_namespace_and_over_http() {
    let folder = tempfile::tempdir().expect("a folder");
    let (local, proxy, http) = stack(folder.path()).await;
    write(
        &proxy,
        STREAMS,
        (0..300).map(|number| format!("record {number}")),
    )
    .await;
    for at in [local.uri().to_string(), http] {
        let mut all = read(&at, &[]).await;
        assert_eq!(all.len(), 300);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 300);

        assert_eq!(read(&at, &["--count", "7"]).await.len(), 7);
        let found = read(&at, &["--grep", "record (7|9)$"]).await;
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            read(&at, &["--grep", "7", "--invert"]).await.len(),
            300 - 57
        );
        assert_eq!(read(&at, &["--from", "last"]).await.len(), 3);
        assert_eq!(read(&at, &["--since", "1h"]).await.len(), 300);
        assert_eq!(read(&at, &["--until", "1h"]).await, [""; 0]);
        let template = ["--template", "{stream} {dlsn} {bytes} {payload}", "-n", "1"];
        let one = read(&at, &template).await.remove(0);
        let parts: Vec<&str> = one.split(' ').collect();
        assert!(
            parts[0].starts_with("read-") && parts[1].starts_with("1,"),
            "{one}"
        );
        let json = read(&at, &["--format", "json", "-n", "1"]).await.remove(0);
        let json: serde_json::Value = serde_json::from_str(&json).expect("an object");
        assert!(
            json["payload"].is_string() && json["time"].is_string(),
            "{json}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_file_continues_where_the_last_run_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let (local, proxy, http) = stack(folder.path()).await;
    write(&proxy, STREAMS, (0..20).map(|number| number.to_string())).await;
    for (name, at) in [("uri", local.uri().to_string()), ("http", http)] {
        let file = folder.path().join(name);
        let file = file.to_str().expect("a plain name");
        let mut all = read(&at, &["--position", file, "-n", "5"]).await;
        assert_eq!(all.len(), 5);
        all.extend(read(&at, &["--position", file]).await);
        assert_eq!(read(&at, &["--position", file]).await, [""; 0]);
        let mut numbers: Vec<u32> = all.iter().map(|it| it.parse().expect(it)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>(), "{at}");
    }
    let other = folder.path().join("http");
    let file = other.to_str().expect("a plain name");
    let refused = reading("read", &local.uri().to_string(), &["--position", file]);
    let refused = refused.until_exit().await.with_code(1);
    let _ = refused.complaining("it belongs to http://");
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_prints_what_comes_until_it_is_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (local, proxy, http) = stack(folder.path()).await;
    let create = ["streams", "create", "--to", &http, STREAMS];
    let create = Starting::dlog(create).start();
    let _ = create.until_exit().await.with_code(0);
    write(&proxy, "read-1", ["before".to_owned()].into_iter()).await;
    for (new, at) in [("one", local.uri().to_string()), ("two", http)] {
        let mut tail = reading("tail", &at, &["--from", "last", "--stats"]);
        let is_before = |_, line: &str| (line == "before").then_some(());
        tail.until_line("the last record", is_before).await;
        write(&proxy, "read-2", [new.to_owned()].into_iter()).await;
        let is_new = |_, line: &str| (line == new).then_some(());
        tail.until_line("the new record", is_new).await;
        tail.signal(Signal::INT);
        let ended = tail.until_exit().await.with_code(0);
        let _ = ended.complaining("B/s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_were_written_with_their_lengths_are_read_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (local, proxy, _) = stack(folder.path()).await;
    let name = proxy.name();
    let flags = ["write", "--to", &name, "read-1", "--length-prefixed"];
    let mut write = Starting::dlog(flags).with_stdin().start();
    let framed = "\0\0\0\u{3}a\nb\0\0\0\0\0\0\0\u{1}c";
    write.type_in(framed).await;
    write.end_input();
    let _ = write.until_exit().await.with_code(0);
    let uri = local.uri().to_string();
    let command = ["read", "--to", &uri, "read-1", "--length-prefixed"];
    let ended = Starting::dlog(command)
        .start()
        .until_exit()
        .await
        .with_code(0);
    assert_eq!(ended.text(From::Stdout), framed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_output_that_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let (local, proxy, _) = stack(folder.path()).await;
    write(&proxy, STREAMS, (0..200).map(|_| "x".repeat(5_000))).await;
    let uri = local.uri().to_string();
    let dlog = distributedlog_tests::binary::dlog().display();
    let script = format!("set -o pipefail; {dlog} read --to {uri} {STREAMS} | head -n 1 | wc -c");
    let shell = Starting::program(Path::new("/bin/bash"), ["-c", script.as_str()]).start();
    let ended = shell.until_exit().await.with_code(0);
    assert_eq!(ended.text(From::Stdout).trim(), "5001");
    assert_eq!(ended.text(From::Stderr), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_streams_those_that_do_not_exist_yet_are_left_out_or_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (local, proxy, http) = stack(folder.path()).await;
    write(&proxy, "read-2", ["first".to_owned()].into_iter()).await;
    for at in [local.uri().to_string(), http.clone()] {
        let ended = reading("read", &at, &[]).until_exit().await.with_code(0);
        assert_eq!(ended.text(From::Stdout), "first");
        let _ = ended.complaining("log stream read-1 does not exist and is left out");
    }
    let mut followers = Vec::new();
    for at in [local.uri().to_string(), http] {
        let mut follower = reading("read", &at, &["--follow", "-n", "2"]);
        let first = |_, line: &str| (line == "first").then_some(());
        follower.until_line("the record that is there", first).await;
        followers.push(follower);
    }
    write(&proxy, "read-3", ["second".to_owned()].into_iter()).await;
    for follower in followers {
        let ended = follower.until_exit().await.with_code(0);
        assert!(ended.text(From::Stdout).ends_with("second"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_exist_is_named_with_the_command_that_creates_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (local, _proxy, http) = stack(folder.path()).await;
    for at in [local.uri().to_string(), http] {
        let ended = reading("read", &at, &[]).until_exit().await.with_code(1);
        let ended = ended.complaining("read-1 is not found");
        let _ = ended.complaining("create it with: dlog ");
    }
}
