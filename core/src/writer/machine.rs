use core::marker::PhantomData;
use core::time::Duration;

use super::adaptive::Tail;
use super::bounds::Bounds;
use super::budget::Tokens;
use super::slots::{NO_SET, StreamSlot, TRANSMIT};
use super::{
    Adaptive, AllFeatures, Budget, Counters, Health, Identity, Settings, Storage, StreamStatus,
    WriterFeatures,
};
use crate::random::Random;
use crate::tables::{Queue, Slab, Timers};
#[cfg(feature = "lz4")]
use crate::wire::record_set::Lz4Table;
use crate::{Instant, StreamIndex};

/// The multi stream writer as a state machine: accepts records, fills record sets, decides which
/// set to write to which stream and when, and completes each record exactly once (R1). It does no
/// I/O and has no clock (R15): its driver passes the time and the events.
///
/// The methods form three families. Commands ([`write`](Self::write), [`flush`](Self::flush),
/// [`close`](Self::close)…) come from the writer's user; `handle_*` methods report events; `poll_*`
/// methods return what is to be done. After any call of the first two, the driver does the
/// following:
///
/// 1. Call [`handle_finished`](Self::handle_finished) for every attempt that has finished. This
///    comes before the timers, so that a timer that fired late never overtakes an answer that has
///    arrived.
/// 2. Call [`handle_timeout`](Self::handle_timeout), if the time of
///    [`poll_timeout`](Self::poll_timeout) has passed.
/// 3. Call [`poll_cancel`](Self::poll_cancel), [`poll_transmit`](Self::poll_transmit) and
///    [`poll_completed`](Self::poll_completed) until each returns `None`.
/// 4. Sleep until the time of [`poll_timeout`](Self::poll_timeout), a finished attempt, or a
///    command.
///
/// One invariant holds between any two calls: each record slot is on exactly one list (free, a
/// set's, or completed) or its result waits to be taken, and each set in flight has an outstanding
/// attempt, a timer, or a place in the queue of sets to transmit.
///
/// ```
/// use distributedlog::writer::{Fixed, Settings, StreamCount, Writer};
/// use distributedlog::{Dlsn, Instant};
///
/// // Two streams, two sets of 1 KiB in flight, 32 records: the size of the storage is fixed.
/// let storage = Fixed::<2, 3, 32, 1024>::new();
/// let mut writer = Writer::new(Settings::default(), StreamCount::new(2)?, storage)?;
/// let now = Instant::ZERO;
/// let record = writer.write(now, b"hello")?;
///
/// let attempt = writer.poll_transmit(now).expect("no set is in flight, so this one may be");
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
/// The type `F` selects which of R8 to R10, R12 and R17 to R22 the writer contains: see
/// [`WriterFeatures`].
#[derive(Debug)]
pub struct Writer<S: Storage, F: WriterFeatures = AllFeatures> {
    pub(super) storage: S,
    pub(super) features: PhantomData<F>,
    pub(super) settings: Settings,
    pub(super) bounds: Bounds,
    /// Latest `now` seen; earlier values are ignored.
    pub(super) now: Instant,
    pub(super) closing: Option<Instant>,
    pub(super) counters: Counters,

    /// Rows of streams in use, those of removed ones included: an index is below it.
    pub(super) streams: u16,
    /// Length of the rotation (R17).
    pub(super) members: u16,
    /// The row of the rotation at which the next set starts.
    pub(super) next_row: u16,
    pub(super) random: Random,
    pub(super) budget: Tokens,
    /// Time of the next probe of a stream on probation (R9).
    pub(super) next_probe: Instant,
    /// The median of the streams' latency quantiles, in microseconds (R10).
    pub(super) median_latency: Option<u64>,
    /// Begin and end of the last time in which two streams or more were silent (R21).
    pub(super) shared_stall: (Instant, Instant),

    /// Sequence number of the next set that is sealed. At a million sets a second, 64 bits last for
    /// half a million years.
    pub(super) next_sequence: u64,
    /// Serial number of the next attempt.
    pub(super) next_attempt: u64,

    pub(super) filling: u16,
    pub(super) set_slots: Slab,
    /// The sets in flight, in the order of sealing.
    pub(super) in_flight_sets: Queue,
    pub(super) transmit_queue: Queue<TRANSMIT>,
    /// Ended sets with attempts to cancel.
    pub(super) ending_sets: Queue,
    pub(super) in_flight: u16,
    pub(super) ending: u16,
    /// The timer of each set: the earliest of those that it has.
    pub(super) timers: Timers,

    pub(super) record_slots: Slab,
    /// Completed records that were not announced.
    pub(super) completed: Queue,
    pub(super) report_slots: Slab,
    pub(super) buffered: usize,
    pub(super) reserved: Reserved,

    #[cfg(feature = "lz4")]
    pub(super) lz4: Option<Lz4Table>,
}

/// Room taken by reservations.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reserved {
    pub(super) sets: u16,
    pub(super) records: u32,
    pub(super) bytes: usize,
}

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Returns the settings.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the storage.
    pub const fn storage(&self) -> &S {
        &self.storage
    }

    /// Returns the counters of the writer's work so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the stream's health and counters, or `None` if the index is out of range.
    pub fn stream_status(&self, stream: StreamIndex) -> Option<StreamStatus> {
        let slot = self.storage.streams()[..self.streams as usize].get(usize::from(stream.0))?;
        let latency = match self.adaptive() {
            Adaptive::Off => None,
            Adaptive::Quantile { warm_up, .. } => slot
                .latency
                .quantile(warm_up)
                .map(|micros| crate::time::duration(micros, 1_000_000)),
        };
        let outstanding = usize::from(slot.outstanding);
        Some(StreamStatus {
            healthy: self.is_member(stream) && self.is_available(slot, self.now),
            removed: !self.is_member(stream),
            outstanding,
            failure_domain: slot.domain,
            latency,
            counters: slot.counters,
        })
    }

    /// Returns the bytes of the sets whose attempts are outstanding at the stream (R19); 0 if the
    /// index is out of range, or without [`WriterFeatures::CHOICE`].
    pub fn outstanding_bytes(&self, stream: StreamIndex) -> usize {
        let rows = &self.storage.streams()[..self.streams as usize];
        let row = rows.get(usize::from(stream.0));
        row.map_or(0, |row| row.load.bytes())
    }

    /// Returns the latency that this share of a stream's recent first attempts did not exceed.
    /// `None` if the share is not within 0 to 1, before the first latency, without adaptive
    /// timeouts (R10), and if the index is out of range. The value is a few percent off, from 16 µs
    /// on.
    pub fn latency_quantile(&self, stream: StreamIndex, quantile: f32) -> Option<Duration> {
        let slot = self.storage.streams()[..self.streams as usize].get(usize::from(stream.0))?;
        let micros = u64::from(slot.latency.beyond(Tail::beyond(quantile)));
        let is_known = slot.latency.quantile(1).is_some() && (0.0..=1.0).contains(&quantile);
        is_known.then(|| crate::time::duration(micros, 1_000_000))
    }

    /// Returns the length of the longest record that fits a set of this writer, in bytes.
    pub const fn max_record_bytes(&self) -> usize {
        self.bounds.record_bytes
    }

    /// Returns how many records may still be accepted before a result is taken, as far as record
    /// slots limit it.
    pub const fn free_record_slots(&self) -> usize {
        self.bounds.records as usize - self.record_slots.len() - self.reserved.records as usize
    }

    /// Returns the maximum number of rows of records, of which there may be fewer so far.
    pub(crate) const fn max_record_slots(&self) -> usize {
        self.bounds.records as usize
    }

    /// Returns the bytes buffered and in flight, headers included (R7).
    pub const fn buffered_bytes(&self) -> usize {
        self.buffered
    }

    /// Returns the number of transmitted, unfinished sets (R7).
    pub const fn sets_in_flight(&self) -> usize {
        self.in_flight as usize
    }

    /// Returns how many attempts may be outstanding at one stream while another healthy one has
    /// fewer (R9): the value of [`Window`](super::Window) for this storage and number of streams.
    pub const fn window(&self) -> usize {
        self.bounds.window as usize
    }

    /// Returns `true` if the writer was closed or aborted.
    pub const fn is_closed(&self) -> bool {
        self.closing.is_some()
    }

    /// Returns `true` if the writer was closed, all its records are completed and announced, and
    /// all cancellations polled.
    pub const fn is_finished(&self) -> bool {
        self.is_closed()
            && self.filling == NO_SET
            && self.in_flight == 0
            && self.ending == 0
            && self.completed.is_empty()
    }

    /// Returns the health settings, or the constant `Off` if health is not compiled in: that
    /// constant lets the compiler leave out the rest. The three methods below do the same.
    pub(super) const fn health(&self) -> Health {
        if F::HEALTH {
            self.settings.health()
        } else {
            Health::Off
        }
    }

    /// Returns the budget settings, as [`health`](Self::health) does.
    pub(super) const fn budget(&self) -> Budget {
        if F::BUDGET {
            self.settings.budget()
        } else {
            Budget::Off
        }
    }

    /// Returns the settings of adaptive timeouts, as [`health`](Self::health) does.
    pub(super) const fn adaptive(&self) -> Adaptive {
        if F::ADAPTIVE {
            self.settings.adaptive()
        } else {
            Adaptive::Off
        }
    }

    /// Returns the settings of identities, as [`health`](Self::health) does.
    pub(super) const fn identity(&self) -> Identity {
        if F::IDENTITY {
            self.settings.identity()
        } else {
            Identity::Off
        }
    }

    /// Returns `true` if sets may start at the stream, and should rather continue there than
    /// elsewhere: it is healthy, and did not ask for less load.
    pub(super) fn is_available(&self, stream: &StreamSlot, now: Instant) -> bool {
        !(F::HEALTH || F::BUDGET) || stream.health.is_available(now)
    }

    /// Returns `true` if the stream gets no attempt at present: it asked for less load (R16).
    pub(super) fn is_paused(&self, stream: &StreamSlot, now: Instant) -> bool {
        (F::HEALTH || F::BUDGET) && stream.health.is_paused(now)
    }

    /// Advances the writer's time to `now` and returns it. Time that goes backwards is ignored.
    pub(super) fn advance_clock(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }
}
