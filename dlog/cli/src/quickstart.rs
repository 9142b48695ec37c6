use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use distributedlog::writer::Settings as WriterSettings;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::console::{
    self, ConnectedWriter, ConsoleInput, DoneGuard, InputKind, InputLine, LineCounts, LineReporter,
    RecordDigest, SessionEnd,
};
use super::expression::Expression;
use super::output::counted;
use super::place::Place;
use super::position::Position;
use super::target::Target;
use super::writer_args::{QuickstartWriterArgs, settings_error};
use super::{
    CliError, EXIT_OK, EXIT_UNKNOWN, Format, Output, Shutdown, local, namespace, port, proxy,
    record_text, streams, tail,
};
use distributedlog_proxy::{Proxy, ProxyError, RunningProxy, Settings};
use distributedlog_reader::{
    MergeSettings, MergedEvent, MultiReader, ReadEvent, StreamError, StreamErrorKind,
};
use distributedlog_store::descriptors::{CLIENT_DESCRIPTORS, DescriptorBudget};
use distributedlog_store::embedded::EmbeddedSettings;
use distributedlog_store::uri::Uri;
use distributedlog_store::{LogStore, StoreError, StreamName};

/// Streams of the tutorial.
const PREFIX: &str = "basic-stream-";
const EXPRESSION: &str = "3-7";

/// Ports that are tried first.
const PORT: u16 = 8000;
const HTTP_PORT: u16 = 8002;

/// Try everything in one process: store, proxy, reader and a console to type records into.
///
/// The tutorial "Write records to multiple streams" without any set-up: a store in a temporary
/// folder, a write proxy on a real socket, the streams basic-stream-3 to basic-stream-7, a reader
/// that prints their records, and a prompt. Each line that you type is written through the proxy
/// to one of the streams and printed once by the reader, also when it was written to a second
/// stream because the first was slow. Below it stand the stream and position of the first
/// acknowledgement, how long it took, and the number of attempts (-v prints each of them). From a
/// pipe the command ends when every line has been acknowledged and read back.
///
/// Each line is a record set. Otherwise the settings are the defaults: a line without an answer is
/// written to another stream after 50 ms, or sooner once latencies are known. It fails only after
/// 50 s; after a second of waiting the command says for what. Typed lines are kept in the history
/// file under the user's data folder; nothing else is left behind without --data.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog quickstart
  printf 'message-1\\nmessage-2\\n' | dlog quickstart
  dlog quickstart --data ./records        (keeps the records for the next run)
  dlog quickstart -u distributedlog://zk-1:2181/messaging/distributedlog")]
pub(crate) struct Args {
    /// Keep the records in this folder [default: a temporary folder, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Write to this namespace, for instance on BookKeeper, instead of a folder; the streams stay
    #[arg(short, long, value_name = "URI", conflicts_with = "data")]
    uri: Option<Uri>,

    /// The proxy's port; 0 lets the system choose [default: 8000, or a free one]
    #[arg(short, long, value_name = "PORT", value_parser = port::parse)]
    port: Option<u16>,

    /// The proxy's HTTP port; 0 lets the system choose [default: 8002, or a free one]
    #[arg(long, value_name = "PORT", value_parser = port::parse)]
    http_port: Option<u16>,

    #[command(flatten)]
    writer: QuickstartWriterArgs,
}

impl Args {
    /// Runs until the input ends or shutdown is requested.
    ///
    /// # Errors
    /// The store or the proxy could not be started, or a line failed.
    pub(crate) async fn run(
        self,
        output: &Output,
        verbose: u8,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        self.run_with(
            |writer, output| console::input(writer, output, shutdown),
            output,
            verbose,
            shutdown,
        )
        .await
    }

    /// Does the same with another input: `open` returns the lines, and the output to print to while
    /// they arrive.
    async fn run_with(
        self,
        open: impl FnOnce(&ConnectedWriter, &Output) -> Result<ConsoleInput, CliError>,
        output: &Output,
        verbose: u8,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        let settings = self.writer.builder()?.attempt_reports(verbose > 0).build();
        let settings = settings.map_err(|error| settings_error(&error))?;
        let identity = self.writer.identity();
        // Whether a pipe is read must not decide which lines are written.
        let output = &output.best_effort();
        let (data, uri) = (self.data.as_deref(), self.uri);
        let stack = Stack::start(data, uri, self.port, self.http_port).await?;
        // On success and on errors the proxy is drained, the store closed and the temporary folder
        // removed.
        let ended = run_session(
            &stack,
            (settings, identity),
            open,
            output,
            verbose,
            shutdown,
        )
        .await;
        console::restore_terminal();
        let stopped = stack.stop().await;
        let (end, kind) = ended?;
        stopped?;
        // To `output`, not above the prompt: an editor that was interrupted does not draw any more.
        print_totals(end.counts, output)?;
        match end.verdict(kind, output) {
            // The last line counts what was reported line by line.
            Err(error) if error.exit_status() != EXIT_OK && error.report(false).is_none() => {
                Err(CliError::failure(format!(
                    "not acknowledged: {}",
                    counted(end.counts.failed, "line")
                ))
                .with_unknown_outcome(error.exit_status() == EXIT_UNKNOWN))
            }
            // A service manager, or the terminal that closes, ends the demonstration.
            Err(_) if shutdown.is_terminated() && end.counts.failed == 0 => Ok(()),
            verdict => verdict,
        }
    }
}

/// Connects to the proxy as any writer does, and writes and reads until the input has ended.
/// Returns how the lines ended, and their source.
async fn run_session(
    stack: &Stack,
    (settings, identity): (WriterSettings, bool),
    open: impl FnOnce(&ConnectedWriter, &Output) -> Result<ConsoleInput, CliError>,
    output: &Output,
    verbose: u8,
    shutdown: &Shutdown,
) -> Result<(SessionEnd, InputKind), CliError> {
    stack.introduce(output)?;
    let writer = ConnectedWriter::open(
        &Target::of_proxies(stack.name()),
        &stack.streams,
        settings,
        identity,
        "quickstart",
    )
    .await?;
    let starts = tail::start_positions(
        &stack.store,
        &stack.streams,
        |info| Position::Latest.in_stream(info),
        Some(output),
        None,
    )
    .await?;
    let mut reader = MultiReader::new(&stack.store, starts, MergeSettings::default());
    let ConsoleInput {
        lines,
        output: above_prompt,
        kind,
    } = open(&writer, output)?;
    let end = write_and_read_back(
        lines,
        &writer,
        &mut reader,
        &above_prompt,
        verbose > 0,
        shutdown,
    )
    .await;
    tail::log_counters(reader.counters());
    writer.close().await;
    end.map(|end| (end, kind))
}

/// Prints the totals.
fn print_totals(counts: LineCounts, output: &Output) -> Result<(), CliError> {
    output.line(format_args!(
        "\n{} written, acknowledged and read back.",
        counted(counts.written, "record")
    ))
}

/// Store, proxy and streams that quickstart starts.
struct Stack {
    store: Arc<dyn LogStore>,
    proxy: RunningProxy,
    streams: Vec<StreamName>,
    /// The namespace of `--uri`.
    uri: Option<Uri>,
    /// Folder or namespace, and if it is kept.
    place: String,
    /// The temporary folder, removed when it is dropped. `None` with `--data` and `--uri`.
    temporary: Option<TempDir>,
}

impl Stack {
    async fn start(
        data: Option<&Path>,
        uri: Option<Uri>,
        port: Option<u16>,
        http_port: Option<u16>,
    ) -> Result<Self, CliError> {
        let descriptors = local::reserve_descriptors(match &uri {
            Some(_) => CLIENT_DESCRIPTORS,
            None => EmbeddedSettings::new("").descriptors(),
        })?;
        let (store, place, temporary) = match &uri {
            Some(uri) => (
                namespace::connect(uri).await?,
                format!("{uri} (kept)"),
                None,
            ),
            None => open_folder(data).await?,
        };
        let expression = Expression::parse(EXPRESSION).expect("the tutorial's expression is valid");
        let streams = streams::expand(PREFIX, &expression).expect("the tutorial's names are valid");
        for stream in &streams {
            match store.create(stream).await {
                // The streams may exist from the previous run.
                Ok(()) | Err(StoreError::StreamExists(_)) => {}
                Err(error) => {
                    return Err(namespace::store_error(
                        &error,
                        uri.map(Place::Namespace).as_ref(),
                    ));
                }
            }
        }
        let proxy = start_proxy(&store, &descriptors, port, http_port).await?;
        Ok(Self {
            store,
            proxy,
            streams,
            uri,
            place,
            temporary,
        })
    }

    /// Returns the proxy's Finagle name.
    fn name(&self) -> String {
        format!("inet!{}", self.proxy.local_addr())
    }

    /// Prints the first screen: the addresses of what was started, and what to do next.
    fn introduce(&self, output: &Output) -> Result<(), CliError> {
        let address = self
            .proxy
            .http_addr()
            .expect("quickstart always serves HTTP");
        let http = if cfg!(feature = "page") {
            format!(
                "demo     http://{address}/demo (write from a browser; stall a stream and \
                 watch)\n  console  http://{address} (streams, records, latencies, health)"
            )
        } else {
            format!("HTTP     http://{address} (clients that write and read over HTTP)")
        };
        output.line(format_args!(
            "\
dlog {} quickstart: the multi stream writer's tutorial in one process

  store    {}
  proxy    {} (thriftmux, on a real socket: other writers can use it too)
  streams  {PREFIX}3 to {PREFIX}7, and a reader of all five
  {http}

Type a line and press Enter: it becomes a record in one of the streams, and the reader prints it.
Ctrl-D ends.
",
            env!("CARGO_PKG_VERSION"),
            self.place,
            self.name(),
        ))
    }

    /// Drains the proxy, closes the store, and removes the folder if it is temporary.
    async fn stop(self) -> Result<(), CliError> {
        self.proxy.drain().await;
        self.store.close().await.map_err(|error| {
            namespace::store_error(&error, self.uri.clone().map(Place::Namespace).as_ref())
        })?;
        let Some(folder) = self.temporary else {
            return Ok(());
        };
        let path = folder.path().to_owned();
        folder.close().map_err(|error| {
            CliError::failure(format!("cannot remove {}: {error}", path.display()))
        })
    }
}

/// Opens a store in a folder, a temporary one if none is named. Returns it, its description, and
/// the temporary folder.
async fn open_folder(
    data: Option<&Path>,
) -> Result<(Arc<dyn LogStore>, String, Option<TempDir>), CliError> {
    let (folder, temporary) = match data {
        Some(folder) => (folder.to_owned(), None),
        None => {
            let temporary = temporary_folder()?;
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    // A temporary store preallocates no disk space: its folder may be in memory.
    let store = local::open_with(EmbeddedSettings {
        preallocate: temporary.is_none(),
        ..EmbeddedSettings::new(&folder)
    });
    let store = store.await?;
    let kept = if temporary.is_some() {
        "removed at the end; keep it with --data DIR"
    } else {
        "kept"
    };
    Ok((store, format!("{} ({kept})", folder.display()), temporary))
}

/// Creates a temporary folder for the store.
fn temporary_folder() -> Result<TempDir, CliError> {
    tempfile::Builder::new()
        .prefix("dlog-quickstart-")
        .tempdir()
        .map_err(|error| {
            CliError::failure(format!("cannot create a temporary folder: {error}"))
                .tip("name a folder with --data DIR")
        })
}

/// Starts the proxy on the given ports; without one, on the default port, or on a free one if that
/// is in use.
async fn start_proxy(
    store: &Arc<dyn LogStore>,
    descriptors: &DescriptorBudget,
    port: Option<u16>,
    http_port: Option<u16>,
) -> Result<RunningProxy, CliError> {
    let (mut clients, mut http) = (port.unwrap_or(PORT), http_port.unwrap_or(HTTP_PORT));
    loop {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let settings = Settings::builder()
            .listen(loopback(clients))
            .http_listen(Some(loopback(http)))
            .faults(true)
            .descriptors(descriptors.clone())
            .demo(true);
        let settings = settings.build().expect("loopback and defaults are valid");
        match Proxy::start(settings, Arc::clone(store)).await {
            Ok(running) => return Ok(running),
            // Bounded: once for each of the two ports, because port 0 is never in use.
            Err(ProxyError::AddressInUse { address, .. })
                if port.is_none() && address.port() == clients =>
            {
                clients = 0
            }
            Err(ProxyError::AddressInUse { address, .. })
                if http_port.is_none() && address.port() == http =>
            {
                http = 0
            }
            Err(error) => return Err(proxy::start_error(&error)),
        }
    }
}

/// Writes each line and prints each record, until the input has ended and every acknowledged line
/// has been read back. Returns how the lines ended.
async fn write_and_read_back(
    lines: mpsc::Receiver<InputLine>,
    writer: &ConnectedWriter,
    reader: &mut MultiReader,
    output: &Output,
    verbose: bool,
    shutdown: &Shutdown,
) -> Result<SessionEnd, CliError> {
    let (written, mut acknowledged) = mpsc::unbounded_channel();
    let mut on_written = |digest: RecordDigest, done: DoneGuard| {
        // The receiver lives as long as this future does.
        let _ = written.send((digest, done));
    };
    let mut session = core::pin::pin!(console::run(
        lines,
        writer,
        output,
        LineReporter::new(Format::Text, true, verbose),
        shutdown,
        &mut on_written
    ));
    let mut read_back = ReadBack::default();
    let mut ended = None;
    loop {
        if let Some(end) = ended
            && acknowledged.is_empty()
            && read_back.is_complete()
        {
            return Ok(end);
        }
        tokio::select! {
            result = &mut session, if ended.is_none() => ended = Some(result?),
            Some((digest, done)) = acknowledged.recv() => read_back.written(digest, done),
            event = reader.next() => {
                let event = event.expect("the first stream that ends is an error, which returns");
                print_event(event, output, &mut read_back)?;
            }
        }
    }
}

/// Prints a record; logs a damaged record set and a stream that was created again.
fn print_event(
    event: Result<MergedEvent, StreamError>,
    output: &Output,
    read_back: &mut ReadBack,
) -> Result<(), CliError> {
    match event {
        Ok(MergedEvent {
            stream,
            event: ReadEvent::Record(record),
            ..
        }) => {
            record_text::print(output, Format::Text, &stream, &record)?;
            read_back.read(RecordDigest::of(&record.payload));
        }
        Ok(MergedEvent {
            stream,
            event: ReadEvent::Malformed(set),
            ..
        }) => tracing::error!("stream {stream}: {set}; skipped"),
        Err(StreamError {
            stream,
            kind: StreamErrorKind::Unreadable(error),
            ..
        }) => return Err(tail::read_error(&stream, &error)),
        Err(fault) => tracing::warn!("{fault}"),
    }
    Ok(())
}

/// Records that were acknowledged and not yet read, and records that were read and not yet
/// acknowledged: a reader may be faster than the acknowledgement.
///
/// Records are identified by their bytes, not by their positions: a record that was written to two
/// streams may be acknowledged by one and read from the other.
#[derive(Debug, Default)]
struct ReadBack {
    unread: HashMap<RecordDigest, Vec<DoneGuard>>,
    unacknowledged: HashMap<RecordDigest, u64>,
}

impl ReadBack {
    fn written(&mut self, record: RecordDigest, done: DoneGuard) {
        match self.unacknowledged.entry(record) {
            Entry::Occupied(read) if *read.get() == 1 => drop(read.remove()),
            Entry::Occupied(mut read) => *read.get_mut() -= 1,
            Entry::Vacant(_) => self.unread.entry(record).or_default().push(done),
        }
    }

    fn read(&mut self, record: RecordDigest) {
        match self.unread.entry(record) {
            Entry::Occupied(mut written) => {
                written.get_mut().pop();
                if written.get().is_empty() {
                    written.remove();
                }
            }
            Entry::Vacant(_) => *self.unacknowledged.entry(record).or_default() += 1,
        }
    }

    /// Returns true if every acknowledged record was read. A record that was read and is never
    /// acknowledged failed for this writer, or is another writer's.
    fn is_complete(&self) -> bool {
        self.unread.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::ffi::OsString;

    use super::super::args::{Cli, Command};
    use super::super::output::CapturedOutput;
    use super::*;

    /// Runs `dlog quickstart -p 0 --http-port 0 FLAGS` in this process with `input` as its lines;
    /// returns its output and its result.
    async fn ran(flags: &str, input: &str) -> (String, Result<(), CliError>) {
        let line = format!("dlog quickstart -p 0 --http-port 0 {flags}");
        let Command::Quickstart(args) = Cli::read(line.split_whitespace().map(OsString::from))
            .expect("a command line")
            .command
        else {
            panic!("{line}");
        };
        let captured = CapturedOutput::default();
        let output = captured.output();
        let open = |writer: &ConnectedWriter, output: &Output| {
            Ok(ConsoleInput {
                lines: console::read_text(input, writer.max_record_bytes()),
                output: output.clone(),
                kind: InputKind::Pipe,
            })
        };
        let result = args.run_with(open, &output, 0, &Shutdown::manual()).await;
        (captured.text(), result)
    }

    #[test]
    fn a_line_counts_as_read_with_any_of_its_duplicates_and_equal_lines_are_counted() {
        let (one, two) = (RecordDigest::of(b"one"), RecordDigest::of(b"two"));
        let mut read_back = ReadBack::default();
        read_back.read(one);
        read_back.written(two, DoneGuard::default());
        read_back.written(one, DoneGuard::default());
        assert!(!read_back.is_complete());
        read_back.read(two);
        assert!(read_back.is_complete());
        read_back.written(one, DoneGuard::default());
        read_back.written(one, DoneGuard::default());
        read_back.read(one);
        assert!(!read_back.is_complete());
        read_back.read(one);
        assert!(read_back.is_complete() && read_back.unacknowledged.is_empty());
    }

    fn received(text: &str) -> Vec<&str> {
        text.lines()
            .filter(|line| line.starts_with("Received record"))
            .collect()
    }

    /// Without hedging: on a busy machine a line takes longer than the 50 ms after which it is
    /// written to a second stream, whose next line then has another position.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_tutorials_five_messages_are_read_from_five_streams_each_at_the_first_position() {
        let (text, result) = ran(
            "--no-hedging",
            "message-1\nmessage-2\nmessage-3\nmessage-4\nmessage-5\n",
        )
        .await;
        result.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let lines: HashSet<&str> = received(&text).into_iter().collect();
        for stream in 3..=7 {
            let line = format!(
                "Received record DLSN{{logSegmentSequenceNo=1, entryId=0, slotId=0}} from stream \
                 basic-stream-{stream}"
            );
            assert!(
                lines.contains(line.as_str()),
                "{line} is missing in:\n{text}"
            );
        }
        for message in 1..=5 {
            assert!(
                text.contains(&format!("\n\"\"\"\nmessage-{message}\n\"\"\"\n")),
                "{text}"
            );
        }
        assert!(
            text.ends_with("\n5 records written, acknowledged and read back.\n"),
            "{text}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_temporary_folder_is_removed_at_the_end() {
        let (text, result) = ran("", "x").await;
        result.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("  store    "))
            .expect("the first screen names the folder");
        let (folder, _) = line.split_once(" (").expect("and whether it is kept");
        let folder = Path::new(folder);
        assert!(
            folder.is_absolute() && !folder.exists(),
            "{}",
            folder.display()
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_that_is_kept_is_used_by_the_next_run() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let flags = format!("--data {}", folder.path().display());
        let many = "x\n".repeat(20);
        for round in 1..=2 {
            let (text, result) = ran(&flags, &many).await;
            result.unwrap_or_else(|error| panic!("round {round}: {error}\n{text}"));
            assert_eq!(received(&text).len(), 20, "round {round}:\n{text}");
            assert!(
                text.contains(&format!("logSegmentSequenceNo={round}, entryId=0")),
                "round {round}:\n{text}"
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_that_another_process_has_locked_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let held = local::open(folder.path()).await.expect("an empty folder");
        let (_, result) = ran(&format!("--data {}", folder.path().display()), "x").await;
        let report = result
            .expect_err("it is held")
            .report(false)
            .unwrap_or_default();
        assert!(
            report.contains(&folder.path().display().to_string())
                && report.contains("tip: stop that process"),
            "{report}"
        );
        held.close().await.expect("it is open");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_line_that_cannot_be_a_record_is_reported_and_the_others_are_written() {
        let (text, result) = ran("", &format!("one\n{}\ntwo\n", "x".repeat(2 << 20))).await;
        let report = result
            .expect_err("one line is too long")
            .report(false)
            .unwrap_or_default();
        assert_eq!(report, "error: not acknowledged: 1 line\n");
        assert!(
            text.contains("line 2 was not acknowledged: the line is longer than"),
            "{text}"
        );
        assert!(
            text.contains("\n2 records written, acknowledged and read back.\n"),
            "{text}"
        );
    }
}
