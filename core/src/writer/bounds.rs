//! The settings as the machine uses them.

use core::time::Duration;

#[cfg(seeded_bugs)]
use super::Order;
use super::adaptive::Tail;
use super::error::BuildError;
use super::limits::{HEADER_BYTES, LENGTH_BYTES, TRAILER_BYTES};
use super::slots::NO_REPORT;
use super::{Adaptive, Codec, Identity, MAX_SET_BYTES, SetBuffer, Settings, Storage, StreamCount};
use crate::expect::expect_no_fmt;
#[cfg(feature = "lz4")]
use crate::wire::record_set::max_compressed_len;

/// The settings in the units that the machine uses, limited by the lengths of the storage's tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Maximum number of transmitted, unfinished sets.
    pub(super) in_flight: u16,
    /// Maximum number of attempts outstanding at one stream (R9).
    pub(super) window: u16,
    pub(super) buffered: usize,
    /// Maximum number of rows of records.
    pub(super) records: u32,
    /// Maximum number of rows of reports.
    pub(super) reports: u16,
    /// Capacity of a set for its builder, in bytes.
    pub(super) set_bytes: usize,
    /// Bytes of every set besides its records: header and identity.
    pub(super) overhead: usize,
    pub(super) record_bytes: usize,
    /// Size in bytes at which a set is full.
    pub(super) full: usize,
    pub(super) flush_interval: u64,
    pub(super) request_timeout: u64,
    pub(super) first_speculative_timeout: u64,
    pub(super) max_speculative_timeout: u64,
    /// The multiplier of speculative timeouts, in 65,536ths.
    pub(super) multiplier: u64,
    /// The share of latencies beyond the quantile that the speculative timeout follows (R10).
    pub(super) tail: Tail,
}

impl Bounds {
    /// Computes the bounds of a writer.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a table of the storage is too short for a single write.
    pub(super) fn new<S: Storage>(
        settings: &Settings,
        streams: StreamCount,
        storage: &S,
    ) -> Result<Self, BuildError> {
        let spare = if matches!(settings.codec(), Codec::Lz4) {
            1
        } else {
            0
        };
        let overhead = HEADER_BYTES
            + if matches!(settings.identity(), Identity::Off) {
                0
            } else {
                TRAILER_BYTES
            };
        let sets = set_rows(settings, streams, storage, spare)?;
        let capacity = storage.buffers()[0].capacity();
        let set_bytes = largest_set(capacity, spare == 1)
            .min(MAX_SET_BYTES)
            .min(settings.buffered_bytes());
        let least = overhead + LENGTH_BYTES + 1;
        if set_bytes < least {
            return Err(BuildError::SetBytes {
                bytes: capacity,
                needed: least,
            });
        }
        let micros = |duration: Duration| duration.as_micros() as u64;
        // One set fills while the others are in flight, and compression needs a spare slot.
        let in_flight = settings.in_flight_sets().min(sets - 1 - spare) as u16;
        #[cfg(seeded_bugs)]
        let in_flight = match settings.order() {
            Order::Kept { .. }
                if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::SetsOvertake) =>
            {
                (sets - 1 - spare) as u16
            }
            _ => in_flight,
        };
        Ok(Self {
            in_flight,
            window: settings
                .window()
                .attempts(in_flight, streams.as_usize() as u16),
            buffered: settings.buffered_bytes(),
            records: record_rows(settings, storage),
            reports: report_rows(settings, storage),
            set_bytes,
            overhead,
            record_bytes: set_bytes - overhead - LENGTH_BYTES,
            full: settings.buffer_size().min(set_bytes),
            flush_interval: micros(settings.flush_interval()),
            request_timeout: micros(settings.request_timeout()),
            first_speculative_timeout: micros(settings.first_speculative_timeout()),
            max_speculative_timeout: micros(settings.max_speculative_timeout()),
            multiplier: (settings.speculative_backoff_multiplier() * 65_536.0) as u64,
            tail: match settings.adaptive() {
                Adaptive::Off => Tail(0),
                Adaptive::Quantile { quantile, .. } => Tail::beyond(quantile),
            },
        })
    }
}

/// Returns the number of usable set rows, and checks that the tables are long enough. `spare` rows
/// are for compression.
fn set_rows<S: Storage>(
    settings: &Settings,
    streams: StreamCount,
    storage: &S,
    spare: usize,
) -> Result<usize, BuildError> {
    if storage.streams().len() < streams.as_usize() {
        return Err(BuildError::Streams {
            rows: storage.streams().len(),
            needed: streams.as_usize(),
        });
    }
    if S::GROWS {
        // One fills, and one is for compression.
        return Ok(settings.in_flight_sets() + 2);
    }
    // A set needs a row in each of these three tables.
    let sets = storage
        .sets()
        .len()
        .min(storage.timers().len())
        .min(storage.buffers().len());
    if sets < 2 + spare {
        return Err(BuildError::Sets {
            rows: sets,
            needed: 2 + spare,
        });
    }
    if storage.records().is_empty() {
        return Err(BuildError::Records);
    }
    Ok(sets)
}

/// Returns the maximum number of rows of records.
fn record_rows<S: Storage>(settings: &Settings, storage: &S) -> u32 {
    let pending = settings.pending_records();
    let rows = if S::GROWS {
        pending
    } else {
        pending.min(storage.records().len())
    };
    expect_no_fmt(u32::try_from(rows), "settings allow at most 2^31")
}

/// Returns the maximum number of rows of reports.
fn report_rows<S: Storage>(settings: &Settings, storage: &S) -> u16 {
    let rows = match (settings.attempt_reports(), S::GROWS) {
        (false, _) => 0,
        (true, false) => storage.reports().len(),
        // As many again for sets that ended and whose results are not taken yet.
        (true, true) => settings.in_flight_sets() * 2,
    };
    rows.min(NO_REPORT as usize) as u16
}

/// Returns the size of the largest set that a buffer of `capacity` bytes can hold, also in its
/// compressed form.
#[cfg(feature = "lz4")]
const fn largest_set(capacity: usize, compressed: bool) -> usize {
    let mut bytes = capacity;
    if compressed {
        // LZ4 may add a tenth and a few bytes. The loop takes off the few bytes by which this
        // estimate is too large.
        bytes = capacity / 11 * 10;
        while bytes > 0 && max_compressed_len(bytes) > capacity {
            bytes -= 1;
        }
    }
    bytes
}

#[cfg(not(feature = "lz4"))]
const fn largest_set(capacity: usize, _compressed: bool) -> usize {
    capacity
}
