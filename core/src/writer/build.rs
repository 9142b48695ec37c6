//! Construction of a writer: checks of the settings against the storage and the compiled features.

use core::marker::PhantomData;

#[cfg(feature = "lz4")]
use super::Codec;
use super::bounds::Bounds;
use super::budget::Tokens;
use super::error::BuildError;
use super::machine::{Reserved, Writer};
use super::slots::{NO_REPORT, NO_SET, RecordState, SetPhase, StreamSlot};
use super::{
    Adaptive, Budget, Choice, Counters, Health, Identity, Order, Settings, Storage, StreamCount,
    WriterFeatures,
};
use crate::random::Random;
use crate::tables::{Queue, Slab, TimerSlot, Timers};
#[cfg(feature = "lz4")]
use crate::wire::record_set::Lz4Table;
use crate::{Instant, StreamIndex};

impl<S: Storage> Writer<S> {
    /// Creates a writer to `streams` streams, with its tables in `storage`. Previous content of the
    /// storage is discarded.
    ///
    /// With the `lz4` feature the writer itself contains the 16 KiB of working memory for
    /// compression.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a table of the storage is too short for a single write.
    pub fn new(settings: Settings, streams: StreamCount, storage: S) -> Result<Self, BuildError> {
        Self::with_features(settings, streams, storage)
    }
}

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Creates a writer as [`new`](Self::new) does, with the features `F`.
    ///
    /// # Errors
    ///
    /// [`BuildError::MissingFeature`] if the settings enable a feature that `F` leaves out,
    /// [`BuildError::Home`] if they name a stream that the writer does not have; otherwise as
    /// [`new`](Self::new).
    pub fn with_features(
        settings: Settings,
        streams: StreamCount,
        storage: S,
    ) -> Result<Self, BuildError> {
        Self::check_features(&settings)?;
        if let (true, Order::Kept { home }) = (F::ORDER, settings.order())
            && settings.check_streams(streams).is_err()
        {
            let streams = streams.as_usize();
            return Err(BuildError::Home { home, streams });
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
            members: streams.as_usize() as u16,
            next_row: 0,
            random: Random::new(settings.seed().unwrap_or(0)),
            budget: Tokens::new(if F::BUDGET {
                settings.budget()
            } else {
                Budget::Off
            }),
            next_probe: Instant::MAX,
            median_latency: None,
            shared_stall: (Instant::ZERO, Instant::ZERO),
            next_sequence: 0,
            next_attempt: 0,
            filling: NO_SET,
            set_slots: Slab::EMPTY,
            in_flight_sets: Queue::EMPTY,
            transmit_queue: Queue::EMPTY,
            ending_sets: Queue::EMPTY,
            in_flight: 0,
            ending: 0,
            timers: Timers::NONE,
            record_slots: Slab::EMPTY,
            completed: Queue::EMPTY,
            report_slots: Slab::EMPTY,
            buffered: 0,
            reserved: Reserved::default(),
            #[cfg(feature = "lz4")]
            lz4: None,
        };
        writer.clear_tables();
        permute(
            &mut writer.storage.tables().streams[..streams.as_usize()],
            &mut writer.random,
        );
        Ok(writer)
    }

    /// Checks that the writer contains what the settings enable.
    ///
    /// # Errors
    ///
    /// [`BuildError::MissingFeature`].
    pub(super) fn check_features(settings: &Settings) -> Result<(), BuildError> {
        let missing = [
            !F::BUDGET && !matches!(settings.budget(), Budget::Off),
            !F::HEALTH && !matches!(settings.health(), Health::Off),
            !F::ADAPTIVE && !matches!(settings.adaptive(), Adaptive::Off),
            !F::IDENTITY && !matches!(settings.identity(), Identity::Off),
            !F::CHOICE && !matches!(settings.choice(), Choice::Turn),
            !F::ORDER && !matches!(settings.order(), Order::Any),
        ];
        if missing.contains(&true) {
            return Err(BuildError::MissingFeature);
        }
        Ok(())
    }

    /// Makes every row a free one: the storage may have been another writer's.
    fn clear_tables(&mut self) {
        let tables = self.storage.tables();
        tables.streams.fill(StreamSlot::EMPTY);
        tables.timers.fill(TimerSlot::EMPTY);
        // The rest of a row is set when it is taken.
        for set in tables.sets {
            (set.phase, set.records) = (SetPhase::Free, Queue::EMPTY);
        }
        for record in tables.records {
            (record.state, record.report) = (RecordState::Free, NO_REPORT);
        }
        #[cfg(feature = "lz4")]
        if matches!(self.settings.codec(), Codec::Lz4) {
            self.lz4 = Some(Lz4Table::new());
        }
    }
}

/// Fills the rows of the rotation with a random permutation of the streams (Fisher and Yates), so
/// that writers do not use the streams in the same order at the same time.
fn permute(rows: &mut [StreamSlot], random: &mut Random) {
    for (index, row) in rows.iter_mut().enumerate() {
        row.turn = StreamIndex(index as u16);
    }
    for last in (1..rows.len()).rev() {
        let other = random.below(last as u64 + 1) as usize;
        let turn = rows[last].turn;
        rows[last].turn = rows[other].turn;
        rows[other].turn = turn;
    }
}
