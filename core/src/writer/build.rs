//! Construction of a writer: checks of the settings against the storage and the compiled features,
//! and the free lists.

use core::marker::PhantomData;

use super::bounds::Bounds;
use super::budget::Tokens;
use super::error::BuildError;
use super::machine::{Reserved, Writer};
use super::slots::{NO_RECORD, NO_REPORT, NO_SET, RecordSlot, ReportSlot, SetSlot, StreamSlot};
use super::timers::TimerHeap;
use super::{
    Adaptive, Budget, Choice, Codec, Counters, Health, Identity, Order, Settings, Storage,
    StreamCount, WriterFeatures,
};
use crate::expect::expect_no_fmt;
use crate::random::Random;
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
            in_flight: 0,
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

    /// Puts every row on its free list, in ascending order.
    fn link_free_slots(&mut self) {
        let pending = expect_no_fmt(
            u32::try_from(self.settings.pending_records()),
            "settings allow at most 2^31",
        );
        let compresses = matches!(self.settings.codec(), Codec::Lz4);
        let used = self.bounds.in_flight as usize + 1;
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
