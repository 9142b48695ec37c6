use std::ffi::OsString;

use distributedlog_store::{Acquired, Entry, Owner};
use distributedlog_testkit::store::MemoryStore;

use super::super::args::{Cli, Command};
use super::super::output::CapturedOutput;
use super::*;

fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("a name")
}

/// Streams a with two records and an owner, b and other without.
async fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    let (a, b) = (stream("a"), stream("b"));
    for name in [&a, &b, &stream("other")] {
        store.create(name).await.expect("it is new");
    }
    let owner = Owner {
        shard: 1,
        address: "proxy-1:8000".to_owned(),
    };
    let Acquired::Granted(lease) = store.acquire(&a, &owner).await.expect("it is there") else {
        panic!("it has no owner")
    };
    for payload in ["one", "three"] {
        let records = vec![distributedlog_testkit::store::plain(payload)];
        let (sender, done) = tokio::sync::oneshot::channel();
        store.append(
            &lease,
            Entry { records },
            Box::new(|done| drop(sender.send(done))),
        );
        let _ = done.await.expect("it is called").expect("it is written");
    }
    store
}

/// Runs `dlog streams LINE` on a store in memory; returns its output.
async fn ran(store: &Arc<MemoryStore>, line: &str) -> String {
    let words = format!("dlog streams {line} --to distributedlog://h/n");
    let cli = Cli::read(words.split_whitespace().map(OsString::from))
        .unwrap_or_else(|error| panic!("{error}"));
    let Command::Streams(args) = cli.command else {
        panic!("{words}")
    };
    let command = args.command;
    let connected = Connected {
        store: Arc::clone(store) as Arc<dyn LogStore>,
        place: "distributedlog://h/n".parse().expect("a place"),
    };
    let captured = CapturedOutput::default();
    let output = captured.output();
    let result = if let StreamsCommand::List(args) = command {
        args.list(&connected, &output).await
    } else if let StreamsCommand::Owners(args) = command {
        args.list(&connected, &output).await
    } else {
        panic!("{command:?}")
    };
    result.unwrap_or_else(|error| panic!("{error}"));
    captured.text()
}

/// Returns the first column of a table.
fn column(text: &str) -> Vec<&str> {
    let lines = text.lines().skip(1);
    lines
        .map(|line| line.split(' ').next().unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn the_list_is_a_table_with_records_sizes_and_owners() {
    let store = store().await;
    let text = ran(&store, "list").await;
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][..4], ["STREAM", "RECORDS", "SIZE", "SEGMENTS"]);
    assert_eq!(lines[1][..5], ["a", "2", "8", "B", "1"], "{text}");
    assert!(lines[1].contains(&"proxy-1:8000"), "{text}");
    assert_eq!(lines[2][..6], ["b", "0", "0", "B", "0", "never"], "{text}");
    assert!(lines[2].contains(&"none"), "{text}");
}

#[tokio::test]
async fn the_list_is_narrowed_sorted_and_cut_off() {
    let store = store().await;
    for (flags, expected) in [
        ("", &["a", "b", "other"][..]),
        ("o", &["other"]),
        ("--search th", &["other"]),
        ("--limit 2", &["a", "b"]),
        ("--sort records --limit 1", &["a"]),
        ("nothing-like-that", &[]),
    ] {
        let text = ran(&store, &format!("list {flags}")).await;
        assert_eq!(column(&text), expected, "{flags}: {text}");
    }
    let names = ran(&store, "list --names --limit 2").await;
    assert_eq!(names, "a\nb\n");
}

#[tokio::test]
async fn programs_get_one_object_for_each_stream() {
    let text = ran(&store().await, "list --format json").await;
    let first: serde_json::Value =
        serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        (&first["stream"], &first["records"], &first["bytes"]),
        (&"a".into(), &2.into(), &8.into())
    );
    assert_eq!(first["owner"]["address"], "proxy-1:8000");
    assert_eq!(text.lines().count(), 3);
}

#[tokio::test]
async fn owners_have_the_sum_of_their_streams() {
    let store = store().await;
    let text = ran(&store, "owners").await;
    assert_eq!(
        text,
        "\
OWNER         SHARD  STREAMS  RECORDS  SIZE
none                       2        0   0 B
proxy-1:8000      1        1        2   8 B
"
    );
    let json = ran(&store, "owners --format json").await;
    assert!(json.ends_with(
        "{\"owner\":\"proxy-1:8000\",\"shard\":1,\"streams\":1,\"records\":2,\"bytes\":8}\n"
    ));
}

#[test]
fn a_place_that_only_takes_writes_has_no_streams_to_list() {
    let place: Place = "inet!127.0.0.1:8000".parse().expect("a place");
    let error = place.administered().expect_err("it has none");
    let report = error.report(false).expect("a message");
    assert!(report.contains("--to http://"), "{report}");
}
