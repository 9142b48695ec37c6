//! The streams of a run: what they store, and when they answer what.

use core::time::Duration;
use std::collections::BTreeMap;

use distributedlog::wire::record_set::RecordSet;
use distributedlog::{
    Attempt, AttemptId, Cause, Dlsn, Failure, Instant, Outcome, StatusCode, StreamIndex,
};
use distributedlog_testkit::Random;

/// A stream and its behaviour.
pub(super) struct Stream {
    latency: (Duration, Duration),
    fail: f64,
    lose: f64,
    stall: f64,
    /// The stored sets, each a list of records.
    pub(super) stored: Vec<Vec<Vec<u8>>>,
}

impl Stream {
    fn new(random: &mut Random) -> Self {
        let low = random.below(20_000);
        let high = low + random.below(100_000);
        Self {
            latency: (Duration::from_micros(low), Duration::from_micros(high)),
            fail: sometimes(random, 0.4, 1.0),
            lose: sometimes(random, 0.3, 0.5),
            stall: sometimes(random, 0.3, 1.0),
            stored: Vec::new(),
        }
    }
}

/// Returns a probability of at most `most`, in this share of the runs, and 0 in the others.
fn sometimes(random: &mut Random, share: f64, most: f64) -> f64 {
    if random.chance(share) {
        most * 0.01 * random.below(101) as f64
    } else {
        0.0
    }
}

pub(super) struct World {
    pub(super) streams: Vec<Stream>,
    /// Future answers.
    answers: BTreeMap<(Instant, u64), (AttemptId, Outcome)>,
    serial: u64,
    full: f64,
    /// Probability that a cancelled attempt is answered nevertheless.
    deaf: f64,
    scratch: Vec<u8>,
}

const CODES: [i32; 14] = [
    500, 503, 506, 508, 512, 514, 515, 517, 518, 524, 403, 523, 413, 600,
];

impl World {
    pub(super) fn new(random: &mut Random, streams: usize) -> Self {
        let streams = (0..streams).map(|_| Stream::new(random)).collect();
        let (full, deaf) = (sometimes(random, 0.2, 0.3), sometimes(random, 0.5, 1.0));
        Self {
            streams,
            answers: BTreeMap::new(),
            serial: 0,
            full,
            deaf,
            scratch: vec![0; 1 << 16],
        }
    }

    /// Handles an added stream (R17). One with an index that was used before stores behind what is
    /// there, so that every position names one record.
    pub(super) fn added(&mut self, random: &mut Random, stream: StreamIndex) {
        let new = Stream::new(random);
        match self.streams.get_mut(usize::from(stream.0)) {
            Some(old) => {
                let stored = core::mem::take(&mut old.stored);
                *old = Stream { stored, ..new };
            }
            None => self.streams.push(new),
        }
    }

    /// Handles an attempt, or refuses it for lack of room.
    pub(super) fn start(
        &mut self,
        random: &mut Random,
        now: Instant,
        attempt: &Attempt<'_>,
    ) -> bool {
        if random.chance(self.full) {
            return false;
        }
        let stream = &mut self.streams[usize::from(attempt.stream.0)];
        if random.chance(stream.stall) {
            // No answer says if the stream has it.
            if random.chance(0.5) {
                stream
                    .stored
                    .push(records(attempt.record_set, &mut self.scratch));
            }
            return true;
        }
        let outcome = if random.chance(stream.fail) {
            fails(random, stream, attempt, &mut self.scratch)
        } else {
            let dlsn = Dlsn::new(1, stream.stored.len() as i64, 0);
            stream
                .stored
                .push(records(attempt.record_set, &mut self.scratch));
            if random.chance(stream.lose) {
                Err(Failure::unanswered(Cause::ConnectionLost))
            } else {
                Ok(dlsn)
            }
        };
        let latency = random.between(stream.latency.0, stream.latency.1);
        self.serial += 1;
        self.answers
            .insert((now + latency, self.serial), (attempt.id, outcome));
        true
    }

    pub(super) fn cancel(&mut self, random: &mut Random, attempt: AttemptId) {
        if !random.chance(self.deaf) {
            self.answers.retain(|_, (id, _)| *id != attempt);
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.answers.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn answer(&mut self, now: Instant) -> Option<(AttemptId, Outcome)> {
        let entry = self.answers.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    pub(super) fn record_at(&self, stream: StreamIndex, dlsn: Dlsn) -> Option<&[u8]> {
        let set = self.streams[usize::from(stream.0)]
            .stored
            .get(dlsn.entry_id as usize)?;
        set.get(dlsn.slot_id as usize).map(Vec::as_slice)
    }

    pub(super) fn holds(&self, record: &[u8]) -> bool {
        self.streams.iter().any(|stream| {
            stream
                .stored
                .iter()
                .flatten()
                .any(|stored| stored == record)
        })
    }
}

/// Draws a failure. If it leaves open whether the set was written, the set sometimes was.
fn fails(
    random: &mut Random,
    stream: &mut Stream,
    attempt: &Attempt<'_>,
    scratch: &mut [u8],
) -> Outcome {
    let failure = match random.below(4) {
        0 => Failure::not_sent(Cause::Unreachable),
        1 => Failure::unanswered(Cause::TimedOut),
        _ => Failure::of_status(StatusCode::from_i32(
            CODES[random.below(CODES.len() as u64) as usize],
        )),
    };
    if failure.known == distributedlog::WriteState::Unknown && random.chance(0.5) {
        stream.stored.push(records(attempt.record_set, scratch));
    }
    Err(failure)
}

fn records(record_set: &[u8], scratch: &mut [u8]) -> Vec<Vec<u8>> {
    let set = RecordSet::parse(record_set, scratch).expect("what is transmitted is a record set");
    set.records().map(<[u8]>::to_vec).collect()
}
