//! The behaviour of a writer in a pseudo-random run, as one hash: the same on every machine (R15).

use core::time::Duration;

use distributedlog::writer::{Fixed, Settings, StreamCount, Writer};
use distributedlog::{AttemptId, Cause, Dlsn, Failure, Instant, StatusCode};

/// Turns of a run.
const TURNS: u32 = 400;
/// The seeds whose hashes are compared.
pub const SEEDS: [u64; 4] = [1, 2, 3, 0xdead_beef];

/// FNV-1a over everything that the machine outputs.
struct Trace(u64);

impl Trace {
    fn note(&mut self, numbers: &[u64]) {
        for byte in numbers.iter().flat_map(|number| number.to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Pseudo-random generator (xorshift) of the events.
struct Draw(u64);

impl Draw {
    const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// One pseudo-random run of a writer.
struct Life {
    writer: Writer<Fixed<4, 3, 12, 256>>,
    trace: Trace,
    draw: Draw,
    outstanding: [Option<AttemptId>; 16],
    now: Instant,
}

/// Runs a writer with records of all sizes, early, late and missing answers, failures, and jumps of
/// time. The hash depends on each attempt (stream, time, bytes), each cancellation and each result.
///
/// # Panics
///
/// Never: the settings are valid.
#[must_use]
pub fn of_life(seed: u64) -> u64 {
    let settings = Settings::builder()
        .original_features()
        .seed(seed)
        .buffer_size(128)
        .in_flight_sets(2)
        .pending_records(12)
        .request_timeout(Duration::from_secs(5))
        .first_speculative_timeout(Duration::from_millis(50))
        .max_speculative_timeout(Duration::from_millis(400));
    let streams = StreamCount::new(4).expect("between 1 and the maximum");
    let writer = Writer::new(
        settings.build().expect("the settings are valid"),
        streams,
        Fixed::new(),
    )
    .expect("the tables are long enough");
    let mut life = Life {
        writer,
        trace: Trace(0xcbf2_9ce4_8422_2325),
        draw: Draw(seed | 1),
        outstanding: [None; 16],
        now: Instant::from_millis(1),
    };
    for turn in 0..TURNS {
        life.write(turn);
        life.cancel();
        life.transmit();
        life.answer(turn);
        life.take_results();
        life.now += Duration::from_micros(1 + life.draw.below(60_000));
        life.writer.handle_timeout(life.now);
    }
    life.note_counters();
    life.trace.0
}

impl Life {
    /// Writes a record in two of three turns. The last 100 turns write none, so that all complete.
    fn write(&mut self, turn: u32) {
        let record = [turn as u8; 100];
        if turn < TURNS - 100 && self.draw.below(3) > 0 {
            let len = 1 + self.draw.below(99) as usize;
            let accepted = self.writer.write(self.now, &record[..len]).is_ok();
            self.trace.note(&[1, u64::from(accepted)]);
        }
    }

    fn cancel(&mut self) {
        while let Some(attempt) = self.writer.poll_cancel() {
            self.trace.note(&[2, attempt.0]);
            self.outstanding
                .iter_mut()
                .filter(|slot| **slot == Some(attempt))
                .for_each(|slot| *slot = None);
        }
    }

    fn transmit(&mut self) {
        while let Some(attempt) = self.writer.poll_transmit(self.now) {
            self.trace.note(&[
                3,
                self.now.as_micros(),
                attempt.id.0,
                u64::from(attempt.stream.0),
                u64::from(attempt.record_count),
            ]);
            for byte in attempt.record_set {
                self.trace.note(&[u64::from(*byte)]);
            }
            let id = attempt.id;
            match self.outstanding.iter_mut().find(|slot| slot.is_none()) {
                Some(slot) => *slot = Some(id),
                None => self.writer.handle_refused(self.now, id),
            }
        }
    }

    /// Finishes one outstanding attempt, if the drawn slot has one.
    fn answer(&mut self, turn: u32) {
        if let Some(id) = self.outstanding[self.draw.below(16) as usize].take() {
            let outcome = match self.draw.below(4) {
                0 => Err(Failure::of_status(StatusCode::StreamUnavailable)),
                1 => Err(Failure::unanswered(Cause::ConnectionLost)),
                _ => Ok(Dlsn::new(1, i64::from(turn), 0)),
            };
            self.writer.handle_finished(self.now, id, outcome);
        }
    }

    fn take_results(&mut self) {
        while let Some(record) = self.writer.poll_completed() {
            match self.writer.take(record) {
                Some(Ok(written)) => self.trace.note(&[
                    4,
                    u64::from(written.stream.0),
                    written.dlsn.entry_id.cast_unsigned(),
                ]),
                Some(Err(error)) => self.trace.note(&[
                    5,
                    u64::from(error.attempts),
                    u64::from(error.may_be_written()),
                ]),
                None => self.trace.note(&[6]),
            }
        }
    }

    fn note_counters(&mut self) {
        let counters = self.writer.counters();
        self.trace.note(&[
            counters.records,
            counters.attempts,
            counters.hedges_sent,
            counters.retries,
            counters.cancelled,
            counters.probation_entries,
        ]);
    }
}
