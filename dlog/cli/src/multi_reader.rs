use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use distributedlog::Dlsn;
use tokio::time::MissedTickBehavior;

use super::place::Place;
use super::position::Position;
use super::position_file::PositionFile;
use super::tail::{self, Tail};
use super::target::{PlaceAndStreams, TargetArgs};
use super::{CliError, Format, Output, Shutdown, record_text};
use distributedlog_reader::{MergeSettings, MergedEvent, MultiReader, ReadEvent, StreamErrorKind};
use distributedlog_store::{LogStore, StreamInfo, StreamName};

/// Interval at which the position is saved while records arrive.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Print the records of several streams, and new ones as they arrive.
///
/// Reads the store, not the proxy. Starts with each stream's last record, as the tutorial's reader
/// does. Ends on Ctrl-C, or after --count records. Tries again while the store
/// cannot be reached.
///
/// A writer may write a record to several streams when one of them is slow. With --merge each
/// record is printed once: duplicates are recognized by the identity that writers put into their
/// record sets, among the newest sets of the writers that wrote last (--window-writers,
/// --window-sequences).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog multi-reader $URI basic-stream-3,basic-stream-4
  dlog multi-reader --from oldest --count 5 $URI basic-stream-3
  dlog multi-reader --format json $URI basic-stream-3 | jq .payload
  dlog multi-reader --merge --position orders.position $URI basic-stream-3,basic-stream-4

A damaged record set is reported on the standard error with its position, and skipped.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) place: PlaceAndStreams,

    /// The position to start at: last (each stream's last record, included), oldest, latest (only
    /// records that are written from now on), or a DLSN such as 1,0,0
    #[arg(long, value_name = "POSITION", default_value = "last")]
    from: Position,

    /// Exit after this many records, counted over all streams
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Print each record once, also when it was written to several of the streams (-v logs the
    /// number of duplicates at the end)
    #[arg(long)]
    merge: bool,

    /// The number of writers whose duplicates --merge recognizes. Records of a writer that was
    /// forgotten for others may be printed twice; the log counts them at the end
    #[arg(
        long,
        value_name = "N",
        requires = "merge",
        default_value_t = MergeSettings::default().writers
    )]
    window_writers: NonZeroU16,

    /// The number of record sets of each writer among which --merge recognizes duplicates, counted
    /// back from the newest; it goes further back while no set is missing
    #[arg(
        long,
        value_name = "N",
        requires = "merge",
        default_value_t = MergeSettings::default().sequences
    )]
    window_sequences: NonZeroU32,

    /// Continue at the position in this file, and save the position there once a second and at the
    /// end. Streams that it does not name start at --from, as all do when there is no such file.
    /// After a crash the records of the last second may be printed again
    #[arg(long, value_name = "FILE", requires = "merge")]
    position: Option<PathBuf>,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Streams to read, and their store.
struct Reading {
    store: Arc<dyn LogStore>,
    place: Place,
    streams: Vec<StreamName>,
}

impl Args {
    /// Reads until the count is reached or shutdown is requested.
    ///
    /// # Errors
    /// A stream does not exist, the store cannot be reached at the start, or a stream can no longer
    /// be read.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), CliError> {
        let (target, streams) = self.place.resolve(&self.target)?;
        let store = tokio::select! {
            connected = target.store() => connected?,
            () = shutdown.requested() => return Ok(()),
        };
        let reading = Reading {
            store,
            place: target.records_at().clone(),
            streams,
        };
        if self.merge {
            return self.merge_from(&reading, output, shutdown).await;
        }
        tokio::select! {
            result = self.read_from(&reading, output) => result,
            () = shutdown.requested() => Ok(()),
        }
    }

    async fn read_from(&self, reading: &Reading, output: &Output) -> Result<(), CliError> {
        let announce_to = (self.format == Format::Text).then_some(output);
        let Reading {
            store,
            place,
            streams,
        } = reading;
        let mut tail = Tail::open(store, streams, self.from, announce_to, Some(place)).await?;
        let mut left = self.count;
        while left != Some(0) {
            let (stream, record) = tail.next().await?;
            record_text::print(output, self.format, &stream, &record)?;
            left = left.map(|left| left - 1);
        }
        Ok(())
    }

    async fn merge_from(
        &self,
        reading: &Reading,
        output: &Output,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        let Reading {
            store,
            place,
            streams,
        } = reading;
        let file = self
            .position
            .as_deref()
            .map(|path| PositionFile::new(path, place, store.identity()));
        let saved = file.as_ref().map_or(Ok(None), |file| file.load(streams))?;
        let saved_start = |info: &StreamInfo| {
            let saved = saved.as_ref()?;
            let (_, start) = saved.streams().find(|(name, _)| **name == info.name)?;
            // The reader detects a stream that was created again too, and reports it.
            let created_again = saved
                .created_unix_ms(&info.name)
                .is_some_and(|created| created != info.created_unix_ms);
            Some(if created_again { Dlsn::INITIAL } else { start })
        };
        let announce_to = (self.format == Format::Text).then_some(output);
        let from =
            |info: &StreamInfo| saved_start(info).unwrap_or_else(|| self.from.in_stream(info));
        let starts = tail::start_positions(store, streams, from, announce_to, Some(place)).await?;
        let settings = MergeSettings {
            sequences: self.window_sequences,
            writers: self.window_writers,
        };
        let mut reader = match saved {
            Some(saved) => {
                let position = starts.into_iter().fold(saved, |saved, (stream, start)| {
                    saved.with_stream(stream, start)
                });
                MultiReader::resume(store, &position, settings)
            }
            None => MultiReader::new(store, starts, settings),
        };
        let result = self
            .print_merged(&mut reader, file.as_ref(), output, shutdown)
            .await;
        tail::log_counters(reader.counters());
        result
    }

    /// Prints until the count is reached or shutdown is requested, and saves the position. A record
    /// that could not be printed does not count as read: the records since the last saved position
    /// are printed again by the next run.
    async fn print_merged(
        &self,
        reader: &mut MultiReader,
        file: Option<&PositionFile>,
        output: &Output,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        let save = |reader: &MultiReader| file.map_or(Ok(()), |file| file.save(&reader.position()));
        // A file that cannot be written must fail the command now, not after a day's records.
        save(reader)?;
        let mut saves = tokio::time::interval(SAVE_EVERY);
        saves.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut left, mut unsaved) = (self.count, false);
        while left != Some(0) {
            let event = tokio::select! {
                biased;
                () = shutdown.requested() => break,
                _ = saves.tick(), if unsaved => {
                    save(reader)?;
                    unsaved = false;
                    continue;
                }
                event = reader.next() => event,
            };
            match event {
                Some(Ok(MergedEvent {
                    stream,
                    event: ReadEvent::Record(record),
                    ..
                })) => {
                    record_text::print(output, self.format, &stream, &record)?;
                    left = left.map(|left| left - 1);
                }
                Some(Ok(MergedEvent {
                    stream,
                    event: ReadEvent::Malformed(set),
                    ..
                })) => {
                    tracing::error!("stream {stream}: {set}; skipped");
                }
                Some(Err(fault)) => {
                    if let StreamErrorKind::Unreadable(error) = &fault.kind
                        && !tail::is_unreachable(error)
                    {
                        save(reader)?;
                        return Err(tail::read_error(&fault.stream, error));
                    }
                    tracing::warn!("{fault}");
                }
                None => break,
            }
            unsaved = true;
        }
        save(reader)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

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
            .read_from(&reading(store), &captured.output())
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
    async fn a_position_file_that_is_damaged_foreign_or_of_other_streams_is_refused_and_left_alone()
    {
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
}
