//! Order of the sets of a writer that keeps its records in order (R20).

use std::collections::{HashMap, HashSet};

use distributedlog::writer::{Health, Order, Writer};
use distributedlog::{AttemptId, StreamIndex};

use super::capped::Capped;

/// Checks the promises of R20 at every attempt:
///
/// - attempts of one set at a time are outstanding;
/// - a set starts at the stream that keeps the order if it is healthy, and at another healthy one
///   otherwise, if there is one; unless the transport refuses its attempt there, or a copy that
///   probes that stream comes just before;
/// - once that stream was overtaken, it is not healthy when the next set starts.
pub(super) struct KeptOrder {
    home: Option<StreamIndex>,
    /// The stream was overtaken by an attempt that won, and no set has started since.
    overtaken: bool,
    /// Number of rows of streams.
    streams: usize,
    /// Slots of sets whose first attempt the transport refused.
    refused: HashSet<u16>,
    /// Probe that came before its set's attempt, which must be the next one.
    probe: Option<AttemptId>,
}

impl KeptOrder {
    pub(super) fn new(order: Order, streams: usize) -> Self {
        let home = match order {
            Order::Any => None,
            Order::Kept { home } => Some(StreamIndex(home.into())),
        };
        Self {
            home,
            overtaken: false,
            streams,
            refused: HashSet::new(),
            probe: None,
        }
    }

    /// Returns `true` if the writer keeps the order.
    pub(super) const fn is_kept(&self) -> bool {
        self.home.is_some()
    }

    /// Handles a change of settings or streams; there are so many rows of streams now.
    pub(super) const fn changed(&mut self, streams: usize) {
        self.overtaken = false;
        self.streams = streams;
    }

    /// Handles the success of an attempt, while those are outstanding.
    pub(super) fn won(&mut self, winner: AttemptId, outstanding: &HashMap<AttemptId, StreamIndex>) {
        let same_set = |id: &AttemptId| id.0 as u16 == winner.0 as u16;
        let mut slower = outstanding
            .iter()
            .filter(|(id, _)| same_set(id) && id.0 < winner.0);
        self.overtaken |= slower.any(|(_, stream)| Some(*stream) == self.home);
    }

    /// Handles an attempt that the transport has refused.
    pub(super) fn refused(&mut self, id: AttemptId) {
        self.probe = None;
        self.overtaken = false;
        self.refused.insert(id.0 as u16);
    }

    /// Handles an attempt that the transport has taken, before it is one of those outstanding.
    pub(super) fn started(
        &mut self,
        writer: &Writer<Capped>,
        (id, stream, earlier): (AttemptId, StreamIndex, u32),
        outstanding: &HashMap<AttemptId, StreamIndex>,
    ) {
        let Some(home) = self.home else { return };
        assert!(
            outstanding
                .keys()
                .all(|other| other.0 as u16 == id.0 as u16),
            "R20: two sets are outstanding"
        );
        let refused = self.refused.remove(&(id.0 as u16));
        if let Some(probe) = self.probe.take()
            && !refused
        {
            assert_eq!(probe.0 as u16, id.0 as u16, "R20: a probe delayed its set");
        }
        if refused || earlier > 0 {
            return;
        }
        let healthy = |stream: StreamIndex| {
            let status = writer.stream_status(stream).expect("it has a row");
            !status.removed && status.healthy
        };
        if healthy(home) {
            assert_eq!(
                stream, home,
                "R20: a set left the stream that keeps the order"
            );
        } else if stream == home {
            let mut rows = (0..self.streams as u16).map(StreamIndex);
            if rows.any(healthy) {
                self.probe = Some(id);
            }
        }
        if core::mem::take(&mut self.overtaken) {
            let is_off = writer.settings().health() == Health::Off;
            assert!(
                is_off || !healthy(home),
                "R20: the stream that was overtaken has its turn at once"
            );
        }
    }
}
