//! Check of the rotation of sets over streams (R4, R9, R19).

use std::collections::BTreeSet;

use distributedlog::StreamIndex;
use distributedlog::writer::{Choice, Heap, Writer};

/// Checks the rotation at every set that starts: between two starts of a stream that was healthy
/// and had room all along, every other stream starts at most once, or at most four times where sets
/// start by load (R19).
pub(super) struct Fairness {
    /// Starts of the others, for each stream, since its own start or since it was last unfit to
    /// start.
    since: Vec<Vec<u32>>,
    /// First records of the sets that have started.
    started: BTreeSet<u64>,
}

impl Fairness {
    pub(super) fn new(streams: usize) -> Self {
        Self {
            since: vec![vec![0; streams]; streams],
            started: BTreeSet::new(),
        }
    }

    /// Handles an added stream (R17).
    pub(super) fn added(&mut self, stream: StreamIndex) {
        let streams = self.since.len().max(usize::from(stream.0) + 1);
        self.since.resize(streams, Vec::new());
        for counts in &mut self.since {
            counts.resize(streams, 0);
        }
    }

    /// Records an attempt. `first` is the first record of its set; `accepted` is true if the
    /// transport had room.
    pub(super) fn attempt(
        &mut self,
        writer: &Writer<Heap>,
        first: u64,
        stream: StreamIndex,
        accepted: bool,
    ) {
        if !self.started.insert(first) {
            // Later attempts of a set do not take a turn in the rotation.
            return;
        }
        let started = usize::from(stream.0);
        let (rule, most) = match writer.settings().choice() {
            Choice::Turn => ("R4", 1),
            Choice::Load => ("R19", 4),
        };
        for index in 0..self.since.len() {
            let status = writer
                .stream_status(StreamIndex(u16::try_from(index).expect("a few streams")))
                .expect("a stream of the writer");
            if index == started
                || !accepted
                || !status.healthy
                || status.outstanding >= writer.window()
            {
                self.since[index].fill(0);
                continue;
            }
            self.since[index][started] += 1;
            assert!(
                self.since[index][started] <= most,
                "{rule}: stream {started} started {} times while it was stream {index}'s turn",
                self.since[index][started]
            );
        }
    }
}
