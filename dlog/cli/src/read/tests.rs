use bytes::Bytes;
use core::num::NonZeroUsize;
use std::ffi::OsString;
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog::wire::record_set::RecordSetBuilder;
use distributedlog_reader::Record;
use distributedlog_reader::{MultiStreamReader, StreamRecord};
use distributedlog_store::{EntryRecord, StreamName};
use distributedlog_testkit::store::MemoryStore;

use super::super::args::{Cli, Command};
use super::super::output::CapturedOutput;
use super::format::Printer;
use super::*;

fn reading(line: &str) -> Result<Reading, String> {
    let words = ["dlog", "read", "s"].into_iter().chain(line.split('|'));
    let words = words.filter(|word| !word.is_empty()).map(OsString::from);
    let cli = Cli::read(words).map_err(|error| error.to_string())?;
    let Command::Read(args) = cli.command else {
        panic!("{line}")
    };
    Ok(args.reading)
}

/// Reads the one record of a stream in memory.
async fn record(payload: &'static [u8]) -> StreamRecord {
    let store = MemoryStore::new();
    let stream = StreamName::new("s").expect("a name");
    store.put(
        &stream,
        Dlsn::new(1, 2, 0),
        vec![distributedlog_testkit::store::plain("any")],
    );
    let store: Arc<dyn distributedlog_store::LogStore> = store;
    let reader = MultiStreamReader::builder(store)
        .streams(["s"])
        .follow(false)
        .build();
    let read = reader.expect("valid").next().await.expect("it is there");
    let mut read = read.expect("it is readable");
    read.record = Record::new(
        read.record.dlsn,
        Bytes::from_static(payload),
        1_795_449_504_007,
    );
    read
}

async fn printed(flags: &str, payload: &'static [u8]) -> String {
    let captured = CapturedOutput::default();
    let output = captured.output();
    let reading = reading(flags).expect(flags);
    let mut printer = Printer::new(&reading, &output);
    printer.print(&record(payload).await).expect("it takes all");
    printer.flush().expect("it takes all");
    captured.text()
}

#[tokio::test]
async fn a_record_is_printed_in_each_format() {
    for (flags, expected) in [
        ("", "caf\u{e9}\n"),
        ("--format|raw|-d|\\0\\n", "caf\u{e9}\0\n"),
        ("--format|hex", "636166c3a9\n"),
        ("--format|base64", "Y2Fmw6k=\n"),
        ("--format|none", ""),
        ("--length-prefixed", "\0\0\0\u{5}caf\u{e9}"),
        (
            "--format|ndjson",
            "{\"stream\":\"s\",\"dlsn\":\"1,2,0\",\"time\":\"2026-11-23T15:58:24.007Z\",\"\
             written_unix_ms\":1795449504007,\"bytes\":5,\"payload\":\"caf\u{e9}\"}\n",
        ),
        (
            "--template|{stream}\\t{dlsn} {{{bytes}}} {time} {payload} {hex}",
            "s\t1,2,0 {5} 2026-11-23T15:58:24.007Z caf\u{e9} 636166c3a9\n",
        ),
    ] {
        assert_eq!(
            printed(flags, "caf\u{e9}".as_bytes()).await,
            expected,
            "{flags}"
        );
    }
    let json = printed("--format|json", b"\xff\0").await;
    assert!(json.contains("\"payload_base64\":\"/wA=\""), "{json}");
}

#[tokio::test]
async fn the_records_of_a_run_are_printed_as_they_are_one_by_one() {
    let mut buffer = vec![0; 256];
    let mut builder = RecordSetBuilder::new(buffer.len(), false);
    for record in ["first", "", "caf\u{e9}"] {
        let appended = builder.append(&mut buffer, record.as_bytes());
        appended.expect("it fits");
    }
    let set = EntryRecord {
        slots: builder.record_count(),
        payload: Bytes::copy_from_slice(builder.finish(&mut buffer, None)),
        is_record_set: true,
    };
    let store = MemoryStore::new();
    let stream = StreamName::new("s").expect("a name");
    for entry in 0..2 {
        store.put(&stream, Dlsn::new(1, entry, 0), vec![set.clone()]);
    }
    let reader = || {
        let store: Arc<dyn distributedlog_store::LogStore> = store.clone();
        let reader = MultiStreamReader::builder(store).streams(["s"]);
        reader.follow(false).build().expect("valid")
    };
    for flags in [
        "",
        "--format|raw|-d|\\0",
        "--format|hex",
        "--length-prefixed",
    ] {
        let captured = [CapturedOutput::default(), CapturedOutput::default()];
        let outputs = captured.each_ref().map(CapturedOutput::output);
        let reading = reading(flags).expect(flags);
        let [mut printer, mut of_runs] = outputs.each_ref().map(|it| Printer::new(&reading, it));
        assert!(of_runs.prints_payloads(), "{flags}");
        let (mut reader, mut runs) = (reader(), reader());
        while let Some(record) = reader.next().await {
            let printed = printer.print(&record.expect("it is readable"));
            printed.expect("it takes all");
        }
        while let Some(run) = runs.next_run(NonZeroUsize::MAX).await {
            let printed = of_runs.print_run(&run.expect("it is readable"));
            printed.expect("it takes all");
        }
        printer.flush().expect("it takes all");
        of_runs.flush().expect("it takes all");
        let [expected, found] = captured.map(|it| it.text());
        assert!(!found.is_empty() && found == expected, "{flags}: {found}");
    }
}

#[tokio::test]
async fn a_record_cannot_control_a_terminal_unless_it_is_printed_raw() {
    for (flags, expected) in [
        ("", "a\u{fffd}[2J\n"),
        ("--template|{payload}", "a\u{fffd}[2J\n"),
        ("--format|raw", "a\x1b[2J\n"),
    ] {
        let captured = CapturedOutput::default();
        let output = Output::to_terminal(captured.clone());
        let reading = reading(flags).expect(flags);
        let mut printer = Printer::new(&reading, &output);
        printer
            .print(&record(b"a\x1b[2J").await)
            .expect("it takes all");
        printer.flush().expect("it takes all");
        assert_eq!(captured.text(), expected, "{flags}");
    }
}

#[test]
fn starts_are_words_positions_and_times() {
    let start = |text: &str| text.parse::<Start>();
    assert_eq!(start("start"), Ok(Start::Oldest));
    assert_eq!(start("end"), Ok(Start::End));
    assert_eq!(start("last"), Ok(Start::Last));
    assert_eq!(start("1,2,3"), Ok(Start::At(Dlsn::new(1, 2, 3))));
    assert_eq!(start("1970-01-01T00:00:01Z"), Ok(Start::Time(1_000)));
    let error = start("yesterday").expect_err("no start").to_string();
    assert!(error.contains("--since 2h"), "{error}");
}

#[test]
fn what_contradicts_itself_or_cannot_be_understood_is_refused() {
    for (flags, said) in [
        ("--from|end|--since|2h", "--since"),
        ("--follow|--end", "--end"),
        ("--invert", "--grep"),
        ("--grep|(", "regex"),
        ("--template|{nothing}", "there is no {nothing}"),
        ("--template|a}", "a brace stands alone"),
        ("--template|x|--format|raw", "--format"),
        ("--count|0", "0"),
    ] {
        let error = reading(flags).expect_err(flags);
        assert!(error.contains(said), "{flags}: {error}");
    }
}
