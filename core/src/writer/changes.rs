//! Settings that change while the writer runs (R18).

use core::fmt;

use super::bounds::Bounds;
use super::error::BuildError;
use super::health::StreamHealth;
use super::machine::Writer;
use super::{Health, Settings, Storage, StreamCount, WriterFeatures};

/// Reason for which the settings of a running writer cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeError {
    /// A setting differs that is fixed when the writer is built.
    Fixed {
        /// Name of the setting.
        setting: &'static str,
    },
    /// The settings do not fit the writer's storage or features.
    Build(BuildError),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { setting } => {
                write!(f, "{setting} cannot be changed while the writer runs")
            }
            Self::Build(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ChangeError {}

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Changes the settings (R18): size and time of sets, timeouts, rounds, budget, health,
    /// windows, choice of streams and adaptive timeouts. They hold for the records that are
    /// accepted, the sets that are opened and the attempts that are made from now on. A record that
    /// joins a set has at least the deadline of the records before it.
    ///
    /// What the tables depend on is fixed: `codec`, `in_flight_sets`, `buffered_bytes`,
    /// `pending_records`, `seed`, `identity`, `order` and `attempt_reports`.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]. The settings are then as before.
    pub fn change_settings(&mut self, settings: Settings) -> Result<(), ChangeError> {
        const { assert!(F::CHANGES, "the writer's features exclude changes") };
        if let Some(setting) = fixed_difference(&self.settings, &settings) {
            return Err(ChangeError::Fixed { setting });
        }
        Self::check_features(&settings).map_err(ChangeError::Build)?;
        let streams = StreamCount::new(self.member_count()).expect("a writer has a stream");
        self.bounds = Bounds::new(&settings, streams, &self.storage).map_err(ChangeError::Build)?;
        self.settings = settings;
        if F::BUDGET {
            self.budget = self.budget.changed(settings.budget());
        }
        if settings.health() == Health::Off {
            // Without health no probe would end a probation.
            for stream in self.storage.tables().streams {
                stream.health = StreamHealth::NEW;
            }
        }
        self.find_next_probe();
        Ok(())
    }
}

/// Returns the name of a setting that differs and cannot be changed.
fn fixed_difference(old: &Settings, new: &Settings) -> Option<&'static str> {
    [
        ("order", old.order() == new.order()),
        ("codec", old.codec() == new.codec()),
        (
            "in_flight_sets",
            old.in_flight_sets() == new.in_flight_sets(),
        ),
        (
            "buffered_bytes",
            old.buffered_bytes() == new.buffered_bytes(),
        ),
        (
            "pending_records",
            old.pending_records() == new.pending_records(),
        ),
        ("seed", old.seed() == new.seed()),
        ("identity", old.identity() == new.identity()),
        (
            "attempt_reports",
            old.attempt_reports() == new.attempt_reports(),
        ),
    ]
    .into_iter()
    .find_map(|(name, same)| (!same).then_some(name))
}
