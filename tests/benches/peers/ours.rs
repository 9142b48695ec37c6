//! `dlog proxy --data`, written to by the multi stream writer and read by `MultiStreamReader` over
//! its HTTP port.

use core::hint::black_box;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::collections::VecDeque;
use std::process::Command;
use std::time::Instant;

use distributedlog::writer::Settings;
use distributedlog_reader::{HttpSource, MergeSettings, MultiStreamReader};
use distributedlog_tests::binary;
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tokio::{Acknowledgement, MultiStreamWriter};
use futures_util::FutureExt as _;
use tempfile::TempDir;

use crate::Outcome;
use crate::client::{self, Sample, Tally};
use crate::machine::Disk;
use crate::options::Time;
use crate::peer::{Load, READ_LIMIT, Reader, Running};
use crate::server::{Server, run};

/// Streams of a writer, as in the tutorial.
const STREAMS: usize = 5;
/// A look at the clock costs a quarter of what a record in a set does.
const RECORDS_A_LOOK: u64 = 32;

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Dlog {
    server: Server,
    http: ReservedPort,
}

impl Dlog {
    /// Starts it.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(folder: TempDir) -> Outcome<Self> {
        let (port, http) = (ReservedPort::new(), ReservedPort::new());
        let mut command = Command::new(binary::dlog());
        command.env_clear().env("DLOG_CONFIG", "/dev/null");
        command.args(["proxy", "-p", &port.number().to_string()]);
        command.args(["--http-port", &http.number().to_string(), "--data"]);
        command.arg(folder.path().join("data"));
        let server = Server::start(command, port, folder)?;
        Ok(Self { server, http })
    }
}

impl Running for Dlog {
    fn server(&self) -> &Server {
        &self.server
    }

    fn about(&self) -> String {
        let version = run(Command::new(binary::dlog()).arg("--version")).unwrap_or_default();
        let version = version.lines().next().unwrap_or_default().to_owned();
        format!(
            "{version}, `proxy --data`, defaults. Client: the multi stream writer for tokio on one \
             thread, five streams, a request timeout of 30 s and at most 2,048 sets in flight; one \
             at a time and 64 in flight with `buffer_size` 0, otherwise sets of 16 KiB; `most` is \
             8,192 in flight. Reader: `MultiStreamReader` over \
             HTTP, merged, in batches of 1,000 records, or sets at once, of which each payload is \
             looked at; or one of the streams alone, not merged, in batches"
        )
    }

    fn run(&self, load: Load, time: Time, disk: Option<&Disk>) -> Outcome<Sample> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("client-dlog");
        let measure = time.measure.as_millis().to_string();
        if let Load::Read(reader) = load {
            let url = format!("http://127.0.0.1:{}", self.http.number());
            let what = match reader {
                Reader::Records => "records",
                Reader::Sets => "sets",
                Reader::OneStream => "one-stream",
            };
            command.args(["read", &url, load.stream(), what, &measure]);
        } else {
            let (in_flight, buffer) = match load {
                Load::One | Load::Proof => (1, 0),
                Load::Few => (64, 0),
                Load::Alone => (1024, 0),
                Load::Many => (1024, 16 << 10),
                Load::Most | Load::Large | Load::Read(_) => (8192, 16 << 10),
            };
            let numbers = [load.record_bytes(), in_flight, buffer];
            command.args(["write", &self.server.address(), load.stream()]);
            command.args(numbers.map(|number| number.to_string()));
            command.args([&time.warm_up.as_millis().to_string(), &measure]);
        }
        client::measure(command, &self.server, time, disk)
    }
}

fn streams(prefix: &str) -> impl Iterator<Item = String> {
    (0..STREAMS).map(move |number| format!("{prefix}-{number}"))
}

/// Runs as the client.
///
/// # Errors
/// A record is not written, or cannot be read.
pub(crate) fn client(arguments: &[&str]) -> Outcome<()> {
    // One core for the client and one for the proxy: what a machine with two has.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match *arguments {
            [
                "write",
                address,
                prefix,
                bytes,
                in_flight,
                buffer,
                warm_up,
                measure,
            ] => {
                let settings = Settings::builder()
                    .request_timeout(Duration::from_secs(30))
                    .in_flight_sets(2048)
                    .buffer_size(buffer.parse()?);
                let writer = MultiStreamWriter::builder(streams(prefix))
                    .settings(settings)
                    .proxies(format!("inet!{address}"))
                    .build()
                    .await?;
                let tally = Tally::begin(millis(warm_up)?, millis(measure)?);
                write(
                    &writer,
                    &vec![b'r'; bytes.parse()?],
                    in_flight.parse()?,
                    tally,
                )
                .await
            }
            ["read", url, prefix, what, measure] => read(url, prefix, what, millis(measure)?).await,
            _ => Err(format!("not for people: {arguments:?}").into()),
        }
    })
}

fn millis(text: &str) -> Outcome<Duration> {
    Ok(Duration::from_millis(text.parse()?))
}

async fn write(
    writer: &MultiStreamWriter,
    record: &[u8],
    in_flight: usize,
    mut tally: Tally,
) -> Outcome<()> {
    if in_flight == 1 {
        loop {
            let began = Instant::now();
            if !tally.goes_on(began) {
                return tally.end();
            }
            writer.write(record).await?;
            tally.add_one(began.elapsed());
        }
    }
    let mut pending: VecDeque<Acknowledgement> = VecDeque::with_capacity(in_flight);
    while tally.goes_on(Instant::now()) {
        for _ in 0..RECORDS_A_LOOK {
            if pending.len() == in_flight
                && let Some(oldest) = pending.pop_front()
            {
                oldest.await?;
                tally.add(1);
            }
            pending.push_back(writer.submit(record).await?);
        }
        while let Some(oldest) = pending.front_mut()
            && let Some(result) = oldest.now_or_never()
        {
            result?;
            tally.add(1);
            pending.pop_front();
        }
    }
    tally.end()
}

/// Reads passes from the start; the first is not measured.
async fn read(url: &str, prefix: &str, what: &str, measure: Duration) -> Outcome<()> {
    pass(url, prefix, what).await?;
    let mut tally = Tally::begin(Duration::ZERO, measure);
    while tally.goes_on(Instant::now()) {
        tally.add(pass(url, prefix, what).await?);
    }
    tally.end()
}

async fn pass(url: &str, prefix: &str, what: &str) -> Outcome<u64> {
    let reader = MultiStreamReader::builder(HttpSource::new([url])).follow(false);
    let mut reader = match what {
        "one-stream" => reader
            .streams(streams(prefix).take(1))
            .merge(None::<MergeSettings>),
        _ => reader.streams(streams(prefix)),
    }
    .build()?;
    let mut records = 0;
    if what == "sets" {
        while records < READ_LIMIT
            && let Some(it) = reader.next_run(NonZeroUsize::MAX).await.transpose()?
        {
            records += it.run.iter().map(black_box).count() as u64;
        }
        return Ok(records);
    }
    let most = NonZeroUsize::new(1000).ok_or("not zero")?;
    while records < READ_LIMIT
        && let Some(batch) = reader.next_batch(most).await?
    {
        records += batch.records.len() as u64;
    }
    Ok(records)
}
