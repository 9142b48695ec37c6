use core::time::Duration;
use std::collections::VecDeque;

use distributedlog::wire::record_set::RecordSet;
use distributedlog::writer::{
    Counters, EnqueueError, Heap, Settings, SettingsError, StreamCount, Writer,
};
use distributedlog::{AttemptId, Dlsn, Failure, Instant, StatusCode};

use super::{Answer, Policy, Start, Todo};

/// The multi stream writer itself: the machine that the product runs, with the settings that it
/// would run with. Each set is one record.
///
/// A set for which it has no room waits in front of it, first come, first served, for as long as
/// whoever wrote it has patience; that counts as part of its latency.
#[derive(Debug)]
pub struct Ours {
    writer: Writer<Heap>,
    streams: u32,
    /// Which set the record in each of the writer's slots is.
    sets: Vec<u64>,
    /// Until when which set waits for room.
    waiting: VecDeque<(Instant, u64)>,
    patience: Duration,
    /// How many sets waited.
    waited: u64,
    entry: i64,
}

impl Ours {
    /// The writer with these settings, but for what batches records: here, a set is what is
    /// written. A set waits for room for as long as a request may take.
    ///
    /// # Errors
    /// The number of streams is not legal.
    pub fn new(streams: u16, settings: Settings) -> Result<Self, SettingsError> {
        let settings = settings.to_builder().buffer_size(0).build()?;
        let count = StreamCount::new(usize::from(streams))?;
        let writer = Writer::new(settings, count, Heap::new(&settings, count))
            .expect("the heap has what the settings ask for");
        let (sets, patience) = (
            vec![0; settings.pending_records()],
            settings.request_timeout(),
        );
        Ok(Self {
            writer,
            streams: u32::from(streams),
            sets,
            waiting: VecDeque::new(),
            patience,
            waited: 0,
            entry: 0,
        })
    }

    /// The same, but a set waits for room for so long; without any patience it fails when there is
    /// none.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What the writer counted.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.writer.counters()
    }

    /// How many sets waited for room.
    #[must_use]
    pub const fn waited(&self) -> u64 {
        self.waited
    }

    /// Hands a set to the writer; whether it took it.
    fn submit(&mut self, now: Instant, set: u64) -> bool {
        match self.writer.write(now, &set.to_be_bytes()) {
            Ok(record) => self.sets[record.slot()] = set,
            Err(EnqueueError::Full) => return false,
            Err(refused) => unreachable!("eight bytes to an open writer: {refused}"),
        }
        true
    }

    /// Does what the writer wants done, until it wants nothing more.
    fn drive(&mut self, now: Instant, todo: &mut Todo) {
        loop {
            while self.writer.poll_cancel().is_some() {}
            while let Some(attempt) = self.writer.poll_transmit(now) {
                let record_set = RecordSet::parse(attempt.record_set, &mut [])
                    .expect("the writer writes record sets");
                let record = record_set
                    .records()
                    .next()
                    .and_then(|record| record.try_into().ok());
                todo.starts.push(Start {
                    set: u64::from_be_bytes(record.expect("each record is the number of its set")),
                    stream: attempt.stream,
                    attempt: attempt.id.0,
                    again: attempt.earlier_attempts / self.streams,
                    identity: record_set.identity(),
                });
            }
            while let Some(record) = self.writer.poll_completed() {
                let result = self.writer.take(record).expect("it completed");
                todo.ended.push((self.sets[record.slot()], result.is_ok()));
            }
            let Some(&(_, set)) = self.waiting.front() else {
                return;
            };
            if !self.submit(now, set) {
                return;
            }
            self.waiting.pop_front();
        }
    }
}

impl Policy for Ours {
    fn arrive(&mut self, now: Instant, set: u64, todo: &mut Todo) {
        if !self.waiting.is_empty() || !self.submit(now, set) {
            if self.patience.is_zero() {
                return todo.ended.push((set, false));
            }
            self.waiting.push_back((now + self.patience, set));
            self.waited += 1;
            return;
        }
        self.drive(now, todo);
    }

    fn answered(&mut self, now: Instant, answer: Answer, todo: &mut Todo) {
        self.entry += 1;
        let outcome = match answer.stored {
            true => Ok(Dlsn::new(1, self.entry, 0)),
            false => Err(Failure::of_status(StatusCode::OverCapacity)),
        };
        self.writer
            .handle_finished(now, AttemptId(answer.attempt), outcome);
        self.drive(now, todo);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let waits = self.waiting.front().map(|(until, _)| *until);
        [waits, self.writer.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn handle_timeout(&mut self, now: Instant, todo: &mut Todo) {
        self.writer.handle_timeout(now);
        while let Some(&(until, set)) = self.waiting.front()
            && until <= now
        {
            self.waiting.pop_front();
            todo.ended.push((set, false));
        }
        self.drive(now, todo);
    }
}
