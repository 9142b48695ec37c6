//! Check of writers that keep their records in order (R20).

use std::collections::BTreeMap;

use distributedlog::writer::{Heap, Order, WriteResult, Writer};
use distributedlog::{AttemptId, Dlsn, StreamIndex};

use crate::oracle::Oracle;

/// Checks one process of a writer that keeps the order:
///
/// - attempts of one set at a time are outstanding;
/// - a set starts at the stream that keeps the order if that one is healthy, unless the client has
///   no room for its attempt;
/// - once that one was overtaken, it is not healthy when the next set starts;
/// - the records of each stream that are acknowledged are in the order in which they were accepted,
///   unless the stream was deleted.
pub(super) struct KeptOrder {
    home: Option<StreamIndex>,
    overtaken: bool,
    /// Serial and position of the last record of each of the run's streams.
    last: BTreeMap<StreamIndex, (u64, Dlsn)>,
    /// First record of the set whose attempt the client refused last.
    refused: Option<u64>,
}

impl KeptOrder {
    pub(super) fn new(order: Order) -> Self {
        let home = match order {
            Order::Any => None,
            Order::Kept { home } => Some(StreamIndex(home.into())),
        };
        Self {
            home,
            overtaken: false,
            last: BTreeMap::new(),
            refused: None,
        }
    }

    pub(super) const fn is_kept(&self) -> bool {
        self.home.is_some()
    }

    /// Handles the success of an attempt; `attempts` has the stream and the first record of those
    /// that are outstanding besides.
    pub(super) fn won(
        &mut self,
        winner: AttemptId,
        attempts: &BTreeMap<AttemptId, (StreamIndex, Vec<u64>)>,
    ) {
        let mut slower = attempts.range(..winner);
        self.overtaken |= slower.any(|(_, (stream, _))| Some(*stream) == self.home);
    }

    /// Handles an attempt that the client has refused.
    pub(super) const fn refused(&mut self, first: u64) {
        self.overtaken = false;
        self.refused = Some(first);
    }

    /// Handles an attempt that the client has taken, before it is one of those outstanding.
    pub(super) fn started(
        &mut self,
        writer: &Writer<Heap>,
        (stream, first, earlier): (StreamIndex, u64, u32),
        attempts: &BTreeMap<AttemptId, (StreamIndex, Vec<u64>)>,
    ) {
        let Some(home) = self.home else { return };
        assert!(
            attempts.values().all(|(_, records)| records[0] == first),
            "R20: two sets are outstanding"
        );
        let is_healthy = writer
            .stream_status(home)
            .is_some_and(|status| !status.removed && status.healthy);
        if earlier > 0 || self.refused == Some(first) {
            return;
        }
        assert!(
            !is_healthy || stream == home,
            "R20: a set started at {stream:?}, and {home:?} is healthy"
        );
        let has_health = writer.settings().health() != distributedlog::writer::Health::Off;
        assert!(
            !(core::mem::take(&mut self.overtaken) && has_health && is_healthy),
            "R20: the stream that was overtaken has its turn at once"
        );
    }

    /// Handles a result; its stream is the run's.
    pub(super) fn completed(&mut self, serial: u64, result: &WriteResult, oracle: &Oracle) {
        let (Ok(written), true) = (result, self.is_kept()) else {
            return;
        };
        if oracle.histories.was_deleted(usize::from(written.stream.0)) {
            self.last.remove(&written.stream);
            return;
        }
        let position = (serial, written.dlsn);
        if let Some(last) = self.last.insert(written.stream, position) {
            assert!(
                last.0 < serial && last.1 < written.dlsn,
                "R20: record {serial} at {} is acknowledged behind record {} at {}",
                written.dlsn,
                last.0,
                last.1
            );
        }
    }
}
