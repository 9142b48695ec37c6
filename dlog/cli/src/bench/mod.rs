//! `dlog bench`: what writes cost here, with these streams, proxies and settings.

mod in_flight;
mod latencies;
mod load;
mod payload;
#[cfg(feature = "plots")]
mod plot;
mod report;
mod source;
mod verify;

use core::num::NonZero;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use clap::ValueEnum;
use distributedlog::writer::{Counters, Settings};
use distributedlog_reader::Source;
use distributedlog_store::StreamName;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::console::ConnectedWriter;
use super::progress_line::ProgressLine;
use super::record_text::json_line;
use super::target::{PlaceAndStreams, Target, TargetArgs};
use super::writer_args::{BenchWriterArgs, settings_error};
use super::{CliError, Output, Shutdown, duration};
use latencies::Recording;
use load::{Load, Measured};
use report::Report;
use source::ReadSource;

/// Interval at which progress is printed.
const PROGRESS: Duration = Duration::from_secs(1);

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    // For people.
    #[default]
    Text,
    // For programs: one object.
    Json,
    // For spreadsheets: a line of names and one of values.
    Csv,
}

/// Measure the rate and the latencies of writes to several streams.
///
/// Each writer keeps --in-flight records written and not acknowledged, or with --rate writes at
/// that rate whatever the latencies are: a record that is more than 2 ms late counts from the time
/// at which it was due. Latencies are those of records until their acknowledgement, and those of
/// the attempts that won. The streams should be used by nothing else, and be made for the purpose:
/// the records stay. Ctrl-C ends the measurement, and prints what was measured until then.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with STREAMS=bench-1,bench-2,bench-3,bench-4,bench-5:
  dlog bench 'inet!127.0.0.1:8000' $STREAMS
  dlog bench --in-flight 1 --buffer-size 0 'inet!127.0.0.1:8000' $STREAMS
      one record at a time: the latency of a single write
  dlog bench --rate 300 --duration 5m --recommended 'inet!127.0.0.1:8000' $STREAMS
  dlog bench --verify http://127.0.0.1:8002 'inet!127.0.0.1:8000' $STREAMS
  dlog bench --no-hedging --buffer-size 0 --rate 200 --record attempts.txt \\
      'inet!127.0.0.1:8000' $STREAMS
  dlog sim --latency recorded:attempts.txt --rate 200 --stall 1:10s-20s
      what a stalled stream would do to these latencies

Exit status: 1 if a record was not written, or is not there when it is read back; 3 if the outcome
of one is unknown.")]
pub(crate) struct Args {
    #[command(flatten)]
    to: PlaceAndStreams,

    /// Number of writers, each with its own connections
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    writers: u32,

    /// Size of a record in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    size: usize,

    /// Maximum number of records of a writer that are written and not acknowledged [default: 64;
    /// with --rate 16384]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    in_flight: Option<u32>,

    /// Records per second of all writers [default: as many as are acknowledged]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,

    /// Time to measure
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    duration: Duration,

    /// Stop after this many records of each writer, if that is before --duration ends
    #[arg(long, value_name = "N")]
    records: Option<u64>,

    /// Time before the measurement, whose records do not count
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    warm_up: Duration,

    /// Read the records back afterwards, merged, from a namespace
    /// (distributedlog://HOST:PORT/NAMESPACE) or from a proxy's HTTP port (http://HOST:PORT):
    /// each acknowledged record must be there once
    #[arg(long, value_name = "URI|URL")]
    verify: Option<ReadSource>,

    /// Write to this file when the attempts that won began and how long they took, as `dlog sim
    /// --latency recorded:FILE` reads them; of the first million. Hedges cut slow attempts off:
    /// record with --no-hedging, and with --rate, so that a slow time has as many as another
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Draw the latencies of writes and of attempts to this file, by its name as SVG or PNG
    #[arg(long, value_name = "FILE", hide = cfg!(not(feature = "plots")))]
    plot: Option<PathBuf>,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,

    #[command(flatten)]
    target: TargetArgs,

    #[command(flatten)]
    writer: BenchWriterArgs,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=1e8).contains(&rate) {
        Ok(rate)
    } else {
        Err("not within 0.001 to 100000000".to_owned())
    }
}

impl Args {
    /// Returns the number of threads for the writers. A writer's tasks run on one thread as fast as
    /// on several, and take the other ones from the proxy if that runs on this machine too.
    pub(crate) fn threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        processors.min(self.writers as usize)
    }

    /// Measures, and prints the report.
    ///
    /// # Errors
    /// The settings are invalid, no proxy answers, a record was not written, or the records that
    /// were read back are not those that were acknowledged.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), CliError> {
        self.check_plot()?;
        if self.verify.is_some() && self.size < payload::HEADER_BYTES {
            return Err(CliError::usage(format!(
                "records of {} bytes have no room for the number by which --verify knows them",
                self.size
            ))
            .tip(format!("--size {} or more", payload::HEADER_BYTES)));
        }
        let settings = self.writer.settings()?.to_builder().attempt_reports(true);
        let settings = settings.build().map_err(|error| settings_error(&error))?;
        let (target, streams) = self.to.resolve(&self.target)?;
        let writers = tokio::select! {
            connected = self.connect(&target, &streams, settings) => connected?,
            () = shutdown.requested() => {
                return Err(CliError::failure("interrupted before the first record was written"));
            }
        };
        self.check_size(&writers[0])?;
        let began = SystemTime::now();
        let run = began
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(1, |time| u64::try_from(time.as_nanos()).unwrap_or(1));
        let measured = self.load(run, &writers, shutdown).await?;
        let counters = total(&writers);
        let mut all = Measured::default();
        for measured in &measured {
            all.merge(measured);
        }
        for writer in &writers {
            writer.close().await;
        }
        #[cfg(feature = "plots")]
        if let Some(file) = &self.plot {
            plot::draw(&all, file)?;
        }
        if let Some(file) = &self.record {
            write_recording(file, &mut all.recording)?;
        }
        let told: Vec<_> = measured.into_iter().map(|measured| measured.told).collect();
        let mut report = Report {
            streams: streams.len(),
            writers: self.writers,
            in_flight: self.in_flight(),
            record_bytes: self.size,
            rate: self.rate,
            warm_up: self.warm_up,
            measured: all,
            counters,
            read_back: None,
        };
        if let Some(source) = &self.verify {
            let source = source.connect(&target.security).await?;
            let reading = self.read_back(source, &streams, began, run, &told, shutdown);
            report.read_back = Some(reading.await?);
        }
        self.print(&report, output)?;
        verdict(&report)
    }

    /// Checks that the plot can be drawn, before anything is written.
    #[cfg(feature = "plots")]
    fn check_plot(&self) -> Result<(), CliError> {
        self.plot.as_deref().map_or(Ok(()), |file| {
            super::plot::PlotFormat::from_path(file).map(drop)
        })
    }

    /// Refuses to draw: this binary was built without plots.
    #[cfg(not(feature = "plots"))]
    fn check_plot(&self) -> Result<(), CliError> {
        if self.plot.is_some() {
            return Err(super::features::missing("--plot", "plots"));
        }
        Ok(())
    }

    fn in_flight(&self) -> usize {
        let default = if self.rate.is_some() { 16_384 } else { 64 };
        self.in_flight.unwrap_or(default) as usize
    }

    /// Returns the maximum number of attempts of one writer that are recorded.
    fn recorded(&self) -> usize {
        let share = latencies::MAX_RECORDED / self.writers as usize;
        self.record.as_ref().map_or(0, |_| share)
    }

    async fn connect(
        &self,
        target: &Target,
        streams: &[StreamName],
        settings: Settings,
    ) -> Result<Vec<ConnectedWriter>, CliError> {
        let mut writers = Vec::new();
        for _ in 0..self.writers {
            let writer = ConnectedWriter::open(
                target,
                streams,
                settings,
                self.writer.identity(),
                "dlog-bench",
            );
            writers.push(writer.await?);
        }
        Ok(writers)
    }

    fn check_size(&self, writer: &ConnectedWriter) -> Result<(), CliError> {
        let most = writer.max_record_bytes();
        if self.size > most {
            return Err(CliError::usage(format!(
                "a record has at most {most} bytes, and --size is {}",
                self.size
            )));
        }
        Ok(())
    }

    /// Runs the load of all writers. Returns what was measured at each.
    async fn load(
        &self,
        run: u64,
        writers: &[ConnectedWriter],
        shutdown: &Shutdown,
    ) -> Result<Vec<Measured>, CliError> {
        let interval = self
            .rate
            .map(|rate| Duration::from_secs_f64(f64::from(self.writers) / rate));
        let measured: Vec<Arc<Mutex<Measured>>> = writers.iter().map(|_| Arc::default()).collect();
        let (stop, stopped) = watch::channel(false);
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for ((number, writer), measured) in (0..).zip(writers).zip(&measured) {
            let load = Load {
                run,
                writer: number,
                record_bytes: self.size,
                in_flight: self.in_flight(),
                interval,
                offset: interval.unwrap_or_default() * number / self.writers,
                warm_up: self.warm_up,
                duration: self.duration,
                records: self.records.unwrap_or(u64::MAX),
                keeps_outcomes: self.verify.is_some(),
                recorded: self.recorded(),
            };
            let (writer, measured) = (writer.handle().clone(), Arc::clone(measured));
            let mut stopped = stopped.clone();
            tasks.spawn(async move {
                // The sender outlives the tasks.
                let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
                load::write(&writer, load, started, &measured, stop).await
            });
        }
        let mut progress = Progress::new(started, self.warm_up);
        let mut interval = tokio::time::interval_at((started + PROGRESS).into(), PROGRESS);
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => break,
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => return Err(CliError::failure(error.to_string())),
                    Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                },
                _ = interval.tick() => progress.print(writers, &measured),
                () = shutdown.requested(), if !*stop.borrow() => {
                    let _ = stop.send(true);
                }
            }
        }
        let measured = measured.iter();
        Ok(measured
            .map(|measured| core::mem::take(&mut *load::locked(measured)))
            .collect())
    }

    async fn read_back(
        &self,
        source: Source,
        streams: &[StreamName],
        began: SystemTime,
        run: u64,
        told: &[Vec<load::Told>],
        shutdown: &Shutdown,
    ) -> Result<verify::ReadBack, CliError> {
        let mut line = ProgressLine::new();
        let progress = |records: u64| line.show(|| format!("read back: {records} records"));
        let reading = verify::read_back(source, streams, began, run, told, progress);
        tokio::select! {
            found = reading => found,
            () = shutdown.requested() => {
                Err(CliError::failure("interrupted while the records were read back"))
            }
        }
    }

    fn print(&self, report: &Report, output: &Output) -> Result<(), CliError> {
        match self.format {
            ReportFormat::Text => output.line(report.text()),
            ReportFormat::Json => json_line(output, &report.json()),
            ReportFormat::Csv => output.line(report.csv()),
        }
    }
}

/// Returns an error if a record failed, or what was read back is wrong.
fn verdict(report: &Report) -> Result<(), CliError> {
    if let Some(found) = &report.read_back {
        found.verdict()?;
    }
    let Measured {
        not_written,
        unknown,
        ..
    } = report.measured;
    if not_written + unknown > 0 {
        return Err(CliError::already_reported().with_unknown_outcome(unknown > 0));
    }
    Ok(())
}

/// Returns the sum of the writers' counters.
fn total(writers: &[ConnectedWriter]) -> Counters {
    let counters = writers.iter().map(|writer| writer.handle().counters());
    counters.reduce(|sum, one| sum + one).unwrap_or_default()
}

fn write_recording(file: &Path, recording: &mut Recording) -> Result<(), CliError> {
    if recording.left_out() > 0 {
        tracing::warn!(
            "{} has the first attempts of each writer; it has no room for {} later ones",
            file.display(),
            recording.left_out()
        );
    }
    std::fs::write(file, recording.text())
        .map_err(|error| CliError::failure(format!("cannot write {}: {error}", file.display())))
}

/// The progress of a load.
struct Progress {
    started: Instant,
    warm_up: Duration,
    line: ProgressLine,
    written: u64,
}

impl Progress {
    fn new(started: Instant, warm_up: Duration) -> Self {
        Self {
            started,
            warm_up,
            line: ProgressLine::new(),
            written: 0,
        }
    }

    /// Prints the rate since the last call, and the latency so far.
    fn print(&mut self, writers: &[ConnectedWriter], measured: &[Arc<Mutex<Measured>>]) {
        let counters = total(writers);
        let rate = (counters.records_written - self.written) as f64 / PROGRESS.as_secs_f64();
        self.written = counters.records_written;
        let elapsed = self.started.elapsed();
        let phase = if elapsed < self.warm_up {
            "warm-up".to_owned()
        } else {
            format!("{:.0} s", (elapsed - self.warm_up).as_secs_f64())
        };
        self.line.show(|| {
            let mut writes = latencies::Latencies::default();
            for measured in measured {
                writes.merge(&load::locked(measured).writes);
            }
            format!(
                "{phase}: {} records/s, p50 {}, p99 {}, {} failed",
                report::grouped(rate),
                latencies::text(writes.quantile(0.5)),
                latencies::text(writes.quantile(0.99)),
                counters.records_failed,
            )
        });
    }
}
