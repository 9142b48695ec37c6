//! Knows every record that a writer accepted and what was said of it, and compares that with what
//! the streams hold.

mod lives;

use std::collections::BTreeMap;

use distributedlog::wire::record_set::{MAX_SET_BYTES, RecordSet};
use distributedlog::writer::{Reason, Settings, WriteResult, Written};
use distributedlog::{Dlsn, Instant, WriteState};
use distributedlog_testkit::Random;

use crate::net::HostId;
pub(crate) use lives::{Life, Lives};

/// All records of a run.
pub(crate) struct Oracle {
    /// What became of the streams.
    pub(crate) lives: Lives,
    /// Which record a position was found to hold where it was acknowledged: the stream, its life,
    /// the position.
    held_by: BTreeMap<(usize, u64, Dlsn), u64>,
    /// Where records were acknowledged.
    acknowledged: Vec<(usize, Dlsn)>,
    records: BTreeMap<u64, Record>,
    last_serial: u64,
    /// The pending records of each writer's life, by their deadlines.
    deadlines: BTreeMap<(HostId, u32, Instant, u64), ()>,
    scratch: Vec<u8>,
}

struct Record {
    payload: Vec<u8>,
    host: HostId,
    life: u32,
    accepted: Instant,
    deadline: Instant,
    /// Attempts to write it that are under way.
    outstanding: u32,
    fate: Fate,
}

/// What was said of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pending,
    Written(Written),
    Failed(WriteState),
    /// Its writer's process ended first: nobody promised anything.
    Orphaned,
}

/// How many records had which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// Acknowledged.
    pub written: u64,
    /// Said not to be written, or rejected.
    pub not_written: u64,
    /// Said to be unknown.
    pub unknown: u64,
    /// Their writer's process ended first.
    pub orphaned: u64,
    /// Records that more than one place holds.
    pub copied: u64,
}

impl Fates {
    pub(crate) const fn merge(&mut self, other: &Self) {
        self.written += other.written;
        self.not_written += other.not_written;
        self.unknown += other.unknown;
        self.orphaned += other.orphaned;
        self.copied += other.copied;
    }
}

/// What the streams hold: for each record's serial, where it is.
pub(crate) type Places = BTreeMap<u64, Vec<(usize, Dlsn)>>;

/// The serial of a payload that this simulation made.
pub(crate) fn serial_of(payload: &[u8]) -> u64 {
    let bytes = payload
        .get(..8)
        .and_then(|bytes| bytes.try_into().ok())
        .expect("R12: a record that nobody wrote");
    u64::from_be_bytes(bytes)
}

/// What a store holds of one stream.
pub(crate) struct Held {
    /// `None`: there is no such stream.
    pub(crate) life: Option<Life>,
    /// Its records, in order.
    pub(crate) records: Vec<(Dlsn, Vec<u8>)>,
}

impl Oracle {
    /// An oracle for so many streams.
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            lives: Lives::new(streams),
            held_by: BTreeMap::new(),
            acknowledged: Vec::new(),
            records: BTreeMap::new(),
            last_serial: 0,
            deadlines: BTreeMap::new(),
            scratch: Vec::new(),
        }
    }

    /// A place where a record was acknowledged, if any was.
    pub(crate) fn some_place(&self, random: &mut Random) -> Option<(usize, Dlsn)> {
        let count = self.acknowledged.len() as u64;
        (count > 0).then(|| self.acknowledged[random.below(count) as usize])
    }

    /// A record like no other.
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
        life: u32,
        [accepted, deadline]: [Instant; 2],
    ) {
        let record = Record {
            payload,
            host,
            life,
            accepted,
            deadline,
            outstanding: 0,
            fate: Fate::Pending,
        };
        self.deadlines.insert((host, life, deadline, serial), ());
        assert!(
            self.records.insert(serial, record).is_none(),
            "serials are not used twice"
        );
    }

    /// The records of a set.
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

    /// A write ended.
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
            record.fate,
            Fate::Pending,
            "R1: record {serial} completed twice"
        );
        self.deadlines
            .remove(&(record.host, record.life, record.deadline, serial));
        record.fate = match result {
            Ok(written) => {
                self.acknowledged
                    .push((usize::from(written.stream.0), written.dlsn));
                Fate::Written(written)
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
                        "R2: record {serial} failed with {error} while an attempt was under way"
                    );
                    let limited = settings.rounds().limit.is_some();
                    assert!(
                        error.reason != Reason::Exhausted || limited,
                        "R2: record {serial} was given up early: {error}"
                    );
                }
                Fate::Failed(error.known)
            }
        };
    }

    /// A writer's process ended: what it had not said, nobody will.
    pub(crate) fn writer_died(&mut self, host: HostId, life: u32) {
        let range = (host, life, Instant::ZERO, 0)..=(host, life, Instant::MAX, u64::MAX);
        let pending: Vec<_> = self.deadlines.range(range).map(|(key, ())| *key).collect();
        for key in pending {
            self.deadlines.remove(&key);
            self.records.get_mut(&key.3).expect("it was accepted").fate = Fate::Orphaned;
        }
    }

    /// R1: after a writer was driven, nothing of it is pending whose deadline has come.
    pub(crate) fn check_deadlines(&self, host: HostId, life: u32, now: Instant) {
        let range = (host, life, Instant::ZERO, 0)..=(host, life, now, u64::MAX);
        if let Some(((_, _, deadline, serial), ())) = self.deadlines.range(range).next() {
            panic!("R1: record {serial} is pending at {now:?}, its deadline was {deadline:?}");
        }
    }

    /// How many records have no end yet.
    pub(crate) fn pending(&self) -> usize {
        self.deadlines.len()
    }

    pub(crate) fn fate(&self, serial: u64) -> Fate {
        self.records[&serial].fate
    }

    /// Compares what was said with what the streams hold: what was acknowledged is there, byte by
    /// byte, unless it was truncated or its stream deleted; what was said not to be written is
    /// nowhere; and no position ever holds another record than it did.
    pub(crate) fn check_streams(&mut self, when: &str, held: &[Held]) -> Places {
        let mut places = Places::new();
        for (stream, Held { life, records }) in held.iter().enumerate() {
            self.lives.check(when, stream, *life);
            for (dlsn, payload) in records {
                let serial = self.check_record(when, stream, *life, *dlsn, payload);
                places.entry(serial).or_default().push((stream, *dlsn));
            }
        }
        for (serial, record) in &self.records {
            let there = places.get(serial).map_or(&[][..], Vec::as_slice);
            match record.fate {
                Fate::Written(Written { stream, dlsn, .. }) => {
                    let place = (usize::from(stream.0), dlsn);
                    let must = self.lives.holds(
                        place.0,
                        record.accepted.as_micros() / 1000,
                        dlsn,
                        held[place.0].life,
                    );
                    assert!(
                        !must || there.contains(&place),
                        "{when}: record {serial} was acknowledged at {place:?}, but is at \
                         {there:?}"
                    );
                }
                Fate::Failed(known @ (WriteState::NotWritten | WriteState::Rejected)) => {
                    assert!(
                        there.is_empty(),
                        "{when}: record {serial} was said to be {known}, but is at {there:?}"
                    );
                }
                Fate::Failed(WriteState::Unknown) | Fate::Pending | Fate::Orphaned => {}
            }
        }
        places
    }

    fn check_record(
        &mut self,
        when: &str,
        stream: usize,
        life: Option<Life>,
        dlsn: Dlsn,
        payload: &[u8],
    ) -> u64 {
        let serial = serial_of(payload);
        let record = self.records.get(&serial).unwrap_or_else(|| {
            panic!("{when}: {dlsn} of stream {stream} holds a record that nobody wrote")
        });
        assert_eq!(
            record.payload, *payload,
            "{when}: record {serial} at {dlsn} of stream {stream} has other bytes"
        );
        let Some(Life {
            created_unix_ms,
            truncated_before,
        }) = life
        else {
            panic!("{when}: stream {stream} does not exist and has records")
        };
        assert!(
            truncated_before.is_none_or(|before| before <= dlsn),
            "{when}: record {serial} is read at {dlsn} of stream {stream}, which was truncated \
             before {truncated_before:?}"
        );
        let place = (stream, created_unix_ms, dlsn);
        let first = self.held_by.get(&place).copied().unwrap_or(serial);
        assert_eq!(
            first, serial,
            "{when}: {dlsn} of stream {stream} held record {first}, and now holds record {serial}"
        );
        // What was not acknowledged may be in the copy of a disk and yet never become durable.
        if matches!(record.fate, Fate::Written(written) if (usize::from(written.stream.0), written.dlsn) == (stream, dlsn))
        {
            self.held_by.insert(place, serial);
        }
        serial
    }

    /// R12: a merged reader delivered each record once that was acknowledged or is there at all,
    /// and no other.
    pub(crate) fn check_delivered(&self, delivered: &[Vec<u8>], places: &Places) {
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
                places.get(serial)
            );
        }
        for (serial, there) in places {
            assert!(
                counts.contains_key(serial),
                "R12: record {serial} was never delivered; it is at {there:?}"
            );
        }
    }

    /// How many records are to be delivered once everything is read.
    pub(crate) fn fates(&self, places: &Places) -> Fates {
        let mut fates = Fates::default();
        for record in self.records.values() {
            match record.fate {
                Fate::Written(_) => fates.written += 1,
                Fate::Failed(WriteState::NotWritten | WriteState::Rejected) => {
                    fates.not_written += 1
                }
                Fate::Failed(WriteState::Unknown) | Fate::Pending => fates.unknown += 1,
                Fate::Orphaned => fates.orphaned += 1,
            }
        }
        fates.copied = places.values().filter(|places| places.len() > 1).count() as u64;
        fates
    }
}
