//! What a writer does with a life that a seed makes up, as one number: the same on every machine
//! (R15).

use core::time::Duration;

use distributedlog::writer::{Fixed, Settings, StreamCount, Writer};
use distributedlog::{AttemptId, Cause, Dlsn, Failure, Instant, StatusCode};

/// Turns of a life.
const TURNS: u32 = 400;
/// The seeds whose numbers are compared.
pub const SEEDS: [u64; 4] = [1, 2, 3, 0xdead_beef];

/// FNV-1a over everything that comes out of the machine.
struct Trace(u64);

impl Trace {
    fn note(&mut self, numbers: &[u64]) {
        for byte in numbers.iter().flat_map(|number| number.to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// xorshift: what happens is drawn from it.
struct Draw(u64);

impl Draw {
    const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// One life: records of all sizes, answers early, late and never, failures, time that leaps. The
/// number depends on each attempt (which stream, when, which bytes), each cancellation and each
/// result.
///
/// # Panics
///
/// Never: the settings are within the bounds.
#[must_use]
pub fn of_life(seed: u64) -> u64 {
    let (mut trace, mut draw) = (Trace(0xcbf2_9ce4_8422_2325), Draw(seed | 1));
    let settings = Settings::builder()
        .original_features()
        .seed(seed)
        .buffer_size(128)
        .in_flight_sets(2)
        .pending_records(12)
        .request_timeout(Duration::from_secs(5))
        .first_speculative_timeout(Duration::from_millis(50))
        .max_speculative_timeout(Duration::from_millis(400));
    let streams = StreamCount::new(4).expect("between 1 and the most");
    let storage: Fixed<4, 3, 12, 256> = Fixed::new();
    let mut writer = Writer::new(
        settings.build().expect("within the bounds"),
        streams,
        storage,
    )
    .expect("long enough tables");
    let mut now = Instant::from_millis(1);
    let mut under_way: [Option<AttemptId>; 16] = [None; 16];
    for turn in 0..TURNS {
        let record = [turn as u8; 100];
        if turn < TURNS - 100 && draw.below(3) > 0 {
            let taken = writer
                .write(now, &record[..1 + draw.below(99) as usize])
                .is_ok();
            trace.note(&[1, u64::from(taken)]);
        }
        while let Some(attempt) = writer.poll_cancel() {
            trace.note(&[2, attempt.0]);
            under_way
                .iter_mut()
                .filter(|slot| **slot == Some(attempt))
                .for_each(|slot| *slot = None);
        }
        while let Some(attempt) = writer.poll_transmit(now) {
            trace.note(&[
                3,
                now.as_micros(),
                attempt.id.0,
                u64::from(attempt.stream.0),
                u64::from(attempt.record_count),
            ]);
            attempt
                .record_set
                .iter()
                .for_each(|byte| trace.note(&[u64::from(*byte)]));
            let id = attempt.id;
            match under_way.iter_mut().find(|slot| slot.is_none()) {
                Some(slot) => *slot = Some(id),
                None => writer.handle_refused(now, id),
            }
        }
        if let Some(id) = under_way[draw.below(16) as usize].take() {
            let outcome = match draw.below(4) {
                0 => Err(Failure::of_status(StatusCode::StreamUnavailable)),
                1 => Err(Failure::unanswered(Cause::ConnectionLost)),
                _ => Ok(Dlsn::new(1, i64::from(turn), 0)),
            };
            writer.handle_finished(now, id, outcome);
        }
        while let Some(record) = writer.poll_completed() {
            match writer.take(record) {
                Some(Ok(written)) => trace.note(&[
                    4,
                    u64::from(written.stream.0),
                    written.dlsn.entry_id.cast_unsigned(),
                ]),
                Some(Err(error)) => trace.note(&[
                    5,
                    u64::from(error.attempts),
                    u64::from(error.may_be_written()),
                ]),
                None => trace.note(&[6]),
            }
        }
        now += Duration::from_micros(1 + draw.below(60_000));
        writer.handle_timeout(now);
    }
    let counters = writer.counters();
    trace.note(&[
        counters.records,
        counters.attempts,
        counters.hedges_sent,
        counters.retries,
        counters.cancelled,
        counters.probation_entries,
    ]);
    trace.0
}
