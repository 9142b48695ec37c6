use std::sync::Arc;

use super::position::Position;
use super::streams::StreamList;
use super::tail::Tail;
use super::{Fault, Format, Output, Shutdown, namespace, record_text};
use crate::store::LogStore;
use crate::uri::Uri;

/// Print the records of several streams, and go on as they arrive.
///
/// Reads the store, not the proxy. Starts with each stream's last record, as the tutorial's reader does. Ends with Ctrl-C, or after --count
/// records. A store that goes away is waited for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog multi-reader $URI basic-stream-3,basic-stream-4
  dlog multi-reader --from oldest --count 5 $URI basic-stream-3
  dlog multi-reader --format json $URI basic-stream-3 | jq .payload

A record set that is damaged is reported on the standard error with its position, and the reading goes on behind it.")]
pub(crate) struct Args {
    /// Where the namespace is served: distributedlog://HOST:PORT/NAMESPACE
    uri: Uri,

    /// The streams, separated by commas
    #[arg(value_name = "STREAM[,STREAM]")]
    streams: StreamList,

    /// Where to start: last (each stream's last record, that one included), oldest, latest (only what is written from now on), or a DLSN
    /// such as 1,0,0
    #[arg(long, value_name = "POSITION", default_value = "last")]
    from: Position,

    /// End after this many records of all streams together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// How to print records
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    /// Reads until the count is reached or the end is asked for.
    ///
    /// # Errors
    /// A stream is missing, the store cannot be reached at the start, or a stream cannot be read any more.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), Fault> {
        tokio::select! {
            ended = self.read(output) => ended,
            () = shutdown.asked() => Ok(()),
        }
    }

    async fn read(&self, output: &Output) -> Result<(), Fault> {
        self.read_from(&namespace::connect(&self.uri).await?, output).await
    }

    async fn read_from(&self, store: &Arc<dyn LogStore>, output: &Output) -> Result<(), Fault> {
        let told = (self.format == Format::Text).then_some(output);
        let mut tail = Tail::open(store, self.streams.names(), self.from, told, Some(&self.uri)).await?;
        let mut left = self.count;
        while left != Some(0) {
            let (stream, record) = tail.next().await?;
            record_text::print(output, self.format, &stream, &record)?;
            left = left.map(|left| left - 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use distributedlog::Dlsn;

    use super::super::args::{Cli, Command};
    use super::super::output::Captured;
    use super::*;
    use crate::reader::memory_store::{MemoryStore, plain};
    use crate::store::{EntryRecord, StoreError, StreamName};

    fn args(flags: &str) -> Args {
        let line = format!("dlog multi-reader {flags} distributedlog://h/n s-1,s-2");
        let Command::MultiReader(args) = Cli::read(line.split_whitespace().map(OsString::from)).expect("a command line").command else {
            panic!("{line}");
        };
        args
    }

    fn stream(name: &str) -> StreamName {
        StreamName::new(name).expect("a name")
    }

    /// Stream s-1 with two records, s-2 with none.
    async fn store() -> Arc<MemoryStore> {
        let store = Arc::new(MemoryStore::default());
        store.put_plain(&stream("s-1"), 0, "one");
        store.put_plain(&stream("s-1"), 2, "two");
        store.create(&stream("s-2")).await.expect("it is new");
        store
    }

    async fn read(store: &Arc<MemoryStore>, flags: &str) -> (String, Result<(), Fault>) {
        let captured = Captured::default();
        let ended = args(flags).read_from(&(Arc::clone(store) as Arc<dyn LogStore>), &captured.output()).await;
        (captured.text(), ended)
    }

    #[tokio::test]
    async fn the_output_is_the_tutorials() {
        let (text, ended) = read(&store().await, "--count 1").await;
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
        assert!(ended.is_ok());
    }

    #[tokio::test]
    async fn reading_starts_where_it_is_asked_to() {
        let store = store().await;
        let payloads = |text: String| text.lines().filter(|line| ["one", "two"].contains(line)).collect::<Vec<_>>().join(" ");
        assert_eq!(payloads(read(&store, "--from oldest --count 2").await.0), "one two");
        assert_eq!(payloads(read(&store, "--from 1,0,1 --count 1").await.0), "two");
        let late = Arc::clone(&store);
        tokio::spawn(async move { late.put_plain(&stream("s-2"), 0, "late") });
        assert!(read(&store, "--from latest --count 1").await.0.ends_with("from stream s-2\n\"\"\"\nlate\n\"\"\"\n"));
    }

    #[tokio::test]
    async fn programs_get_records_and_nothing_else() {
        let (text, _) = read(&store().await, "--from oldest --count 2 --format json").await;
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|line| line.starts_with("{\"stream\":\"s-1\"")), "{text}");
    }

    #[tokio::test]
    async fn a_missing_stream_is_named_as_in_the_tutorial_with_the_command_that_creates_it() {
        let store = Arc::new(MemoryStore::default());
        store.create(&stream("s-1")).await.expect("it is new");
        let (text, ended) = read(&store, "").await;
        assert_eq!(text, "Opening log stream s-1\nOpening log stream s-2\n");
        assert_eq!(
            ended.expect_err("s-2 is missing").report(false).as_deref(),
            Some(
                "error: Log stream s-2 is not found. Please create it first.\n  tip: create it with: dlog tool create -u distributedlog://h:7000/n \
                 -e s-2\n"
            )
        );
    }

    #[tokio::test]
    async fn a_damaged_record_set_does_not_end_the_reading() {
        let store = store().await;
        store.put(&stream("s-2"), Dlsn::INITIAL, vec![EntryRecord { is_record_set: true, ..plain("nonsense") }, plain("three")]);
        let (text, ended) = read(&store, "--from oldest --count 3").await;
        assert!(ended.is_ok() && text.contains("\nthree\n") && !text.contains("nonsense"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_goes_away_is_waited_for() {
        let store = store().await;
        *store.fault.lock().expect("nobody else holds it") =
            Some(StoreError::Disconnected { address: "h:1".into(), detail: "reset".into() });
        let (text, ended) = read(&store, "--from oldest --count 2").await;
        assert!(ended.is_ok() && text.contains("\none\n") && text.contains("\ntwo\n"), "{text}");
    }

    #[tokio::test]
    async fn a_stream_that_is_deleted_while_it_is_read_ends_the_reading() {
        let store = store().await;
        let late = Arc::clone(&store);
        tokio::spawn(async move { late.delete(&stream("s-2")).await });
        let (_, ended) = read(&store, "--from latest").await;
        assert!(ended.expect_err("s-2 is gone").to_string().contains("stream s-2: log stream s-2 is not found"));
    }
}
