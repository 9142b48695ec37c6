//! Common parts of the settings of all machines: rows that describe them, values, ranges, and the
//! error that refuses one.
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

/// Converts a setting's own type from and to [`SettingValue`].
pub(crate) trait Setting: Sized {
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
    u32: Count(n) => n.into(), u32::try_from(n).ok(), Some(n as u32);
    // Microseconds are the writer's unit.
    Duration: Time(time) => time, Some(time), Some(Duration::from_micros((time * 1e3) as u64));
    f32: Factor(factor) => factor, Some(factor), Some(factor as f32);
}

/// The value that a table's tokens stand for: `16 KiB`, `2 ms`, `on`, `none`, an expression, or
/// `text => expression`.
macro_rules! setting_value {
    ($text:tt => $value:expr) => {
        $value
    };
    ($text:tt $unit:tt => $value:expr) => {
        $value
    };
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

/// The text of a table's tokens: what stands before `=>`, or all of them.
macro_rules! setting_text {
    ($text:tt => $value:expr) => { stringify!($text) };
    ($text:tt $unit:tt => $value:expr) => { stringify!($text $unit) };
    ($($text:tt)+) => { stringify!($($text)+) };
}

/// Refuses a value outside its range by returning from a constant function. `$of` has the other
/// settings that a range may name.
macro_rules! check_setting {
    // Not `?`, which constants cannot use yet.
    (@$check:expr) => {
        #[allow(clippy::question_mark, reason = "constants cannot use `?` yet")]
        if let Err(error) = $check {
            return Err(error);
        }
    };
    ($of:expr, $name:expr, $value:expr, time below $other:ident if $on:ident) => {
        if $of.$on {
            $crate::settings::check_setting!($of, $name, $value, time below $other)
        }
    };
    ($of:expr, $name:expr, $value:expr, time $n:literal $u:ident to $other:ident if $on:ident) => {
        if $of.$on {
            $crate::settings::check_setting!($of, $name, $value, time $n $u to $other)
        }
    };
    ($of:expr, $name:expr, $value:expr, time below $other:ident) => {
        $crate::settings::check_setting!(@$crate::settings::SettingsError::check_below(
            $name, $value, stringify!($other), $of.$other,
        ))
    };
    ($of:expr, $name:expr, $value:expr, time $n:literal $u:ident to $other:ident) => {
        $crate::settings::check_setting!(@$crate::settings::SettingsError::check_up_to(
            $name, $value, $crate::settings::setting_value!($n $u), stringify!($other), $of.$other,
        ))
    };
    ($of:expr, $name:expr, $value:expr, time at least $n:literal $u:ident) => {
        $crate::settings::check_setting!(@$crate::settings::SettingsError::check_time(
            $name, $value, $crate::settings::setting_value!($n $u), core::time::Duration::MAX,
        ))
    };
    ($of:expr, $name:expr, $value:expr,
        time $n:literal $u:ident to $m:literal $v:ident) => {
        $crate::settings::check_setting!(@$crate::settings::SettingsError::check_time(
            $name, $value,
            $crate::settings::setting_value!($n $u), $crate::settings::setting_value!($m $v),
        ))
    };
    ($of:expr, $name:expr, $value:expr, count at least $n:literal) => {
        $crate::settings::check_setting!(@$crate::settings::SettingsError::check_count(
            $name, $value as u64, $n, u64::MAX,
        ))
    };
    ($of:expr, $name:expr, $value:expr, count $n:literal to $m:literal) => {
        $crate::settings::check_setting!(@$crate::settings::SettingsError::check_count(
            $name, $value as u64, $n, $m,
        ))
    };
    ($of:expr, $name:expr, $value:expr, bytes at least $n:literal $u:ident) => {
        $crate::settings::check_setting!(@$crate::settings::SettingsError::check_count(
            $name, $value as u64, $crate::settings::setting_value!($n $u), u64::MAX,
        ))
    };
    // With addresses of 32 bits, half of the memory is the maximum.
    ($of:expr, $name:expr, $value:expr, bytes $n:literal $u:ident to $m:literal $v:ident) => {
        $crate::settings::check_setting!(@$crate::settings::SettingsError::check_count(
            $name, $value as u64, $crate::settings::setting_value!($n $u), {
                let max: u64 = $crate::settings::setting_value!($m $v);
                let half = usize::MAX as u64 / 2;
                if max < half { max } else { half }
            },
        ))
    };
    ($of:expr, $name:expr, $value:expr, factor above 0 to $m:literal) => {
        $crate::settings::check_setting!(@$crate::settings::SettingsError::check_factor(
            $name, $value, f32::MIN_POSITIVE, $m,
        ))
    };
    ($of:expr, $name:expr, $value:expr, factor $n:literal to $m:literal) => {
        $crate::settings::check_setting!(@$crate::settings::SettingsError::check_factor(
            $name, $value, $n, $m,
        ))
    };
    ($of:expr, $name:expr, $value:expr, time none or at least $n:literal $u:ident) => {
        if let Some(value) = $value {
            $crate::settings::check_setting!($of, $name, value, time at least $n $u)
        }
    };
    ($of:expr, $name:expr, $value:expr, count none or at least $n:literal) => {
        if let Some(value) = $value {
            $crate::settings::check_setting!($of, $name, value, count at least $n)
        }
    };
    // Switches, names, and what the machine checks in a function of its own.
    ($of:expr, $name:expr, $value:expr, $unit:ident $($other:tt)*) => {};
}

/// The row of a setting, from the table's tokens.
macro_rules! setting_row {
    ($name:expr, ($($doc:literal)+), ($($default:tt)+), ($unit:ident $($range:tt)+)) => {
        $crate::settings::SettingRow {
            name: $name,
            default: $crate::settings::setting_text!($($default)+),
            range: stringify!($($range)+),
            unit: stringify!($unit),
            doc: concat!($($doc),+),
        }
    };
}

/// Makes the settings of a machine from rows: the struct, its builder, getters, checks and rows.
///
/// A row: documentation, name, type, `= by_hand` if the builder's method is written elsewhere,
/// default, unit and range.
macro_rules! machine_settings {
    ($(#[$meta:meta])* struct Settings; $(
        $(#[doc = $doc:literal])+
        $name:ident: $type:ty $(= $by_hand:ident)?, default ($($default:tt)+),
            valid ($($range:tt)+);
    )*) => {
        $(#[$meta])*
        pub struct Settings { $(pub(crate) $name: $type,)* }

        /// Collects settings; [`build`](Self::build) checks them.
        #[derive(Clone, Debug)]
        #[must_use = "a builder does nothing until it is built"]
        pub struct SettingsBuilder {
            settings: Settings,
            /// Refusal by a method.
            refused: Option<SettingsError>,
        }

        impl Settings {
            /// Rows of all settings.
            pub const ROWS: &'static [$crate::settings::SettingRow] = &[
                $($crate::settings::setting_row!(
                    stringify!($name), ($($doc)+), ($($default)+), ($($range)+)
                ),)*
            ];

            /// Returns a builder with the defaults.
            pub const fn builder() -> SettingsBuilder {
                let settings = Self { $($name: $crate::settings::setting_value!($($default)+),)* };
                SettingsBuilder { settings, refused: None }
            }

            $(machine_settings! { @getter $name: $type $(= $by_hand)?; $(#[doc = $doc])+ })*
        }

        impl Default for Settings {
            fn default() -> Self {
                Self::builder().build().expect("the defaults are within their ranges")
            }
        }

        impl SettingsBuilder {
            $(machine_settings! {
                @setter $name: $type $(= $by_hand)?;
                $(#[doc = $doc])+
                #[doc = concat!(
                    "\n\nDefault: ", $crate::settings::setting_text!($($default)+),
                    ". Valid: ", stringify!($($range)+), "."
                )]
            })*

            /// Checks the settings against their ranges and against each other.
            ///
            /// # Errors
            ///
            /// The first setting that is outside its range.
            pub fn build(self) -> Result<Settings, SettingsError> {
                let Self { settings, refused } = self;
                if let Some(error) = refused {
                    return Err(error);
                }
                $($crate::settings::check_setting!(
                    settings, stringify!($name), settings.$name, $($range)+
                );)*
                Ok(settings)
            }
        }
    };
    (@getter $name:ident: $type:ty = by_hand; $(#[$doc:meta])+) => {};
    (@getter $name:ident: $type:ty; $(#[$doc:meta])+) => {
        $(#[$doc])+
        #[must_use]
        pub const fn $name(&self) -> $type {
            self.$name
        }
    };
    (@setter $name:ident: $type:ty = by_hand; $(#[$doc:meta])+) => {};
    (@setter $name:ident: $type:ty; $(#[$doc:meta])+) => {
        $(#[$doc])+
        pub const fn $name(mut self, $name: $type) -> Self {
            self.settings.$name = $name;
            self
        }
    };
}

pub(crate) use {check_setting, machine_settings, setting_row, setting_text, setting_value};
