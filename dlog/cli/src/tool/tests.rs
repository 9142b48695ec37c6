use std::ffi::OsString;
use std::sync::Arc;

use distributedlog::Dlsn;

use super::super::administer::ShownLedgers;
use super::super::args::{Cli, Command};
use super::super::output::CapturedOutput;
use super::*;
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use distributedlog_store::{EntryRecord, LogStore, StreamName};
use distributedlog_testkit::store::{MemoryStore, plain};

/// Runs `dlog tool LINE -u …` against a store in memory; returns its output and its result.
async fn ran(store: &Arc<MemoryStore>, line: &str) -> (String, Result<(), String>) {
    ran_on(&(Arc::clone(store) as Arc<dyn LogStore>), line).await
}

async fn ran_on(store: &Arc<dyn LogStore>, line: &str) -> (String, Result<(), String>) {
    let words = format!("dlog tool {line} -u distributedlog://h/n");
    let cli = Cli::read(words.split_whitespace().map(OsString::from))
        .unwrap_or_else(|error| panic!("{error}"));
    let Command::Tool(args) = cli.command else {
        panic!("{words} is a command of the tool")
    };
    let Args { command } = *args;
    let captured = CapturedOutput::default();
    let (output, dynamic) = (captured.output(), Arc::clone(store));
    let result = match command {
        ToolCommand::Create(args) => {
            let names = args.names().expect("names");
            args.create(dynamic.as_ref(), &names, &output).await
        }
        ToolCommand::List(args) => args.list(dynamic.as_ref(), &output).await,
        ToolCommand::Show(args) => {
            let ledgers = ShownLedgers::new();
            args.show(dynamic.as_ref(), &[name("s-1")], &ledgers, &output)
                .await
        }
        ToolCommand::Dump(args) => args.dump(dynamic, &output).await,
        ToolCommand::Count(args) => {
            args.count(&dynamic, &args.names().expect("names"), &output)
                .await
        }
        ToolCommand::Delete(args) => {
            args.delete(dynamic.as_ref(), &args.names().expect("names"), &output)
                .await
        }
        ToolCommand::Retention(args) => args.retention(dynamic.as_ref(), &output).await,
        ToolCommand::Truncate(args) => args.truncate(dynamic.as_ref(), &output).await,
        ToolCommand::SerializeDlsn(_) | ToolCommand::DeserializeDlsn(_) => {
            unreachable!("they take no URI")
        }
        #[cfg(feature = "bookkeeper")]
        ToolCommand::Inspect(_)
        | ToolCommand::Recover(_)
        | ToolCommand::Audit(_)
        | ToolCommand::ListBookies(_)
        | ToolCommand::ReadLac(_)
        | ToolCommand::ReadEntries(_)
        | ToolCommand::FindLedger(_) => unreachable!("they need a cluster"),
    };
    (
        captured.text(),
        result.map_err(|error| error.report(false).unwrap_or_default()),
    )
}

fn name(text: &str) -> StreamName {
    StreamName::new(text).expect("a name")
}

/// Streams s-1 with three records and s-2 with none.
fn two_streams() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    store.put(
        &name("s-1"),
        Dlsn::INITIAL,
        vec![plain("one"), plain("two")],
    );
    store.put_plain(&name("s-1"), 2, "three");
    store.put(&name("s-2"), Dlsn::INITIAL, vec![plain("x")]);
    store
}

#[tokio::test]
async fn streams_are_created_listed_and_deleted() {
    let store = MemoryStore::new();
    let (text, result) = ran(&store, "create -r s- -e 3-5 -f").await;
    assert_eq!(
        (text.as_str(), result),
        (
            "Created log stream s-3.\nCreated log stream s-4.\nCreated log stream s-5.\n",
            Ok(())
        )
    );
    assert_eq!(
        ran(&store, "list").await,
        ("s-3\ns-4\ns-5\n".to_owned(), Ok(()))
    );
    assert_eq!(
        ran(&store, "list -r s-4 --format json").await,
        ("{\"stream\":\"s-4\"}\n".to_owned(), Ok(()))
    );
    assert_eq!(
        ran(&store, "delete -r s- -e 3,5 -f").await,
        (
            "Deleted log stream s-3.\nDeleted log stream s-5.\n".to_owned(),
            Ok(())
        )
    );
    assert_eq!(ran(&store, "list").await.0, "s-4\n");
}

#[tokio::test]
async fn a_stream_that_exists_is_not_changed_and_the_others_are_created() {
    let store = MemoryStore::new();
    ran(&store, "create -e a -f").await.1.expect("it is new");
    let (text, result) = ran(&store, "create -e a,b -f --format json").await;
    assert_eq!(
        text,
        "{\"stream\":\"a\",\"created\":false}\n{\"stream\":\"b\",\"created\":true}\n"
    );
    assert_eq!(
        result,
        Err(
            "error: streams exist already, and were not changed: [a]\n  tip: list the streams \
             with: dlog tool list -u distributedlog://h:7000/n\n"
                .to_owned()
        )
    );
}

#[tokio::test]
async fn nothing_is_deleted_when_one_of_the_streams_is_missing() {
    let store = two_streams();
    let (text, result) = ran(&store, "delete -s s-1,s-9 -f").await;
    assert_eq!(text, "");
    let said = result.expect_err("s-9 is missing");
    assert!(
        said.contains("s-9") && said.contains("nothing was deleted"),
        "{said}"
    );
    assert_eq!(ran(&store, "list").await.0, "s-1\ns-2\n");
}

#[tokio::test]
async fn records_are_dumped_as_text_and_as_json() {
    let store = two_streams();
    let (text, result) = ran(&store, "dump -s s-1").await;
    assert_eq!(
        text,
        "\
Record (dlsn = DLSN{logSegmentSequenceNo=1, entryId=0, slotId=0}, bytes = 3, written = 1970-01-01 \
         00:00:00 UTC)
one
Record (dlsn = DLSN{logSegmentSequenceNo=1, entryId=0, slotId=1}, bytes = 3, written = 1970-01-01 \
         00:00:00 UTC)
two
Record (dlsn = DLSN{logSegmentSequenceNo=1, entryId=2, slotId=0}, bytes = 5, written = 1970-01-01 \
         00:00:00 UTC)
three
"
    );
    assert_eq!(result, Ok(()));
    assert_eq!(
        ran(&store, "dump -s s-1 --from 1,0,1 --limit 1 --format json")
            .await
            .0,
        "{\"stream\":\"s-1\",\"dlsn\":{\"logSegmentSequenceNo\":1,\"entryId\":0,\"slotId\":1},\"\
         written_unix_ms\":7,\"bytes\":3,\"payload\":\"two\"}\n"
    );
    assert!(
        ran(&store, "dump -s s-1 -n 1 -e 2 -x")
            .await
            .0
            .ends_with("UTC)\n7468726565\n")
    );
    assert!(
        ran(&store, "dump -s s-2 -sp")
            .await
            .0
            .ends_with("bytes = 1, written = 1970-01-01 00:00:00 UTC)\n")
    );
}

#[tokio::test]
async fn records_are_counted_also_between_positions() {
    let store = two_streams();
    assert_eq!(
        ran(&store, "count -r s- -e 1-2").await.0,
        "s-1: 3 records\ns-2: 1 record\ntotal is 4 records.\n"
    );
    assert_eq!(
        ran(&store, "count -s s-1 1,0,1 1,2,0").await.0,
        "s-1: 2 records\ntotal is 2 records.\n"
    );
    assert_eq!(
        ran(&store, "count -s s-1 --format json").await.0,
        "{\"stream\":\"s-1\",\"records\":3,\"damaged_sets\":0}\n"
    );
}

#[tokio::test]
async fn damaged_sets_are_skipped_and_make_the_command_fail() {
    let store = two_streams();
    let damaged = EntryRecord {
        is_record_set: true,
        slots: 2,
        ..plain("nonsense")
    };
    store.put(&name("s-2"), Dlsn::new(1, 1, 0), vec![damaged, plain("y")]);
    let (text, result) = ran(&store, "dump -s s-2 -sp").await;
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        result
            .expect_err("something is damaged")
            .contains("skipped: 1 damaged record set")
    );
    let (text, result) = ran(&store, "count -s s-2").await;
    assert_eq!(text, "s-2: 2 records\ntotal is 2 records.\n");
    assert!(
        result
            .expect_err("something is damaged")
            .contains("not counted: 1 damaged record set")
    );
}

#[tokio::test]
async fn a_stream_is_truncated_in_the_originals_spelling_too() {
    let store = two_streams();
    let (text, result) = ran(&store, "truncate_stream -s s-1 -dlsn 1,2,0 -f").await;
    assert_eq!(
        (text.as_str(), result),
        (
            "Truncated log stream s-1 before DLSN{logSegmentSequenceNo=1, entryId=2, slotId=0}.\n",
            Ok(())
        )
    );
    assert_eq!(
        ran(&store, "count -s s-1").await.0,
        "s-1: 1 record\ntotal is 1 record.\n"
    );
}

#[tokio::test]
async fn a_truncation_says_what_it_did_and_when_it_did_nothing() {
    let store = two_streams();
    let said = async |dlsn: &str| {
        let (text, result) = ran(&store, &format!("truncate -s s-1 --dlsn {dlsn} -f")).await;
        result.expect("the stream exists");
        text
    };
    let nothing = "Nothing was truncated: log stream s-1 has no record before";
    assert!(said("1,0,0").await.starts_with(nothing));
    assert_eq!(
        said("9,0,0").await,
        "Truncated log stream s-1 at its end, which is before \
         DLSN{logSegmentSequenceNo=9, entryId=0, slotId=0}: all its records are discarded.\n"
    );
    assert!(said("9,0,0").await.starts_with(nothing));
}

#[tokio::test]
async fn a_stream_whose_name_has_a_comma_is_created_counted_and_deleted() {
    let store = MemoryStore::new();
    for line in [
        r"create -e a\,b -f",
        r"count -s a\,b",
        "truncate -s a,b --dlsn 1,0,0 -f",
        r"delete -s a\,b -f",
    ] {
        let (text, result) = ran(&store, line).await;
        assert!(result.is_ok() && text.contains("a,b"), "{line}: {text}");
    }
}

#[tokio::test]
async fn a_stream_that_is_missing_is_named_with_the_command_that_creates_it() {
    let (_, result) = ran(&MemoryStore::new(), "dump -s orders").await;
    assert_eq!(
        result,
        Err(
            "error: log stream orders is not found\n  tip: create it with: dlog tool create -u \
             distributedlog://h:7000/n -e orders\n"
                .to_owned()
        )
    );
}

#[tokio::test]
async fn retention_is_shown_set_and_inherited() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = EmbeddedSettings {
        volume_bytes: 1 << 20,
        ..EmbeddedSettings::new(folder.path())
    };
    let store = Arc::new(EmbeddedStore::open(settings).expect("an empty folder"));
    store.create(&name("s-1")).await.expect("it is new");
    let store = store as Arc<dyn LogStore>;
    for (line, expected) in [
        (
            "retention",
            "the namespace: none: records are kept until they are truncated (inherited)",
        ),
        ("retention --age 7d", "the namespace: 7d"),
        ("retention -s s-1", "s-1: 7d (inherited)"),
        (
            "retention -s s-1 --age 2h --bytes 1000",
            "s-1: 2h and 1000 bytes",
        ),
        (
            "retention -s s-1 --keep-all",
            "s-1: none: records are kept until they are truncated",
        ),
        ("retention -s s-1 --inherit", "s-1: 7d (inherited)"),
    ] {
        let (output, result) = ran_on(&store, line).await;
        assert_eq!(result, Ok(()), "{line}");
        assert_eq!(output, format!("Retention of {expected}\n"), "{line}");
    }
    let (output, _) = ran_on(&store, "show -s s-1").await;
    assert!(
        output.contains("  retention     7d (inherited)\n"),
        "{output}"
    );
    let (output, _) = ran_on(&store, "retention -s s-1 --format json").await;
    assert_eq!(
        output,
        "{\"stream\":\"s-1\",\"age_ms\":604800000,\"bytes\":null,\"own\":false}\n"
    );
}

#[tokio::test]
async fn records_are_dumped_and_truncated_by_the_time_of_their_writing() {
    let store = two_streams();
    let (all, _) = ran(&store, "dump -s s-1").await;
    let (old, result) = ran(&store, "dump -s s-1 --since 1970-01-01T00:00:00Z").await;
    assert_eq!((old, result), (all, Ok(())));
    let (none, result) = ran(&store, "dump -s s-1 --since 9000-01-01T00:00:00Z").await;
    assert_eq!((none.as_str(), result), ("", Ok(())));
    let (output, result) = ran(&store, "truncate -s s-1 --since 1970-01-01T00:00:00Z -f").await;
    assert!(output.starts_with("Nothing was truncated"), "{output}");
    assert_eq!(result, Ok(()));
    let (_, result) = ran(&store, "truncate -s s-1 --since 9000-01-01T00:00:00Z -f").await;
    assert_eq!(result, Ok(()));
    let (none, _) = ran(&store, "dump -s s-1").await;
    assert_eq!(none, "");
}
