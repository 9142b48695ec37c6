//! What the settings of all machines have in common: rows that describe them, values, ranges, and
//! the error that refuses one.
//!
//! Each machine's settings stand in one table (`settings_table!`). A row's name, type, default,
//! range and documentation make the field, the builder's method, the check and the
//! [`SettingRow`]; command lines, other languages and documents are made from the rows or tested
//! against them. Rows are constants that nothing in the machines reads: a linker leaves them out.

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
    /// Kind of value: `time`, `bytes`, `count`, `factor`, `switch`, or `word` for one of several
    /// names.
    pub unit: &'static str,
    /// Documentation in Markdown, one paragraph, which begins with a blank.
    pub doc: &'static str,
}

/// Value of a setting, whichever it is.
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
}

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
    /// What the text says.
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

/// Converts a setting's own type from and to [`SettingValue`].
pub(crate) trait Setting: Sized {
    /// Returns the value; `None` for a group, whose fields have rows of their own.
    fn to_value(self) -> Option<SettingValue>;
    /// Returns the setting with this value, or `None` if it cannot have it.
    fn from_value(value: SettingValue) -> Option<Self>;
}

macro_rules! setting {
    ($($type:ty: $variant:ident($inner:ident) => $to:expr, $from:expr;)*) => {$(
        impl Setting for $type {
            fn to_value(self) -> Option<SettingValue> {
                let $inner = self;
                Some(SettingValue::$variant($to))
            }

            fn from_value(value: SettingValue) -> Option<Self> {
                match value {
                    SettingValue::$variant($inner) => $from,
                    _ => None,
                }
            }
        }
    )*};
}

setting! {
    bool: Switch(on) => on, Some(on);
    usize: Count(count) => count as u64, usize::try_from(count).ok();
    u32: Count(count) => count.into(), u32::try_from(count).ok();
    Duration: Time(time) => time, Some(time);
    f32: Factor(factor) => factor, Some(factor);
}

/// The value that a table's tokens stand for: `16 KiB`, `2 ms`, `on`, `none`, or an expression,
/// which a word for people may precede.
macro_rules! setting_value {
    (on) => {
        true
    };
    (off) => {
        false
    };
    (none) => {
        None
    };
    ($n:literal B) => {
        $n
    };
    ($n:literal KiB) => {
        $n << 10
    };
    ($n:literal MiB) => {
        $n << 20
    };
    ($n:literal TiB) => {
        $n << 40
    };
    ($n:literal ns) => {
        core::time::Duration::from_nanos($n)
    };
    ($n:literal us) => {
        core::time::Duration::from_micros($n)
    };
    ($n:literal ms) => {
        core::time::Duration::from_millis($n)
    };
    ($n:literal s) => {
        core::time::Duration::from_secs($n)
    };
    ($n:literal min) => {
        core::time::Duration::from_secs($n * 60)
    };
    ($n:literal days) => {
        core::time::Duration::from_secs($n * 86_400)
    };
    ($word:ident $value:expr) => {
        $value
    };
    ($value:expr) => {
        $value
    };
}

/// Refuses a value outside its range by returning from a constant function. `$of` has the other
/// settings that a range may name.
macro_rules! check_setting {
    // Not `?`, which constants cannot use yet.
    (@$check:expr) => {
        if let Err(error) = $check {
            return Err(error);
        }
    };
    ($of:expr, $name:expr, $value:expr, time below $other:ident if $on:ident) => {
        if $of.$on { check_setting!($of, $name, $value, time below $other) }
    };
    ($of:expr, $name:expr, $value:expr, time $n:literal $u:ident to $other:ident if $on:ident) => {
        if $of.$on { check_setting!($of, $name, $value, time $n $u to $other) }
    };
    ($of:expr, $name:expr, $value:expr, time below $other:ident) => {
        check_setting!(@SettingsError::check_below(
            $name, $value, stringify!($other), $of.$other,
        ))
    };
    ($of:expr, $name:expr, $value:expr, time $n:literal $u:ident to $other:ident) => {
        check_setting!(@SettingsError::check_up_to(
            $name, $value, setting_value!($n $u), stringify!($other), $of.$other,
        ))
    };
    ($of:expr, $name:expr, $value:expr, time at least $n:literal $u:ident) => {
        check_setting!(@SettingsError::check_time(
            $name, $value, setting_value!($n $u), core::time::Duration::MAX,
        ))
    };
    ($of:expr, $name:expr, $value:expr,
        time $n:literal $u:ident to $m:literal $v:ident) => {
        check_setting!(@SettingsError::check_time(
            $name, $value, setting_value!($n $u), setting_value!($m $v),
        ))
    };
    ($of:expr, $name:expr, $value:expr, count at least $n:literal) => {
        check_setting!(@SettingsError::check_count($name, $value as u64, $n, u64::MAX))
    };
    ($of:expr, $name:expr, $value:expr, count $n:literal to $m:literal) => {
        check_setting!(@SettingsError::check_count($name, $value as u64, $n, $m))
    };
    ($of:expr, $name:expr, $value:expr, bytes at least $n:literal $u:ident) => {
        check_setting!(@SettingsError::check_count(
            $name, $value as u64, setting_value!($n $u), u64::MAX,
        ))
    };
    // Where addresses have 32 bits, half of them is the most that can be asked for.
    ($of:expr, $name:expr, $value:expr, bytes $n:literal $u:ident to $m:literal $v:ident) => {
        check_setting!(@SettingsError::check_count($name, $value as u64, setting_value!($n $u), {
            let (max, half): (u64, u64) = (setting_value!($m $v), usize::MAX as u64 / 2);
            if max < half { max } else { half }
        }))
    };
    ($of:expr, $name:expr, $value:expr, factor above 0 to $m:literal) => {
        check_setting!(@SettingsError::check_factor($name, $value, f32::MIN_POSITIVE, $m))
    };
    ($of:expr, $name:expr, $value:expr, factor $n:literal to $m:literal) => {
        check_setting!(@SettingsError::check_factor($name, $value, $n, $m))
    };
    // Switches, names, and what the machine checks in a function of its own.
    ($of:expr, $name:expr, $value:expr, $unit:ident $($other:tt)*) => {};
}

/// The row of a setting, from the table's tokens.
macro_rules! setting_row {
    ($name:expr, ($($doc:literal)+), ($($default:tt)+), ($unit:ident $($range:tt)+)) => {
        $crate::settings::SettingRow {
            name: $name,
            default: stringify!($($default)+),
            range: stringify!($($range)+),
            unit: stringify!($unit),
            doc: concat!($($doc),+),
        }
    };
}

pub(crate) use {check_setting, setting_row, setting_value};
