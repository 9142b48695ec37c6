//! Settings of a writer.

mod policy;
mod table;

use core::time::Duration;

pub use policy::{Adaptive, Budget, Choice, Health, Identity, Order, Rounds, Window};
pub use table::SettingsBuilder;

pub use crate::settings::SettingsError;

use crate::check_setting;
use crate::settings::{NoSuchSetting, SettingValue};

use super::{MAX_SET_BYTES, MAX_STREAMS};

/// Settings of a multi stream writer. A value of this type is valid: [`SettingsBuilder::build`] is
/// the only way to make one.
///
/// Names are those of Apache DistributedLog's `DistributedLogMultiStreamWriter` where it has the
/// setting. The defaults add a budget of extra attempts, health and windows of the streams, and
/// adaptive timeouts to it, and a request timeout that outlasts the restart of a proxy;
/// [`Settings::original`] has none of them.
///
/// ```
/// use core::time::Duration;
/// use distributedlog::writer::Settings;
///
/// let settings =
/// Settings::builder().buffer_size(0).request_timeout(Duration::from_secs(5)).build()?;
/// assert_eq!(settings.first_speculative_timeout(), Duration::from_millis(50));
/// # Ok::<(), distributedlog::writer::SettingsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(try_from = "SettingsBuilder", into = "SettingsBuilder")
)]
pub struct Settings(SettingsBuilder);

impl Settings {
    /// Returns a builder with the defaults.
    pub const fn builder() -> SettingsBuilder {
        SettingsBuilder::DEFAULT
    }

    /// Returns the settings of the tutorial "Write records to multiple streams": every record is a
    /// set of its own, transmitted at once; the first hedge after 10 s, later ones after at most 20
    /// s, failure after 50 s; nothing that [`OriginalFeatures`](super::OriginalFeatures) leave out.
    #[must_use]
    pub fn tutorial() -> Self {
        Self::builder()
            .original_features()
            .buffer_size(0)
            .flush_interval(Duration::ZERO)
            .first_speculative_timeout(Duration::from_secs(10))
            .max_speculative_timeout(Duration::from_secs(20))
            .request_timeout(Duration::from_secs(50))
            .build()
            .expect("0 < 10 s <= 20 s < 50 s, and the rest are defaults")
    }

    /// Returns the original's defaults, without anything that it does not have: one round over the
    /// streams, no flush when idle, no budget, no health, no windows, no adaptive timeouts, no
    /// identity, no waiting for silent streams. [`to_builder`](Self::to_builder) makes a builder
    /// that starts from them.
    #[must_use]
    pub fn original() -> Self {
        SettingsBuilder::ORIGINAL
            .build()
            .expect("the original's defaults are within their ranges")
    }

    /// Returns a builder with these settings.
    pub const fn to_builder(self) -> SettingsBuilder {
        self.0
    }

    /// Returns the bytes that one set's buffer should hold without growing: the buffer size and a
    /// record on top.
    #[must_use]
    pub const fn set_bytes(&self) -> usize {
        let wanted = self.0.buffer_size + Self::SLACK;
        if wanted < MAX_SET_BYTES {
            wanted
        } else {
            MAX_SET_BYTES
        }
    }

    /// Checks that the settings can be those of a writer to so many streams.
    ///
    /// # Errors
    ///
    /// The stream that keeps the order (R20) is none of them.
    pub const fn check_streams(&self, streams: StreamCount) -> Result<(), SettingsError> {
        match self.0.order {
            Order::Any => Ok(()),
            Order::Kept { home } => {
                let last = streams.as_usize() as u64 - 1;
                SettingsError::check_count("order", home as u64, 0, last)
            }
        }
    }

    /// Room for the header, a trailer and the record that makes a set reach its size.
    const SLACK: usize = 1024;
}

impl SettingsBuilder {
    /// Returns the original's settings, as [`Settings::original`] does.
    pub const fn original() -> Self {
        Self::ORIGINAL
    }

    /// Sets the budget (R8), health and windows (R9), adaptive timeouts (R10) and the waiting for
    /// silent streams (R21) to their defaults, regardless of the builder's start. Everything else
    /// stays: the timeouts hold until enough latencies are known, and bound the adaptive ones.
    pub const fn recommended(self) -> Self {
        self.budget(Budget::RECOMMENDED)
            .health(Health::RECOMMENDED)
            .window(Window::RECOMMENDED)
            .adaptive(Adaptive::RECOMMENDED)
            .wait_out_stalls(true)
    }

    /// Switches off what [`OriginalFeatures`](super::OriginalFeatures) leave out: budget, health,
    /// adaptive timeouts, identity, the choice by load, the order of records and the waiting for
    /// silent streams. Everything else stays.
    pub const fn original_features(self) -> Self {
        self.budget(Budget::Off)
            .health(Health::Off)
            .adaptive(Adaptive::Off)
            .identity(Identity::Off)
            .choice(Choice::Turn)
            .order(Order::Any)
            .wait_out_stalls(false)
    }

    /// Checks the settings against their ranges and against each other.
    ///
    /// # Errors
    ///
    /// The first setting that is outside its range.
    pub const fn build(self) -> Result<Settings, SettingsError> {
        check_setting!(@self.check_rows());
        check_setting!(@self.check_groups());
        Ok(Settings(self.one_set_if_in_order()))
    }

    /// One set at a time keeps the order (R20).
    const fn one_set_if_in_order(mut self) -> Self {
        if matches!(self.order, Order::Kept { .. }) {
            self.in_flight_sets = 1;
        }
        self
    }

    /// Returns the value of the setting of this name in [`Settings::rows`]; `None` if there is no
    /// such setting, or if it has no value while its group is off.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<SettingValue> {
        self.row_value(name).or_else(|| self.group_value(name))
    }

    /// Sets the setting of this name in [`Settings::rows`]. A field of a group that is off switches
    /// it on.
    ///
    /// # Errors
    ///
    /// There is no such setting, or it cannot have such a value. Ranges are checked by
    /// [`build`](Self::build).
    pub fn set(&mut self, name: &str, value: SettingValue) -> Result<(), NoSuchSetting> {
        let done = self.set_row(name, value);
        done.unwrap_or_else(|| self.set_group(name, value))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::builder()
            .build()
            .expect("the defaults are within their ranges")
    }
}

impl Default for SettingsBuilder {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl From<Settings> for SettingsBuilder {
    fn from(settings: Settings) -> Self {
        settings.0
    }
}

impl TryFrom<SettingsBuilder> for Settings {
    type Error = SettingsError;

    fn try_from(builder: SettingsBuilder) -> Result<Self, SettingsError> {
        builder.build()
    }
}

/// Number of streams that a writer writes to: 1 to [`MAX_STREAMS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamCount(u16);

impl StreamCount {
    /// Checks a number of streams.
    ///
    /// # Errors
    ///
    /// `count` is 0 or above [`MAX_STREAMS`].
    pub const fn new(count: usize) -> Result<Self, SettingsError> {
        match SettingsError::check_count("streams", count as u64, 1, MAX_STREAMS as u64) {
            Ok(()) => Ok(Self(count as u16)),
            Err(error) => Err(error),
        }
    }

    /// Returns the number of streams.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}
