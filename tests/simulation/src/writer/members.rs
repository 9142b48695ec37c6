//! Streams that a writer gets and loses while it runs (R17).

use distributedlog::StreamIndex;
use distributedlog_testkit::Random;

use super::WriterProcess;
use crate::net::HostId;
use crate::trace::Trace;

/// Streams of one writer process.
pub(super) struct Members {
    /// Stream of the run behind each index of the writer, and true while it was not removed.
    streams: Vec<(usize, bool)>,
    /// Number of streams in the run.
    all: usize,
    /// True if the streams change.
    change: bool,
}

impl Members {
    /// Draws the first streams: some of the run's, or all.
    pub(super) fn new(random: &mut Random, all: usize) -> Self {
        let change = random.chance(0.3);
        let first = if change {
            1 + random.below(all as u64) as usize
        } else {
            all
        };
        Self {
            streams: (0..first).map(|stream| (stream, true)).collect(),
            all,
            change,
        }
    }

    pub(super) const fn count(&self) -> usize {
        self.streams.len()
    }

    /// Returns the number of streams if they do not change.
    pub(super) fn unchanging(&self) -> Option<usize> {
        (!self.change).then(|| self.count())
    }

    /// Returns the run's stream behind an index.
    pub(super) fn stream_of(&self, index: StreamIndex) -> usize {
        self.streams[usize::from(index.0)].0
    }

    /// Returns the run's index of the stream behind one of the writer's.
    pub(super) fn index_of(&self, index: StreamIndex) -> StreamIndex {
        StreamIndex(u16::try_from(self.stream_of(index)).expect("a few streams"))
    }

    pub(super) fn contains(&self, index: StreamIndex) -> bool {
        self.streams[usize::from(index.0)].1
    }

    fn is_used(&self, stream: usize) -> bool {
        self.streams.contains(&(stream, true))
    }
}

impl WriterProcess {
    /// Adds a stream that the writer does not have, or removes one, once in 100 turns.
    pub(super) fn change_streams(&mut self, random: &mut Random, host: HostId, trace: &Trace) {
        if !self.members.change || !random.chance(0.01) {
            return;
        }
        let stream = random.below(self.members.all as u64) as usize;
        if !self.members.is_used(stream) {
            // The heap has room for 256 streams, and a run is too short for as many changes.
            if let Ok(index) = self.writer.add_stream() {
                assert_eq!(usize::from(index.0), self.members.count());
                self.members.streams.push((stream, true));
                self.fairness.added(index);
                trace.note(format_args!("writer {host:?}: adds {stream} as {index:?}"));
            }
            return;
        }
        let members = &mut self.members.streams;
        let index = members.iter().position(|it| *it == (stream, true));
        let index = index.expect("the stream is used");
        if self.writer.remove_stream(StreamIndex(index as u16)).is_ok() {
            members[index].1 = false;
            trace.note(format_args!("writer {host:?}: removes {index}"));
        }
    }
}
