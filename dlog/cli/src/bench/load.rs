use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use distributedlog::writer::{
    AttemptOutcome, AttemptReport, EnqueueError, WriteError, WriteResult,
};
use distributedlog::{StreamIndex, WriteState};
use distributedlog_tokio::{MapAttempts, MultiStreamWriter};

use super::in_flight::InFlight;
use super::latencies::{Latencies, Recording};
use super::payload::{self, RecordId};

/// A record that is sent later than this after its time counts from its time on. Timers are late by
/// up to a millisecond, which is no latency of the write.
const TIMER_SLACK: Duration = Duration::from_millis(2);
/// Number of records that begin at one reading of the clock.
const RECORDS_PER_CLOCK_READ: usize = 16;
/// Number of latest sets whose attempts are known: records of a set complete together.
const REMEMBERED_SETS: usize = 64;

/// The load of one writer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) run: u64,
    pub(super) writer: u32,
    pub(super) record_bytes: usize,
    /// Maximum number of records that are written and not acknowledged.
    pub(super) in_flight: usize,
    /// Time from one record to the next; `None`: as fast as records are acknowledged.
    pub(super) interval: Option<Duration>,
    /// The writer's first record is sent this long after the start.
    pub(super) offset: Duration,
    /// Records that begin in this time are not counted.
    pub(super) warm_up: Duration,
    /// Time after the warm-up in which records begin.
    pub(super) duration: Duration,
    /// Maximum number of records after the warm-up.
    pub(super) records: u64,
    /// The outcome of each record is kept.
    pub(super) keeps_outcomes: bool,
    /// Maximum number of attempts that are recorded.
    pub(super) recorded: usize,
}

impl Load {
    /// Returns the identity of a record.
    const fn id(&self, number: u64) -> RecordId {
        RecordId {
            run: self.run,
            writer: self.writer,
            number,
        }
    }
}

/// The outcome of a record, as its writer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Written,
    NotWritten,
    Unknown,
}

/// Measurements of one writer so far, or of all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    /// Latencies of written records.
    pub(super) writes: Latencies,
    /// Latencies of attempts that completed their set.
    pub(super) attempts: Latencies,
    /// The same attempts in time.
    pub(super) recording: Recording,
    pub(super) written: u64,
    pub(super) not_written: u64,
    pub(super) unknown: u64,
    /// The last failure.
    pub(super) failure: Option<WriteError>,
    /// Time from the end of the warm-up until the last measured record completed.
    pub(super) span: Duration,
    /// Outcomes by the numbers of the records, those of the warm-up included.
    pub(super) told: Vec<Told>,
}

impl Measured {
    /// Adds what was measured at another writer, without its outcomes.
    pub(super) fn merge(&mut self, other: &Self) {
        self.writes.merge(&other.writes);
        self.attempts.merge(&other.attempts);
        self.recording.merge(&other.recording);
        self.written += other.written;
        self.not_written += other.not_written;
        self.unknown += other.unknown;
        self.failure = self.failure.or(other.failure);
        self.span = self.span.max(other.span);
    }

    fn count(&mut self, result: &WriteResult, took: Duration) {
        match result {
            Ok(_) => {
                self.written += 1;
                self.writes.add(took);
            }
            Err(error) => {
                self.failure = Some(*error);
                match told(error) {
                    Told::Unknown => self.unknown += 1,
                    Told::NotWritten | Told::Written => self.not_written += 1,
                }
            }
        }
    }
}

fn told(error: &WriteError) -> Told {
    match error.known {
        WriteState::NotWritten | WriteState::Rejected => Told::NotWritten,
        WriteState::Unknown => Told::Unknown,
    }
}

/// A record that was written and not acknowledged, with what is needed to count it.
struct Pending {
    number: u64,
    /// Time at which it began, since the start of the load.
    began: Duration,
    acknowledgement: MapAttempts<fn(&[AttemptReport]) -> Attempts>,
}

/// A record whose outcome is known.
struct Completed {
    number: u64,
    began: Duration,
    result: WriteResult,
    attempts: Attempts,
}

impl Future for Pending {
    type Output = Completed;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Completed> {
        let (number, began) = (self.number, self.began);
        let poll = Pin::new(&mut self.acknowledgement).poll(cx);
        poll.map(|(result, attempts)| Completed {
            number,
            began,
            result,
            attempts,
        })
    }
}

/// What is counted of the attempts of a record's set.
#[derive(Clone, Copy, Default)]
struct Attempts {
    /// The first one's stream and start, which tell the set from others.
    first: Option<(StreamIndex, distributedlog::Instant)>,
    /// Start and duration of the one that won.
    won: Option<(distributedlog::Instant, Duration)>,
}

impl Attempts {
    fn of(reports: &[AttemptReport]) -> Self {
        let won = reports
            .iter()
            .find(|report| matches!(report.outcome, AttemptOutcome::Won));
        Self {
            first: reports.first().map(|first| (first.stream, first.started)),
            won: won.map(|won| (won.started, won.took)),
        }
    }
}

/// Attempts that were counted, so that a set with many records counts once.
#[derive(Default)]
struct CountedSets(VecDeque<(StreamIndex, distributedlog::Instant)>);

impl CountedSets {
    /// Returns true for the first record of a set with these attempts.
    fn is_new(&mut self, key: (StreamIndex, distributedlog::Instant)) -> bool {
        if self.0.iter().rev().any(|known| *known == key) {
            return false;
        }
        if self.0.len() == REMEMBERED_SETS {
            self.0.pop_front();
        }
        self.0.push_back(key);
        true
    }
}

/// Writes records until the load ends or `stop` completes; then waits for those in flight.
///
/// # Errors
/// A record is too large for the writer.
pub(super) async fn write(
    writer: &MultiStreamWriter,
    load: Load,
    started: Instant,
    measured: &Arc<Mutex<Measured>>,
    stop: impl Future<Output = ()>,
) -> Result<(), EnqueueError> {
    tokio::pin!(stop);
    let end = load.warm_up + load.duration;
    let mut pending = InFlight::new(load.in_flight);
    let mut sender = Sender {
        writer,
        load,
        record: payload::template(load.record_bytes),
        number: 0,
        counted: 0,
        due: load.offset,
    };
    let mut counter = Counter {
        load,
        sets: CountedSets::default(),
        measured,
        now: Duration::ZERO,
        origin: writer.now() - started.elapsed(),
    };
    let ending = tokio::time::sleep_until((started + end).into());
    tokio::pin!(ending);
    loop {
        let now = started.elapsed();
        if now >= end || sender.counted >= load.records {
            break;
        }
        let paced = load.interval.is_some();
        let has_room = sender.send(now, &mut pending)?;
        if has_room && (!paced || sender.due <= now) {
            continue;
        }
        let due = started + sender.due;
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = poll_fn(|cx| counter.poll(&mut pending, started, cx)) => {}
            () = tokio::time::sleep_until(due.into()), if paced && has_room => {}
            () = &mut ending => break,
        }
    }
    writer.flush().await;
    while pending.len() > 0 {
        poll_fn(|cx| counter.poll(&mut pending, started, cx)).await;
    }
    Ok(())
}

/// Makes records.
struct Sender<'a> {
    writer: &'a MultiStreamWriter,
    load: Load,
    record: Vec<u8>,
    /// The next record's number.
    number: u64,
    /// Number of records that began behind the warm-up.
    counted: u64,
    /// Time of the next record of a load with a rate.
    due: Duration,
}

impl Sender<'_> {
    /// Writes records that are due, as many as one reading of the clock is good for. Returns
    /// whether there is room for more.
    ///
    /// # Errors
    /// A record is too large for the writer.
    fn send(
        &mut self,
        now: Duration,
        pending: &mut InFlight<Pending>,
    ) -> Result<bool, EnqueueError> {
        let load = &self.load;
        for _ in 0..RECORDS_PER_CLOCK_READ {
            if pending.len() >= load.in_flight {
                return Ok(false);
            }
            let paced = load.interval.is_some();
            if self.counted >= load.records || (paced && self.due > now) {
                break;
            }
            load.id(self.number).write(&mut self.record);
            let acknowledgement = match self.writer.try_write(&self.record) {
                Ok(acknowledgement) => acknowledgement,
                Err(EnqueueError::Full) if pending.len() > 0 => return Ok(false),
                // Only another program's records could fill the writer; there is none.
                Err(error) => return Err(error),
            };
            let late = paced && now - self.due > TIMER_SLACK;
            let began = if late { self.due } else { now };
            pending.push(Pending {
                number: self.number,
                began,
                acknowledgement: acknowledgement.map_attempts(Attempts::of),
            });
            self.number += 1;
            self.counted += u64::from(began >= load.warm_up);
            self.due += load.interval.unwrap_or_default();
        }
        Ok(pending.len() < load.in_flight)
    }
}

/// Locks what is measured. A task that panicked while it counted left at most one record uncounted.
pub(super) fn locked(measured: &Mutex<Measured>) -> MutexGuard<'_, Measured> {
    measured.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts completed records. All times are those since the start of the load.
struct Counter<'a> {
    load: Load,
    sets: CountedSets,
    measured: &'a Mutex<Measured>,
    /// Time of the poll.
    now: Duration,
    /// The start of the load on the writer's clock.
    origin: distributedlog::Instant,
}

impl Counter<'_> {
    /// Counts the records that have completed, or registers the task.
    fn poll(
        &mut self,
        pending: &mut InFlight<Pending>,
        started: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.now = started.elapsed();
        let mut measured = locked(self.measured);
        pending.poll_completed(cx, |done| self.add(&done, &mut measured))
    }

    fn add(&mut self, done: &Completed, measured: &mut Measured) {
        if self.load.keeps_outcomes {
            let index = usize::try_from(done.number).expect("they fit in memory");
            // Records complete in any order.
            if measured.told.len() <= index {
                measured.told.resize(index + 1, Told::Unknown);
            }
            measured.told[index] = match &done.result {
                Ok(_) => Told::Written,
                Err(error) => told(error),
            };
        }
        if done.began < self.load.warm_up {
            return;
        }
        // Not the time of the poll: the record may have waited for one before it since.
        let completed = done
            .attempts
            .won
            .map_or(self.now, |(began, took)| (began + took).since(self.origin));
        measured.count(&done.result, completed.saturating_sub(done.began));
        measured.span = measured
            .span
            .max(completed.saturating_sub(self.load.warm_up));
        if let Attempts {
            first: Some(first),
            won: Some((began, took)),
        } = done.attempts
            && self.sets.is_new(first)
        {
            measured.attempts.add(took);
            let began = began.since(self.origin);
            measured.recording.add(began, took, self.load.recorded);
        }
    }
}
