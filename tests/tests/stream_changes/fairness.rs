//! The share of each stream in the sets that start, from a writer's counters (R4, R9, R17).

use distributedlog::StreamIndex;
use distributedlog::writer::{Counters, StreamStatus};
use distributedlog_tokio::MultiStreamWriter;

/// Checks at each look at the writer: over any sequence of sets, and any changes of the streams
/// within it, two streams that stayed, healthy and with room, start sets whose numbers differ by at
/// most one.
///
/// A stream's counter has its attempts, not its starts. So each attempt of the writer that was no
/// start (a retry, a hedge, a probe), and each set that passed a stream without room, may add one
/// to the difference; without one between two looks the rule is checked exactly.
#[derive(Default)]
pub(crate) struct Fairness {
    looks: Vec<Look>,
    /// For each stream the first look since which it was healthy at every one, or `None`.
    healthy_since: Vec<Option<usize>>,
    /// Pairs of streams that were compared, without and with extra attempts.
    pub(crate) exact: usize,
    pub(crate) with_extra: usize,
}

struct Look {
    counters: Counters,
    streams: Vec<StreamStatus>,
}

impl Look {
    /// Number of attempts up to this look that may be no starts.
    const fn extra(&self) -> u64 {
        let of = &self.counters;
        of.retries + of.hedges_sent + of.probes_sent + of.window_full + of.transport_full
    }

    fn attempts(&self, stream: usize) -> u64 {
        self.streams[stream].counters.attempts
    }

    fn is_healthy(&self, stream: usize) -> bool {
        let status = self.streams.get(stream);
        status.is_some_and(|status| status.healthy && !status.removed)
    }
}

impl Fairness {
    /// Looks at all streams. The writer must not run meanwhile: its task and the caller share a
    /// thread.
    ///
    /// # Panics
    /// A stream was preferred, or one that was removed got an attempt.
    pub(crate) fn look(&mut self, writer: &MultiStreamWriter) {
        let streams = (0..).map_while(|index| writer.stream_status(StreamIndex(index)));
        self.looks.push(Look {
            counters: writer.counters(),
            streams: streams.collect(),
        });
        self.update_health();
        self.check_removed();
        self.compare();
    }

    fn update_health(&mut self) {
        let now = self.looks.len() - 1;
        let look = &self.looks[now];
        self.healthy_since.resize(look.streams.len(), None);
        let before = now.checked_sub(1).map(|before| &self.looks[before]);
        let returned = before.is_some_and(|before| some_returned(before, look));
        for (stream, since) in self.healthy_since.iter_mut().enumerate() {
            let failed = |look: &Look| look.streams[stream].counters.failed;
            let was_healthy = !returned
                && before.is_some_and(|before| {
                    before.is_healthy(stream) && failed(before) == failed(look)
                });
            *since = match since {
                _ if !look.is_healthy(stream) => None,
                Some(since) if was_healthy => Some(*since),
                Some(_) | None => Some(now),
            };
        }
    }

    /// Streams that were removed right after the look before have no attempt since.
    fn check_removed(&self) {
        let Some(before) = self.looks.len().checked_sub(2) else {
            return;
        };
        let (before, now) = (&self.looks[before], &self.looks[before + 1]);
        for stream in 0..before.streams.len() {
            if now.streams[stream].removed {
                let attempts = [before, now].map(|look| look.attempts(stream));
                assert_eq!(attempts[0], attempts[1], "stream {stream} was removed");
            }
        }
    }

    fn compare(&mut self) {
        let now = self.looks.last().expect("it has just looked");
        let since = self.healthy_since.iter().enumerate();
        let healthy: Vec<(usize, usize)> = since
            .filter_map(|(stream, since)| Some((stream, (*since)?)))
            .collect();
        for (place, (one, since)) in healthy.iter().enumerate() {
            for (other, other_since) in &healthy[..place] {
                let first = &self.looks[*since.max(other_since)];
                let attempts = |stream: usize| now.attempts(stream) - first.attempts(stream);
                let (extra, pair) = (now.extra() - first.extra(), [*one, *other]);
                let numbers = pair.map(attempts);
                assert!(
                    numbers[0].abs_diff(numbers[1]) <= 1 + extra,
                    "streams {pair:?} had {numbers:?} attempts, {extra} of all were extra"
                );
                if extra == 0 {
                    self.exact += usize::from(numbers[0] > 0);
                } else {
                    self.with_extra += 1;
                }
            }
        }
    }
}

/// Returns `true` if a stream may have gone on probation and come back between two looks: more have
/// gone than are there.
fn some_returned(before: &Look, now: &Look) -> bool {
    let gone = (0..before.streams.len())
        .filter(|stream| before.is_healthy(*stream) && !now.is_healthy(*stream));
    let entered = now.counters.probation_entries - before.counters.probation_entries;
    entered > gone.count() as u64
}
