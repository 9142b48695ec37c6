//! Parts of a row in the table of a machine's settings.

/// The value that a table's tokens stand for: `16 KiB`, `2 ms`, `on`, `none`, an expression, or
/// `text => expression`.
#[doc(hidden)]
#[macro_export]
macro_rules! setting_value {
    (($($value:tt)+)) => {
        $crate::setting_value!($($value)+)
    };
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
    ($n:literal GiB) => {
        $n << 30
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
    ($n:literal h) => {
        core::time::Duration::from_secs($n * 3_600)
    };
    ($n:literal days) => {
        core::time::Duration::from_secs($n * 86_400)
    };
    ($value:expr) => {
        $value
    };
}

/// The text of a table's tokens: what stands before `=>`, or all of them.
#[doc(hidden)]
#[macro_export]
macro_rules! setting_text {
    (($($text:tt)+)) => { $crate::setting_text!($($text)+) };
    // Without the quotes of a text.
    ($text:literal => $value:expr) => { concat!($text) };
    ($text:tt => $value:expr) => { stringify!($text) };
    ($text:tt $unit:tt => $value:expr) => { stringify!($text $unit) };
    ($($text:tt)+) => { stringify!($($text)+) };
}

/// Refuses a value outside its range by returning from a constant function. `$of` has the other
/// settings that a range may name.
#[doc(hidden)]
#[macro_export]
macro_rules! check_setting {
    // Not `?`, which constants cannot use yet.
    (@$check:expr) => {
        #[allow(clippy::question_mark, reason = "constants cannot use `?` yet")]
        if let Err(error) = $check {
            return Err(error);
        }
    };
    ($of:expr, $name:expr, $value:expr, ($($range:tt)+)) => {
        $crate::check_setting!($of, $name, $value, $($range)+)
    };
    ($of:expr, $name:expr, $value:expr, time below $other:ident if $on:ident) => {
        if $of.$on {
            $crate::check_setting!($of, $name, $value, time below $other)
        }
    };
    ($of:expr, $name:expr, $value:expr, time $n:literal $u:ident to $other:ident if $on:ident) => {
        if $of.$on {
            $crate::check_setting!($of, $name, $value, time $n $u to $other)
        }
    };
    ($of:expr, $name:expr, $value:expr, time below $other:ident) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_below(
            $name, $value, stringify!($other), $of.$other,
        ))
    };
    ($of:expr, $name:expr, $value:expr, time $n:literal $u:ident to $other:ident) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_up_to(
            $name, $value, $crate::setting_value!($n $u), stringify!($other), $of.$other,
        ))
    };
    ($of:expr, $name:expr, $value:expr, time at least $n:literal $u:ident) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_time(
            $name, $value, $crate::setting_value!($n $u), core::time::Duration::MAX,
        ))
    };
    ($of:expr, $name:expr, $value:expr,
        time $n:literal $u:ident to $m:literal $v:ident) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_time(
            $name, $value,
            $crate::setting_value!($n $u), $crate::setting_value!($m $v),
        ))
    };
    ($of:expr, $name:expr, $value:expr, count at least $n:literal) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_count(
            $name, $value as u64, $n, u64::MAX,
        ))
    };
    ($of:expr, $name:expr, $value:expr, count $n:literal to $m:literal) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_count(
            $name, $value as u64, $n, $m,
        ))
    };
    ($of:expr, $name:expr, $value:expr, count $other:ident to $m:literal) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_count(
            $name, $value as u64, $of.$other as u64, $m,
        ))
    };
    ($of:expr, $name:expr, $value:expr, bytes at least $other:ident) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_count(
            $name, $value as u64, $of.$other as u64, u64::MAX,
        ))
    };
    ($of:expr, $name:expr, $value:expr, bytes $other:ident to $m:literal $v:ident) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_count(
            $name, $value as u64, $of.$other as u64, $crate::setting_value!($m $v),
        ))
    };
    ($of:expr, $name:expr, $value:expr, bytes at least $n:literal $u:ident) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_count(
            $name, $value as u64, $crate::setting_value!($n $u), u64::MAX,
        ))
    };
    // With addresses of 32 bits, half of the memory is the maximum.
    ($of:expr, $name:expr, $value:expr, bytes $n:literal $u:ident to $m:literal $v:ident) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_count(
            $name, $value as u64, $crate::setting_value!($n $u), {
                let max: u64 = $crate::setting_value!($m $v);
                let half = usize::MAX as u64 / 2;
                if max < half { max } else { half }
            },
        ))
    };
    ($of:expr, $name:expr, $value:expr, factor above 0 to $m:literal) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_factor(
            $name, $value, f32::MIN_POSITIVE, $m,
        ))
    };
    ($of:expr, $name:expr, $value:expr, factor $n:literal to $m:literal) => {
        $crate::check_setting!(@$crate::settings::SettingsError::check_factor(
            $name, $value, $n, $m,
        ))
    };
    ($of:expr, $name:expr, $value:expr, time none or at least $n:literal $u:ident) => {
        if let Some(value) = $value {
            $crate::check_setting!($of, $name, value, time at least $n $u)
        }
    };
    ($of:expr, $name:expr, $value:expr,
        time none or $n:literal $u:ident to $m:literal $v:ident) => {
        if let Some(value) = $value {
            $crate::check_setting!($of, $name, value, time $n $u to $m $v)
        }
    };
    ($of:expr, $name:expr, $value:expr, count none or at least $n:literal) => {
        if let Some(value) = $value {
            $crate::check_setting!($of, $name, value, count at least $n)
        }
    };
    // Switches, names, and what the machine checks in a function of its own.
    ($of:expr, $name:expr, $value:expr, $unit:ident $($other:tt)*) => {};
}

/// The row of a setting, from the table's tokens.
#[doc(hidden)]
#[macro_export]
macro_rules! setting_row {
    ($name:expr, ($($doc:literal)+), $default:tt, ($unit:ident $($range:tt)+)) => {
        $crate::settings::SettingRow {
            name: $name,
            default: $crate::setting_text!($default),
            range: stringify!($($range)+),
            unit: stringify!($unit),
            doc: concat!($($doc),+),
        }
    };
}

/// Reads or replaces the value of one setting as a [`SettingValue`](super::SettingValue), unless
/// its unit is `other`.
#[doc(hidden)]
#[macro_export]
macro_rules! setting_by_name {
    (get $setting:expr, (other $($range:tt)+)) => {
        None
    };
    (get $setting:expr, $range:tt) => {
        $crate::settings::Setting::to_value($setting)
    };
    (set $setting:expr, $value:expr, (other $($range:tt)+)) => {
        Err($crate::settings::NoSuchSetting)
    };
    (set $setting:expr, $value:expr, $range:tt) => {
        $crate::settings::replace(&mut $setting, $value)
    };
}
