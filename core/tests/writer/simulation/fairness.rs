//! Fairness of the first attempts over the streams (R4, R9).

use distributedlog::writer::{Choice, Writer};
use distributedlog::{AttemptId, StreamIndex};
use std::collections::HashSet;

use super::capped::Capped;

/// Turns in a row that a stream can lose to a less loaded one (R19).
const MAX_PASSED: u32 = 3;

/// Checks the two promises of the rotation at every set that starts:
///
/// - a set starts at a healthy stream whose window has room, if there is one; else at a healthy
///   one, if there is one;
/// - between two starts of a stream that was healthy and had room all along, every other stream
///   starts at most once, and at most four times where sets start by load (R19).
pub(super) struct Fairness {
    /// For each stream, the number of starts of the others since its own last start, or since it
    /// was last unavailable for a start.
    since: Vec<Vec<u32>>,
    /// Slots of sets whose first attempt the transport refused: the next attempt of such a slot may
    /// or may not be a turn of the rotation.
    refused: HashSet<u16>,
}

impl Fairness {
    pub(super) fn new(streams: usize) -> Self {
        Self {
            since: vec![vec![0; streams]; streams],
            refused: HashSet::new(),
        }
    }

    /// Handles an added stream: what an earlier one of this index started does not count (R17).
    pub(super) fn added(&mut self, stream: StreamIndex) {
        let index = usize::from(stream.0);
        let streams = self.since.len().max(index + 1);
        self.since.resize(streams, Vec::new());
        for counts in &mut self.since {
            counts.resize(streams, 0);
            counts[index] = 0;
        }
        self.since[index].fill(0);
    }

    /// Handles a change of the settings: what was allowed before is no longer.
    pub(super) fn settings_changed(&mut self) {
        self.since.iter_mut().for_each(|counts| counts.fill(0));
    }

    /// Handles the start of a set's first attempt, or its refusal by the transport.
    pub(super) fn started(
        &mut self,
        writer: &Writer<Capped>,
        attempt: AttemptId,
        stream: StreamIndex,
        taken: bool,
    ) {
        let started = usize::from(stream.0);
        let slot = attempt.0 as u16;
        if self.refused.remove(&slot) || !taken {
            if !taken {
                self.refused.insert(slot);
            }
            self.since.iter_mut().for_each(|counts| counts.fill(0));
            return;
        }
        // The state of the streams at the time of the choice: by now the attempt itself is counted.
        let looked = |index: usize| {
            let status = writer
                .stream_status(StreamIndex(index as u16))
                .expect("a stream of the writer");
            (
                status.healthy,
                status.outstanding - usize::from(index == started) < writer.window(),
            )
        };
        let most = match writer.settings().choice() {
            Choice::Turn => 1,
            Choice::Load => 1 + MAX_PASSED,
        };
        let streams = self.since.len();
        let (healthy, room) = looked(started);
        assert!(
            healthy || !(0..streams).any(|index| looked(index).0),
            "a set started at a stream on probation"
        );
        assert!(
            healthy && room || !(0..streams).any(|index| looked(index) == (true, true)),
            "a set started beyond a window"
        );
        for index in 0..streams {
            if index == started || looked(index) != (true, true) {
                self.since[index].fill(0);
            } else {
                self.since[index][started] += 1;
                assert!(
                    self.since[index][started] <= most,
                    "stream {started} started too often while it was stream {index}'s turn"
                );
            }
        }
    }
}
