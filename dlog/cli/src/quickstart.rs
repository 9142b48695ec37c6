use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use distributedlog::writer::Settings as WriterSettings;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::console::{self, Connected, Digest, Line, Release, Report, Tally};
use super::expression::Expression;
use super::output::counted;
use super::position::Position;
use super::writer_args::WriterArgs;
use super::{
    Fault, Format, Output, Shutdown, local, namespace, port, proxy, record_text, streams, tail,
};
use distributedlog_proxy::{Proxy, ProxyError, RunningProxy, Settings};
use distributedlog_reader::{
    MergeSettings, Merged, MultiReader, ReadEvent, StreamFault, StreamTrouble,
};
use distributedlog_store::embedded::EmbeddedSettings;
use distributedlog_store::{LogStore, StoreError, StreamName};

/// The tutorial's streams.
const PREFIX: &str = "basic-stream-";
const EXPRESSION: &str = "3-7";

/// The ports that are tried first.
const PORT: u16 = 8000;
const HTTP_PORT: u16 = 8002;

/// Try everything in one process: store, proxy, reader and a console to type records into.
///
/// The tutorial "Write records to multiple streams" without any set-up: a store in a temporary
/// folder, a write proxy on a real socket, the streams basic-stream-3 to basic-stream-7, a reader
/// that prints what arrives in them, and a prompt. Each line that is typed is written through
/// the proxy and comes out of one of the streams, once, also when it was written to a second one
/// because the first was slow. From a pipe it ends when every line has been acknowledged and read
/// back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog quickstart
  printf 'message-1\\nmessage-2\\n' | dlog quickstart
  dlog quickstart --data ./records        (keeps the records; run it again and go on)")]
pub(crate) struct Args {
    /// Keep the records in this folder [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The proxy's port; 0 lets the system choose [default: 8000, or one that is free]
    #[arg(short, long, value_name = "PORT", value_parser = port::parse)]
    port: Option<u16>,

    /// The proxy's HTTP port; 0 lets the system choose [default: 8002, or one that is free]
    #[arg(long, value_name = "PORT", value_parser = port::parse)]
    http_port: Option<u16>,

    #[command(flatten)]
    writer: WriterArgs,
}

impl Args {
    /// Runs until the input ends, or the end is asked for.
    ///
    /// # Errors
    /// Something could not be started, or a line failed.
    pub(crate) async fn run(
        self,
        output: &Output,
        verbose: u8,
        shutdown: &Shutdown,
    ) -> Result<(), Fault> {
        self.run_with(
            |writer| console::input(writer, output, shutdown),
            output,
            verbose,
            shutdown,
        )
        .await
    }

    /// The same with another input: `open` answers the lines, and where to print while they come.
    async fn run_with(
        self,
        open: impl FnOnce(&Connected) -> Result<(mpsc::Receiver<Line>, Output), Fault>,
        output: &Output,
        verbose: u8,
        shutdown: &Shutdown,
    ) -> Result<(), Fault> {
        let (settings, identity) = (self.writer.settings()?, self.writer.identity());
        let stack = Stack::start(self.data.as_deref(), self.port, self.http_port).await?;
        // Whatever happens in between, what was started is ended in order and the temporary folder
        // goes.
        let talked = talk(
            &stack,
            (settings, identity),
            open,
            output,
            verbose,
            shutdown,
        )
        .await;
        console::restore_terminal();
        let ended = stack.end().await;
        let tally = talked?;
        ended?;
        // To the output itself: an editor that was interrupted does not draw any more.
        conclude(tally, output)
    }
}

/// Connects to the proxy as any writer would, and writes and reads until the input has ended.
/// Answers how many lines.
async fn talk(
    stack: &Stack,
    (settings, identity): (WriterSettings, bool),
    open: impl FnOnce(&Connected) -> Result<(mpsc::Receiver<Line>, Output), Fault>,
    output: &Output,
    verbose: u8,
    shutdown: &Shutdown,
) -> Result<Tally, Fault> {
    stack.introduce(output)?;
    let writer = Connected::open(
        &stack.name(),
        &stack.streams,
        settings,
        identity,
        "quickstart",
    )
    .await?;
    let starts = tail::starts(
        &stack.store,
        &stack.streams,
        |info| Position::Latest.in_stream(info),
        Some(output),
        None,
    )
    .await?;
    let mut reader = MultiReader::new(&stack.store, starts, MergeSettings::default());
    let (lines, above_prompt) = open(&writer)?;
    let ended = write_and_read_back(
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
    ended
}

/// Says how it went.
fn conclude(tally: Tally, output: &Output) -> Result<(), Fault> {
    let Tally { written, failed } = tally;
    output.line(format_args!(
        "\n{} written, acknowledged and read back.",
        counted(written, "record")
    ))?;
    if failed > 0 {
        Err(Fault::failure(format!(
            "not acknowledged: {}",
            counted(failed, "line")
        )))
    } else {
        Ok(())
    }
}

/// Everything that quickstart starts.
struct Stack {
    store: Arc<dyn LogStore>,
    proxy: RunningProxy,
    streams: Vec<StreamName>,
    folder: PathBuf,
    /// Removes the folder when it is dropped.
    temporary: Option<TempDir>,
}

impl Stack {
    async fn start(
        data: Option<&Path>,
        port: Option<u16>,
        http_port: Option<u16>,
    ) -> Result<Self, Fault> {
        let temporary = match data {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("dlog-quickstart-")
                    .tempdir()
                    .map_err(|error| {
                        Fault::failure(format!("cannot make a temporary folder: {error}"))
                            .tip("name a folder with --data DIR")
                    })?,
            ),
        };
        let folder = data.map_or_else(
            || {
                temporary
                    .as_ref()
                    .expect("one of them is there")
                    .path()
                    .to_owned()
            },
            Path::to_owned,
        );
        // A try-out reserves no disk space ahead: the temporary folder may be in memory.
        let store = local::open_with(EmbeddedSettings {
            preallocate: temporary.is_none(),
            ..EmbeddedSettings::new(&folder)
        })
        .await?;
        let expression = Expression::parse(EXPRESSION).expect("the tutorial's expression is one");
        let streams = streams::expand(PREFIX, &expression).expect("the tutorial's names are names");
        for stream in &streams {
            match store.create(stream).await {
                // With --data they are there from the last time.
                Ok(()) | Err(StoreError::StreamExists(_)) => {}
                Err(error) => return Err(namespace::fault(&error, None)),
            }
        }
        let proxy = start_proxy(&store, port, http_port).await?;
        Ok(Self {
            store,
            proxy,
            streams,
            folder,
            temporary,
        })
    }

    /// The proxy's Finagle name.
    fn name(&self) -> String {
        format!("inet!{}", self.proxy.local_addr())
    }

    /// The first screen: what was started, where, and what to do now.
    fn introduce(&self, output: &Output) -> Result<(), Fault> {
        let address = self.proxy.http_addr().expect("it was asked for");
        let http = if cfg!(feature = "page") {
            format!(
                "page     http://{address} (a browser that writes; stall one of its streams and watch)"
            )
        } else {
            format!("HTTP     http://{address} (clients that write and read by HTTP)")
        };
        let kept = if self.temporary.is_some() {
            "removed at the end; --data DIR keeps it"
        } else {
            "kept"
        };
        output.line(format_args!(
            "\
dlog {} quickstart: the multi stream writer's tutorial in one process

  store    {} ({kept})
  proxy    {} (thriftmux, on a real socket: other writers can use it too)
  streams  {PREFIX}3 to {PREFIX}7, and a reader of all five
  {http}

Type a line and press Enter: it becomes a record in one of the streams, and the reader prints it. Ctrl-D ends.
",
            env!("CARGO_PKG_VERSION"),
            self.folder.display(),
            self.name(),
        ))
    }

    /// Drains the proxy, which closes the store, and removes the folder if it is temporary.
    async fn end(self) -> Result<(), Fault> {
        self.proxy.drain().await;
        self.store
            .close()
            .await
            .map_err(|error| namespace::fault(&error, None))?;
        match self.temporary {
            Some(folder) => folder.close().map_err(|error| {
                Fault::failure(format!("cannot remove {}: {error}", self.folder.display()))
            }),
            None => Ok(()),
        }
    }
}

/// Starts the proxy on the ports that were asked for; where none was, on the default one or else on
/// one that is free.
async fn start_proxy(
    store: &Arc<dyn LogStore>,
    port: Option<u16>,
    http_port: Option<u16>,
) -> Result<RunningProxy, Fault> {
    let (mut clients, mut http) = (port.unwrap_or(PORT), http_port.unwrap_or(HTTP_PORT));
    loop {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let settings = Settings::builder()
            .listen(loopback(clients))
            .http_listen(Some(loopback(http)))
            .faults(true);
        let settings = settings.build().expect("loopback and defaults are legal");
        match Proxy::start(settings, Arc::clone(store)).await {
            Ok(running) => return Ok(running),
            // Each of them once: port 0 is always free.
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
            Err(error) => return Err(proxy::start_fault(&error)),
        }
    }
}

/// Writes each line and prints each record, until the input has ended and every acknowledged line
/// has been read back.
async fn write_and_read_back(
    lines: mpsc::Receiver<Line>,
    writer: &Connected,
    reader: &mut MultiReader,
    output: &Output,
    verbose: bool,
    shutdown: &Shutdown,
) -> Result<Tally, Fault> {
    let (written, mut acknowledged) = mpsc::unbounded_channel();
    let mut on_written = |digest: Digest, release: Release| {
        // The receiver lives as long as this future does.
        let _ = written.send((digest, release));
    };
    let mut session = core::pin::pin!(console::run(
        lines,
        writer,
        output,
        Report::new(Format::Text, verbose, false),
        shutdown,
        &mut on_written
    ));
    let mut balance = Balance::default();
    let mut tally = None;
    loop {
        if let Some(tally) = tally
            && acknowledged.is_empty()
            && balance.is_even()
        {
            return Ok(tally);
        }
        tokio::select! {
            ended = &mut session, if tally.is_none() => tally = Some(ended?),
            Some((digest, release)) = acknowledged.recv() => balance.written(digest, release),
            event = reader.next() => match event.expect("a stream's end is told as a fault, and ends the reading") {
                Ok(Merged { stream, event: ReadEvent::Record(record) }) => {
                    record_text::print(output, Format::Text, &stream, &record)?;
                    balance.read(Digest::of(&record.payload));
                },
                Ok(Merged { stream, event: ReadEvent::Malformed(set) }) => {
                    tracing::error!("stream {stream}: {set}; reading goes on behind it");
                },
                Err(StreamFault { stream, trouble: StreamTrouble::Unreadable(error), .. }) => {
                    return Err(tail::cannot_be_read(&stream, &error));
                }
                Err(fault @ StreamFault { trouble: StreamTrouble::CreatedAnew, .. }) => tracing::warn!("{fault}"),
            },
        }
    }
}

/// Which records were acknowledged and not yet read, and the other way round: a reader may be
/// faster than the acknowledgement.
///
/// Records are told by their bytes, not by their positions: a record that two streams hold may be
/// acknowledged at one and read from the other.
#[derive(Debug, Default)]
struct Balance {
    unread: HashMap<Digest, Vec<Release>>,
    unacknowledged: HashMap<Digest, u64>,
}

impl Balance {
    fn written(&mut self, record: Digest, release: Release) {
        match self.unacknowledged.entry(record) {
            Entry::Occupied(read) if *read.get() == 1 => drop(read.remove()),
            Entry::Occupied(mut read) => *read.get_mut() -= 1,
            Entry::Vacant(_) => self.unread.entry(record).or_default().push(release),
        }
    }

    fn read(&mut self, record: Digest) {
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

    /// Whether every acknowledged record was read. What was read and never acknowledged failed for
    /// its writer, or is another writer's.
    fn is_even(&self) -> bool {
        self.unread.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::ffi::OsString;

    use super::super::args::{Cli, Command};
    use super::super::output::Captured;
    use super::*;

    /// Runs `dlog quickstart -p 0 --http-port 0 FLAGS` with `input` piped into it, everything in
    /// this process; what it printed and how it ended.
    async fn ran(flags: &str, input: &str) -> (String, Result<(), Fault>) {
        let line = format!("dlog quickstart -p 0 --http-port 0 {flags}");
        let Command::Quickstart(args) = Cli::read(line.split_whitespace().map(OsString::from))
            .expect("a command line")
            .command
        else {
            panic!("{line}");
        };
        let captured = Captured::default();
        let output = captured.output();
        let open = |writer: &Connected| {
            Ok((
                console::of_text(input, writer.max_record_bytes()),
                captured.output(),
            ))
        };
        let ended = args.run_with(open, &output, 0, &Shutdown::manual()).await;
        (captured.text(), ended)
    }

    #[test]
    fn a_line_is_even_whichever_of_its_copies_is_read_and_equal_lines_are_counted() {
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let mut balance = Balance::default();
        balance.read(one);
        balance.written(two, Release::default());
        balance.written(one, Release::default());
        assert!(!balance.is_even());
        balance.read(two);
        assert!(balance.is_even());
        balance.written(one, Release::default());
        balance.written(one, Release::default());
        balance.read(one);
        assert!(!balance.is_even());
        balance.read(one);
        assert!(balance.is_even() && balance.unacknowledged.is_empty());
    }

    fn received(text: &str) -> Vec<&str> {
        text.lines()
            .filter(|line| line.starts_with("Received record"))
            .collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_tutorials_five_messages_come_out_of_five_streams_each_at_the_first_position() {
        let (text, ended) = ran(
            "",
            "message-1\nmessage-2\nmessage-3\nmessage-4\nmessage-5\n",
        )
        .await;
        ended.unwrap_or_else(|fault| panic!("{fault}\n{text}"));
        let lines: HashSet<&str> = received(&text).into_iter().collect();
        for stream in 3..=7 {
            let line = format!(
                "Received record DLSN{{logSegmentSequenceNo=1, entryId=0, slotId=0}} from stream basic-stream-{stream}"
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
    async fn the_temporary_folder_is_gone_at_the_end() {
        let (text, ended) = ran("", "x").await;
        ended.unwrap_or_else(|fault| panic!("{fault}\n{text}"));
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("  store    "))
            .expect("the first screen names the folder");
        let (folder, _) = line.split_once(" (").expect("and what becomes of it");
        let folder = Path::new(folder);
        assert!(
            folder.is_absolute() && !folder.exists(),
            "{}",
            folder.display()
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_that_is_kept_is_gone_on_with() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let flags = format!("--data {}", folder.path().display());
        let many = "x\n".repeat(20);
        for round in 1..=2 {
            let (text, ended) = ran(&flags, &many).await;
            ended.unwrap_or_else(|fault| panic!("round {round}: {fault}\n{text}"));
            assert_eq!(received(&text).len(), 20, "round {round}:\n{text}");
            assert!(
                text.contains(&format!("logSegmentSequenceNo={round}, entryId=0")),
                "round {round}:\n{text}"
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_that_another_process_would_hold_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let held = local::open(folder.path()).await.expect("an empty folder");
        let (_, ended) = ran(&format!("--data {}", folder.path().display()), "x").await;
        let said = ended
            .expect_err("it is held")
            .report(false)
            .unwrap_or_default();
        assert!(
            said.contains(&folder.path().display().to_string())
                && said.contains("tip: end that process"),
            "{said}"
        );
        held.close().await.expect("it is open");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_line_that_is_no_record_is_reported_and_the_others_are_written() {
        let (text, ended) = ran("", &format!("one\n{}\ntwo\n", "x".repeat(2 << 20))).await;
        let said = ended
            .expect_err("one line is too long")
            .report(false)
            .unwrap_or_default();
        assert_eq!(said, "error: not acknowledged: 1 line\n");
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
