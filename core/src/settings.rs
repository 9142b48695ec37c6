//! Common parts of the settings of all machines: rows that describe them, values, ranges, and the
//! error that refuses one.
//!
//! Each machine's settings stand in one table (`settings_table!`). A row's name, type, default,
//! range and documentation make the field, the builder's method, the check and the
//! [`SettingRow`]; command lines, other languages and documents are made from the rows or tested
//! against them. Rows are constants that nothing in the machines reads: a linker leaves them out.

mod rows;
mod table;

use core::fmt;
use core::time::Duration;

/// Describes one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingRow {
    /// Name of the builder's method; `group.field` for a field of a group such as `budget`.
    pub name: &'static str,
    /// Default, as the table has it: `16 KiB`, `2 ms`, `on`.
    pub default: &'static str,
    /// Valid values, as the table has them: `1 to 65000`, `below request_timeout`.
    pub range: &'static str,
    /// Kind of value: `time`, `bytes`, `count`, `factor`, `switch`, `word` for one of several
    /// names, `group` for settings that are switched together, or `other` for a value that has no
    /// [`SettingValue`].
    pub unit: &'static str,
    /// Documentation in Markdown, one paragraph, which begins with a blank.
    pub doc: &'static str,
}

/// Value of a setting of any kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SettingValue {
    /// On or off.
    Switch(bool),
    /// A number of things or bytes.
    Count(u64),
    /// A length of time.
    Time(Duration),
    /// A factor, share or quantile.
    Factor(f32),
    /// One of the setting's names for values, for instance `none`.
    Word(&'static str),
    /// A number for a setting of any kind that has one, times in milliseconds: for languages with
    /// one type of numbers. Fractions of counts and negative numbers are cut off.
    Number(f64),
}

/// There is no setting of this name, or it cannot have a value of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchSetting;

/// Values that a setting may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SettingRange {
    /// From the first number to the second.
    Counts(u64, u64),
    /// From the first time to the second.
    Times(Duration, Duration),
    /// From the first factor to the second. [`f32::MIN_POSITIVE`] stands for "above 0".
    Factors(f32, f32),
    /// Below another setting, which has this value.
    Below(&'static str, Duration),
    /// From this time to another setting, which has this value.
    UpTo(Duration, &'static str, Duration),
    /// The values that the text names.
    Text(&'static str),
}

/// A setting that is outside its range. The caller has to correct it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SettingsError {
    /// Name of the setting, as in [`SettingRow::name`].
    pub setting: &'static str,
    /// Value that was refused.
    pub value: SettingValue,
    /// Values that are valid.
    pub range: SettingRange,
}

// The checks are calls, and the groups' functions that make them are not: a machine's checks take
// the least code where settings are no constants, a quarter of a kilobyte less of a page.
impl SettingsError {
    /// Returns the name of the builder's method: `budget` for `budget.share`.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
            .split_once('.')
            .map_or(self.setting, |(group, _)| group)
    }

    /// Refuses a number outside `min..=max`.
    ///
    /// # Errors
    ///
    /// `value` is below `min` or above `max`.
    #[inline(never)]
    pub const fn check_count(
        setting: &'static str,
        value: u64,
        min: u64,
        max: u64,
    ) -> Result<(), Self> {
        if value >= min && value <= max {
            return Ok(());
        }
        Err(Self {
            setting,
            value: SettingValue::Count(value),
            range: SettingRange::Counts(min, max),
        })
    }

    /// Refuses a time outside `min..=max`.
    ///
    /// # Errors
    ///
    /// `value` is shorter than `min` or longer than `max`.
    #[inline(never)]
    pub const fn check_time(
        setting: &'static str,
        value: Duration,
        min: Duration,
        max: Duration,
    ) -> Result<(), Self> {
        if !longer(min, value) && !longer(value, max) {
            return Ok(());
        }
        Err(Self {
            setting,
            value: SettingValue::Time(value),
            range: SettingRange::Times(min, max),
        })
    }

    /// Refuses a time that is not below the setting `other`.
    ///
    /// # Errors
    ///
    /// `value` is `limit` or longer.
    #[inline(never)]
    pub const fn check_below(
        setting: &'static str,
        value: Duration,
        other: &'static str,
        limit: Duration,
    ) -> Result<(), Self> {
        if longer(limit, value) {
            return Ok(());
        }
        Err(Self {
            setting,
            value: SettingValue::Time(value),
            range: SettingRange::Below(other, limit),
        })
    }

    /// Refuses a time below `min` or above the setting `other`.
    ///
    /// # Errors
    ///
    /// `value` is shorter than `min` or longer than `limit`.
    #[inline(never)]
    pub const fn check_up_to(
        setting: &'static str,
        value: Duration,
        min: Duration,
        other: &'static str,
        limit: Duration,
    ) -> Result<(), Self> {
        if !longer(min, value) && !longer(value, limit) {
            return Ok(());
        }
        Err(Self {
            setting,
            value: SettingValue::Time(value),
            range: SettingRange::UpTo(min, other, limit),
        })
    }

    /// Refuses a factor outside `min..=max`, and NaN.
    ///
    /// # Errors
    ///
    /// `value` is not a number, below `min` or above `max`.
    #[inline(never)]
    pub const fn check_factor(
        setting: &'static str,
        value: f32,
        min: f32,
        max: f32,
    ) -> Result<(), Self> {
        if value >= min && value <= max {
            return Ok(());
        }
        Err(Self {
            setting,
            value: SettingValue::Factor(value),
            range: SettingRange::Factors(min, max),
        })
    }
}

/// Returns `true` if `one` is longer than `other`. Durations cannot be compared in constants yet.
const fn longer(one: Duration, other: Duration) -> bool {
    one.as_secs() > other.as_secs()
        || one.as_secs() == other.as_secs() && one.subsec_nanos() > other.subsec_nanos()
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Switch(on) => f.write_str(if on { "on" } else { "off" }),
            Self::Count(count) => count.fmt(f),
            Self::Time(time) => write!(f, "{time:?}"),
            Self::Factor(factor) => factor.fmt(f),
            Self::Word(word) => f.write_str(word),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl fmt::Display for SettingRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Counts(min, u64::MAX) => write!(f, "at least {min}"),
            Self::Counts(min, max) => write!(f, "within {min} to {max}"),
            Self::Times(min, Duration::MAX) => write!(f, "at least {min:?}"),
            Self::Times(min, max) => write!(f, "within {min:?} to {max:?}"),
            Self::Factors(f32::MIN_POSITIVE, max) => write!(f, "above 0 and at most {max}"),
            Self::Factors(min, max) => write!(f, "within {min} to {max}"),
            Self::Below(other, limit) => write!(f, "below {other}, {limit:?}"),
            Self::UpTo(Duration::ZERO, other, limit) => write!(f, "at most {other}, {limit:?}"),
            Self::UpTo(min, other, limit) => {
                write!(f, "at least {min:?} and at most {other}, {limit:?}")
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            value,
            range,
        } = self;
        write!(f, "{setting} is {value}; it must be {range}")
    }
}

impl core::error::Error for SettingsError {}

impl fmt::Display for NoSuchSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such setting, or it has no value of this kind")
    }
}

impl core::error::Error for NoSuchSetting {}

/// Settings that can be read and replaced by their names, for command lines and other faces that
/// are made from the rows.
pub trait NamedSettings {
    /// Rows of all settings.
    const ROWS: &'static [SettingRow];

    /// Returns the value of the setting of this name; `None` if there is no such setting or if its
    /// unit is `other`.
    fn value(&self, name: &str) -> Option<SettingValue>;

    /// Sets the setting of this name. Ranges are checked later, by what takes the settings.
    ///
    /// # Errors
    ///
    /// There is no such setting, or it cannot have such a value.
    fn set(&mut self, name: &str, value: SettingValue) -> Result<(), NoSuchSetting>;
}

/// Converts a setting's own type from and to [`SettingValue`]. For the tables of this workspace's
/// crates; not part of the interface.
#[doc(hidden)]
pub trait Setting: Sized {
    /// Returns the value; `None` for a group, whose fields have rows of their own.
    fn to_value(self) -> Option<SettingValue>;
    /// Returns the setting with this value, or `None` if it cannot have it.
    fn from_value(value: SettingValue) -> Option<Self>;
}

macro_rules! setting {
    ($($type:ty: $variant:ident($inner:ident) => $to:expr, $from:expr, $number:expr;)*) => {$(
        impl Setting for $type {
            fn to_value(self) -> Option<SettingValue> {
                let $inner = self;
                Some(SettingValue::$variant($to))
            }

            fn from_value(value: SettingValue) -> Option<Self> {
                match value {
                    SettingValue::$variant($inner) => $from,
                    SettingValue::Number($inner) => $number,
                    _ => None,
                }
            }
        }
    )*};
}

setting! {
    bool: Switch(on) => on, Some(on), { let _: f64 = on; None };
    usize: Count(n) => n as u64, usize::try_from(n).ok(), Some(n as usize);
    u64: Count(n) => n, Some(n), Some(n as u64);
    u32: Count(n) => n.into(), u32::try_from(n).ok(), Some(n as u32);
    // Microseconds are the writer's unit.
    Duration: Time(time) => time, Some(time), Some(Duration::from_micros((time * 1e3) as u64));
    f32: Factor(factor) => factor, Some(factor), Some(factor as f32);
}

macro_rules! setting_or_none {
    ($($type:ty)*) => {$(
        impl Setting for Option<$type> {
            fn to_value(self) -> Option<SettingValue> {
                self.map_or(Some(SettingValue::Word("none")), Setting::to_value)
            }

            fn from_value(value: SettingValue) -> Option<Self> {
                match value {
                    SettingValue::Word("none") => Some(None),
                    value => Setting::from_value(value).map(Some),
                }
            }
        }
    )*};
}

setting_or_none! { usize Duration }

/// Replaces a setting's value by one of any kind, if it can be converted. For the tables of this
/// workspace's crates; not part of the interface.
///
/// # Errors
///
/// The setting cannot have a value of this kind.
#[doc(hidden)]
pub fn replace<T: Setting>(setting: &mut T, value: SettingValue) -> Result<(), NoSuchSetting> {
    *setting = T::from_value(value).ok_or(NoSuchSetting)?;
    Ok(())
}
