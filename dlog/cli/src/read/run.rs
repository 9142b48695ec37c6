use core::num::NonZeroUsize;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use distributedlog_reader::{
    MergeSettings, MultiStreamReader, ReadError, ReadFrom, Source, StreamRecord, StreamRun,
};
use distributedlog_store::{StoreError, StreamName};
use futures_util::FutureExt as _;

use super::super::administer::{self, Administered};
use super::super::output::{counted, note};
use super::super::place::Place;
use super::super::progress_line::ProgressLine;
use super::super::table::{bytes_text, quantity};
use super::super::target::Target;
use super::super::{CliError, Output, Shutdown};
use super::Reading;
use super::format::Printer;
use super::position::SavedPosition;
use super::start::Start;

/// Interval at which the position is saved while records come.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Number of records, or of sets, after which signals are looked at while more can be had without
/// waiting.
const BETWEEN_LOOKS: u32 = 256;

/// What is printed at once.
enum Next {
    Record(StreamRecord),
    Run(StreamRun),
}

/// Records that were printed.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    records: u64,
    bytes: u64,
}

/// Reads and prints until an end comes.
struct Session<'a> {
    reading: &'a Reading,
    reader: MultiStreamReader,
    printer: Printer<'a>,
    file: Option<SavedPosition>,
    saved: Instant,
    until_unix_ms: Option<u64>,
    /// Bounded: by the streams of a reader.
    sums: BTreeMap<Arc<str>, Sums>,
    left: u64,
    /// True if sums are shown.
    counts: bool,
    /// True if records are looked at one by one.
    looks: bool,
    progress: ProgressLine,
    started: Instant,
}

impl Reading {
    pub(super) async fn run(
        self,
        default: Start,
        follows: bool,
        output: &Output,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        let (target, streams) = self.place.resolve(&self.at)?;
        let opening = self.open(&target, &streams, default, follows, output);
        let mut session = tokio::select! {
            opened = opening => opened?,
            () = shutdown.requested() => return Ok(()),
        };
        let result = session.print_all(shutdown).await;
        session.progress.clear();
        // What was printed is what the position is behind, unless the output is closed.
        session.printer.flush()?;
        session.save()?;
        if self.stats {
            session.print_sums();
        }
        result
    }

    async fn open<'a>(
        &'a self,
        target: &Target,
        streams: &[StreamName],
        default: Start,
        follows: bool,
        output: &'a Output,
    ) -> Result<Session<'a>, CliError> {
        let (store, place) = administer::connect(target).await?;
        let at = Administered::of(store.as_ref(), &place)?;
        let start = match (self.from, self.since) {
            (Some(start), _) => start,
            (None, Some(since)) => Start::Time(since.unix_ms()),
            (None, None) => default,
        };
        let starts = starts(&at, streams, start, follows).await?;
        let place_text = place.to_string();
        let source: Source = match &place {
            Place::Http(url) => target.security.http_source(url).into(),
            Place::Namespace(_) | Place::Proxies(_) => Arc::clone(&store).into(),
        };
        let file = self.position.as_deref();
        let file = file.map(|path| SavedPosition::new(path, place_text));
        let saved = file.as_ref().map_or(Ok(None), SavedPosition::load)?;
        let merge = (!self.no_merge).then_some(MergeSettings {
            sequences: self.window_sequences,
            writers: self.window_writers,
        });
        let mut builder = MultiStreamReader::builder(source)
            .streams(starts.iter().map(|(stream, _)| stream.as_str()))
            .position(saved)
            .merge(merge)
            .follow(follows);
        for (stream, from) in starts {
            builder = builder.stream_from(stream, from);
        }
        let reader = builder.build();
        let reader = reader.map_err(|error| CliError::usage(error.to_string()))?;
        let now = Instant::now();
        let printer = Printer::new(self, output);
        Ok(Session {
            reading: self,
            reader,
            looks: self.grep.is_some() || !printer.prints_payloads(),
            printer,
            file,
            saved: now,
            until_unix_ms: self.until.map(super::super::since::Since::unix_ms),
            sums: BTreeMap::new(),
            left: self.count.unwrap_or(u64::MAX),
            counts: self.stats || self.format == super::format::RecordFormat::None,
            progress: ProgressLine::new(),
            started: now,
        })
    }

    /// Returns true if the record is to be printed.
    fn wants(&self, payload: &[u8]) -> bool {
        let grep = self.grep.as_ref();
        grep.is_none_or(|regex| regex.is_match(payload) != self.invert)
    }
}

/// Returns the streams to read, and where to begin in each.
///
/// A writer creates the streams of its set as their turn comes, so some may not exist yet: they are
/// waited for with `follows`, and are left out without.
///
/// # Errors
/// None of the streams exists and `follows` is false, or one cannot be described.
async fn starts(
    at: &Administered<'_>,
    streams: &[StreamName],
    start: Start,
    follows: bool,
) -> Result<Vec<(String, ReadFrom)>, CliError> {
    let mut starts = Vec::with_capacity(streams.len());
    let mut missing = Vec::new();
    for stream in streams {
        match at.store.describe(stream).await {
            Ok(info) => starts.push((stream.to_string(), start.in_stream(&info))),
            Err(StoreError::StreamNotFound(_)) if follows => {
                note(format_args!("log stream {stream} does not exist yet"));
                // Whatever it will have is written from now on.
                starts.push((stream.to_string(), ReadFrom::Start));
            }
            Err(error @ StoreError::StreamNotFound(_)) => missing.push((stream, error)),
            Err(error) => return Err(at.error(&error)),
        }
    }
    if let (true, Some((_, error))) = (starts.is_empty(), missing.first()) {
        return Err(at.error(error));
    }
    for (stream, _) in missing {
        note(format_args!(
            "log stream {stream} does not exist and is left out"
        ));
    }
    Ok(starts)
}

impl Session<'_> {
    async fn print_all(&mut self, shutdown: &Shutdown) -> Result<(), CliError> {
        // A file that cannot be written must fail the command now, not after a day's records.
        self.save()?;
        let until = self.until();
        tokio::pin!(until);
        let mut without_waiting = 0;
        while self.left > 0 {
            if without_waiting < BETWEEN_LOOKS
                && let Some(next) = self.next().now_or_never()
            {
                without_waiting += 1;
                if !self.take(next)? {
                    break;
                }
                continue;
            }
            if without_waiting < BETWEEN_LOOKS {
                // Nothing is there: whoever reads the output gets what was printed so far.
                self.printer.flush()?;
            }
            without_waiting = 0;
            self.save_in_time()?;
            let unsaved = self.file.is_some();
            tokio::select! {
                biased;
                () = shutdown.requested() => break,
                next = self.next() => if !self.take(next)? {
                    break;
                },
                () = &mut until => break,
                () = tokio::time::sleep(SAVE_EVERY), if unsaved => {}
            }
        }
        Ok(())
    }

    /// Completes when no record that comes can be early enough.
    fn until(&self) -> impl Future<Output = ()> + use<> {
        let until = self.until_unix_ms.map(|until| {
            let now = super::super::since::Since::Ago(Duration::ZERO).unix_ms();
            // The clock of the store may be behind.
            Duration::from_millis(until.saturating_sub(now)) + SAVE_EVERY
        });
        async move {
            match until {
                Some(left) => tokio::time::sleep(left).await,
                None => core::future::pending().await,
            }
        }
    }

    /// Returns the next record, or the next run if records are not looked at one by one.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    async fn next(&mut self) -> Option<Result<Next, ReadError>> {
        if self.looks {
            let next = self.reader.next().await?;
            return Some(next.map(Next::Record));
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = NonZeroUsize::new(left).unwrap_or(NonZeroUsize::MIN);
        let next = self.reader.next_run(most).await?;
        Some(next.map(Next::Run))
    }

    /// Prints what was read. Returns false at the end of all streams.
    fn take(&mut self, next: Option<Result<Next, ReadError>>) -> Result<bool, CliError> {
        match next {
            None => return Ok(false),
            Some(Err(error)) => return Err(CliError::failure(error.to_string())),
            Some(Ok(Next::Record(it))) => {
                let payload = &it.record.payload;
                if !self.is_late(it.record.written_unix_ms) && self.reading.wants(payload) {
                    self.printer.print(&it)?;
                    self.count(&it.stream, 1, || payload.len());
                }
            }
            Some(Ok(Next::Run(it))) => {
                let run = &it.run;
                if !self.is_late(run.written_unix_ms) {
                    self.printer.print_run(&it)?;
                    let bytes = || run.iter().map(|(_, payload)| payload.len()).sum();
                    self.count(&it.stream, run.len(), bytes);
                }
            }
        }
        Ok(true)
    }

    fn is_late(&self, written_unix_ms: u64) -> bool {
        self.until_unix_ms
            .is_some_and(|until| written_unix_ms > until)
    }

    /// Counts records that were printed.
    fn count(&mut self, stream: &Arc<str>, records: usize, bytes: impl FnOnce() -> usize) {
        self.left -= records as u64;
        if !self.counts {
            return;
        }
        let more = Sums {
            records: records as u64,
            bytes: bytes() as u64,
        };
        match self.sums.get_mut(stream) {
            Some(sums) => *sums = sums.plus(more),
            None => drop(self.sums.insert(Arc::clone(stream), more)),
        }
        if self.reading.format == super::format::RecordFormat::None {
            let (total, started) = (self.total(), self.started);
            self.progress.show(|| total.text(started.elapsed()));
        }
    }

    fn total(&self) -> Sums {
        let sums = self.sums.values().copied();
        sums.fold(Sums::default(), Sums::plus)
    }

    /// Saves the position if a second has passed.
    fn save_in_time(&mut self) -> Result<(), CliError> {
        if self.file.is_some() && self.saved.elapsed() >= SAVE_EVERY {
            self.printer.flush()?;
            self.save()?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), CliError> {
        self.saved = Instant::now();
        let position = || self.reader.position();
        self.file
            .as_ref()
            .map_or(Ok(()), |file| file.save(position()))
    }

    fn print_sums(&self) {
        let total = self.total();
        if self.sums.len() > 1 {
            for (stream, sums) in &self.sums {
                let records = counted(sums.records, "record");
                note(format_args!(
                    "{stream}: {records}, {}",
                    bytes_text(sums.bytes)
                ));
            }
        }
        let stats = self.reader.stats();
        let merge = stats.merge;
        let mut text = total.text(self.started.elapsed());
        for (number, what) in [
            (merge.duplicates_dropped, "duplicate dropped"),
            (merge.beyond_window, "record beyond the dedup window"),
            (stats.malformed, "damaged record set skipped"),
        ] {
            if number > 0 {
                text.push_str(&format!("; {what}: {number}"));
            }
        }
        note(text);
    }
}

impl Sums {
    const fn plus(self, other: Self) -> Self {
        Self {
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
        }
    }

    fn text(self, took: Duration) -> String {
        let seconds = took.as_secs_f64().max(1e-9);
        format!(
            "{}, {} in {:.1} s: {}, {}",
            counted(self.records, "record"),
            bytes_text(self.bytes),
            seconds,
            quantity(self.records as f64 / seconds, "records/s"),
            quantity(self.bytes as f64 / seconds, "B/s"),
        )
    }
}
