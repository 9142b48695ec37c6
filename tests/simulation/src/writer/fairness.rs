//! How evenly sets start at streams (R4, R9).

use std::collections::BTreeSet;

use distributedlog::StreamIndex;
use distributedlog::writer::{Heap, Writer};

/// Checks the promise of the rotation at every set that starts: between two starts of a stream that
/// was healthy and had room all along, every other stream starts at most once.
pub(super) struct Fairness {
    /// For each stream: how often the others started since it did, or since it was not fit for a
    /// start.
    since: Vec<Vec<u32>>,
    /// The first records of the sets that have started.
    started: BTreeSet<u64>,
}

impl Fairness {
    pub(super) fn new(streams: usize) -> Self {
        Self {
            since: vec![vec![0; streams]; streams],
            started: BTreeSet::new(),
        }
    }

    /// An attempt was started. `first` is the first record of its set; `taken`, whether the
    /// transport had room for it.
    pub(super) fn attempt(
        &mut self,
        writer: &Writer<Heap>,
        first: u64,
        stream: StreamIndex,
        taken: bool,
    ) {
        if !self.started.insert(first) {
            // A later attempt of a set goes on behind the one before it, and takes no turn.
            return;
        }
        let started = usize::from(stream.0);
        for index in 0..self.since.len() {
            let status = writer
                .stream_status(StreamIndex(u16::try_from(index).expect("a few streams")))
                .expect("a stream of the writer");
            if index == started
                || !taken
                || !status.healthy
                || status.outstanding >= writer.window()
            {
                self.since[index].fill(0);
                continue;
            }
            self.since[index][started] += 1;
            assert!(
                self.since[index][started] <= 1,
                "R4: stream {started} started twice while it was stream {index}'s turn"
            );
        }
    }
}
