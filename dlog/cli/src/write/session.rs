use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use distributedlog::WriteState;
use distributedlog::writer::{EnqueueError, WriteResult};
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use memchr::memmem;
use tokio::sync::mpsc;

use super::super::progress_line::ProgressLine;
use super::super::table::{bytes_text, quantity};
use super::super::{CliError, Shutdown};
use super::face::{Acknowledgement, Face};
use super::input::Item;
use super::report::{Acknowledged, Reporter};
use super::{Args, Escaped};

/// A record that is not acknowledged yet.
struct InFlight {
    number: u64,
    bytes: usize,
    began: Instant,
    acknowledgement: Acknowledgement,
}

/// A record that completed.
struct Completed {
    number: u64,
    bytes: usize,
    took: Duration,
    result: WriteResult,
}

impl Future for InFlight {
    type Output = Completed;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Completed> {
        let result = core::task::ready!(Pin::new(&mut self.acknowledgement).poll(cx));
        Poll::Ready(Completed {
            number: self.number,
            bytes: self.bytes,
            took: self.began.elapsed(),
            result,
        })
    }
}

/// What a session does with the records of its input.
struct Options<'a> {
    key_delimiter: Option<&'a [u8]>,
    base64: bool,
    /// Time from one record to the next.
    interval: Option<Duration>,
    max_in_flight: usize,
}

/// Writes records and reports their outcomes.
pub(super) struct Session<'a> {
    face: &'a Face,
    options: Options<'a>,
    /// Number of records that are still to be taken from the input.
    left: u64,
    /// Bounded: `max_in_flight`.
    pending: FuturesUnordered<InFlight>,
    reporter: Reporter,
    progress: ProgressLine,
    started: Instant,
    /// Number of the last record that was taken from the input.
    number: u64,
}

impl<'a> Session<'a> {
    pub(super) fn new(face: &'a Face, args: &'a Args, reporter: Reporter) -> Self {
        Self {
            face,
            options: Options {
                key_delimiter: args.key_delimiter.as_ref().map(|Escaped(bytes)| &**bytes),
                base64: args.base64,
                interval: args.interval(),
                max_in_flight: args.max_in_flight as usize,
            },
            left: args.count.unwrap_or(u64::MAX),
            pending: FuturesUnordered::new(),
            reporter,
            progress: ProgressLine::new(),
            started: Instant::now(),
            number: 0,
        }
    }

    /// Writes until the input ends, and waits for what is in flight. Returns true if a shutdown was
    /// requested before the input ended.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) async fn write(
        &mut self,
        mut batches: mpsc::Receiver<Vec<Item>>,
        shutdown: &Shutdown,
    ) -> Result<bool, CliError> {
        let interrupted = self.take_records(&mut batches, shutdown).await?;
        self.face.flush().await;
        while let Some(done) = self.pending.next().await {
            self.report(&done)?;
        }
        self.progress.clear();
        Ok(interrupted)
    }

    async fn take_records(
        &mut self,
        batches: &mut mpsc::Receiver<Vec<Item>>,
        shutdown: &Shutdown,
    ) -> Result<bool, CliError> {
        loop {
            let batch = tokio::select! {
                biased;
                () = shutdown.requested() => return Ok(true),
                Some(done) = self.pending.next() => {
                    self.report(&done)?;
                    self.report_ready()?;
                    continue;
                }
                batch = batches.recv() => batch,
            };
            let Some(batch) = batch else {
                return Ok(false);
            };
            for item in batch {
                if self.left == 0 {
                    return Ok(false);
                }
                self.left -= 1;
                self.number += 1;
                if self.wait_until_due(shutdown).await? {
                    return Ok(true);
                }
                match item {
                    Ok(record) => self.submit(&record).await?,
                    Err(why) => self.refuse(&why)?,
                }
            }
            if self.left == 0 {
                return Ok(false);
            }
        }
    }

    /// Waits for the time of the next record and for room, and reports what completes meanwhile.
    /// Returns true if a shutdown was requested.
    async fn wait_until_due(&mut self, shutdown: &Shutdown) -> Result<bool, CliError> {
        let due = self.options.interval.map(|interval| {
            let due = interval.as_secs_f64() * (self.number - 1) as f64;
            tokio::time::Instant::from_std(self.started + Duration::from_secs_f64(due))
        });
        loop {
            let is_due = due.is_none_or(|due| tokio::time::Instant::now() >= due);
            if is_due && self.pending.len() < self.options.max_in_flight {
                return Ok(false);
            }
            let until_due = async {
                match due {
                    Some(due) if !is_due => tokio::time::sleep_until(due).await,
                    Some(_) | None => core::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = shutdown.requested() => return Ok(true),
                Some(done) = self.pending.next() => {
                    self.report(&done)?;
                    self.report_ready()?;
                }
                () = until_due => {}
            }
        }
    }

    /// Passes a record to the writer; its outcome is reported later.
    async fn submit(&mut self, record: &Bytes) -> Result<(), CliError> {
        let mut record: &[u8] = record;
        let decoded;
        let key = match self.options.key_delimiter {
            None => &[][..],
            Some(delimiter) => {
                let Some(found) = memmem::find(record, delimiter) else {
                    return self.refuse("it has no key: the delimiter is not in it");
                };
                let (key, rest) = record.split_at(found);
                record = &rest[delimiter.len()..];
                key
            }
        };
        if self.options.base64 {
            decoded = match STANDARD.decode(record.trim_ascii()) {
                Ok(decoded) => decoded,
                Err(error) => return self.refuse(&format!("it is not base64: {error}")),
            };
            record = &decoded;
        }
        let began = Instant::now();
        let accepted = match self.face.try_write(key, record) {
            Err(EnqueueError::Full) => self.when_there_is_room(key, record).await?,
            Ok(acknowledgement) => Ok(acknowledgement),
            Err(error) => return self.refuse(&error.to_string()),
        };
        match accepted {
            Ok(acknowledgement) => self.pending.push(InFlight {
                number: self.number,
                bytes: record.len(),
                began,
                acknowledgement,
            }),
            Err(error) => self
                .reporter
                .failed(self.number, &error.to_string(), error.known)?,
        }
        Ok(())
    }

    /// Waits for room in the writer, and reports what completes meanwhile.
    async fn when_there_is_room(
        &mut self,
        key: &[u8],
        record: &[u8],
    ) -> Result<Result<Acknowledgement, distributedlog::writer::WriteError>, CliError> {
        let face = self.face;
        let submitted = face.submit(key, record);
        tokio::pin!(submitted);
        loop {
            tokio::select! {
                biased;
                submitted = &mut submitted => return Ok(submitted),
                Some(done) = self.pending.next() => self.report(&done)?,
            }
        }
    }

    fn refuse(&mut self, why: &str) -> Result<(), CliError> {
        self.reporter
            .failed(self.number, why, WriteState::NotWritten)
    }

    /// Reports what completed together, and prints it.
    fn report_ready(&mut self) -> Result<(), CliError> {
        while let Some(Some(done)) = self.pending.next().now_or_never() {
            self.report(&done)?;
        }
        self.reporter.flush()
    }

    fn report(&mut self, done: &Completed) -> Result<(), CliError> {
        let reported = match &done.result {
            Ok(written) => {
                let stream = self.face.stream_name(written.stream);
                let acknowledged = Acknowledged {
                    stream: &stream,
                    dlsn: written.dlsn,
                    attempts: written.attempts,
                    took: done.took,
                    bytes: done.bytes,
                };
                self.reporter.written(done.number, acknowledged)
            }
            Err(error) => self
                .reporter
                .failed(done.number, &error.to_string(), error.known),
        };
        let (sums, started) = (self.reporter.sums, self.started);
        self.progress.show(|| {
            let rate = sums.written as f64 / started.elapsed().as_secs_f64().max(1e-9);
            format!(
                "{} records, {} written, {}",
                sums.written,
                bytes_text(sums.bytes),
                quantity(rate, "records/s"),
            )
        });
        reported
    }

    /// Prints the sums, and returns how the command ends. `cut_off`: the input was not read to its
    /// end, because the command was interrupted.
    ///
    /// # Errors
    /// A record was not written, or its outcome is unknown; or the input was cut off.
    pub(super) fn end(self, cut_off: bool) -> Result<(), CliError> {
        use std::io::IsTerminal as _;
        self.reporter
            .end(std::io::stderr().is_terminal() || cut_off)?;
        let sums = self.reporter.sums;
        if sums.unknown > 0 {
            return Err(CliError::already_reported().with_unknown_outcome(true));
        }
        if sums.not_written > 0 {
            return Err(CliError::already_reported());
        }
        if cut_off {
            return Err(CliError::failure(format!(
                "interrupted: nothing after record {} was written",
                self.number
            )));
        }
        Ok(())
    }
}
