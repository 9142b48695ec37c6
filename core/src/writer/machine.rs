use core::marker::PhantomData;
use core::time::Duration;

use super::adaptive::Tail;
use super::bounds::Bounds;
use super::budget::Tokens;
use super::slots::{NO_RECORD, NO_SET, StreamSlot};
use super::timers::TimerHeap;
use super::{
    Adaptive, AllFeatures, Budget, Counters, Health, Identity, Settings, Storage, StreamStatus,
    WriterFeatures,
};
use crate::random::Random;
#[cfg(feature = "lz4")]
use crate::wire::record_set::Lz4Table;
use crate::{Instant, StreamIndex};

/// The multi stream writer: takes records, fills record sets, says which set to write to which
/// stream when, and completes each record exactly once (R1). No I/O, no clock (R15): who drives it
/// tells it the time and what happened.
///
/// The methods come in families. Commands ([`write`](Self::write), [`flush`](Self::flush),
/// [`close`](Self::close)…) come from the writer's user; `handle_*` tells what happened outside;
/// `poll_*` asks what is to be done. After any call of the first two, drive it:
///
/// 1. [`handle_finished`](Self::handle_finished) for every attempt that has finished: before the
///    timers, so that an answer that is already there is never overtaken by a timer that fired
///    late;
/// 2. [`handle_timeout`](Self::handle_timeout), if [`poll_timeout`](Self::poll_timeout) has come;
/// 3. [`poll_cancel`](Self::poll_cancel), [`poll_transmit`](Self::poll_transmit) and
///    [`poll_completed`](Self::poll_completed) until each has no more;
/// 4. sleep until [`poll_timeout`](Self::poll_timeout), a finished attempt, or a command.
///
/// One invariant holds between any two calls: each record slot is on exactly one list (free, a
/// set's, or completed) or waits for its result to be taken, and each set in flight has an attempt
/// outstanding, or a timer, or a place in the queue of sets to transmit.
///
/// ```
/// use distributedlog::writer::{Fixed, Settings, StreamCount, Writer};
/// use distributedlog::{Dlsn, Instant};
///
/// // Two streams, two sets of 1 KiB in flight, 32 records: the storage is of a fixed size.
/// let storage = Fixed::<2, 3, 32, 1024>::new();
/// let mut writer = Writer::new(Settings::default(), StreamCount::new(2)?, storage)?;
/// let now = Instant::ZERO;
/// let record = writer.write(now, b"hello")?;
///
/// let attempt = writer.poll_transmit(now).expect("nothing is in flight, so the set goes out at once");
/// let (id, stream) = (attempt.id, attempt.stream);
/// // … the transport writes attempt.record_set to the stream, and some time later:
/// writer.handle_finished(now, id, Ok(Dlsn::INITIAL));
///
/// assert_eq!(writer.poll_completed(), Some(record));
/// let written = writer.take(record).expect("it completed")?;
/// assert_eq!((written.stream, written.dlsn), (stream, Dlsn::INITIAL));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// `F` says what of R8, R9, R10 and R12 the writer contains: see [`WriterFeatures`].
#[derive(Debug)]
pub struct Writer<S: Storage, F: WriterFeatures = AllFeatures> {
    pub(super) storage: S,
    pub(super) features: PhantomData<F>,
    pub(super) settings: Settings,
    pub(super) bounds: Bounds,
    /// The latest time that was told: time that goes back stands still.
    pub(super) now: Instant,
    pub(super) closing: Option<Instant>,
    pub(super) counters: Counters,

    pub(super) streams: u16,
    /// The row of the rotation at which the next set starts.
    pub(super) next_row: u16,
    pub(super) random: Random,
    pub(super) budget: Tokens,
    /// When the first stream on probation is to be probed (R9).
    pub(super) next_probe: Instant,
    /// The median of the streams' latency quantiles, in microseconds (R10).
    pub(super) median_latency: Option<u64>,

    /// The sequence of the next set that is sealed. At a million sets a second, 64 bits last for
    /// half a million years.
    pub(super) next_sequence: u64,
    /// The serial of the next attempt.
    pub(super) next_attempt: u64,

    pub(super) filling: u16,
    pub(super) free_sets: u16,
    /// The slot that compression writes to; it is never in any list.
    pub(super) spare_set: u16,
    pub(super) oldest_set: u16,
    pub(super) newest_set: u16,
    pub(super) queue_first: u16,
    pub(super) queue_last: u16,
    pub(super) ending_first: u16,
    pub(super) in_flight: u16,
    pub(super) ending: u16,
    pub(super) timers: TimerHeap,

    pub(super) free_records: u32,
    pub(super) free_record_count: u32,
    pub(super) completed_first: u32,
    pub(super) completed_last: u32,
    pub(super) free_reports: u16,
    pub(super) buffered: usize,
    pub(super) reserved: Reserved,

    #[cfg(feature = "lz4")]
    pub(super) lz4: Option<Lz4Table>,
}

/// What reservations hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reserved {
    pub(super) sets: u16,
    pub(super) records: u32,
    pub(super) bytes: usize,
}

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// The settings.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the storage.
    pub const fn storage(&self) -> &S {
        &self.storage
    }

    /// What was done so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// How a stream does; none for a stream that the writer does not have.
    pub fn stream_status(&self, stream: StreamIndex) -> Option<StreamStatus> {
        let slot = self.storage.streams()[..self.streams as usize].get(usize::from(stream.0))?;
        let latency = match self.adaptive() {
            Adaptive::Off => None,
            Adaptive::Quantile { warm_up, .. } => slot
                .latency
                .quantile(warm_up)
                .map(|micros| crate::time::length(micros, 1_000_000)),
        };
        let outstanding = usize::from(slot.outstanding);
        Some(StreamStatus {
            healthy: self.is_available(slot, self.now),
            outstanding,
            latency,
            counters: slot.counters,
        })
    }

    /// The latency that this share of a stream's recent first attempts did not exceed; none for a
    /// share that is not within 0 to 1, before the first latency, without adaptive timeouts
    /// (R10), and for a stream that the writer does not have. A few percent off, from 16 µs on.
    pub fn latency_quantile(&self, stream: StreamIndex, quantile: f32) -> Option<Duration> {
        let slot = self.storage.streams()[..self.streams as usize].get(usize::from(stream.0))?;
        let micros = u64::from(slot.latency.beyond(Tail::beyond(quantile)));
        let told = slot.latency.quantile(1).is_some() && (0.0..=1.0).contains(&quantile);
        told.then(|| crate::time::length(micros, 1_000_000))
    }

    /// The longest record that fits a set of this writer.
    pub const fn max_record_bytes(&self) -> usize {
        self.bounds.record_bytes
    }

    /// Records that may still be accepted before one's result is taken, as far as record slots go.
    pub const fn free_record_slots(&self) -> usize {
        (self.free_record_count - self.reserved.records) as usize
    }

    /// Bytes buffered and in flight, headers included (R7).
    pub const fn buffered_bytes(&self) -> usize {
        self.buffered
    }

    /// Transmitted sets that are not finished (R7).
    pub const fn sets_in_flight(&self) -> usize {
        self.in_flight as usize
    }

    /// How many attempts may be outstanding at one stream while another healthy one has fewer (R9):
    /// what [`Window`](super::Window) comes to with this memory and this many streams.
    pub const fn window(&self) -> usize {
        self.bounds.window as usize
    }

    /// Whether the writer was told to close.
    pub const fn is_closed(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether the writer was closed, all its records are completed and announced, and all
    /// cancellations polled.
    pub const fn is_finished(&self) -> bool {
        self.is_closed()
            && self.filling == NO_SET
            && self.in_flight == 0
            && self.ending == 0
            && self.completed_first == NO_RECORD
    }

    /// What the settings say of health, where it is compiled in: the constant lets the rest be left
    /// out. So do the three below.
    pub(super) const fn health(&self) -> Health {
        if F::HEALTH {
            self.settings.health()
        } else {
            Health::Off
        }
    }

    /// As [`health`](Self::health).
    pub(super) const fn budget(&self) -> Budget {
        if F::BUDGET {
            self.settings.budget()
        } else {
            Budget::Off
        }
    }

    /// As [`health`](Self::health).
    pub(super) const fn adaptive(&self) -> Adaptive {
        if F::ADAPTIVE {
            self.settings.adaptive()
        } else {
            Adaptive::Off
        }
    }

    /// As [`health`](Self::health).
    pub(super) const fn identity(&self) -> Identity {
        if F::IDENTITY {
            self.settings.identity()
        } else {
            Identity::Off
        }
    }

    /// Whether a set may start at the stream, and should rather go on there than elsewhere: it is
    /// healthy, and did not ask to be left alone.
    pub(super) fn is_available(&self, stream: &StreamSlot, now: Instant) -> bool {
        !(F::HEALTH || F::BUDGET) || stream.health.is_available(now)
    }

    /// Takes note of the time.
    pub(super) fn advance_clock(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }
}
