//! Looks at a writer once in a second, says in the log what keeps it from writing, publishes its
//! figures, and frees its memory when it is idle.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use distributedlog::StreamIndex;
use distributedlog::writer::{Counters, StreamStatus};
use tokio::time::{Instant, MissedTickBehavior};

use super::{SharedState, StreamNames};
use crate::driver::{SharedCounters, SharedPool};
use crate::transport::LastFailure;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Number of looks in a row without a new record after which the writer's memory is freed: what a
/// burst needed is not held by a writer that is silent since.
const IDLE_LOOKS: u32 = 10;

/// Time between two lines of a kind; what comes meanwhile is counted in the next one.
const QUIET: Duration = Duration::from_secs(60);

/// What a writer's task looks at.
pub(super) struct Watch {
    pub(super) state: SharedState,
    pub(super) streams: StreamNames,
    pub(super) client: SharedCounters,
    /// Number of the client that it shares with other writers.
    #[cfg(feature = "metrics")]
    pub(super) shared_client: Option<u64>,
    /// Buffers of the writer's own connections.
    pub(super) pool: Option<SharedPool>,
    pub(super) last_failure: LastFailure,
}

/// What was seen before. Bounded: by the streams of a writer.
#[derive(Default)]
struct Seen {
    counters: Counters,
    /// Looks without a new record.
    idle: u32,
    /// The memory was freed since the last record.
    is_freed: bool,
    /// Streams that were avoided at the last look.
    avoided: HashMap<Arc<str>, u64>,
    avoided_lines: Limit,
    budget_lines: Limit,
    budget_put_off: u64,
    unreachable_lines: Limit,
}

/// At most one line in [`QUIET`].
#[derive(Default)]
struct Limit {
    last: Option<Instant>,
    left_out: u64,
}

impl Limit {
    /// Returns how many lines were left out since the last one, if one may be written now.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + QUIET) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(core::mem::take(&mut self.left_out))
    }
}

impl Watch {
    /// Looks for ever.
    pub(super) async fn run(self) {
        let mut seen = Seen::default();
        #[cfg(feature = "metrics")]
        let figures = super::telemetry::Figures::new(self.shared_client);
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = ticks.tick().await;
            let (counters, streams) = self.look();
            self.free_if_idle(&mut seen, &counters);
            self.say(&mut seen, now, &counters, &streams);
            #[cfg(feature = "metrics")]
            figures.publish(&counters, &self.client.get(), &streams);
            #[cfg(not(feature = "metrics"))]
            let _ = &self.client;
        }
    }

    /// Frees the writer's tables and buffers when it is idle.
    fn free_if_idle(&self, seen: &mut Seen, counters: &Counters) {
        if counters.records != seen.counters.records {
            (seen.idle, seen.is_freed) = (0, false);
            return;
        }
        seen.idle = seen.idle.saturating_add(1);
        if seen.idle >= IDLE_LOOKS && !seen.is_freed {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            // Unless a record is pending still.
            seen.is_freed = state.shrink();
            drop(state);
            if let (true, Some(pool)) = (seen.is_freed, &self.pool) {
                pool.free();
            }
        }
    }

    /// Returns the counters of the writer, and its streams.
    fn look(&self) -> (Counters, Vec<(Arc<str>, StreamStatus)>) {
        let names = self.streams.members();
        let indexes: Vec<Option<StreamIndex>> =
            names.iter().map(|name| self.streams.find(name)).collect();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = state.writer();
        let status = |index: Option<StreamIndex>| writer.stream_status(index?);
        let streams = names
            .into_iter()
            .zip(indexes)
            .filter_map(|(name, index)| Some((name, status(index)?)));
        (writer.counters(), streams.collect())
    }

    fn say(
        &self,
        seen: &mut Seen,
        now: Instant,
        counters: &Counters,
        streams: &[(Arc<str>, StreamStatus)],
    ) {
        self.say_avoided(seen, now, streams);
        let put_off = counters
            .budget_exhausted
            .wrapping_sub(seen.counters.budget_exhausted);
        seen.budget_put_off += put_off;
        if put_off > 0 && seen.budget_lines.admit(now).is_some() {
            tracing::warn!(
                put_off = core::mem::take(&mut seen.budget_put_off),
                "hedges and retries are put off: the budget of extra attempts is spent"
            );
        }
        let failed = counters.failures.wrapping_sub(seen.counters.failures);
        let written = counters
            .sets_written
            .wrapping_sub(seen.counters.sets_written);
        if failed > 0
            && written == 0
            && let Some(failure) = self.last_failure.get()
            && let Some(left_out) = seen.unreachable_lines.admit(now)
        {
            tracing::warn!(
                failed,
                left_out,
                "no record was written in the last second; the last attempt failed: {failure}"
            );
        }
        seen.counters = *counters;
    }

    /// Says which streams are avoided, and which are used again.
    fn say_avoided(&self, seen: &mut Seen, now: Instant, streams: &[(Arc<str>, StreamStatus)]) {
        let mut avoided = HashMap::new();
        for (name, status) in streams.iter().filter(|(_, status)| !status.healthy) {
            if !seen.avoided.contains_key(name)
                && let Some(left_out) = seen.avoided_lines.admit(now)
            {
                tracing::warn!(
                    stream = %name,
                    failed = status.counters.failed,
                    given_up = status.counters.given_up,
                    left_out,
                    "sets avoid a log stream: it stalls, fails, or its proxy asked for less load"
                );
            }
            avoided.insert(Arc::clone(name), status.counters.failed);
        }
        for name in seen.avoided.keys().filter(|it| !avoided.contains_key(*it)) {
            tracing::debug!(stream = %name, "sets start at the log stream again");
        }
        seen.avoided = avoided;
    }
}

#[cfg(test)]
mod tests {
    use core::task::{Context, Poll};
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use distributedlog::async_writer::{self, HeapSlots, State};
    use distributedlog::writer::{Heap, Settings, Storage as _, StreamCount, Writer};
    use distributedlog::{Attempt, AttemptId, Dlsn, Instant, Outcome, StartRefused, Transport};

    use super::*;
    use crate::TokioClock;

    /// Writes at once.
    #[derive(Default)]
    struct Writing(VecDeque<AttemptId>);

    impl Transport for Writing {
        fn start(&mut self, _: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
            self.0.push_back(attempt.id);
            Ok(())
        }

        fn cancel(&mut self, _: Instant, _: AttemptId) {}

        fn poll_finished(&mut self, _: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
            match self.0.pop_front() {
                Some(attempt) => Poll::Ready((attempt, Ok(Dlsn::INITIAL))),
                None => Poll::Pending,
            }
        }
    }

    fn rows(state: &SharedState) -> usize {
        let state = state.lock().unwrap();
        let storage = state.writer().storage();
        storage.records().len() + storage.sets().len()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_writer_gives_the_memory_of_a_burst_back() {
        let (settings, one) = (Settings::default(), StreamCount::new(1).unwrap());
        let machine = Writer::new(settings, one, Heap::new(&settings, one)).unwrap();
        let state = State::new(machine, HeapSlots::new(), TokioClock::new());
        let state = Arc::new(Mutex::new(state));
        let pool = SharedPool::default();
        let watch = Watch {
            state: Arc::clone(&state),
            streams: StreamNames::new(&["a"]).unwrap(),
            client: SharedCounters::default(),
            #[cfg(feature = "metrics")]
            shared_client: None,
            pool: Some(pool.clone()),
            last_failure: LastFailure::default(),
        };
        let parts = async_writer::MultiStreamWriter::new(Arc::clone(&state), Writing::default());
        let (writer, runner) = parts;
        tokio::spawn(runner.run());
        tokio::spawn(watch.run());
        let mut burst = Vec::new();
        for _ in 0..100 {
            burst.push(writer.submit(b"a record").await.unwrap());
        }
        writer.flush().await;
        pool.give(vec![0; 1_000]);
        assert!(rows(&state) >= 100);
        tokio::time::sleep(INTERVAL * (IDLE_LOOKS - 2)).await;
        assert!(rows(&state) >= 100, "it was not idle for long");
        tokio::time::sleep(INTERVAL * 4).await;
        assert_eq!((rows(&state), pool.take().capacity()), (0, 0));
        // Results that were not taken are still there, and it writes as before.
        for acknowledgement in burst {
            acknowledgement.await.unwrap();
        }
        writer.write(b"another").await.unwrap();
    }
}
