use std::ffi::OsString;
use std::sync::Mutex;

use bytes::Bytes;
use distributedlog::wire::record_set::{RecordSetBuilder, SetIdentity, WriterId};

use super::super::args::{Cli, Command};
use super::super::output::CapturedOutput;
use super::*;
use distributedlog_store::{EntryRecord, StoreError, StoreId, StreamName};
use distributedlog_testkit::store::{MemoryStore, plain};

fn args(flags: &str) -> Args {
    let line = format!("dlog multi-reader {flags} distributedlog://h/n s-1,s-2");
    let Command::MultiReader(args) = Cli::read(line.split_whitespace().map(OsString::from))
        .expect("a command line")
        .command
    else {
        panic!("{line}");
    };
    args
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("a name")
}

/// Stream s-1 with two records, s-2 with none.
async fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    store.put_plain(&stream("s-1"), 0, "one");
    store.put_plain(&stream("s-1"), 2, "two");
    store.create(&stream("s-2")).await.expect("it is new");
    store
}

fn reading(store: &Arc<MemoryStore>) -> Reading {
    Reading {
        store: Arc::clone(store) as Arc<dyn LogStore>,
        place: "distributedlog://h/n".parse().expect("a place"),
        streams: vec![stream("s-1"), stream("s-2")],
    }
}

async fn read(store: &Arc<MemoryStore>, flags: &str) -> (String, Result<(), CliError>) {
    let captured = CapturedOutput::default();
    let result = args(flags)
        .read_from(&reading(store), &captured.output(), &Shutdown::manual())
        .await;
    (captured.text(), result)
}

#[tokio::test]
async fn the_output_is_the_tutorials() {
    let (text, result) = read(&store().await, "--count 1").await;
    assert_eq!(
        text,
        "\
Opening log stream s-1
Opening log stream s-2
Wait for records from s-1 starting from DLSN{logSegmentSequenceNo=1, entryId=2, slotId=0}
Open reader to read records from stream s-1
Log stream s-2 is empty.
Wait for records from s-2 starting from DLSN{logSegmentSequenceNo=1, entryId=0, slotId=0}
Open reader to read records from stream s-2
Received record DLSN{logSegmentSequenceNo=1, entryId=2, slotId=0} from stream s-1
\"\"\"
two
\"\"\"
"
    );
    assert!(result.is_ok());
}

#[tokio::test]
async fn reading_starts_where_it_is_asked_to() {
    let store = store().await;
    let payloads = |text: String| {
        text.lines()
            .filter(|line| ["one", "two"].contains(line))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        payloads(read(&store, "--from oldest --count 2").await.0),
        "one two"
    );
    assert_eq!(
        payloads(read(&store, "--from 1,0,1 --count 1").await.0),
        "two"
    );
    let late = Arc::clone(&store);
    tokio::spawn(async move { late.put_plain(&stream("s-2"), 0, "late") });
    assert!(
        read(&store, "--from latest --count 1")
            .await
            .0
            .ends_with("from stream s-2\n\"\"\"\nlate\n\"\"\"\n")
    );
}

/// Returns the payloads that a merging reader prints.
async fn merged(store: &Arc<MemoryStore>, flags: &str) -> (Vec<String>, Result<(), CliError>) {
    let captured = CapturedOutput::default();
    let result = args(flags)
        .merge_from(&reading(store), &captured.output(), &Shutdown::manual())
        .await;
    let text = captured.text();
    let payloads = text
        .split("\"\"\"\n")
        .skip(1)
        .step_by(2)
        .map(|payload| payload.trim_end().to_owned())
        .collect();
    (payloads, result)
}

/// Builds a set of one record with an identity.
fn set(payload: &str, sequence: u64) -> EntryRecord {
    let mut buffer = vec![0; 256];
    let mut builder = RecordSetBuilder::new(buffer.len(), true);
    builder
        .append(&mut buffer, payload.as_bytes())
        .expect("it fits");
    let identity = SetIdentity {
        writer: WriterId([1; 16]),
        sequence,
    };
    let payload = Bytes::copy_from_slice(builder.finish(&mut buffer, Some(&identity)));
    EntryRecord {
        payload,
        slots: 1,
        is_record_set: true,
    }
}

#[tokio::test]
async fn merging_prints_what_reading_prints_when_there_are_no_duplicates() {
    let store = store().await;
    let flags = "--from oldest --count 2";
    let captured = CapturedOutput::default();
    let result = args(&format!("{flags} --merge"))
        .merge_from(&reading(&store), &captured.output(), &Shutdown::manual())
        .await;
    assert!(result.is_ok());
    assert_eq!(captured.text(), read(&store, flags).await.0);
}

#[tokio::test]
async fn merged_records_are_printed_once_also_over_several_runs_from_a_position_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("position");
    let flags = |count| {
        format!(
            "--merge --from oldest --count {count} --position {}",
            file.display()
        )
    };
    let store = store().await;
    store.put(
        &stream("s-1"),
        Dlsn::new(1, 3, 0),
        vec![set("three", 0), set("four", 1)],
    );
    assert_eq!(merged(&store, &flags(3)).await.0, ["one", "two", "three"]);
    store.put(
        &stream("s-2"),
        Dlsn::INITIAL,
        vec![set("four", 1), set("three", 0), set("five", 2)],
    );
    let (mut printed, result) = merged(&store, &flags(2)).await;
    printed.sort_unstable();
    assert!(result.is_ok());
    assert_eq!(printed, ["five", "four"]);
}

#[tokio::test]
async fn a_position_file_that_is_damaged_foreign_or_of_other_streams_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("position");
    let flags = format!(
        "--merge --from oldest --count 1 --position {}",
        file.display()
    );
    let store = store().await;
    assert!(merged(&store, &flags).await.1.is_ok());
    let good = std::fs::read_to_string(&file).expect("it was saved");
    let cases = [
        (
            good[..good.len() / 2].to_owned(),
            "not the position of a merged reader",
        ),
        (
            "{\"orders\": []}".to_owned(),
            "not the position of a merged reader",
        ),
        (
            good.replace("distributedlog://h:7000/n", "distributedlog://h:7000/other"),
            "belongs to distributedlog://h:7000/other, not to",
        ),
        (good.replace("\"s-2\"", "\"s-3\""), "s-3"),
        (
            good.replace("\"format\":1", "\"format\":9"),
            "its format is 9",
        ),
    ];
    for (text, said) in cases {
        std::fs::write(&file, &text).expect("the folder can be written");
        let (printed, result) = merged(&store, &flags).await;
        let report = result.expect_err(said).report(false).unwrap_or_default();
        assert!(
            report.contains(said) && report.contains("position") && report.contains("tip: "),
            "{report}"
        );
        assert_eq!(printed, [""; 0]);
        assert_eq!(std::fs::read_to_string(&file).expect("it is there"), text);
    }
}

#[tokio::test]
async fn a_position_file_of_another_store_is_refused_with_both_identities() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("position");
    let flags = format!(
        "--merge --from oldest --count 1 --position {}",
        file.display()
    );
    let id = |byte| StoreId::from_bytes([byte; 16]);
    let first = store().await;
    first.identify(id(1));
    assert!(merged(&first, &flags).await.1.is_ok());
    let other = store().await;
    other.identify(id(2));
    let (printed, result) = merged(&other, &flags).await;
    let report = result.expect_err("refused").report(false).expect("a text");
    for text in [id(1).to_string(), id(2).to_string()] {
        assert!(report.contains(&text), "{report}");
    }
    assert_eq!(printed, [""; 0]);
    assert!(merged(&first, &flags).await.1.is_ok(), "it is unchanged");
}

#[tokio::test]
async fn a_position_file_that_cannot_be_written_is_reported_before_the_first_record() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let flags = format!(
        "--merge --position {}",
        folder.path().join("none/position").display()
    );
    let (printed, result) = merged(&store().await, &flags).await;
    assert!(
        result
            .expect_err("there is no such folder")
            .to_string()
            .contains("none")
    );
    assert_eq!(printed, [""; 0]);
}

#[tokio::test]
async fn a_record_that_could_not_be_printed_is_printed_next_time() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let flags = format!(
        "--merge --from oldest --count 2 --position {}",
        folder.path().join("position").display()
    );
    let store = store().await;
    let args = args(&format!("{flags} --format json"));
    args.merge_from(&reading(&store), &Output::to(Closed), &Shutdown::manual())
        .await
        .expect_err("the pipe is closed");
    assert_eq!(merged(&store, &flags).await.0, ["one", "two"]);
}

#[tokio::test]
async fn in_json_only_records_are_printed() {
    let (text, _) = read(&store().await, "--from oldest --count 2 --format json").await;
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.lines()
            .all(|line| line.starts_with("{\"stream\":\"s-1\"")),
        "{text}"
    );
}

/// Sizes of writes.
#[derive(Clone, Default)]
struct Writes(Arc<Mutex<Vec<usize>>>);

impl std::io::Write for Writes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").push(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn many_merged_records_are_written_at_once() {
    let store = store().await;
    for entry in 3..3000 {
        store.put_plain(&stream("s-1"), entry, "a record of some letters");
    }
    let writes = Writes::default();
    let output = Output::to(writes.clone());
    let args = args("--merge --from oldest --count 2999 --format json");
    args.merge_from(&reading(&store), &output, &Shutdown::manual())
        .await
        .expect("the output takes all");
    let writes = writes.0.lock().expect("no panic").clone();
    let bytes: usize = writes.iter().sum();
    assert!(bytes > 400_000 && writes.len() < 30, "{writes:?}");
}

#[tokio::test]
async fn a_missing_stream_is_named_as_in_the_tutorial_with_the_command_that_creates_it() {
    let store = MemoryStore::new();
    store.create(&stream("s-1")).await.expect("it is new");
    let (text, result) = read(&store, "").await;
    assert_eq!(text, "Opening log stream s-1\nOpening log stream s-2\n");
    assert_eq!(
        result.expect_err("s-2 is missing").report(false).as_deref(),
        Some(
            "error: Log stream s-2 is not found. Please create it first.\n  tip: create it \
             with: dlog tool create -u distributedlog://h:7000/n -e s-2\n"
        )
    );
}

#[tokio::test]
async fn a_damaged_record_set_does_not_end_the_reading() {
    let store = store().await;
    store.put(
        &stream("s-2"),
        Dlsn::INITIAL,
        vec![
            EntryRecord {
                is_record_set: true,
                ..plain("nonsense")
            },
            plain("three"),
        ],
    );
    let (text, result) = read(&store, "--from oldest --count 3").await;
    assert!(
        result.is_ok() && text.contains("\nthree\n") && !text.contains("nonsense"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_reconnects_when_the_store_disconnects() {
    let store = store().await;
    store.fail_next_read(StoreError::Disconnected {
        address: "h:1".into(),
        detail: "reset".into(),
    });
    let (text, result) = read(&store, "--from oldest --count 2").await;
    assert!(
        result.is_ok() && text.contains("\none\n") && text.contains("\ntwo\n"),
        "{text}"
    );
}

#[tokio::test]
async fn reading_ends_when_a_stream_is_deleted() {
    let store = store().await;
    let late = Arc::clone(&store);
    tokio::spawn(async move { late.delete(&stream("s-2")).await });
    let (_, result) = read(&store, "--from latest").await;
    assert!(
        result
            .expect_err("s-2 is gone")
            .to_string()
            .contains("stream s-2: log stream s-2 is not found")
    );
}
