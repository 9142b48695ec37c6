use core::time::Duration;
use std::collections::VecDeque;

use distributedlog::wire::record_set::RecordSet;
use distributedlog::writer::{
    Counters, EnqueueError, Heap, Settings, SettingsError, StreamCount, Writer,
};
use distributedlog::{AttemptId, Dlsn, Failure, FailureDomain, Instant, StatusCode, StreamIndex};

use super::{Actions, AttemptOutcome, AttemptStart, Policy};

/// The multi stream writer itself: the state machine and the settings that the product runs. Each
/// set is one record.
///
/// A set for which the writer has no room waits for it, in the order of arrival, for at most the
/// maximum wait. The wait is part of its latency.
#[derive(Debug)]
pub struct Ours {
    writer: Writer<Heap>,
    streams: u32,
    /// The set in each of the writer's record slots.
    sets: Vec<u64>,
    /// Sets that wait for room, with the time at which their wait ends, in the order of arrival.
    waiting: VecDeque<(Instant, u64)>,
    max_wait: Duration,
    /// Number of sets that waited.
    waited: u64,
    entry: i64,
}

impl Ours {
    /// Creates the writer with these settings, except that it does not batch records: each set is
    /// one record. The maximum wait for room is the request timeout.
    ///
    /// # Errors
    ///
    /// The number of streams is invalid, or that of the one that keeps the order.
    pub fn new(streams: u16, settings: Settings) -> Result<Self, SettingsError> {
        let settings = settings.to_builder().buffer_size(0).build()?;
        let count = StreamCount::new(usize::from(streams))?;
        settings.check_streams(count)?;
        let writer = Writer::new(settings, count, Heap::new(&settings, count))
            .expect("the heap has what the settings ask for");
        let (sets, max_wait) = (
            vec![0; settings.pending_records()],
            settings.request_timeout(),
        );
        Ok(Self {
            writer,
            streams: u32::from(streams),
            sets,
            waiting: VecDeque::new(),
            max_wait,
            waited: 0,
            entry: 0,
        })
    }

    /// Sets the maximum wait for room. With zero, a set for which there is no room fails at once.
    #[must_use]
    pub fn with_max_wait(self, max_wait: Duration) -> Self {
        Self { max_wait, ..self }
    }

    /// Lets the writer know the storage domains of its streams, as proxies say it: as many as in
    /// [`Scenario::domains`](crate::Scenario::domains), to which the streams belong in turn. With
    /// zero, as at the beginning, it knows none.
    #[must_use]
    pub fn with_domains(mut self, domains: u16) -> Self {
        for stream in 0..self.streams as u16 {
            let domain = stream.checked_rem(domains);
            let domain = domain.map(|domain| FailureDomain::of(&format!("disk-{domain}")));
            self.writer.set_failure_domain(StreamIndex(stream), domain);
        }
        self
    }

    /// Returns the writer's counters.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.writer.counters()
    }

    /// Returns the number of sets that waited for room.
    #[must_use]
    pub const fn waited(&self) -> u64 {
        self.waited
    }

    /// Hands a set to the writer. Returns false if the writer has no room.
    fn submit(&mut self, now: Instant, set: u64) -> bool {
        match self.writer.write(now, &set.to_be_bytes()) {
            Ok(record) => self.sets[record.slot()] = set,
            Err(EnqueueError::Full) => return false,
            Err(refused) => unreachable!("eight bytes to an open writer: {refused}"),
        }
        true
    }

    /// Moves the writer's attempts and completions into `actions`, until the writer has no more.
    fn drive(&mut self, now: Instant, actions: &mut Actions) {
        loop {
            while let Some(attempt) = self.writer.poll_cancel() {
                actions.cancelled.push(attempt.0);
            }
            while let Some(attempt) = self.writer.poll_transmit(now) {
                let record_set = RecordSet::parse(attempt.record_set, &mut [])
                    .expect("the writer writes record sets");
                let record = record_set
                    .records()
                    .next()
                    .and_then(|record| record.try_into().ok());
                actions.starts.push(AttemptStart {
                    set: u64::from_be_bytes(record.expect("each record is the number of its set")),
                    stream: attempt.stream,
                    attempt: attempt.id.0,
                    earlier_attempts: attempt.earlier_attempts / self.streams,
                    identity: record_set.identity(),
                });
            }
            while let Some(record) = self.writer.poll_completed() {
                let result = self.writer.take(record).expect("it completed");
                actions
                    .ended
                    .push((self.sets[record.slot()], result.is_ok()));
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
    fn handle_set(&mut self, now: Instant, set: u64, actions: &mut Actions) {
        if !self.waiting.is_empty() || !self.submit(now, set) {
            if self.max_wait.is_zero() {
                return actions.ended.push((set, false));
            }
            self.waiting.push_back((now + self.max_wait, set));
            self.waited += 1;
            return;
        }
        self.drive(now, actions);
    }

    fn handle_outcome(&mut self, now: Instant, outcome: AttemptOutcome, actions: &mut Actions) {
        self.entry += 1;
        let result = match outcome.stored {
            true => Ok(Dlsn::new(1, self.entry, 0)),
            false => Err(Failure::of_status(StatusCode::OverCapacity)),
        };
        self.writer
            .handle_finished(now, AttemptId(outcome.attempt), result);
        self.drive(now, actions);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let waits = self.waiting.front().map(|(until, _)| *until);
        [waits, self.writer.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn handle_timeout(&mut self, now: Instant, actions: &mut Actions) {
        self.writer.handle_timeout(now);
        while let Some(&(until, set)) = self.waiting.front()
            && until <= now
        {
            self.waiting.pop_front();
            actions.ended.push((set, false));
        }
        self.drive(now, actions);
    }
}
