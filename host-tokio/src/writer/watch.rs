//! Looks at a writer once in a second, says in the log what keeps it from writing, and publishes
//! its figures.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use distributedlog::StreamIndex;
use distributedlog::writer::{Counters, StreamStatus};
use tokio::time::{Instant, MissedTickBehavior};

use super::{SharedState, StreamNames};
use crate::driver::SharedCounters;
use crate::transport::LastFailure;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

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
    pub(super) last_failure: LastFailure,
}

/// What was seen before. Bounded: by the streams of a writer.
#[derive(Default)]
struct Seen {
    counters: Counters,
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
            self.say(&mut seen, now, &counters, &streams);
            #[cfg(feature = "metrics")]
            figures.publish(&counters, &self.client.get(), &streams);
            #[cfg(not(feature = "metrics"))]
            let _ = &self.client;
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
