use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use distributedlog::writer::{
    AttemptOutcome, AttemptReport, AttemptReports, EnqueueError, WriteError, WriteResult,
};
use distributedlog::{StreamIndex, WriteState};
use distributedlog_tokio::{MultiStreamWriter, WithAttempts};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::latencies::Latencies;
use super::payload::{self, RecordId};

/// A record that is sent later than this after its time counts from its time on. Timers are late by
/// up to a millisecond, which is no latency of the write.
const TIMER_SLACK: Duration = Duration::from_millis(2);
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
struct Completed {
    number: u64,
    began: Instant,
    result: WriteResult,
    attempts: AttemptReports,
}

async fn completed(number: u64, began: Instant, acknowledgement: WithAttempts) -> Completed {
    let (result, attempts) = acknowledgement.await;
    Completed {
        number,
        began,
        result,
        attempts,
    }
}

/// Attempts that were counted, so that a set with many records counts once.
#[derive(Default)]
struct CountedSets(VecDeque<(StreamIndex, distributedlog::Instant)>);

impl CountedSets {
    /// Returns true for the first record of a set with these attempts.
    fn is_new(&mut self, first: &AttemptReport) -> bool {
        let key = (first.stream, first.started);
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
    let measure_from = started + load.warm_up;
    let end = measure_from + load.duration;
    let mut record = payload::template(load.record_bytes);
    let mut pending = FuturesUnordered::new();
    let mut counter = Counter {
        load,
        measure_from,
        sets: CountedSets::default(),
        measured,
    };
    let (mut number, mut counted) = (0_u64, 0_u64);
    let mut due = started + load.offset;
    let ending = tokio::time::sleep_until(end.into());
    tokio::pin!(ending);
    loop {
        let now = Instant::now();
        if now >= end || counted >= load.records {
            break;
        }
        let paced = load.interval.is_some();
        let mut has_room = pending.len() < load.in_flight;
        if has_room && (!paced || due <= now) {
            let began = if paced && now - due > TIMER_SLACK {
                due
            } else {
                now
            };
            load.id(number).write(&mut record);
            match writer.try_write(&record) {
                Ok(acknowledgement) => {
                    pending.push(completed(number, began, acknowledgement.with_attempts()));
                    number += 1;
                    counted += u64::from(began >= measure_from);
                    due += load.interval.unwrap_or_default();
                    continue;
                }
                Err(EnqueueError::Full) if !pending.is_empty() => has_room = false,
                // Only another program's records could fill the writer; there is none.
                Err(error) => return Err(error),
            }
        }
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(done) = pending.next() => counter.add(&done),
            () = tokio::time::sleep_until(due.into()), if paced && has_room => {}
            () = &mut ending => break,
        }
        // What completed together is counted before further records are made.
        while let Some(Some(done)) = futures_util::FutureExt::now_or_never(pending.next()) {
            counter.add(&done);
        }
    }
    writer.flush().await;
    while let Some(done) = pending.next().await {
        counter.add(&done);
    }
    Ok(())
}

/// Locks what is measured. A task that panicked while it counted left at most one record uncounted.
pub(super) fn locked(measured: &Mutex<Measured>) -> MutexGuard<'_, Measured> {
    measured.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts completed records.
struct Counter<'a> {
    load: Load,
    measure_from: Instant,
    sets: CountedSets,
    measured: &'a Mutex<Measured>,
}

impl Counter<'_> {
    fn add(&mut self, done: &Completed) {
        let now = Instant::now();
        let mut measured = locked(self.measured);
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
        if done.began < self.measure_from {
            return;
        }
        measured.count(&done.result, now - done.began);
        measured.span = now - self.measure_from;
        let Some(first) = done.attempts.first() else {
            return;
        };
        if self.sets.is_new(first) {
            for attempt in &done.attempts {
                if matches!(attempt.outcome, AttemptOutcome::Won) {
                    measured.attempts.add(attempt.took);
                }
            }
        }
    }
}
