//! Oracle: keeps every record that a writer accepted with its result, and compares them with the
//! contents of the streams.

mod histories;

use std::collections::BTreeMap;

use distributedlog::wire::record_set::{MAX_SET_BYTES, RecordSet};
use distributedlog::writer::{Reason, Settings, WriteResult, Written};
use distributedlog::{Dlsn, Instant, WriteState};
use distributedlog_testkit::Random;

use crate::net::HostId;
pub(crate) use histories::{Incarnation, StreamHistories};

/// Records of a run and the results that the writers reported.
pub(crate) struct Oracle {
    /// Histories of the streams.
    pub(crate) histories: StreamHistories,
    /// Record found at each acknowledged position: stream, creation time of its incarnation,
    /// position.
    record_at: BTreeMap<(usize, u64, Dlsn), u64>,
    /// Positions of acknowledged records.
    acknowledged: Vec<(usize, Dlsn)>,
    records: BTreeMap<u64, Record>,
    last_serial: u64,
    /// Pending records of each writer process, ordered by deadline.
    deadlines: BTreeMap<(HostId, u32, Instant, u64), ()>,
    scratch: Vec<u8>,
}

struct Record {
    payload: Vec<u8>,
    host: HostId,
    process: u32,
    accepted: Instant,
    deadline: Instant,
    /// Attempts in flight.
    outstanding: u32,
    state: RecordState,
}

/// State of a record, as its writer reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordState {
    Pending,
    Written(Written),
    Failed(WriteState),
    /// The writer's process ended first, without a result.
    Orphaned,
}

/// Number of records in each final state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Acknowledged records.
    pub written: u64,
    /// Records reported as not written or rejected.
    pub not_written: u64,
    /// Records whose write state is unknown.
    pub unknown: u64,
    /// Records whose writer's process ended first.
    pub orphaned: u64,
    /// Records that are at more than one position.
    pub duplicated: u64,
}

impl RecordCounts {
    pub(crate) const fn merge(&mut self, other: &Self) {
        self.written += other.written;
        self.not_written += other.not_written;
        self.unknown += other.unknown;
        self.orphaned += other.orphaned;
        self.duplicated += other.duplicated;
    }
}

/// Positions of each record, by serial.
pub(crate) type RecordPositions = BTreeMap<u64, Vec<(usize, Dlsn)>>;

/// Returns the serial of a payload that this simulation made.
pub(crate) fn serial_of(payload: &[u8]) -> u64 {
    let bytes = payload
        .get(..8)
        .and_then(|bytes| bytes.try_into().ok())
        .expect("R12: a record that was never written");
    u64::from_be_bytes(bytes)
}

/// Contents of one stream in a store.
pub(crate) struct StreamContents {
    /// State of the stream. `None`: the stream does not exist.
    pub(crate) incarnation: Option<Incarnation>,
    /// Records in order.
    pub(crate) records: Vec<(Dlsn, Vec<u8>)>,
}

impl Oracle {
    /// Creates an oracle for `streams` streams.
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            histories: StreamHistories::new(streams),
            record_at: BTreeMap::new(),
            acknowledged: Vec::new(),
            records: BTreeMap::new(),
            last_serial: 0,
            deadlines: BTreeMap::new(),
            scratch: Vec::new(),
        }
    }

    /// Returns a random position at which a record was acknowledged, or `None`.
    pub(crate) fn some_position(&self, random: &mut Random) -> Option<(usize, Dlsn)> {
        let count = self.acknowledged.len() as u64;
        (count > 0).then(|| self.acknowledged[random.below(count) as usize])
    }

    /// Returns a new record: its serial and its payload.
    pub(crate) fn next_record(&mut self, random: &mut Random) -> (u64, Vec<u8>) {
        self.last_serial += 1;
        let serial = self.last_serial;
        let mut payload = serial.to_be_bytes().to_vec();
        let longest = if random.chance(0.05) { 900 } else { 60 };
        payload.resize(8 + random.below(longest) as usize, (serial % 251) as u8);
        (serial, payload)
    }

    pub(crate) fn accepted(
        &mut self,
        serial: u64,
        payload: Vec<u8>,
        host: HostId,
        process: u32,
        [accepted, deadline]: [Instant; 2],
    ) {
        let record = Record {
            payload,
            host,
            process,
            accepted,
            deadline,
            outstanding: 0,
            state: RecordState::Pending,
        };
        self.deadlines.insert((host, process, deadline, serial), ());
        assert!(
            self.records.insert(serial, record).is_none(),
            "serials are not used twice"
        );
    }

    /// Returns the serials of the records of a set.
    pub(crate) fn serials_of(&mut self, set: &[u8]) -> Vec<u64> {
        self.scratch.resize(MAX_SET_BYTES, 0);
        let set = RecordSet::parse(set, &mut self.scratch).expect("writers transmit whole sets");
        set.records().map(serial_of).collect()
    }

    pub(crate) fn attempt_started(&mut self, serials: &[u64]) {
        for serial in serials {
            self.records
                .get_mut(serial)
                .expect("writers transmit what they accepted")
                .outstanding += 1;
        }
    }

    pub(crate) fn attempt_over(&mut self, serials: &[u64]) {
        for serial in serials {
            self.records
                .get_mut(serial)
                .expect("writers transmit what they accepted")
                .outstanding -= 1;
        }
    }

    /// Records the result of a write, and checks it against R1 and R2.
    pub(crate) fn completed(
        &mut self,
        now: Instant,
        serial: u64,
        result: WriteResult,
        settings: &Settings,
    ) {
        let record = self
            .records
            .get_mut(&serial)
            .expect("writers complete what they accepted");
        assert_eq!(
            record.state,
            RecordState::Pending,
            "R1: record {serial} completed twice"
        );
        self.deadlines
            .remove(&(record.host, record.process, record.deadline, serial));
        record.state = match result {
            Ok(written) => {
                self.acknowledged
                    .push((usize::from(written.stream.0), written.dlsn));
                RecordState::Written(written)
            }
            Err(error) => {
                if error.reason == Reason::TimedOut {
                    assert!(
                        now >= record.deadline,
                        "R1: record {serial} timed out before its deadline"
                    );
                } else {
                    assert_eq!(
                        record.outstanding, 0,
                        "R2: record {serial} failed with {error} while an attempt was in flight"
                    );
                    let limited = settings.rounds().limit.is_some();
                    assert!(
                        error.reason != Reason::Exhausted || limited,
                        "R2: record {serial} was exhausted without a limit of rounds: {error}"
                    );
                }
                RecordState::Failed(error.known)
            }
        };
    }

    /// Records that a writer's process ended: its pending records are orphaned.
    pub(crate) fn writer_died(&mut self, host: HostId, process: u32) {
        let range = (host, process, Instant::ZERO, 0)..=(host, process, Instant::MAX, u64::MAX);
        let pending: Vec<_> = self.deadlines.range(range).map(|(key, ())| *key).collect();
        for key in pending {
            self.deadlines.remove(&key);
            self.records.get_mut(&key.3).expect("it was accepted").state = RecordState::Orphaned;
        }
    }

    /// R1: panics if a record of this process is pending at or after its deadline. Call it after
    /// the writer was driven.
    pub(crate) fn check_deadlines(&self, host: HostId, process: u32, now: Instant) {
        let range = (host, process, Instant::ZERO, 0)..=(host, process, now, u64::MAX);
        if let Some(((_, _, deadline, serial), ())) = self.deadlines.range(range).next() {
            panic!("R1: record {serial} is pending at {now:?}, its deadline was {deadline:?}");
        }
    }

    /// Returns the number of pending records.
    pub(crate) fn pending(&self) -> usize {
        self.deadlines.len()
    }

    pub(crate) fn state_of(&self, serial: u64) -> RecordState {
        self.records[&serial].state
    }

    /// Compares the reported results with the contents of the streams: acknowledged records are
    /// there, byte by byte, unless they were truncated or their stream was deleted; records
    /// reported as not written are nowhere; and no acknowledged position ever holds another record
    /// than before.
    pub(crate) fn check_streams(
        &mut self,
        when: &str,
        contents: &[StreamContents],
    ) -> RecordPositions {
        let mut positions = RecordPositions::new();
        for (
            stream,
            StreamContents {
                incarnation,
                records,
            },
        ) in contents.iter().enumerate()
        {
            self.histories.check(when, stream, *incarnation);
            for (dlsn, payload) in records {
                let serial = self.check_record(when, stream, *incarnation, *dlsn, payload);
                positions.entry(serial).or_default().push((stream, *dlsn));
            }
        }
        for (serial, record) in &self.records {
            let there = positions.get(serial).map_or(&[][..], Vec::as_slice);
            match record.state {
                RecordState::Written(Written { stream, dlsn, .. }) => {
                    let position = (usize::from(stream.0), dlsn);
                    let must = self.histories.holds(
                        position.0,
                        record.accepted.as_micros() / 1000,
                        dlsn,
                        contents[position.0].incarnation,
                    );
                    assert!(
                        !must || there.contains(&position),
                        "{when}: record {serial} was acknowledged at {position:?}, but is at \
                         {there:?}"
                    );
                }
                RecordState::Failed(known @ (WriteState::NotWritten | WriteState::Rejected)) => {
                    assert!(
                        there.is_empty(),
                        "{when}: record {serial} was said to be {known}, but is at {there:?}"
                    );
                }
                RecordState::Failed(WriteState::Unknown)
                | RecordState::Pending
                | RecordState::Orphaned => {}
            }
        }
        positions
    }

    fn check_record(
        &mut self,
        when: &str,
        stream: usize,
        incarnation: Option<Incarnation>,
        dlsn: Dlsn,
        payload: &[u8],
    ) -> u64 {
        let serial = serial_of(payload);
        let record = self.records.get(&serial).unwrap_or_else(|| {
            panic!("{when}: {dlsn} of stream {stream} holds a record that was never written")
        });
        assert_eq!(
            record.payload, *payload,
            "{when}: record {serial} at {dlsn} of stream {stream} has other bytes"
        );
        let Some(Incarnation {
            created_unix_ms,
            truncated_before,
        }) = incarnation
        else {
            panic!("{when}: stream {stream} does not exist and has records")
        };
        assert!(
            truncated_before.is_none_or(|before| before <= dlsn),
            "{when}: record {serial} is read at {dlsn} of stream {stream}, which was truncated \
             before {truncated_before:?}"
        );
        let position = (stream, created_unix_ms, dlsn);
        let first = self.record_at.get(&position).copied().unwrap_or(serial);
        assert_eq!(
            first, serial,
            "{when}: {dlsn} of stream {stream} held record {first}, and now holds record {serial}"
        );
        // A record that was not acknowledged may be in the copy of a disk and yet never become
        // durable.
        if let RecordState::Written(written) = record.state
            && (usize::from(written.stream.0), written.dlsn) == (stream, dlsn)
        {
            self.record_at.insert(position, serial);
        }
        serial
    }

    /// R12: checks that a merged reader delivered each record in the streams exactly once, and no
    /// other record.
    pub(crate) fn check_delivered(&self, delivered: &[Vec<u8>], positions: &RecordPositions) {
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        for payload in delivered {
            let serial = serial_of(payload);
            assert_eq!(
                self.records[&serial].payload, *payload,
                "R12: record {serial} was delivered with other bytes"
            );
            *counts.entry(serial).or_default() += 1;
        }
        for (serial, count) in &counts {
            assert_eq!(
                *count,
                1,
                "R12: record {serial} was delivered {count} times; it is at {:?}",
                positions.get(serial)
            );
        }
        for (serial, there) in positions {
            assert!(
                counts.contains_key(serial),
                "R12: record {serial} was never delivered; it is at {there:?}"
            );
        }
    }

    /// Counts the records by state, and those with duplicates.
    pub(crate) fn count_records(&self, positions: &RecordPositions) -> RecordCounts {
        let mut counts = RecordCounts::default();
        for record in self.records.values() {
            match record.state {
                RecordState::Written(_) => counts.written += 1,
                RecordState::Failed(WriteState::NotWritten | WriteState::Rejected) => {
                    counts.not_written += 1
                }
                RecordState::Failed(WriteState::Unknown) | RecordState::Pending => {
                    counts.unknown += 1
                }
                RecordState::Orphaned => counts.orphaned += 1,
            }
        }
        counts.duplicated = positions
            .values()
            .filter(|positions| positions.len() > 1)
            .count() as u64;
        counts
    }
}
