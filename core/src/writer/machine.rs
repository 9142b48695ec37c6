use core::marker::PhantomData;
use core::time::Duration;

use super::adaptive::Tail;
use super::budget::Tokens;
use super::build::BuildError;
use super::limits::{HEADER_BYTES, LENGTH_BYTES, TRAILER_BYTES};
use super::rotation;
use super::slots::{NO_RECORD, NO_REPORT, NO_SET, RecordSlot, ReportSlot, SetSlot, StreamSlot};
use super::timers::TimerHeap;
use super::{
    Adaptive, AllFeatures, Budget, Codec, Counters, Health, Identity, MAX_SET_BYTES, SetBuffer,
    Settings, Storage, StreamCount, StreamStatus, WriterFeatures,
};
use crate::expect::expect_no_fmt;
use crate::random::Random;
#[cfg(feature = "lz4")]
use crate::wire::record_set::{Lz4Table, max_compressed_len};
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
    features: PhantomData<F>,
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
    pub(super) usual_latency: Option<u64>,

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
    pub(super) flying: u16,
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

/// The settings as the machine uses them, the memory's lengths taken into account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Transmitted sets that are not finished.
    pub(super) flying: u16,
    /// Attempts outstanding at one stream (R9).
    pub(super) window: u16,
    pub(super) buffered: usize,
    /// Capacity of a set for its builder.
    pub(super) set_bytes: usize,
    /// What every set takes besides its records: header and identity.
    pub(super) overhead: usize,
    pub(super) record_bytes: usize,
    /// Bytes at which a set is full.
    pub(super) full: usize,
    pub(super) flush_interval: u64,
    pub(super) request_timeout: u64,
    pub(super) first_patience: u64,
    pub(super) max_patience: u64,
    /// The multiplier in 65,536ths.
    pub(super) multiplier: u64,
    /// The latencies beyond the quantile that the speculative timeout follows (R10).
    pub(super) tail: Tail,
}

impl<S: Storage> Writer<S> {
    /// A writer over `streams` streams whose tables lie in `memory`. What is in the memory is
    /// forgotten.
    ///
    /// With the `lz4` feature the writer itself contains the 16 KiB that compression works with.
    ///
    /// # Errors
    ///
    /// [`BuildError`] when a table of the memory is too short to write anything at all.
    pub fn new(settings: Settings, streams: StreamCount, storage: S) -> Result<Self, BuildError> {
        Self::with_features(settings, streams, storage)
    }
}

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// As [`new`](Self::new), containing what `F` says.
    ///
    /// # Errors
    ///
    /// [`BuildError::MissingFeature`] when the settings switch on what `F` leaves out; else as
    /// [`new`](Self::new).
    pub fn with_features(
        settings: Settings,
        streams: StreamCount,
        storage: S,
    ) -> Result<Self, BuildError> {
        let wanted = [
            !F::BUDGET && !matches!(settings.budget(), Budget::Off),
            !F::HEALTH && !matches!(settings.health(), Health::Off),
            !F::ADAPTIVE && !matches!(settings.adaptive(), Adaptive::Off),
            !F::IDENTITY && !matches!(settings.identity(), Identity::Off),
        ];
        if wanted.contains(&true) {
            return Err(BuildError::MissingFeature);
        }
        let bounds = Bounds::new(&settings, streams, &storage)?;
        let mut writer = Self {
            storage,
            features: PhantomData,
            settings,
            bounds,
            now: Instant::ZERO,
            closing: None,
            counters: Counters::default(),
            streams: streams.as_usize() as u16,
            next_row: 0,
            random: Random::new(settings.seed().unwrap_or(0)),
            budget: Tokens::new(if F::BUDGET {
                settings.budget()
            } else {
                Budget::Off
            }),
            next_probe: Instant::MAX,
            usual_latency: None,
            next_sequence: 0,
            next_attempt: 0,
            filling: NO_SET,
            free_sets: NO_SET,
            spare_set: NO_SET,
            oldest_set: NO_SET,
            newest_set: NO_SET,
            queue_first: NO_SET,
            queue_last: NO_SET,
            ending_first: NO_SET,
            flying: 0,
            ending: 0,
            timers: TimerHeap::default(),
            free_records: NO_RECORD,
            free_record_count: 0,
            completed_first: NO_RECORD,
            completed_last: NO_RECORD,
            free_reports: NO_REPORT,
            buffered: 0,
            reserved: Reserved::default(),
            #[cfg(feature = "lz4")]
            lz4: None,
        };
        writer.link_free_slots();
        writer.storage.tables().streams[..streams.as_usize()].fill(StreamSlot::EMPTY);
        rotation::permute(
            &mut writer.storage.tables().streams[..streams.as_usize()],
            &mut writer.random,
        );
        Ok(writer)
    }

    /// Puts every row on its free list, the first on top.
    fn link_free_slots(&mut self) {
        let pending = expect_no_fmt(
            u32::try_from(self.settings.pending_records()),
            "settings allow at most 2^31",
        );
        let compresses = matches!(self.settings.codec(), Codec::Lz4);
        let used = self.bounds.flying as usize + 1;
        let tables = self.storage.tables();
        for (index, slot) in tables.sets[..used].iter_mut().enumerate().rev() {
            *slot = SetSlot::EMPTY;
            slot.links.queue = self.free_sets;
            self.free_sets = index as u16;
        }
        if compresses {
            self.spare_set = used as u16;
        }
        let records = tables.records.len().min(pending as usize);
        for (index, slot) in tables.records[..records].iter_mut().enumerate().rev() {
            *slot = RecordSlot {
                next: self.free_records,
                ..RecordSlot::EMPTY
            };
            self.free_records = index as u32;
        }
        self.free_record_count = records as u32;
        let reports = if self.settings.attempt_reports() {
            tables.reports.len().min(NO_REPORT as usize)
        } else {
            0
        };
        for (index, slot) in tables.reports[..reports].iter_mut().enumerate().rev() {
            *slot = ReportSlot {
                next: self.free_reports,
                ..ReportSlot::EMPTY
            };
            self.free_reports = index as u16;
        }
        #[cfg(feature = "lz4")]
        if compresses {
            self.lz4 = Some(Lz4Table::new());
        }
    }

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
            healthy: self.is_fit(slot, self.now),
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
        self.flying as usize
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
            && self.flying == 0
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
    pub(super) fn is_fit(&self, stream: &StreamSlot, now: Instant) -> bool {
        !(F::HEALTH || F::BUDGET) || stream.health.is_fit(now)
    }

    /// Takes note of the time.
    pub(super) fn tell(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }
}

impl Bounds {
    fn new<S: Storage>(
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
        let sets = storage
            .sets()
            .len()
            .min(storage.timers().len())
            .min(storage.buffers().len());
        if storage.streams().len() < streams.as_usize() {
            return Err(BuildError::Streams {
                rows: storage.streams().len(),
                needed: streams.as_usize(),
            });
        }
        if sets < 2 + spare {
            return Err(BuildError::Sets {
                rows: sets,
                needed: 2 + spare,
            });
        }
        if storage.records().is_empty() {
            return Err(BuildError::Records);
        }
        let capacity = storage.buffers()[0].capacity();
        let set_bytes = settable(capacity, spare == 1)
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
        let flying = settings.in_flight_sets().min(sets - 1 - spare) as u16;
        Ok(Self {
            flying,
            window: settings
                .window()
                .attempts(flying, streams.as_usize() as u16),
            buffered: settings.buffered_bytes(),
            set_bytes,
            overhead,
            record_bytes: set_bytes - overhead - LENGTH_BYTES,
            full: settings.buffer_size().min(set_bytes),
            flush_interval: micros(settings.flush_interval()),
            request_timeout: micros(settings.request_timeout()),
            first_patience: micros(settings.first_speculative_timeout()),
            max_patience: micros(settings.max_speculative_timeout()),
            multiplier: (settings.speculative_backoff_multiplier() * 65_536.0) as u64,
            tail: match settings.adaptive() {
                Adaptive::Off => Tail(0),
                Adaptive::Quantile { quantile, .. } => Tail::beyond(quantile),
            },
        })
    }
}

/// The largest set that a buffer of `capacity` bytes can hold, and a second one in compressed form.
#[cfg(feature = "lz4")]
const fn settable(capacity: usize, compressed: bool) -> usize {
    let mut bytes = capacity;
    if compressed {
        // LZ4 may add a tenth and a few bytes; the loop takes off the few that this estimate is
        // above the truth.
        bytes = capacity / 11 * 10;
        while bytes > 0 && max_compressed_len(bytes) > capacity {
            bytes -= 1;
        }
    }
    bytes
}

#[cfg(not(feature = "lz4"))]
const fn settable(capacity: usize, _compressed: bool) -> usize {
    capacity
}
