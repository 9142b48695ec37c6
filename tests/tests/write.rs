//! `dlog write` on real processes: over thriftmux, and over HTTP.

use std::collections::BTreeMap;
use std::path::Path;

use distributedlog_tests::process::{Ended, From, Process, Starting};
use distributedlog_tests::stack::{Local, Proxy, StoreOf};
use rustix::process::Signal;
use serde_json::Value;

const STREAMS: &str = "write-1,write-2,write-3";

/// A store, a proxy and the address of its HTTP port.
async fn stack(folder: &Path) -> (Local, Proxy, String) {
    let local = Local::start(folder, 0).await;
    let flags = ["--http-port", "0"];
    let mut proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &flags).await;
    let find = |_, line: &str| line.strip_prefix("HTTP on ").map(str::to_owned);
    let http = proxy.process.until_line("its HTTP port", find).await;
    // A few records do not come to every stream, and the tests read all of them.
    let create = Starting::dlog(["streams", "create", "--to", &http, STREAMS]).start();
    let _ = create.until_exit().await.with_code(0);
    (local, proxy, http)
}

fn writing(at: &str, flags: &[&str]) -> Process {
    let first = ["write", "--to", at, "--ack", "json", STREAMS];
    let arguments = first.into_iter().chain(flags.iter().copied());
    Starting::dlog(arguments).with_stdin().start()
}

/// Writes `input`, and waits until the command has ended with this status.
async fn written(at: &str, flags: &[&str], input: &str, status: i32) -> Ended {
    let mut process = writing(at, flags);
    process.type_in(input).await;
    process.end_input();
    process.until_exit().await.with_code(status)
}

/// Returns the lines of JSON that the command printed.
fn acknowledged(ended: &Ended) -> Vec<Value> {
    let text = ended.text(From::Stdout);
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    lines.collect()
}

/// Returns the records of the streams in the order of each, those of duplicates once.
async fn stored(local: &Local, count: usize) -> Vec<(String, String)> {
    let (uri, count) = (local.uri().to_string(), count.to_string());
    let read = [
        "multi-reader",
        "--merge",
        "--from",
        "oldest",
        "--format",
        "json",
    ];
    let rest = ["--count", &count, &uri, STREAMS];
    let reader = Starting::dlog(read.into_iter().chain(rest)).start();
    let ended = reader.until_exit().await.with_code(0);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let records = acknowledged(&ended);
    let records = records.iter().map(|record| {
        let payload = if record["payload"].is_string() {
            &record["payload"]
        } else {
            &record["payload_hex"]
        };
        (text(&record["stream"]), text(payload))
    });
    records.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_is_written_once_and_acknowledged_with_its_position() {
    let folder = tempfile::tempdir().expect("a folder");
    let (local, proxy, http) = stack(folder.path()).await;
    let mut expected = Vec::new();
    for (way, at) in [("proxies", proxy.name()), ("http", http)] {
        let lines: Vec<String> = (0..2_000).map(|number| format!("{way} {number}")).collect();
        let ended = written(&at, &[], &(lines.join("\n") + "\n"), 0).await;
        let mut printed = acknowledged(&ended);
        let sums = printed.pop().expect("the sums are last");
        assert_eq!(
            (&sums["records"], &sums["written"], &sums["unknown"]),
            (&2_000.into(), &2_000.into(), &0.into()),
            "{sums}"
        );
        assert_eq!(printed.len(), 2_000);
        let numbers: std::collections::BTreeSet<_> =
            printed.iter().map(|it| it["record"].as_u64()).collect();
        assert_eq!(numbers.len(), 2_000);
        assert!(
            printed[0]["dlsn"]["logSegmentSequenceNo"].is_i64(),
            "{}",
            printed[0]
        );
        expected.extend(lines);
    }
    let mut found: Vec<String> = stored(&local, 4_000)
        .await
        .into_iter()
        .map(|(_, payload)| payload)
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_texts_files_and_pieces_of_any_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (local, proxy, http) = stack(folder.path()).await;
    let file = folder.path().join("whole");
    std::fs::write(&file, "two\nlines\n").expect("a file");
    let file = file.to_str().expect("a plain name");
    let at = proxy.name();
    let _ = written(&at, &["-m", "text", "-m", "another"], "", 0).await;
    let _ = written(&http, &["--file", file], "", 0).await;
    let _ = written(&at, &["-d", r"\n\n"], "a\nb\n\nc", 0).await;
    let _ = written(&at, &["--base64"], "/wA=\n", 0).await;
    let _ = written(&at, &["--length-prefixed"], "\0\0\0\u{3}x\ny", 0).await;
    let _ = written(&http, &["--count", "1"], "first\nsecond\n", 0).await;
    let mut found: Vec<String> = stored(&local, 8)
        .await
        .into_iter()
        .map(|(_, payload)| payload)
        .collect();
    found.sort();
    let expected = [
        "a\nb",
        "another",
        "c",
        "ff00",
        "first",
        "text",
        "two\nlines\n",
        "x\ny",
    ];
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_a_key_are_in_one_stream_in_their_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let (local, proxy, _) = stack(folder.path()).await;
    let lines: Vec<String> = (0..300)
        .map(|number| format!("key-{}: {number}", number % 7))
        .collect();
    let flags = ["--key-delimiter", ": "];
    let ended = written(&proxy.name(), &flags, &lines.join("\n"), 0).await;
    let mut printed = acknowledged(&ended);
    printed.sort_by_key(|it| it["record"].as_u64());
    let mut streams: BTreeMap<usize, &Value> = BTreeMap::new();
    for (number, it) in printed
        .iter()
        .filter(|it| it["record"].is_u64())
        .enumerate()
    {
        let stream = streams.entry(number % 7).or_insert_with(|| &it["stream"]);
        assert_eq!(*stream, &it["stream"], "{it}");
    }
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for (stream, payload) in stored(&local, 300).await {
        let number: i64 = payload.parse().expect("the key is not in the record");
        let key = (number % 7).to_string();
        let before = last.insert(key, number).unwrap_or(-1);
        assert!(before < number, "{number} is behind {before} in {stream}");
    }

    let ended = written(&proxy.name(), &flags, "no key\n", 1).await;
    let _ = ended.complaining("it has no key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_outcome_is_unknown_ends_in_status_3() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_local, proxy, http) = stack(folder.path()).await;
    for at in [proxy.name(), http] {
        let mut process = writing(&at, &["--request-timeout", "1s"]);
        process.type_in("first\n").await;
        let is_first = |_, line: &str| line.contains("\"record\":1").then_some(());
        process
            .until_line("the first acknowledgement", is_first)
            .await;
        proxy.process.signal(Signal::STOP);
        process.type_in("second\n").await;
        process.end_input();
        let ended = process.until_exit().await.with_code(3);
        proxy.process.signal(Signal::CONT);
        let printed = acknowledged(&ended);
        let sums = printed.last().expect("the sums are last");
        assert_eq!((&sums["written"], &sums["unknown"]), (&1.into(), &1.into()));
        let _ = ended.complaining("record 2 has an unknown outcome");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_finishes_what_is_in_flight_and_says_what_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_local, proxy, _) = stack(folder.path()).await;
    let mut process = writing(&proxy.name(), &[]);
    process.type_in("one\ntwo\n").await;
    let is_second = |_, line: &str| line.contains("\"record\":2").then_some(());
    process
        .until_line("the second acknowledgement", is_second)
        .await;
    process.signal(Signal::INT);
    let ended = process.until_exit().await.with_code(1);
    let sums = acknowledged(&ended).pop().expect("the sums are last");
    assert_eq!(sums["written"], 2);
    let _ = ended.complaining("nothing after record 2 was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_records_are_written_than_the_rate_allows() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_local, proxy, _) = stack(folder.path()).await;
    let lines = "x\n".repeat(41);
    let ended = written(&proxy.name(), &["--rate", "40/s"], &lines, 0).await;
    let sums = acknowledged(&ended).pop().expect("the sums are last");
    // The last one is due a second after the first.
    assert!(sums["seconds"].as_f64() >= Some(1.0), "{sums}");
}
